"""One set of weights, as data: what it is, what it expects, whose it is."""

import re
from dataclasses import dataclass

ON_PAGE = "see its page"  # a licence that is not noted here

_NON_COMMERCIAL = re.compile(r"(?<![a-z])(nc|non-?\s?commercial)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Weights:
    """One set of weights.

    Attributes:
        name: str. What `weights` takes: method or data, a slash, the backbone. Unique.
        backbone: str. What `backbone` takes.
        pretraining: `"imagenet"` (supervised), `"ssl"` (self-supervised) or `"in-domain"`
            (trained on overhead images): the regimes that they are for.
        normalization: a mode of `normalization.MODES`, or `"preset"` where the KerasHub preset
            carries its own.
        origin: str. Who provides it: a library's download, a package, a URL, or a file by path.
        licence: str. Of the weights; `ON_PAGE` where it is not noted here.
        citation: str.
        data: str. What it was trained on.
        training: `"supervised"` or `"self-supervised"`.
        source: str. Where these facts stand.
        input: str. Bands and values of what it was trained on.
        url: where this project downloads it from; `None` where a library does, or a person.
        package, file: the Python package that carries it, and where in it; `None`: none does.
        sha256: of the file, where it is known; of the files that PyTorch's hub serves the first
            eight digits, which stand in their names.
        padding: `"symmetric"` for weights that need `symmetric_padding`.
        image_size: side that they were trained at, in pixels; `None`: that of the backbone's own.
        megabytes: int. Size of the file, where it is known.
        same_as: name of the row of the same weights that can be fetched, where this one cannot.
        fetched: bool. Whether this project has had the file itself; what it has not had is read by
            the layout that its authors' code has.
    """

    name: str
    backbone: str
    pretraining: str
    normalization: str
    origin: str
    licence: str
    citation: str
    data: str
    training: str
    source: str
    input: str = "RGB, 0 to 255"
    url: str | None = None
    package: str | None = None
    file: str | None = None
    sha256: str | None = None
    padding: str | None = None
    image_size: int | None = None
    megabytes: int | None = None
    same_as: str | None = None
    fetched: bool = False

    @property
    def provider(self) -> str:
        """`"download"`, `"package"`, `"library"` (which downloads by itself) or `"by hand"`."""
        if self.url:
            return "download"
        if self.package:
            return "package"
        library = self.origin.startswith(("keras.applications.", "keras_hub:"))
        return "library" if library else "by hand"


def on_commerce(licence: str | None) -> str | None:
    """What a licence, as a row or a file names it, says of commercial use; `None`: nothing."""
    if licence == ON_PAGE:
        return "its licence is not noted here and may forbid commercial use: see its page"
    if _NON_COMMERCIAL.search(licence or ""):
        return f"its licence, {licence}, forbids commercial use"
    return None
