"""Tables of our own, read back; and what is none."""

import os
import time

import numpy as np
import pandas as pd
import pytest

from tfrecords_tools.common.csv_files import read_csv, write_csv
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.sources import text_tables


def test_a_table_comes_back(tmp_path):
    table = pd.DataFrame({"name": ["=1+1", "'=x", "fine, \u00fc"], "value": [0.1, 1 / 3, -2.0]})
    write_csv(table, tmp_path / "t.csv")
    assert "'=1+1" in (tmp_path / "t.csv").read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(read_csv(tmp_path / "t.csv"), table)


def test_names_that_programs_write_for_nothing_are_names(tmp_path):
    names = ["NA", "null", "None", "nan", "n/a", ""]
    table = pd.DataFrame({"name": names, "NA": [0.1, float("nan"), 2.0, 3.0, float("inf"), 5.0]})
    write_csv(table, tmp_path / "table.csv")
    for dtype in (None, {"name": str}):
        found = read_csv(tmp_path / "table.csv", dtype)
        assert list(found) == ["name", "NA"] and found["NA"].dtype == float
        assert list(found["name"].fillna("")) == names
        assert np.array_equal(found["NA"], table["NA"], equal_nan=True)


@pytest.mark.parametrize("read", [read_csv, text_tables.read_csv])
@pytest.mark.parametrize("where", ["names", "row"])
def test_a_million_columns(read, where, tmp_path):
    file = tmp_path / "t.csv"
    wide, narrow = ",".join(map(str, range(10**6))), "a,b"
    file.write_text("\n".join((wide, narrow) if where == "names" else (narrow, wide)))
    started = time.process_time()
    with pytest.raises(DataError, match=r"t\.csv.*a line has 1,000,000 columns"):
        read(file)
    assert time.process_time() - started < 5


def test_no_table(tmp_path):
    file = tmp_path / "t.csv"
    for damaged in (b"", b"\xff\xfe", b'"' + b"x" * 1000):
        file.write_bytes(damaged)
        with pytest.raises(DataError, match=r"t\.csv cannot be read"):
            read_csv(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(DataError, match=r"t\.csv: is a FIFO"):
        read_csv(file)
