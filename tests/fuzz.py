"""The fuzz test: damaged and hostile files for every reader.

    python tests/fuzz.py --count 10000 --seed 0

Real files (and drawn ones) are mutated: bits, cuts, repetitions, forged lengths and sides, odd
text. A reader may read the result or refuse it with its own one-line error; any other exception,
a file that a pickle or a name left behind, or a read of more than a few seconds is a failure, and
its input is kept.
"""

import argparse
import contextlib
import io
import json
import os
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parent.parent
SLOW = 30.0  # seconds of this process that no input may take; the usual one takes milliseconds

_TOKENS = (
    *(
        b"../../x",
        b"/etc/passwd",
        b"\0",
        b"\n",
        b"\r\n",
        b'"',
        b",",
        b"\t",
        b"|",
        b"\xff\xfe",
        b"'",
    ),
    *(b"1e999", b"-1", b"NaN", b"null", b"[", b"]", b"{", b"}", b": ", b"- ", b"&a ", b"*a", b"? "),
    *(
        b"!!python/object/apply:os.system [touch CANARY]",
        b"A" * 5000,
        "é\u202e".encode(),
        b"\x1b[2J",
    ),
)
_NUMBERS = (
    0,
    1,
    127,
    128,
    255,
    256,
    32767,
    60000,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)


def mutate(data: bytes, random_: random.Random) -> bytes:
    """A damaged copy: a few small changes, half of them near the beginning."""
    data = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4, 16))):
        end = min(len(data), 80) if random_.random() < 0.5 else len(data)
        at = random_.randrange(end + 1)
        length = random_.choice((1, 2, 4, 16, 256))
        kind = random_.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            data[at : at + length] = random_.randbytes(length)
        elif kind == 2:
            del data[random_.randrange(len(data) + 1) :]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * random_.choice((1, 2, 50))
        elif kind == 5:
            data[at:at] = random_.randbytes(length)
        elif kind == 6:
            width, order = random_.choice((1, 2, 4, 8)), random_.choice(("little", "big"))
            number = random_.choice(_NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, order)
        else:
            data[at:at] = random_.choice(_TOKENS)
    return bytes(data)


