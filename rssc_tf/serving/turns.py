"""Fair turns: who asks for little does not wait for who asks for much.

Self-clocked fair queueing (S. J. Golestani, *A Self-Clocked Fair Queueing Scheme for Broadband
Applications*, INFOCOM 1994): everything has a tag, which is the tag of what its flow asked for
before, or that of what is served now, plus its cost; the least tag is next. Flows that ask all the
time share by cost, whatever the size of what they ask for, and nothing waits for ever.
"""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

_T = TypeVar("_T")


class Flow:
    """Who asks: one for each request."""


class FairQueue(Generic[_T]):
    """Items of several flows, in fair order; within a flow, and at the same cost, in the order in
    which they came."""

    def __init__(self):
        self._heap: list[tuple[float, int, _T]] = []
        self._tags: WeakKeyDictionary[Flow, float] = WeakKeyDictionary()
        self._now = 0.0
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, item: _T, flow: Flow, cost: float) -> None:
        tag = max(self._now, self._tags.get(flow, 0.0)) + cost
        self._tags[flow] = tag
        heapq.heappush(self._heap, (tag, next(self._numbers), item))

    def first(self) -> _T:
        return self._heap[0][2]

    def take(self, fits: Callable[[_T], bool], most: int) -> list[_T]:
        """The first items for which `fits` holds, asked in order; others keep their places."""
        taken, kept = [], []
        while self._heap and len(taken) < most:
            entry = heapq.heappop(self._heap)
            if fits(entry[2]):
                taken.append(entry[2])
                self._now = max(self._now, entry[0])
            else:
                kept.append(entry)
        for entry in kept:
            heapq.heappush(self._heap, entry)
        return taken

    def drop(self, unwanted: Callable[[_T], bool]) -> None:
        """Takes out what nobody waits for any more."""
        self._heap = [entry for entry in self._heap if not unwanted(entry[2])]
        heapq.heapify(self._heap)


class Turns:
    """So much of something that many want, given out in fair turns.

    Args:
        amount: there is.
    """

    def __init__(self, amount: float):
        self._amount = self._free = amount
        self._queue: FairQueue[tuple[asyncio.Future, float]] = FairQueue()

    @asynccontextmanager
    async def turn(self, flow: Flow, amount: float, cost: float) -> AsyncIterator[None]:
        """Holds an amount (all there is, if that is less) while the block runs."""
        amount = min(amount, self._amount)
        turn = asyncio.get_running_loop().create_future()
        self._queue.put((turn, amount), flow, cost)
        self._next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._free += amount
            self._queue.drop(lambda waiting: waiting[0] is turn)
            self._next()
            raise
        try:
            yield
        finally:
            self._free += amount
            self._next()

    def _next(self) -> None:
        while len(self._queue) and self._queue.first()[1] <= self._free:
            ((turn, amount),) = self._queue.take(lambda _: True, 1)
            if not turn.done():
                self._free -= amount
                turn.set_result(None)


class Readers:
    """Functions in threads, as many at a time as is useful, in fair turns.

    Args:
        count: of threads.
    """

    def __init__(self, count: int):
        self._turns = Turns(count)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="reader")

    async def run(self, flow: Flow, cost: float, function: Callable[..., _T], *given: Any) -> _T:
        """The result of a function. A thread cannot be stopped: whoever is cancelled while it is
        at work waits for its end, and keeps what it holds till then."""
        async with self._turns.turn(flow, 1, cost):
            work = asyncio.get_running_loop().run_in_executor(self._threads, function, *given)
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                await asyncio.wait([work])
                work.cancelled() or work.exception()  # asked for, or the loop complains of it
                raise

    def close(self) -> None:
        self._threads.shutdown()
