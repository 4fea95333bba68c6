"""Batches: what goes together, what waits, what fails alone."""

import asyncio
import threading

import numpy as np
import pytest

from rssc_tf.serving.batching import Batcher, QueueFull, Row
from rssc_tf.serving.limits import Limits
from rssc_tf.serving.metrics import Metrics
from rssc_tf.serving.turns import Flow


class Doubler:
    """A model that doubles; keeps the batches it was given, and waits for `go`."""

    def __init__(self, blocked: bool = False):
        self.batches = []
        self.go, self.begun = threading.Event(), threading.Event()
        if not blocked:
            self.go.set()

    def __call__(self, signature, columns):
        self.begun.set()
        assert self.go.wait(30)
        self.batches.append((signature, [np.shape(x) for x in columns["x"]], list(columns["x"])))
        if any(np.any(np.equal(x, 13)) for x in columns["x"]):
            raise ValueError("13")
        return {"y": np.stack([2 * np.asarray(x) for x in columns["x"]])}

    @property
    def sizes(self):
        return [len(rows) for _, _, rows in self.batches]


def run(model, limits, scenario):
    async def inner():
        async with Batcher(model, limits, Metrics()) as batcher:
            return await asyncio.wait_for(scenario(batcher), 30)

    return asyncio.run(inner())


def row(x, signature="f", pixels=0):
    return Row(signature, {"x": x}, pixels)


async def while_busy(model, batcher, make_rows):
    """Answers to rows that all came while the model was at work on another one."""
    first = asyncio.create_task(batcher.submit([row(0)]))
    await asyncio.to_thread(model.begun.wait, 30)
    tasks = [asyncio.create_task(batcher.submit(rows)) for rows in make_rows]
    await asyncio.sleep(0)
    model.go.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


def values(answers):
    return [int(answer["y"]) for answer in answers]


def test_requests_share_batches_and_get_their_own_answers():
    model = Doubler(blocked=True)

    def scenario(batcher):
        return while_busy(model, batcher, [[row(i), row(100 + i)] for i in range(5)])

    answers = run(model, Limits(max_rows=4, max_wait=0), scenario)
    assert [values(answer) for answer in answers] == [[2 * i, 200 + 2 * i] for i in range(5)]
    assert model.sizes == [1, 4, 4, 2]


def test_a_request_larger_than_a_batch():
    model = Doubler()
    rows = [row(100 + i) for i in range(10)]
    answers = run(model, Limits(max_rows=4, max_wait=0), lambda batcher: batcher.submit(rows))
    assert values(answers) == [200 + 2 * i for i in range(10)]
    assert model.sizes == [4, 4, 2]


def test_a_row_waits_for_others_but_not_for_long():
    model = Doubler()

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([row(1)]))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(batcher.submit([row(2)]))
        return await asyncio.gather(first, second)

    # The batch is full with the second: long before the wait is over.
    run(model, Limits(max_rows=2, max_wait=25), scenario)
    assert model.sizes == [2]
    run(model, Limits(max_rows=3, max_wait=1.0), scenario)
    assert model.sizes == [2, 2]


def test_only_rows_that_stack_share_a_batch():
    model = Doubler(blocked=True)
    kinds = [row(1), row(np.ones(2)), row(3, "g"), row(4), row(np.ones(2)), row(6, "g")]

    def scenario(batcher):
        return while_busy(model, batcher, [[kind] for kind in kinds])

    answers = run(model, Limits(max_wait=0), scenario)
    assert values(answers[0]) == [2] and values(answers[5]) == [12]
    assert [(name, shapes) for name, shapes, _ in model.batches[1:]] == [
        ("f", [(), ()]),
        ("f", [(2,), (2,)]),
        ("g", [(), ()]),
    ]


def test_a_batch_holds_no_more_pixels_than_it_may():
    model = Doubler(blocked=True)

    def scenario(batcher):
        return while_busy(model, batcher, [[row(i, pixels=p)] for i, p in enumerate([6, 6, 3, 1])])

    run(model, Limits(max_pixels=10, max_wait=0), scenario)
    assert [rows for _, _, rows in model.batches[1:]] == [[0, 2, 3 - 0], [1]]


def test_a_row_that_makes_the_model_fail_fails_alone():
    model = Doubler(blocked=True)

    def scenario(batcher):
        return while_busy(model, batcher, [[row(1)], [row(13)], [row(2)]])

    first, bad, last = run(model, Limits(max_wait=0), scenario)
    assert values(first) == [2] and values(last) == [4]
    assert isinstance(bad, ValueError)


def test_a_full_queue_takes_nothing():
    model = Doubler(blocked=True)

    def scenario(batcher):
        rows = [[row(1), row(2)], [row(3), row(4)], [row(5)]]
        return while_busy(model, batcher, rows)

    first, refused, last = run(model, Limits(max_queue=3, max_wait=0), scenario)
    assert values(first) == [2, 4] and values(last) == [10]
    assert isinstance(refused, QueueFull)
    assert model.sizes == [1, 3]


def test_a_large_request_does_not_keep_a_small_one_waiting():
    model, flow = Doubler(blocked=True), Flow()
    many = [Row("f", {"x": 100 + i}, flow=flow) for i in range(40)]

    def scenario(batcher):
        return while_busy(model, batcher, [many, [row(1)]])

    large, small = run(model, Limits(max_rows=4, max_queue=40, max_wait=0), scenario)
    assert values(large) == [200 + 2 * i for i in range(40)] and values(small) == [2]
    assert 1 in model.batches[1][2]  # the first batch after the one that was at work


def test_a_large_request_fills_a_part_of_the_queue_only():
    model = Doubler(blocked=True)
    flows = [Flow() for _ in range(8)]
    many = [[Row("f", {"x": 100 + i}, flow=flow) for i in range(40)] for flow in flows]

    def scenario(batcher):
        return while_busy(model, batcher, [*many, [row(1)]])

    # Each counts as an eighth of 40 rows.
    *large, small = run(model, Limits(max_rows=4, max_queue=40, max_wait=0), scenario)
    assert all(values(answer) == list(range(200, 280, 2)) for answer in large)
    assert isinstance(small, QueueFull)


def test_rows_of_a_cancelled_request_are_not_run():
    model = Doubler(blocked=True)

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([row(0)]))
        await asyncio.to_thread(model.begun.wait, 30)
        left = asyncio.create_task(batcher.submit([row(1)]))
        stayed = asyncio.create_task(batcher.submit([row(2)]))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.sleep(0)
        model.go.set()
        await first
        return await stayed

    assert values(run(model, Limits(max_wait=0), scenario)) == [4]
    assert [rows for _, _, rows in model.batches] == [[0], [2]]


@pytest.mark.parametrize("count", [0, 1])
def test_ends_while_idle(count):
    model = Doubler()

    async def scenario(batcher):
        return await batcher.submit([row(i) for i in range(count)]) if count else []

    assert len(run(model, Limits(), scenario)) == count
