"""Label files, split lists and split pickles."""

import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path

from tests.fuzzing.mutation import Kind


def _empty_images(folder: Path, names: list[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _first_rows(file: Path, root: Path, suffix: str = "") -> bytes:
    """The beginning of a real list, with (empty) images of that name to be found."""
    rows = file.read_bytes().splitlines(True)[:9]
    for row in rows[1:]:
        name = row.replace(b"\t", b",").partition(b",")[0].decode().strip()
        _empty_images(root, [name if "." in name else name + suffix])
    return b"".join(rows)


def label_kind(folder: Path, real: Path | None) -> Kind:
    from tfrecords_tools.sources.label_files import read_label_csv

    names = [f"tile_{number}.png" for number in range(8)]
    root = _empty_images(folder / "tiles", names)
    rows = [",".join([name, *"0110"[number % 3 :], "1"][:4]) for number, name in enumerate(names)]
    table = "\n".join(["image,water,trees,cars", *rows]) + "\n"
    seeds = [table.encode(), table.replace(",", "\t").encode(), ("\ufeff" + table).encode()]
    seeds += [table.encode("utf-16"), table.replace("water", "\u00eatre").encode("cp1252")]
    # One class an image, tags, and a table of everything.
    some = ("water", "trees", "water;trees", "['cars', 'water']")
    for head, cells in (("label", some[:2]), ("tags", some[:3]), ("labels", some[3:])):
        body = [f'{name};"{cells[n % len(cells)]}"' for n, name in enumerate(names)]
        seeds.append("\n".join([f"image;{head}", *body]).encode())
    body = [f"{n},{name},{n}.5,{n % 2},train,{some[n % 2]}" for n, name in enumerate(names)]
    seeds.append("\n".join([",image,lat,scene_id,split,class", *body]).encode())
    if real:
        files = [*(real / "data" / "mlrsnet_labels").glob("*/a*.csv")]
        files += [real / "data" / "aid_multilabel" / "val.csv"]
        seeds += [_first_rows(path, root, suffix=".png") for path in files]

    def read(data: bytes, random_: random.Random) -> None:
        file = folder / "labels.csv"
        file.write_bytes(data)
        read_label_csv(root, [file], skip_bad=random_.random() < 0.7)

    return Kind("label CSVs", seeds, read, weight=2)


def _split_listing(folder: Path):
    from tfrecords_tools.sources.readers import read_class_folders

    names = [f"{kind}/{kind}_{number}.jpg" for kind in ("Coast", "Quay") for number in range(4)]
    root = _empty_images(folder / "classes", names)
    return names, lambda: read_class_folders(root)


def split_kind(folder: Path, real: Path | None) -> Kind:
    from tfrecords_tools.sources.split_files import apply_split_files

    names, listing = _split_listing(folder)
    rows = [f"{name},{('train', 'val', 'test')[n % 3]}" for n, name in enumerate(names)]
    seeds = ["\n".join(["id,split", *rows]).encode(), "\n".join(names).encode()]
    if real:
        # Sets of class folders whose names do not differ in letter case only: they share one root.
        files = [
            real / "data" / "aitlas_splits" / f"{n}_test.csv" for n in ("resisc45", "rsicb256")
        ]
        seeds += [_first_rows(path, folder / "classes") for path in files]

    def read(data: bytes, random_: random.Random) -> None:
        file = folder / "some_train.csv"
        file.write_bytes(data)
        loose = random_.random() < 0.7
        apply_split_files(listing(), [file], ignore_unlisted=loose, ignore_missing=loose)

    return Kind("split lists", seeds, read, weight=2)


class _Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable, *arguments: object):
        self._call = (function, arguments)

    def __reduce__(self):
        return self._call


def pickle_seeds(names: list[str], canary: Path) -> list[bytes]:
    """The study's split pickles, and some that are no splits at all."""
    import numpy as np
    from sklearn.preprocessing import LabelEncoder

    labels = [name.partition("/")[0] for name in names]
    split = {
        "train": {"filename": names[::2], "class": labels[::2]},
        "test": {"filename": np.array(names[1::2]), "class": np.array(labels[1::2], object)},
    }
    encoder = LabelEncoder().fit(labels)
    laughs: list = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    hostile = [
        _Call(os.system, f"touch {canary}"),
        _Call(eval, f"open({str(canary)!r}, 'w')"),
        {"train": {"filename": _Call(exec, f"open({str(canary)!r}, 'w')")}},
        {"train": {"filename": laughs}},
        {"train": {"filename": ["/etc/passwd", "../../x", "a\0b", "a" * 10**5]}},
    ]
    seeds = [
        pickle.dumps(content, protocol)
        for content in (split, encoder, {"train": split["train"]})
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ]
    seeds += [pickle.dumps(content, protocol) for content in hostile for protocol in (0, 2, 4)]
    # A table of 2^31 objects, a changed function, a loop.
    seeds += [
        b"\x80\x02]r\xff\xff\xff\x7f.",
        b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
        b"\x80\x02]q\x00h\x00a.",
    ]
    return seeds


def pickle_kind(folder: Path) -> Kind:
    from tfrecords_tools.sources import safe_pickle
    from tfrecords_tools.sources.split_files import apply_split_files

    names, listing = _split_listing(folder)
    canary = folder / "CANARY"
    before = {name: dict(vars(thing)) for name, thing in _functions(safe_pickle)}

    def read(data: bytes, random_: random.Random) -> None:
        file = folder / "aid20-split.pkl"
        file.write_bytes(data.replace(b"CANARY", str(canary).encode()))
        try:
            apply_split_files(listing(), [file], ignore_unlisted=True, ignore_missing=True)
        finally:
            assert not canary.exists(), "the pickle ran"
            assert not Path("CANARY").exists(), "the pickle ran"
            for name, thing in _functions(safe_pickle):
                assert dict(vars(thing)) == before[name], f"the pickle changed {name}"

    return Kind("pickles", pickle_seeds(names, canary), read, weight=3)


def _functions(module) -> list[tuple[str, object]]:
    """The functions and classes that a module defines."""
    return [
        (name, thing)
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", "") == module.__name__ and hasattr(thing, "__dict__")
    ]
