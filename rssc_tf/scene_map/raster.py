"""A GeoTIFF that is written row by row, and read back when it is whole.

GDAL writes its last blocks when a file is closed, and does not say when they did not fit on the
disk. A CRS that the keys of GeoTIFF have no words for it writes beside the file, or nowhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zlib import crc32

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from tfrecords_tools.common.errors import DataError, RsscError

# What GDAL writes beside a raster and reads as part of it: a CRS or statistics, overviews, a mask.
SIDES = (".aux.xml", ".ovr", ".msk")


class RowWriter:
    """Writes the rows of a raster from above.

    Attributes:
        dataset: open for writing, for tags and the like.
        checksum: of the rows that were written.
    """

    def __init__(self, dataset):
        self.dataset, self.checksum, self._row = dataset, 0, 0

    def write(self, values: np.ndarray) -> None:
        """Writes the next row, `(bands, columns)`, of the raster's type."""
        self.dataset.write(values[:, None], window=_row(self.dataset, self._row))
        self.checksum = crc32(np.ascontiguousarray(values), self.checksum)
        self._row += 1


@contextmanager
def new_raster(path: Path, **profile) -> Iterator[RowWriter]:
    """Opens a GeoTIFF for writing; `profile` is as for `rasterio.open`.

    Raises:
        RsscError: it cannot be written, or does not read back as it was, its CRS included.
    """
    try:
        with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
            writer = RowWriter(dataset)
            yield writer
        with rasterio.open(path) as dataset:
            found, kept = 0, dataset.crs is not None or profile.get("crs") is None
            for row in range(dataset.height):
                found = crc32(dataset.read(window=_row(dataset, row)), found)
        if found != writer.checksum:
            raise RasterioError("a GeoTIFF does not read back as it was written")
        if not kept:
            raise DataError(
                f"a GeoTIFF in {path.parent} cannot hold the CRS of the scene, and GDAL wrote none "
                "beside it: warp the scene to another (gdalwarp)"
            )
    except RasterioError as error:
        reason = error.__cause__ or error  # the outer one only points to it
        raise RsscError(f"cannot write into {path.parent}: is the disk full? ({reason})") from error


def _row(dataset, row: int) -> Window:
    return Window(0, row, dataset.width, 1)
