"""The unpickler that both readers of pickles share: known names, and work within bounds."""

import io
import pickle
import struct
import time
from collections import OrderedDict

import pytest

from tfrecords_tools.sources.unpickling import DataUnpickler, Refused


class Plain:
    """What a pickle may make and fill."""

    def __setstate__(self, state):
        self.state = state


KNOWN = {
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): lambda text, encoding: text.encode(encoding),
    (__name__, "Plain"): Plain,
}


def _load(data: bytes):
    started = time.process_time()
    try:
        return DataUnpickler(io.BytesIO(data), len(data), KNOWN).load()
    finally:
        assert time.process_time() - started < 5


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_data(protocol):
    content = {
        "list": [1, -2, 2**70, 1.5, None, True, "ü", b"\xff", [], [[]]],
        "tuples": tuple((n, (n, str(n))) for n in range(3000)),
        "set": {1, (2, 3)},
        (1, "key"): OrderedDict(a=1, b=[2]),
    }
    shared = ["x"]
    content["same"] = [shared, shared]
    read = _load(pickle.dumps(content, protocol))
    assert read == content
    assert read["same"][0] is read["same"][1]


def test_a_class_is_made_and_filled():
    made = Plain()
    made.state, made.here = 1, 2
    for protocol in (2, 4):
        read = _load(pickle.dumps(made, protocol))
        assert type(read) is Plain and read.state == {"state": 1, "here": 2}


def _dag(first: bytes, twice: bytes, levels: int = 60) -> bytes:
    """Each level is two of the one below: a few bytes a level, and 2^60 ways through it."""
    steps = [
        twice.replace(b"OLD", b"j" + struct.pack("<I", n)) + b"r" + struct.pack("<I", n + 1)
        for n in range(levels)
    ]
    return b"\x80\x02" + first + b"r" + struct.pack("<I", 0) + b"0" + b"0".join(steps)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(b"}j<\0\0\0K\x01s.", id="a key of a dict"),
        pytest.param(b"}(j<\0\0\0K\x01u.", id="a key among several"),
        pytest.param(b"(j<\0\0\0K\x01d.", id="a dict of protocol 0"),
        pytest.param(b"\x8f(j<\0\0\0\x90.", id="added to a set"),
        pytest.param(b"(j<\0\0\0\x91.", id="a frozen set"),
        pytest.param(b"c__builtin__\nset\n]j<\0\0\0a\x85R.", id="a set that is made"),
        pytest.param(b"ccollections\nOrderedDict\n]j<\0\0\0K\x01\x86a\x85R.", id="pairs"),
    ],
)
def test_a_key_that_takes_for_ever_to_hash(end):
    with pytest.raises(Refused, match="more work than"):
        _load(_dag(b")", b"OLDOLD\x86") + end)


def test_shared_containers_cost_nothing_as_long_as_nobody_walks_through_them():
    read = _load(_dag(b"]", b"](OLDOLDe") + b".")
    assert read[0] is read[1]
    read = _load(_dag(b")", b"OLDOLD\x86") + b".")
    assert read[0] is read[1]


def test_a_function_on_one_long_text_again_and_again():
    text = b"X" + struct.pack("<I", 100_000) + b"x" * 100_000 + b"q\x00"
    call = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0"
    with pytest.raises(Refused, match="more work than"):
        _load(b"\x80\x02" + text + b"0" + call * 1000 + b"N.")
    assert _load(b"\x80\x02" + text + b"0" + call * 3 + b"N.") is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x80\x02cos\nsystem\n.", r"os\.system"),
        (b"\x80\x02cbuiltins\nset\n}X\x01\x00\x00\x00aK\x01sb.", "a changed type"),
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.", "a changed function"),
        (b"\x80\x02]}X\x01\x00\x00\x00aK\x01sb.", "a changed list"),
        (b"\x80\x02cbuiltins\nset\n](K\x01e\x85\x81.", "made with arguments"),
        (b"(ibuiltins\nset\n.", "a way to make objects"),
        (b"\x80\x02\x82\x01.", "a way to make objects"),
        (b"\x80\x02K\x01Q.", "a persistent object"),
    ],
)
def test_what_no_data_needs(data, reason):
    with pytest.raises(Refused, match=reason):
        _load(data)
    assert vars(KNOWN[("_codecs", "encode")]) == {}


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"x.",
        b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x.",
    ],
    ids=["bytearray", "bytes", "number"],
)
def test_lengths_beyond_the_end(data):
    with pytest.raises((pickle.UnpicklingError, EOFError, ValueError)):
        _load(data)
    assert _load(b"\x80\x02]r\xff\xff\xff\x7f.") == []  # and no table of 2^31 objects
