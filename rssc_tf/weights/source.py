"""What `weights` means: a name of the table, an address, a file, or the folder of a run."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlparse

from rssc_tf.cache import short
from rssc_tf.settings_file import load_config
from rssc_tf.weights.fetch import fetch
from rssc_tf.weights.files import check_file, read_metadata, saved_precision
from rssc_tf.weights.packaged import package_file
from rssc_tf.weights.row import Weights
from rssc_tf.weights.table import TABLE, by_name, by_sha256, is_name
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.regular_files import content_of

MODEL, _CONFIG = "model.keras", "config.yaml"  # of a run
# Of PyTorch's hub: the first digits of a file's sha256 stand at the end of its name. Eight digits
# without a letter are rather a date.
_HASHED = re.compile(r"-(?=\d*[a-f])([0-9a-f]{8}|[0-9a-f]{64})\.\w+(\.\w+)?$")
_LIKE_A_NAME = re.compile(r"[\w.-]+/[\w.-]+")


class Address(NamedTuple):
    """Weights of which nothing is known but where they are.

    Attributes:
        name: for people, and of the file in the cache.
        url: `https://...`.
        sha256: its first digits, where the file's name has them.
    """

    name: str
    url: str
    sha256: str | None


@dataclass(frozen=True)
class Source:
    """Where weights come from.

    Attributes:
        given: as the user has written it.
        row: of the table, where it was named.
        address: where it is to be downloaded from, and nothing else is known.
        path: a file, or the folder of a run, where that was given.
    """

    given: str
    row: Weights | None = None
    address: Address | None = None
    path: Path | None = None

    @property
    def label(self) -> str:
        """A short name, for people and for folders."""
        if self.row:
            return self.row.name.replace("/", "-")
        name = self.address.name if self.address else self.path.resolve().name
        return short(name.removesuffix(".h5").removesuffix(".weights").removesuffix(".keras"))

    @property
    def run(self) -> Path | None:
        """The folder of the run that it is; `None` if it is none. Any folder is one, whether it is
        whole or not; a file is where a run's settings lie beside it."""
        if self.path is None or self.path.is_dir():
            return self.path
        # Any Keras model may be called as a run's.
        its = self.path.name == MODEL and (self.path.parent / _CONFIG).is_file()
        return self.path.parent if its else None

    def file(self) -> Path | None:
        """The file (of a run, its model), downloaded where it must be; `None`: a library has it.

        Raises:
            DataError: it is not there, cannot be fetched, or is not what the table says.
        """
        if self.path:
            return model_of_run(self.path) if self.path.is_dir() else self.path
        if self.address:
            return fetch(self.address)
        if self.row.provider == "download":
            return fetch(self.row)
        if self.row.provider == "package":
            return package_file(self.row)
        if self.row.provider == "library":
            return None
        same = f"take {self.row.same_as}, the same weights, or " if self.row.same_as else ""
        raise DataError(
            f"{self.row.name} is fetched by hand ({self.row.origin}): {same}give its file with "
            "`weights`"
        )

    def content(self, precision: str | None = None) -> str:
        """What the weights are, for a key: a hash where there is one, else the name.

        Args:
            precision: of what is made of them, where the key is of that: see `saved_precision`.
        """
        if self.row:
            return self.row.sha256 or self.row.name
        file = self.file()
        if not file.is_file():
            raise DataError(f"weights {file} does not exist")
        saved = self.saved_precision(precision) if precision else None
        return f"{content_of(file)} of {saved}" if saved else content_of(file)

    def saved_precision(self, precision: str) -> str | None:
        """Of a run's model that was saved under another precision than this, that one; else `None`.

        What versions before 0.2 made of such a model is of its own precision, and not to be taken
        for what was asked for."""
        saved = saved_precision(self.file()) if self.row is None else None
        return None if saved == precision else saved


def find_source(weights: str | Path) -> Source:
    """Says what `weights` means, without fetching anything.

    Args:
        weights: a name of `rssc-tf weights list`, an address (`https://...`), a weights file (ours,
            Keras's or PyTorch's) or the folder of a run. A path that is called as a row is
            `./imagenet/resnet50`.

    Raises:
        DataError: it is like a name, there is none such, and no file of that path; or it is a name
            and a path.
    """
    given = str(weights)
    if is_name(given):
        if Path(given).exists():
            raise DataError(
                f"weights {given}: is a name of `rssc-tf weights list` and a path here: write "
                f"./{given} for the path, or take the name in another folder"
            )
        return Source(given, row=by_name(given))
    if "://" in given:
        return Source(given, address=_address(given))
    path = Path(weights)
    if _LIKE_A_NAME.fullmatch(given) and not path.exists():
        near = difflib.get_close_matches(given, [row.name for row in TABLE], 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise DataError(
            f"weights {given}: no such file, and no name of `rssc-tf weights list`{hint}"
        )
    return Source(given, path=path)


def backbone_of(weights: str | Path) -> str | None:
    """The backbone of weights: what the table, the file or the run says; `None` if none does.

    For a caller who was given `weights` and no `backbone`. `RsscError` for a bad file.
    """
    source = find_source(weights)
    if source.row:
        return source.row.backbone
    if source.run:
        return backbone_of_run(source.run)
    return said_of(source.file()).get("backbone")


def said_of(path: Path) -> dict:
    """What is known of a file that is no run's without opening it: what the table has of its hash,
    and before that what it says of itself.

    Returns:
        `backbone`, `pretraining`, `image_size`, `licence` and, of the table, the `name`; each may
        be absent.

    Raises:
        DataError: it is missing or damaged.
    """
    metadata = read_metadata(path) if check_file(path) == "hdf5" else None
    row, names = by_sha256(content_of(path)), ("backbone", "pretraining", "image_size", "licence")
    said = {name: getattr(row, name) for name in ("name", *names)} if row else {}
    own = {name: (metadata or {}).get(name) for name in names}
    return said | {name: one for name, one in own.items() if one is not None}


def backbone_of_run(folder: Path) -> str | None:
    """What a run's `config.yaml` says; `None` where there is none."""
    file = folder / _CONFIG
    return load_config(file).get("backbone") if file.is_file() else None


def model_of_run(folder: Path) -> Path:
    """The model's file in the folder of a finished run; `DataError` if there is none."""
    path = folder / MODEL
    if not path.is_file():
        raise DataError(f"{folder}: is a folder without {MODEL}, so no finished run")
    return path


def _address(url: str) -> Address:
    try:
        parts = urlparse(url)
        name = unquote(parts.path).rpartition("/")[2]
        parts.port  # noqa: B018, a ValueError if it is none
        # A backslash would lead elsewhere on Windows.
        named = name and name.isprintable() and "\\" not in name
        whole = parts.scheme == "https" and parts.hostname and named
    except ValueError:
        whole = False
    if not whole or re.search(r"[^!-~]", url):
        raise DataError(
            f"weights {url}: an address is https://HOST/.../FILE, in ASCII and without spaces (%20)"
        )
    match = _HASHED.search(name)
    return Address(name, url, match and match[1])
