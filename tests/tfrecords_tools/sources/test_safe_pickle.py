"""Pickles are data: what the study wrote is read, everything else refused before it runs."""

import os
import pickle

import numpy as np
import pytest
from sklearn.preprocessing import LabelEncoder

from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.sources import safe_pickle
from tfrecords_tools.sources.safe_pickle import Encoder, read_pickle


class _Attack:
    def __init__(self, function, *arguments):
        self.what = (function, arguments)

    def __reduce__(self):
        return self.what


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_a_split_needs(tmp_path, protocol):
    content = {
        "train": {"filename": ["a/x.jpg", "b/ü.jpg"], "class": np.array(["a", "b"])},
        "label": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "names": np.array(["x", "y"], object),
        "one": np.float32(2.5),
        "tuple": (1, None, True),
    }
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(content, protocol))
    read = read_pickle(tmp_path / "x.pkl")
    assert read["train"]["filename"] == content["train"]["filename"]
    assert list(read["train"]["class"]) == ["a", "b"]
    np.testing.assert_array_equal(read["label"], content["label"])
    assert list(read["names"]) == ["x", "y"]
    assert read["one"] == 2.5
    assert read["tuple"] == content["tuple"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_a_label_encoder_without_scikit_learn(tmp_path, protocol):
    encoder = LabelEncoder().fit(["b", "a", "c"])
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(encoder, protocol))
    read = read_pickle(tmp_path / "x.pkl")
    assert isinstance(read, Encoder)
    assert list(read.classes_) == ["a", "b", "c"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("attack", ["system", "eval", "getattr", "import"])
def test_foreign_names_are_refused_and_never_called(tmp_path, protocol, attack):
    trace = tmp_path / "trace"
    calls = {
        "system": _Attack(os.system, f"touch {trace}"),
        "eval": _Attack(eval, f"open({str(trace)!r}, 'w')"),
        "getattr": _Attack(getattr, os, "sep"),
        "import": _Attack(__import__, "os"),
    }
    if attack == "getattr":
        data = pickle.dumps(_Attack(getattr, "x", "upper"), protocol)
    else:
        data = pickle.dumps({"train": [calls[attack]]}, protocol)
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(RsscError, match="refused: it asks for"):
        read_pickle(tmp_path / "x.pkl")
    assert not trace.exists()


@pytest.mark.parametrize("data", [b"", b"no pickle", pickle.dumps(list(range(99)))[:-7]])
def test_damaged_files_give_one_line(tmp_path, data):
    (tmp_path / "x.pkl").write_bytes(data)
    with pytest.raises(RsscError, match="no pickle, or a damaged one"):
        read_pickle(tmp_path / "x.pkl")


def test_structured_dtypes_are_refused(tmp_path):
    array = np.zeros(2, dtype=[("a", int), ("b", float)])
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(array, 4))
    with pytest.raises(RsscError, match=r"structured|damaged"):
        read_pickle(tmp_path / "x.pkl")


def test_missing_file(tmp_path):
    with pytest.raises(RsscError, match="no such file"):
        read_pickle(tmp_path / "absent.pkl")


def test_pickles_that_ask_for_memory_or_time_are_refused(tmp_path):
    table = b"\x80\x02]r\xff\xff\xff\x7f."  # an object with the number 2^31 - 1
    (tmp_path / "x.pkl").write_bytes(table)
    assert read_pickle(tmp_path / "x.pkl") == []  # at once, and without the table
    laughs = ["ha"]
    for _ in range(60):
        laughs = [laughs, laughs]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps(laughs))
    read = read_pickle(tmp_path / "x.pkl")
    assert read[0] is read[1]


def test_a_pickle_cannot_change_the_reader(tmp_path):
    before = dict(vars(safe_pickle._encode))
    for name in ("_codecs\nencode", "numpy\ndtype", "copyreg\n_reconstructor"):
        attack = b"\x80\x02c" + name.encode() + b"\n}X\x01\x00\x00\x00aK\x01sb."
        (tmp_path / "x.pkl").write_bytes(attack)
        with pytest.raises(RsscError, match="refused"):
            read_pickle(tmp_path / "x.pkl")
    assert vars(safe_pickle._encode) == before


def test_text_that_is_none(tmp_path):
    forged = np.array([0x7FFFFFFF], np.uint32).tobytes()
    content = pickle.dumps(np.array(["a"]), 2).replace(np.array(["a"]).tobytes(), forged)
    assert forged in content
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(RsscError, match="damaged"):
        read_pickle(tmp_path / "x.pkl")
