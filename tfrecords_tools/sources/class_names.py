"""Class names as people spell them: spellings that look alike are one class or an error."""

from collections import defaultdict
from collections.abc import Mapping

from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.names import clean, folded

_SHOWN = 3


def one_spelling(counts: Mapping[str, int], where: object) -> tuple[dict[str, str], list[str]]:
    """The class that each spelling of a name means.

    What nobody sees makes no class: Unicode's composed and decomposed forms, zero-width
    characters, spaces around a name and doubled ones. What one sees but may overlook, letter case
    above all, is not decided here.

    Args:
        counts: spelling to its number of images.
        where: folder or file, for messages.

    Returns:
        Each spelling with its class, and a note for spellings that were joined or changed.

    Raises:
        DataError: names that differ in letter case (or width, or ligatures) only.
    """
    classes = {name: clean(name) for name in counts}
    spelt: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        spelt[classes[name]].append(name)
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(spelt):
        alike[folded(name)].append(name)
    for names in alike.values():
        if len(names) > 1:
            shown = ", ".join(
                f"{name!r} ({sum(counts[s] for s in spelt[name])} images)" for name in names
            )
            raise DataError(
                f"{where}: the class names {shown} look alike, and differ in letter case or form "
                "only: spell them in one way"
            )
    notes = []
    joined = {name: names for name, names in spelt.items() if len(names) > 1}
    for name, names in list(joined.items())[:_SHOWN]:
        parts = ", ".join(f"{one!a} ({counts[one]})" for one in names)
        notes.append(f"class {name!r} is spelt in {len(names)} ways that look the same: {parts}")
    changed = [n for n, names in spelt.items() if len(names) == 1 and names[0] != n]
    if changed:
        first = spelt[changed[0]][0]
        notes.append(
            f"{len(changed)} class names without invisible characters and extra spaces, the first "
            f"is {first!a} as {changed[0]!r}"
        )
    return classes, notes
