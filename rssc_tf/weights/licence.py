"""What the licence of weights says of commercial use, told where they are fetched or used."""

import functools
import sys

from rssc_tf.weights.row import on_commerce
from rssc_tf.weights.source import Source, said_of
from tfrecords_tools.common.names import printable


@functools.cache  # once a process
def say_licence(what: str, licence: str | None) -> None:
    """One line on standard error where a licence forbids commercial use, or may."""
    if said := on_commerce(licence):
        print(printable(f"{what}: {said}"), file=sys.stderr)


def say_licence_of(source: Source) -> None:
    """`say_licence` of weights that are not opened, because what they give is in the cache. Errors
    as of `Source.file`."""
    if source.row:
        say_licence(source.row.name, source.row.licence)
    elif not source.run:
        file = source.file()
        said = said_of(file)
        say_licence(said.get("name") or str(file), said.get("licence"))
