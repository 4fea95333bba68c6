"""Damaged copies of whole inputs, and the loop that feeds them to a reader."""

import random
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

STUCK = 180  # seconds of the clock after which a read is broken off: it waits for something
SLOW = 30.0  # seconds of this process that no input may take; the usual one takes milliseconds

_TOKENS = (
    *(
        b"../../x",
        b"/etc/passwd",
        b"\0",
        b"\n",
        b"\r\n",
        b'"',
        b",",
        b"\t",
        b"|",
        b"\xff\xfe",
        b"'",
    ),
    *(b"1e999", b"-1", b"NaN", b"null", b"[", b"]", b"{", b"}", b": ", b"- ", b"&a ", b"*a", b"? "),
    *(
        b"!!python/object/apply:os.system [touch CANARY]",
        b"A" * 5000,
        "é\u202e".encode(),
        b"\x1b[2J",
    ),
)
_NUMBERS = (
    0,
    1,
    127,
    128,
    255,
    256,
    32767,
    60000,
    65535,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63,
    2**64 - 1,
)


def mutate(data: bytes, random_: random.Random) -> bytes:
    """A damaged copy: a few small changes, half of them near the beginning."""
    data = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4, 16))):
        end = min(len(data), 80) if random_.random() < 0.5 else len(data)
        at = random_.randrange(end + 1)
        length = random_.choice((1, 2, 4, 16, 256))
        kind = random_.randrange(8)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << random_.randrange(8)
        elif kind == 1:
            data[at : at + length] = random_.randbytes(length)
        elif kind == 2:
            del data[random_.randrange(len(data) + 1) :]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * random_.choice((1, 2, 50))
        elif kind == 5:
            data[at:at] = random_.randbytes(length)
        elif kind == 6:
            width, order = random_.choice((1, 2, 4, 8)), random_.choice(("little", "big"))
            number = random_.choice(_NUMBERS) % (1 << 8 * width)
            data[at : at + width] = number.to_bytes(width, order)
        else:
            data[at:at] = random_.choice(_TOKENS)
    return bytes(data)


@dataclass
class Kind:
    """One reader under test.

    Attributes:
        name: of the kind of input.
        seeds: whole inputs.
        read: reads one input; whether it was read. Refusals are `RsscError` or `BadImage`.
        mutate: how an input is damaged.
        weight: share of the inputs.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[bytes, random.Random], None]
    mutate: Callable[[bytes, random.Random], bytes] = mutate
    weight: float = 1.0


@dataclass
class Count:
    """What came of the inputs of one kind."""

    name: str
    read: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def _stuck(*_) -> None:
    raise TimeoutError(f"a read took more than {STUCK} s of the clock")


def fuzz(kind: Kind, count: int, random_: random.Random, keep: Path | None = None) -> Count:
    """Feeds `count` damaged inputs to one reader; writes those that fail to `keep`."""
    from tfrecords_tools.common.errors import RsscError
    from tfrecords_tools.imaging.images import BadImage

    result = Count(kind.name)
    signal.signal(signal.SIGALRM, _stuck)
    for number in range(count):
        data = kind.mutate(random_.choice(kind.seeds), random_)
        started = time.process_time()  # other work on the machine does not count
        signal.alarm(STUCK)
        try:
            kind.read(data, random_)
            result.read += 1
        except (RsscError, BadImage):
            result.refused += 1
        except Exception:
            result.failures.append(f"{number}: {traceback.format_exc()}")
            if keep:
                (keep / f"{kind.name}-{number}.bin".replace(" ", "-")).write_bytes(data)
        finally:
            signal.alarm(0)
        took = time.process_time() - started
        result.seconds += took
        result.slowest = max(result.slowest, took)
        if took > SLOW:
            result.failures.append(f"{number}: took {took:.0f} s")
    return result
