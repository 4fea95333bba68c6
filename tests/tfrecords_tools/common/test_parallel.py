"""Work on all cores: in order, in other processes only where there is enough of it."""

import os
import signal

import pytest

from tfrecords_tools.common import parallel
from tfrecords_tools.common.errors import RsscError
from tfrecords_tools.common.parallel import map_chunks


def _where(chunk: list[int]) -> list[tuple[int, int]]:
    return [(item, os.getpid()) for item in chunk]


def _die(chunk: list[int]) -> list[int]:
    if chunk[-1] > 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return chunk


@pytest.fixture
def at_once(monkeypatch):
    """Other processes start after the first item."""
    monkeypatch.setattr(parallel, "_ALONE", 0)


def test_results_of_other_processes_come_in_order(at_once):
    items, processes = zip(*map_chunks(_where, range(50), 2), strict=True)
    assert items == tuple(range(50))
    assert processes[0] == os.getpid() and os.getpid() not in processes[1:]


@pytest.mark.parametrize("workers", [1, 2])
def test_little_work_is_done_here(workers, monkeypatch):
    monkeypatch.setattr(parallel, "_ALONE", 600)
    assert list(map_chunks(_where, range(50), workers)) == _where(list(range(50)))


@pytest.mark.parametrize(("size", "most"), [(0, 9 * 16), (3 << 20, 17 * 6), (100 << 20, 4)])
def test_of_large_items_fewer_are_under_way(size, most, at_once):
    ahead, taken = [], 0

    def items():
        for number in range(200):
            ahead.append(number + 1 - taken)
            yield number

    for number, (item, _) in enumerate(map_chunks(_where, items(), 2, lambda _: size)):
        assert item == number
        taken += 1
    assert taken == 200
    assert most // 2 < max(ahead) <= most


def test_nothing_to_do(at_once):
    assert list(map_chunks(_where, [], 2)) == []
    assert list(map_chunks(_where, [7], 2)) == [(7, os.getpid())]


def test_a_killed_worker_is_one_line(at_once):
    with pytest.raises(RsscError, match=r"a worker was killed .*: try fewer `workers`"):
        list(map_chunks(_die, range(50), 2))