@dataclass
class Kind:
    """One reader under test.

    Attributes:
        name: of the kind of input.
        seeds: whole inputs.
        read: reads one input; whether it was read. Refusals are `RsscError` or `BadImage`.
        mutate: how an input is damaged.
        weight: share of the inputs.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[bytes, random.Random], None]
    mutate: Callable[[bytes, random.Random], bytes] = mutate
    weight: float = 1.0


@dataclass
class Count:
    """What came of the inputs of one kind."""

    name: str
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def fuzz(kind: Kind, count: int, random_: random.Random, keep: Path | None = None) -> Count:
    """Feeds `count` damaged inputs to one reader; writes those that fail to `keep`."""
    from tfrecords_tools.errors import RsscError
    from tfrecords_tools.images import BadImage

    result = Count(kind.name)
    for number in range(count):
        data = kind.mutate(random_.choice(kind.seeds), random_)
        started = time.process_time()  # other work on the machine does not count
        try:
            kind.read(data, random_)
            result.read += 1
        except (RsscError, BadImage):
            result.refused += 1
        except Exception:
            result.failures.append(f"{number}: {traceback.format_exc()}")
            if keep:
                (keep / f"{kind.name}-{number}.bin".replace(" ", "-")).write_bytes(data)
        took = time.process_time() - started
        result.seconds += took
        result.slowest = max(result.slowest, took)
        if took > SLOW:
            result.failures.append(f"{number}: took {took:.0f} s")
    return result


# --- images ---


def image_seeds(real: Path | None) -> list[bytes]:
    """One image a format and mode, and real photographs where there are any."""
    import numpy as np
    import tifffile
    from PIL import Image

    from rssc_tf.scenes import draw

    picture = Image.fromarray(draw("target", "river", 0, 48))
    modes = {
        "jpeg": ("RGB", "L", "CMYK"),
        "png": ("RGB", "L", "P", "RGBA", "1", "I;16"),
        "tiff": ("RGB", "L", "I;16", "F"),
        "gif": ("P",),
        "bmp": ("RGB", "L", "P"),
        "webp": ("RGB",),
    }
    seeds = []
    for form, names in modes.items():
        for name in names:
            image = picture.convert("L") if name in ("I;16", "F") else picture
            image = Image.fromarray(np.asarray(image, np.uint16) * 99) if name == "I;16" else image
            buffer = io.BytesIO()
            (image if name == "I;16" else image.convert(name)).save(buffer, form)
            seeds.append(buffer.getvalue())
    for options in ({"progressive": True}, {"quality": 30}):
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", **options)
        seeds.append(buffer.getvalue())
    for form, options in (("tiff", {"compression": "tiff_lzw"}), ("gif", {"save_all": True})):
        buffer = io.BytesIO()
        more = {"append_images": [picture.rotate(90)]} if "save_all" in options else {}
        picture.save(buffer, form, **options, **more)
        seeds.append(buffer.getvalue())
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.asarray(picture, np.uint16) * 16, photometric="rgb")
    seeds.append(buffer.getvalue())
    if real:
        found = sorted((real / "data" / "aid").glob("*/*.jpg"))[::400]
        seeds += [path.read_bytes() for path in found]
    return seeds


def _image_kind(folder: Path, real: Path | None) -> Kind:
    import tensorflow as tf

    from tfrecords_tools.images import store

    def read(data: bytes, random_: random.Random) -> None:
        (folder / "image.bin").write_bytes(data)
        encoding = random_.choice(("jpeg", "png"))
        stored = store(folder / "image.bin", random_.choice((32, 64, 292)), encoding)
        # What was stored must train: TensorFlow decodes it to the size that the record says.
        decoded = tf.io.decode_image(stored.data, channels=3, expand_animations=False)
        assert decoded.shape == (stored.height, stored.width, 3), decoded.shape

    return Kind("images", image_seeds(real), read, weight=3)


# --- text tables and pickles ---


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


def _label_kind(folder: Path, real: Path | None) -> Kind:
    from tfrecords_tools.label_files import read_label_csv

    names = [f"tile_{number}.png" for number in range(8)]
    root = _empty_images(folder / "tiles", names)
    rows = [",".join([name, *"0110"[number % 3 :], "1"][:4]) for number, name in enumerate(names)]
    table = "\n".join(["image,water,trees,cars", *rows]) + "\n"
    seeds = [table.encode(), table.replace(",", "\t").encode(), ("\ufeff" + table).encode()]
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
    from tfrecords_tools.readers import read_class_folders

    names = [f"{kind}/{kind}_{number}.jpg" for kind in ("Beach", "Port") for number in range(4)]
    root = _empty_images(folder / "classes", names)
    return names, lambda: read_class_folders(root)


def _split_kind(folder: Path, real: Path | None) -> Kind:
    from tfrecords_tools.split_files import apply_split_files

    names, listing = _split_listing(folder)
    rows = [f"{name},{('train', 'val', 'test')[n % 3]}" for n, name in enumerate(names)]
    seeds = ["\n".join(["id,split", *rows]).encode(), "\n".join(names).encode()]
    if real:
        files = sorted((real / "data" / "aitlas_splits").glob("*_test.csv"))
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


def _pickle_kind(folder: Path) -> Kind:
    from tfrecords_tools import safe_pickle
    from tfrecords_tools.split_files import apply_split_files

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


# --- cards and settings ---


def odd_values(random_: random.Random) -> object:
    """A JSON value that nobody expects."""
    return random_.choice(
        (
            *(
                None,
                True,
                -1,
                0,
                2**70,
                1.5,
                float("nan"),
                float("inf"),
                "",
                "x",
                "../../x",
                "a\0b",
            ),
            *(
                "\n",
                "\ud800",
                "x" * 3000,
                [],
                {},
                [[]],
                {"a": {}},
                ["x"] * 3,
                "/abs",
                "CON",
                [None],
            ),
        )
    )


def mutate_json(data: bytes, random_: random.Random) -> bytes:
    """Bytes as any other, or a value somewhere inside for another one."""
    if random_.random() < 0.4:
        return mutate(data, random_)
    content = json.loads(data)
    for _ in range(random_.choice((1, 1, 2))):
        place, above = content, None
        while (
            isinstance(place, dict | list) and place and (above is None or random_.random() < 0.8)
        ):
            keys = list(place) if isinstance(place, dict) else range(len(place))
            above = place, random_.choice(keys)
            place = above[0][above[1]]
        if above:
            if isinstance(above[0], dict) and random_.random() < 0.3:
                value = above[0].pop(above[1])
                if random_.random() < 0.5:
                    above[0][str(odd_values(random_))[:50]] = value
            else:
                above[0][above[1]] = odd_values(random_)
    if "sha256" in content and random_.random() < 0.7:
        from tfrecords_tools.card import _hash

        del content["sha256"]
        with contextlib.suppress(ValueError, TypeError):
            content["sha256"] = _hash(content)  # an edit by one who knows how to sign it
    return json.dumps(content).encode()


def _card_kind(folder: Path, records: Path) -> Kind:
    from tfrecords_tools.card import read_card
    from tfrecords_tools.shards import check_shards

    copy = folder / "card"
    copy.mkdir()
    for shard in records.glob("*.tfrecord"):
        (copy / shard.name).symlink_to(shard)

    def read(data: bytes, random_: random.Random) -> None:
        (copy / "dataset.json").write_bytes(data)
        card = read_card(copy)
        assert card.side > 0 and len(card.sha256) == 64 and card.to_json()
        check_shards(copy, card)

    return Kind("cards", [(records / "dataset.json").read_bytes()], read, mutate_json, weight=2)


def _config_kind(folder: Path) -> Kind:
    import yaml

    from rssc_tf.config import TrainConfig, load_config, save_config

    file = folder / "settings.yaml"
    save_config(TrainConfig("dap", "target", "source", epochs=3, learning_rate=1e-3), file)
    seed = file.read_bytes()
    laughs = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)]

    def mutate_yaml(data: bytes, random_: random.Random) -> bytes:
        if random_.random() < 0.5 or data != seed:
            return mutate(data, random_)
        content = yaml.safe_load(data)
        content[random_.choice(list(content))] = odd_values(random_)
        return json.dumps(content).encode()  # JSON is YAML

    def read(data: bytes, random_: random.Random) -> None:
        file.write_bytes(data)
        settings = load_config(file)
        if not {"strategy", "target"} <= settings.keys():
            return  # the command says what is missing
        TrainConfig(**settings)
        assert not Path("CANARY").exists(), "the settings ran"

    seeds = [
        seed,
        seed,
        "\n".join([*laughs, "epochs: *a39"]).encode(),
        b"strategy: scratch\ntarget: x",
    ]
    seeds.append(b"[" * 3000)
    return Kind("settings", seeds, read, mutate_yaml, weight=2)


# --- records ---


def _crc32c_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_CRC = _crc32c_table()


def masked_crc(data: bytes) -> bytes:
    """TFRecord's checksum: CRC-32C, turned and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 255] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frame(data: bytes, length: int | None = None) -> bytes:
    """A record with right checksums, whatever its length says."""
    head = struct.pack("<Q", len(data) if length is None else length)
    return head + masked_crc(head) + data + masked_crc(data)


