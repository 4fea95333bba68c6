"""What a caller gives where a list is asked for: one value alone is a list of one."""

import os
from collections.abc import Iterable


def as_list(given: object) -> list:
    """`"lake"` is `["lake"]`, which iterated would be letters; so are a path and a number.
    `None` is nothing."""
    if given is None:
        return []
    if isinstance(given, str | os.PathLike) or not isinstance(given, Iterable):
        return [given]
    return list(given)
