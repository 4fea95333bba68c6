"""Image files: through the conversion, and as requests to an exported model."""

import io
import random
import warnings
from pathlib import Path

from tests.fuzzing.mutation import Kind


def image_seeds(real: Path | None) -> list[bytes]:
    """One image a kind (`kinds.photographs`), TIFFs, and real photographs where there are any."""
    import numpy as np
    from PIL import Image

    from rssc_tf.demo.scenes import draw
    from tests.tfrecords_tools.imaging import kinds

    picture = Image.fromarray(draw("target", "river", 0, 48))
    seeds = [kinds.saved(picture, "jpeg"), kinds.saved(picture, "jpeg", quality=30)]
    seeds += kinds.photographs().values()
    for mode in ("RGB", "L", "P", "1", "CMYK", "F"):
        seeds.append(kinds.saved(picture.convert(mode), "tiff"))
    seeds.append(kinds.saved(picture, "tiff", compression="tiff_lzw"))
    seeds.append(kinds.saved(picture.convert("1"), "tiff", compression="group4"))
    deep = np.asarray(picture, np.uint16) * 16
    seeds += _rasters(np.moveaxis(deep, -1, 0))
    if real:
        found = sorted((real / "data" / "aid").glob("*/*.jpg"))[::400]
        seeds += [path.read_bytes() for path in found]
    return seeds


def _rasters(pixels) -> list[bytes]:
    """TIFFs of bands `(3, h, w)`: as tifffile and, where it is installed, GDAL write them."""
    import numpy as np
    import tifffile

    last, seeds = np.ascontiguousarray(np.moveaxis(pixels, 0, -1)), []
    for values, options in (
        (last, {"photometric": "rgb"}),
        (pixels, {"photometric": "rgb", "planarconfig": "separate"}),
        (pixels, {"photometric": "minisblack"}),  # pages
        (last, {"photometric": "rgb", "compression": "zlib", "predictor": True}),
        (last, {"photometric": "rgb", "tile": (16, 32), "compression": "lzw", "bigtiff": True}),
        (last.astype(np.float32), {"photometric": "rgb", "byteorder": ">"}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, values, **options)
        seeds.append(buffer.getvalue())
    try:
        import rasterio
    except ImportError:
        return seeds
    holes = pixels.astype(np.float32)
    holes[:, :9, :9] = np.nan
    small = (pixels >> 4).astype(np.uint8)
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    for values, profile in (
        (pixels, {"nodata": 0}),
        (holes, {"compress": "lerc"}),
        (holes, {"compress": "lerc_zstd", "interleave": "band"}),
        (holes, {"compress": "deflate", "predictor": 3, **tiles}),
        (small, {"compress": "jpeg", "photometric": "ycbcr", **tiles}),
        (small, {"compress": "webp"}),
        (pixels, {"compress": "zstd", "predictor": 2}),
        (np.repeat(pixels, 4, axis=0), {}),
    ):
        kind = {"count": len(values), "height": values.shape[1], "width": values.shape[2]}
        with warnings.catch_warnings(), rasterio.MemoryFile() as file:
            warnings.simplefilter("ignore")
            with file.open(driver="GTiff", dtype=values.dtype, **kind, **profile) as dataset:
                dataset.write(values)
                dataset.descriptions = ("red", "green", "blue", *[""] * (len(values) - 3))
            seeds.append(bytes(file.getbuffer()))
    return seeds


def image_kind(folder: Path, real: Path | None) -> Kind:
    import tensorflow as tf

    from tfrecords_tools.imaging.store import store

    def read(data: bytes, random_: random.Random) -> None:
        (folder / "image.bin").write_bytes(data)
        encoding = random_.choice(("jpeg", "png"))
        stored = store(folder / "image.bin", random_.choice((32, 64, 292)), encoding)
        # What was stored must train: TensorFlow decodes it to the size that the record says.
        decoded = tf.io.decode_image(stored.data, channels=3, expand_animations=False)
        assert decoded.shape == (stored.height, stored.width, 3), decoded.shape

    return Kind("images", image_seeds(real), read, weight=3)


def request_kind(export: Path, real: Path | None) -> Kind:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(export / "1"))
    serve = loaded.signatures["serving_default"]
    whole = image_seeds(None)[0]

    def read(data: bytes, random_: random.Random) -> None:
        answer = serve(image_bytes=tf.constant([whole, data, whole]))
        valid = answer["valid"].numpy().tolist()
        assert valid[0] and valid[2], "one bad image harmed another"
        assert loaded is not None

    return Kind("requests", image_seeds(real), read, weight=2)
