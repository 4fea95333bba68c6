"""JSON is read whole, or refused in one line."""

import json
import math

import pytest

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.json_files import parse_json, read_json


@pytest.mark.parametrize("content", [{"a": [1, 2.5, None, True, "ü"]}, [], "x", 0, 10**20, -0.0])
def test_what_python_writes_is_read(tmp_path, content):
    (tmp_path / "x.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    assert read_json(tmp_path / "x.json") == content
    assert parse_json(b"\xef\xbb\xbf" + json.dumps(content).encode()) == content
    levels = json.loads("[" * 99 + "]" * 99)
    assert parse_json(json.dumps(levels)) == levels


DAMAGE = {
    "cut": (b'{"a": [1,', "Expecting value"),
    "empty": (b"", "Expecting value"),
    "more": (b"{} x", "Extra data"),
    "deep": (b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
    "very deep": (b"[" * 1_000_000, "nested deeper than 100 levels"),
    "deep objects": (b'{"a":' * 200_000, "nested deeper than 100 levels"),
    "UTF-16": ("{}".encode("utf-16"), "its text is not UTF-8"),
    "Latin-1": (b'"\xfc"', "its text is not UTF-8"),
    "surrogate": (b'["\\ud800"]', "its text is not UTF-8"),
    "surrogate in a name": (b'{"\\udfff": 1}', "its text is not UTF-8"),
    "NaN": (b'{"a": NaN}', "NaN is no number"),
    "infinite": (b"[-Infinity]", "-Infinity is no number"),
    "large": (b"[1e999]", "the number 1e999 is too large"),
    "long": (b"9" * 10_000, "integer string conversion"),
    "twice": (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' stands twice"),
    "control": (b'"a\nb"', "Invalid control character"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_any_damage_is_one_line(tmp_path, name):
    data, reason = DAMAGE[name]
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_json(path, "make it again")
    message = str(caught.value)
    assert message.startswith(f"{path} is damaged (") and message.endswith("): make it again")
    assert reason in message and "\n" not in message and len(message) < 500


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"x\.json: no such file: make it again"):
        read_json(tmp_path / "x.json", "make it again")
    with pytest.raises(DataError, match=r"is a folder, not a regular file$"):
        read_json(tmp_path)
    (tmp_path / "y.json").write_bytes(b"[" + b"0," * 100 + b"0]")
    with pytest.raises(DataError, match="at most"):
        read_json(tmp_path / "y.json", most=100)


def test_numbers_that_python_alone_writes():
    assert math.isnan(parse_json("[NaN]", infinite=True)[0])
    assert parse_json("[Infinity]", infinite=True) == [math.inf]
