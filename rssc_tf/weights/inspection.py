"""What a weights file is and what would be made of it, before anything is written."""

import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rssc_tf.models.backbones import get_backbone
from rssc_tf.weights import layouts
from rssc_tf.weights.files import check_file
from rssc_tf.weights.guess import guess
from rssc_tf.weights.importer import TENSORS, Imported, build, import_file
from rssc_tf.weights.row import Weights
from rssc_tf.weights.table import by_sha256
from rssc_tf.weights.torch_file import is_state
from tfrecords_tools.common.errors import DataError, RsscError
from tfrecords_tools.common.names import printable
from tfrecords_tools.common.regular_files import content_of

_KINDS = {
    "torch": "PyTorch checkpoint",
    "safetensors": "safetensors file",
    "hdf5": "Keras weights (HDF5)",
    "keras": "Keras model (.keras)",
}


@dataclass
class Inspection:
    """What was found.

    Attributes:
        kind: of the file, in words.
        sha256: of the file.
        row: of the table, where its hash is known.
        contents: a line on the tensors of a checkpoint, or empty.
        backbone: that fits best, or `None`.
        imported: what an import would give, or `None` where it would be refused.
        problems: what is missing or misshapen.
        dropped: names of the tensors that are not used; of a file that is refused, too, where as
            much could be found of it.
        notes: what an import would warn of: the guess at the normalisation, for one.
        error: why an import would be refused, or `None`.
    """

    kind: str
    sha256: str
    row: Weights | None
    contents: str = ""
    backbone: str | None = None
    imported: Imported | None = None
    problems: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: RsscError | None = None

    def reason(self) -> str:
        """Why the normalisation is what it is."""
        if self.row:
            return "as the table of weights has it"
        guessed = next((note for note in self.notes if "normalised" in note), None)
        return "a guess, see below" if guessed else "the file says so, or what is in it"


def inspect_file(
    path: Path,
    backbone: str | None = None,
    prefix: str | None = None,
    known: Weights | None = None,
) -> Inspection:
    """Looks at a file as an import would, and writes nothing.

    Args:
        path: of the file.
        backbone, prefix, known: as of `import_file`.

    Raises:
        DataError: there is no such file, or it is damaged or no file of weights.
    """
    kind = check_file(path)
    sha256 = content_of(path)
    found = Inspection(_KINDS[kind], sha256, known or by_sha256(sha256))
    try:
        if kind in TENSORS:
            tensors = TENSORS[kind](path)
            found.contents = _contents(tensors)
            named = found.row.backbone if found.row else None
            found.backbone = backbone or named or guess(path, tensors, prefix)
            _compare(path, tensors, found, prefix)
            del tensors  # the import reads them again: never twice in memory
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found.imported = import_file(path, backbone, None, prefix, known)
        found.backbone = found.imported.metadata["backbone"]
        found.dropped = found.imported.dropped
        found.notes += [str(one.message).removeprefix(f"{path} ") for one in said]
    except RsscError as error:
        found.error = error
    return found


def _contents(tensors: dict) -> str:
    types = Counter(str(array.dtype) for array in tensors.values())
    numbers = sum(array.size for name, array in tensors.items() if not is_state(name))
    kinds = ", ".join(f"{count} of {name}" for name, count in types.most_common())
    return f"{len(tensors)} tensors ({kinds}), {numbers / 1e6:.1f} million numbers"


def _compare(path: Path, tensors: dict, found: Inspection, prefix: str | None) -> None:
    """Notes all that is missing, and dropped: an import stops at the first."""
    model = build(get_backbone(found.backbone), layouts.padding_of(found.backbone))
    with warnings.catch_warnings(), suppress(DataError):  # an import says both
        warnings.simplefilter("ignore")
        matched = layouts.match(path, tensors, found.backbone, model, prefix, found.problems)
        found.dropped = matched.dropped


def dropped_lines(dropped: list[str]) -> list[str]:
    """A line for each tensor that is not used; many of a kind are counted."""
    counters = [name for name in dropped if name.endswith(layouts.COUNTER)]
    states = [name for name in dropped if is_state(name)]
    counted = {*counters, *states}
    lines = [printable(f"dropped {name}") for name in dropped if name not in counted]
    if counters:
        lines.append(f"dropped {len(counters)} counters of batches ({layouts.COUNTER})")
    if states:
        lines.append(f"dropped {len(states)} states of an optimizer, unread")
    return lines
