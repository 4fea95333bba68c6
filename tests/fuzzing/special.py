"""What is no file in the place of a file: FIFOs, devices, sockets, sparse files, folders, links."""

import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from tests.fuzzing.mutation import Kind

KINDS = ("fifo", "zero", "random", "socket", "sparse", "folder", "nothing", "loop", "proc")
_SPARSE = 600 << 20  # bytes: more than an image, a table or a JSON may have


def put(path: Path, kind: str) -> None:
    """Makes `path` something of a kind, in the place of what was there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        before = os.getcwd()
        os.chdir(path.parent)  # the name of a socket may have a hundred letters
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
        os.chdir(before)
    elif kind == "sparse":
        path.touch()
        os.truncate(path, _SPARSE)
    elif kind == "folder":
        (path / "x").mkdir(parents=True)
    else:
        targets = {"zero": "/dev/zero", "random": "/dev/urandom", "proc": "/proc/self/mountinfo"}
        path.symlink_to({"nothing": "nowhere", "loop": path.name}.get(kind) or targets[kind])


def _readers(folder: Path, records: Path, run: Path) -> list[tuple[Path, Callable]]:
    """Files, and what reads each of them."""
    from rssc_tf.cache import check_seal
    from rssc_tf.evaluation.calibration import read_calibration
    from rssc_tf.predict import predict_files
    from rssc_tf.runs import load_model, read_settings
    from rssc_tf.weights.files import check_file
    from rssc_tf.weights.hdf5 import open_hdf5
    from rssc_tf.weights.torch_file import read_torch
    from tfrecords_tools.common.archives import read_npz
    from tfrecords_tools.common.json_files import read_json
    from tfrecords_tools.common.yaml_files import read_yaml
    from tfrecords_tools.imaging.store import store
    from tfrecords_tools.records.card import read_card
    from tfrecords_tools.records.shards import check_shards
    from tfrecords_tools.sources.label_files import read_label_csv
    from tfrecords_tools.sources.readers import read_class_folders
    from tfrecords_tools.sources.safe_pickle import read_pickle

    copy, trained, images = folder / "copy", folder / "trained", folder / "images"
    shutil.copytree(records, copy)
    shutil.copytree(run, trained)
    for name in ("a/1.jpg", "b/1.jpg"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).touch()
    one = folder / "one"
    card = read_card(records)

    def hdf5(path: Path) -> None:
        with open_hdf5(path):
            pass

    def labels(path: Path) -> None:
        read_label_csv(images, [path])

    def shards(path: Path) -> None:
        check_shards(copy, card)

    return [
        *((one, read) for read in (read_yaml, read_json, check_file, read_torch, hdf5, labels)),
        *((one, read) for read in (read_pickle, check_seal, lambda path: store(path, 64))),
        (one, lambda path: read_npz(path, 1 << 20)),
        (images / "a" / "1.jpg", lambda path: read_class_folders(images)),
        (copy / "dataset.json", lambda path: read_card(copy)),
        (copy / card.splits["train"].shards[0].file, shards),
        (trained / "config.yaml", lambda path: read_settings(trained)),
        (trained / "calibration.json", lambda path: read_calibration(trained, card.classes)),
        (trained / "model.keras", lambda path: load_model(trained)),
        (folder / "export" / "saved_model.pb", lambda path: predict_files(path.parent, [])),
    ]


def special_kind(folder: Path, records: Path, run: Path) -> Kind:
    base = folder / "special"
    base.mkdir()
    (base / "export").mkdir()
    readers = _readers(base, records, run)

    def read(data: bytes, random_: random.Random) -> None:
        path, reader = random_.choice(readers)
        whole = path.read_bytes() if path.is_file() else None
        try:
            put(path, random_.choice(KINDS))
            reader(path)
        finally:
            put(path, "sparse")
            if whole is None:
                path.unlink()
            else:
                path.write_bytes(whole)

    return Kind("special", [b""], read, lambda data, _: data, weight=0.5)
