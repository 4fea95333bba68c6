"""Names and tables from elsewhere: compared, cleaned, shown, and written for spreadsheets."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrecords_tools.common.csv_files import plain_cell, plain_table, safe_cell, write_csv
from tfrecords_tools.common.names import clean, folded, printable, without_secrets


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("fore\u0302t", "for\u00eat"),
        (" a\u00a0 b ", "a b"),
        ("a\u200bb\ufeff", "ab"),
        ("a\u202eb", "ab"),
        ("a\nb", "a\nb"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_clean(name, wanted):
    assert clean(name) == wanted
    assert clean(wanted) == wanted


def test_folded():
    assert folded("Straße") == folded("STRASSE")
    assert folded("ﬁeld") == folded("Field")
    assert folded("for\u200dest") == folded("forest")
    assert folded("a-b") != folded("a b")


@given(st.text())
def test_what_is_printed_is_one_printable_line(text):
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


@given(st.text(alphabet="'=+-@\t\r a", max_size=6))
def test_every_cell_comes_back(text):
    assert plain_cell(safe_cell(text)) == text
    assert safe_cell(text)[:1] not in tuple("=+-@\t\r")


@given(st.lists(st.text(alphabet="'=+-@,\";ab\u00e9", min_size=1), min_size=1, max_size=4))
@settings(max_examples=50)
def test_a_table_comes_back(tmp_path_factory, texts):
    file = tmp_path_factory.getbasetemp() / "table.csv"
    table = pd.DataFrame({"=name": texts, "-value": [-1.5 * n for n in range(len(texts))]})
    write_csv(table, file)
    read = pd.read_csv(file, dtype={"'=name": str}, keep_default_na=False)
    assert list(read["'-value"]) == list(table["-value"])  # numbers stay numbers
    assert plain_table(read).equals(table)


def test_names_of_rows_are_cells_too(tmp_path):
    write_csv(pd.DataFrame([[1]], index=["=a"], columns=["@b"]), tmp_path / "t.csv", index=True)
    assert (tmp_path / "t.csv").read_text() == ",'@b\n'=a,1\n"


def test_secrets_of_addresses_are_no_part_of_names(tmp_path):
    assert without_secrets("/vsicurl/https://me:key@a.org/x.tif?sig=key/@") == (
        "/vsicurl/https://a.org/x.tif"
    )
    assert without_secrets("NETCDF:a@b.nc:band") == "NETCDF:a@b.nc:band"
    (tmp_path / "what?.tif").touch()
    assert without_secrets(str(tmp_path / "what?.tif")) == str(tmp_path / "what?.tif")
