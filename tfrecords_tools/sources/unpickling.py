"""An unpickler for data: known names alone, work bounded by the size of the file.

A pickle is a program. It can call any function that can be imported; it can share one list
between many places, so that a walk through all paths never ends; and it can call a harmless
function on the same long text a million times. Subclasses say which names exist, and what stands
for them; whatever a pickle does beyond that is refused, before it happens.

This is Python's own unpickler in Python, and not the one in C, because only there each step can
be looked at. (The one in C also makes its table of objects as long as the file says.) By hand,
because scanners of pickles look for dangers that they know, and PyTorch's reader needs PyTorch.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO

# Work that a pickle may cause: items and bytes given to functions, parts of keys that are hashed.
_WORK_PER_BYTE, _WORK = 4, 10**6


class Refused(Exception):
    """The pickle asks for something that no data needs; the message says what."""


class DataUnpickler(pickle._Unpickler):
    """Reads numbers, text, bytes, lists, tuples, dicts, sets, and what `known` stands for.

    Args:
        file: binary; only the pickle that begins here is read.
        size: of that pickle in bytes, or of the file that it ends with.
        known: by module and name, what a pickle may ask for: a function, which it may call; a
            class with `__setstate__`, which it may make and fill; or any other value.
        encoding: of text in pickles of Python 2.

    Raises:
        Refused: from `load`; another name, a changed function or class, more work than a file of
            this size can need.
    """

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        known: Mapping[tuple[str, str], Any],
        encoding: str = "ASCII",
    ):
        super().__init__(file, encoding=encoding)
        self._known = known
        self._work = _WORK + _WORK_PER_BYTE * size
        self._weights: dict[int, tuple[int, tuple]] = {}  # of tuples, which it keeps alive

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._known:
            raise Refused(" ".join(f"{module}.{name}".split())[:100])
        return self._known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise Refused("a persistent object")

    def charge(self, work: int) -> None:
        """Counts work that a pickle has done; `Refused` where it is more than its size explains."""
        self._work -= work
        if self._work < 0:
            raise Refused("more work than a file of its size can need")

    def _weight(self, value: Any) -> int:
        """What it takes to hash a value, or to spell it out.

        A tuple of twice the same tuple, and so on, is a few bytes more a level, and twice as much.
        """
        return self._weights.get(id(value), (1,))[0]

    def _note_tuple(self) -> None:
        made = self.stack[-1]
        self._weights[id(made)] = 1 + sum(map(self._weight, made)), made

    def _charge_keys(self, keys: Iterable) -> None:
        self.charge(sum(map(self._weight, keys)))

    def load_build(self) -> None:
        state = self.stack.pop()
        target = self.stack[-1]
        if isinstance(target, OrderedDict):  # attributes of PyTorch's: versions of its modules
            return
        # Of an object of a known class alone: not of the class, nor of a function.
        if not hasattr(type(target), "__setstate__"):
            raise Refused(f"a changed {type(target).__name__}")
        target.__setstate__(state)

    def load_reduce(self) -> None:
        arguments = self.stack[-1]
        self._charge_keys(arguments)
        for part in arguments:
            if isinstance(part, list | tuple):
                self._charge_keys(part)  # a set, or a dict, may be made of it
            elif hasattr(part, "__len__"):
                self.charge(len(part))
        super().load_reduce()

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        made = self.stack.pop()
        if not isinstance(made, type) or arguments:
            raise Refused("an object that is made with arguments")
        self.append(made())

    def load_bytearray8(
        self,
    ) -> None:  # theirs makes as many zeros as the file says, and then reads
        (length,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(length)))

    def _refuse(self) -> None:
        raise Refused("a way to make objects that no data needs")


def _before(load: Callable, keys: Callable[[list], Iterable]) -> Callable:
    """An opcode that hashes some of the objects above the last mark."""

    def charged(self: DataUnpickler) -> None:
        self._charge_keys(keys(self.stack))
        load(self)

    return charged


def _tuple(load: Callable) -> Callable:
    def noted(self: DataUnpickler) -> None:
        load(self)
        self._note_tuple()

    return noted


_theirs = pickle._Unpickler.dispatch
_HASHING = {
    pickle.SETITEM: lambda stack: stack[-2:-1],
    pickle.SETITEMS: lambda stack: stack[::2],
    pickle.DICT: lambda stack: stack[::2],
    pickle.ADDITEMS: lambda stack: stack,
    pickle.FROZENSET: lambda stack: stack,
}
_TUPLES = (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
_REFUSED = (
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4),
    *(pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)
DataUnpickler.dispatch = {
    **_theirs,
    **{code[0]: _before(_theirs[code[0]], keys) for code, keys in _HASHING.items()},
    **{code[0]: _tuple(_theirs[code[0]]) for code in _TUPLES},
    **{code[0]: DataUnpickler._refuse for code in _REFUSED},
    pickle.BUILD[0]: DataUnpickler.load_build,
    pickle.REDUCE[0]: DataUnpickler.load_reduce,
    pickle.NEWOBJ[0]: DataUnpickler.load_newobj,
    pickle.BYTEARRAY8[0]: DataUnpickler.load_bytearray8,
}
