"""Fair turns: who asks for little does not wait for who asks for much."""

import asyncio
import threading

import pytest

from rssc_tf.serving.turns import FairQueue, Flow, Readers, Turns


def order(queue: FairQueue) -> str:
    return "".join(queue.take(lambda _: True, 100))


def test_flows_take_turns():
    queue, many, one, two = FairQueue(), Flow(), Flow(), Flow()
    for letter in "aaaa":
        queue.put(letter, many, 1)
    queue.put("b", one, 1)
    queue.put("c", two, 1)
    assert order(queue) == "abcaaa"


def test_a_large_one_waits_its_share_but_not_for_ever():
    queue, large = FairQueue(), Flow()
    queue.put("L", large, 5)
    served = ""
    for _ in range(10):  # small ones come all the time, each from a flow of its own
        queue.put("s", Flow(), 1)
        served += queue.take(lambda _: True, 1)[0]
    assert "L" not in served[:4] and "L" in served[:6]


def test_who_comes_late_is_not_owed_for_the_past():
    queue, busy, late = FairQueue(), Flow(), Flow()
    for _ in range(50):
        queue.put("a", busy, 1)
    assert len(queue.take(lambda _: True, 40)) == 40
    queue.put("b", late, 1)
    queue.put("b", late, 1)
    assert order(queue).startswith("abab")


def test_what_does_not_fit_keeps_its_place():
    queue = FairQueue()
    for letter in "abc":
        queue.put(letter, Flow(), 1)
    assert queue.take(lambda letter: letter != "a", 1) == ["b"]
    assert queue.first() == "a" and len(queue) == 2
    queue.drop(lambda letter: letter == "a")
    assert order(queue) == "c"


def test_turns_hold_what_there_is():
    async def scenario():
        turns, held, most = Turns(10), 0, 0

        async def use(amount):
            nonlocal held, most
            async with turns.turn(Flow(), amount, amount):
                held += min(amount, 10)
                most = max(most, held)
                await asyncio.sleep(0)
                held -= min(amount, 10)

        await asyncio.gather(*(use(amount) for amount in (4, 4, 4, 99, 1, 7, 4)))
        return held, most

    assert asyncio.run(asyncio.wait_for(scenario(), 10)) == (0, 10)


def test_a_cancelled_turn_gives_back_what_it_was_given():
    async def scenario():
        turns = Turns(1)
        async with turns.turn(Flow(), 1, 1):
            waiting = [asyncio.create_task(turns.turn(Flow(), 1, 1).__aenter__()) for _ in "ab"]
            await asyncio.sleep(0)
            waiting[0].cancel()  # while it waits
            await asyncio.sleep(0)
        waiting[1].cancel()  # just given its turn
        await asyncio.gather(*waiting, return_exceptions=True)
        async with turns.turn(Flow(), 1, 1):
            return True

    assert asyncio.run(asyncio.wait_for(scenario(), 10))


def test_a_reader_that_is_cancelled_keeps_its_thread_until_it_ends():
    begun, go, done = threading.Event(), threading.Event(), []

    def work():
        begun.set()
        assert go.wait(10)
        done.append("first")

    async def scenario():
        readers = Readers(1)
        first = asyncio.create_task(readers.run(Flow(), 1, work))
        await asyncio.to_thread(begun.wait, 10)
        never = asyncio.create_task(readers.run(Flow(), 1, done.append, "never"))
        last = asyncio.create_task(readers.run(Flow(), 1, done.append, "last"))
        await asyncio.sleep(0.01)
        first.cancel()
        never.cancel()
        await asyncio.sleep(0.01)
        assert done == []
        go.set()
        await last
        with pytest.raises(asyncio.CancelledError):
            await first
        readers.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))
    assert done == ["first", "last"]