def unframe(shard: bytes) -> list[bytes]:
    """The records of a whole shard."""
    records, at = [], 0
    while at < len(shard):
        length = int.from_bytes(shard[at : at + 8], "little")
        records.append(shard[at + 12 : at + 12 + length])
        at += 16 + length
    return records


def mutate_shard(data: bytes, random_: random.Random) -> bytes:
    """Raw bytes; or records whose content, features or length are odd and whose checksums fit."""
    way = random_.randrange(4)
    if way == 0:
        return mutate(data, random_)
    records = unframe(data)
    victim = random_.randrange(len(records))
    framed = [data_and_frame for data_and_frame in map(frame, records)]
    if way == 1:
        framed[victim] = frame(mutate(records[victim], random_))
    elif way == 2:
        framed[victim] = frame(
            records[victim], random_.choice((0, 1, 2**31, 2**40, 2**62, 2**64 - 1))
        )
    else:
        framed[victim] = frame(_odd_example(records[victim], random_))
    return b"".join(framed)


def _odd_example(data: bytes, random_: random.Random) -> bytes:
    import tensorflow as tf

    example = tf.train.Example.FromString(data)
    features = example.features.feature
    key = random_.choice(sorted(features))
    way = random_.randrange(4)
    if way == 0:
        del features[key]
    elif way == 1:
        features[key].Clear()
        odd = random_.choice(([], [-1], [2**62], [0, 1], [9]))
        features[key].int64_list.value.extend(odd)
    elif way == 2:
        features[key].Clear()
        odd = random_.choice(([], [b""], [b"\xff\xfe"], [b"a", b"b"], [b"../../x"], [b"\x89PNG"]))
        features[key].bytes_list.value.extend(odd)
    else:
        image = features["image/encoded"].bytes_list.value
        image[0] = mutate(image[0], random_)
    return example.SerializeToString()


