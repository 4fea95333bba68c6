"""Files that the system does not give: root, as whom many suites run, may read any."""

import errno
import os
from pathlib import Path

from tfrecords_tools.common import regular_files


def not_given(patch, path: Path) -> None:
    """From here on, to open `path` is refused."""
    opened = regular_files._open

    def refusing(name, flags):
        if Path(name) == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return opened(name, flags)

    patch.setattr(regular_files, "_open", refusing)
