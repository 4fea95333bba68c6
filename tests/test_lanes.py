"""The order of the suite's files."""

from tests.conftest import ROOT
from tests.lanes import LONGEST


def test_the_longest_files_are_there(request):
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []
    files = [item.nodeid.partition("::")[0] for item in request.session.items]
    longest = [file for file in files if file.removeprefix("tests/") in LONGEST]
    assert files[: len(longest)] == longest