def _record_kind(folder: Path, records: Path) -> Kind:
    import hashlib

    from pipelines.records import explain_damage
    from pipelines.stream import evaluation_batches, training_batches
    from tfrecords_tools.card import read_card
    from tfrecords_tools.shards import check_shards
    from tfrecords_tools.verify import verify

    copy = folder / "records"
    copy.mkdir()
    card = read_card(records)
    shard = card.splits["train"].shards[0]
    for path in records.glob("*.tfrecord"):
        if path.name != shard.file:
            (copy / path.name).symlink_to(path)

    passes = [  # built once: that takes longer than reading
        training_batches(copy, card, 8, seed=0).take(3),
        evaluation_batches(copy, card, "train", 8),
    ]

    def read(data: bytes, random_: random.Random) -> None:
        (copy / shard.file).write_bytes(data)
        if data:  # a card that vouches for the damage: the readers have only themselves
            changed = replace(shard, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
            train = replace(card.splits["train"], shards=(changed,))
            forged = replace(card, splits={**card.splits, "train": train})
            (copy / "dataset.json").write_text(forged.to_json())
        problems = verify(copy)
        check_shards(copy, read_card(copy))
        for batches in passes:
            with explain_damage(copy):
                for _ in batches:
                    pass
        assert problems or data, "an empty shard was read"

    return Kind("records", [(records / shard.file).read_bytes()], read, mutate_shard, weight=0.2)


# --- models ---


def _request_kind(export: Path, real: Path | None) -> Kind:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(export / "1"))
    serve = loaded.signatures["serving_default"]
    whole = image_seeds(None)[0]

    def read(data: bytes, random_: random.Random) -> None:
        answer = serve(image_bytes=tf.constant([whole, data, whole]))
        valid = answer["valid"].numpy().tolist()
        assert valid[0] and valid[2], "one bad image harmed another"
        assert loaded is not None

    return Kind("requests", image_seeds(real), read, weight=2)


def _run_kind(folder: Path, run: Path) -> Kind:
    from rssc_tf.runs import load_model

    copy = folder / "run"
    copy.mkdir()

    def read(data: bytes, random_: random.Random) -> None:
        (copy / "model.keras").write_bytes(data)
        load_model(copy)

    return Kind("models", [(run / "model.keras").read_bytes()], read, weight=0.3)


def all_kinds(
    folder: Path, records: Path, run: Path, export: Path, real: Path | None
) -> list[Kind]:
    """Every reader; `records`, `run` and `export` are whole, and stay so."""
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _image_kind(folder, real),
        _label_kind(folder, real),
        _split_kind(folder, real),
        _pickle_kind(folder),
        _card_kind(folder, records),
        _config_kind(folder),
        _record_kind(folder, records),
        _request_kind(export, real),
        _run_kind(folder, run),
    ]


def _make_run(base: Path) -> tuple[Path, Path, Path]:
    """Records of drawn scenes, a run of one epoch and its export."""
    from PIL import Image

    from rssc_tf.cli import main
    from rssc_tf.scenes import draw
    from tests import tiny

    for name in ("farmland", "forest", "parking", "river"):
        (base / "images" / name).mkdir(parents=True)
        for number in range(6):
            picture = Image.fromarray(draw("target", name, number, 40))
            picture.save(base / "images" / name / f"{number}.jpg")
    tiny.register()
    records, run, export = base / "records", base / "run", base / "export"
    commands = (
        ("convert", base / "images", "--out", records, "--train-fraction", "0.5"),
        ("train", "--strategy", "scratch", "--target", records, "--out", run, *tiny.SMALL),
        ("export", run, "--out", export),
    )
    for command in commands:
        assert main([str(word) for word in command]) == 0, command
    return records, run, export


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of kinds")
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    shared = Path(os.environ.get("RSSC_TF_DATA", ROOT.parent / "shared"))
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    failures = total = 0
    with tempfile.TemporaryDirectory(prefix="rssc-tf-fuzz-") as scratch:
        os.environ["RSSC_TF_CACHE"] = f"{scratch}/cache"
        real = shared if (shared / "data").is_dir() else None
        kinds = all_kinds(Path(scratch, "fuzz"), *_make_run(Path(scratch)), real)
        kinds = [kind for kind in kinds if not arguments.only or kind.name in arguments.only]
        weights = sum(kind.weight for kind in kinds)
        for kind in kinds:
            count = round(arguments.count * kind.weight / weights)
            result = fuzz(
                kind, count, random.Random(f"{kind.name} {arguments.seed}"), arguments.keep
            )
            total += count
            failures += len(result.failures)
            print(
                f"{kind.name:12} {count:6} inputs: {result.read:5} read, "
                f"{result.refused:5} refused, {len(result.failures)} failures, "
                f"{result.seconds:.0f} s, the slowest {result.slowest:.2f} s",
                flush=True,
            )
            for failure in result.failures[:5]:
                print(failure, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{total} inputs, {failures} failures, peak memory {peak:.0f} MB")
    return int(failures > 0)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
