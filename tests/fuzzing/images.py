"""Image files: through the conversion, and as requests to an exported model."""

import io
import random
from pathlib import Path

from tests.fuzzing.mutation import Kind


def image_seeds(real: Path | None) -> list[bytes]:
    """One image a format and mode, and real photographs where there are any."""
    import numpy as np
    import tifffile
    from PIL import Image

    from rssc_tf.demo.scenes import draw

    picture = Image.fromarray(draw("target", "river", 0, 48))
    modes = {
        "jpeg": ("RGB", "L", "CMYK"),
        "png": ("RGB", "L", "P", "RGBA", "1", "I;16"),
        "tiff": ("RGB", "L", "I;16", "F"),
        "gif": ("P",),
        "bmp": ("RGB", "L", "P"),
        "webp": ("RGB",),
    }
    seeds = []
    for form, names in modes.items():
        for name in names:
            image = picture.convert("L") if name in ("I;16", "F") else picture
            image = Image.fromarray(np.asarray(image, np.uint16) * 99) if name == "I;16" else image
            buffer = io.BytesIO()
            (image if name == "I;16" else image.convert(name)).save(buffer, form)
            seeds.append(buffer.getvalue())
    for options in ({"progressive": True}, {"quality": 30}):
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", **options)
        seeds.append(buffer.getvalue())
    for form, options in (("tiff", {"compression": "tiff_lzw"}), ("gif", {"save_all": True})):
        buffer = io.BytesIO()
        more = {"append_images": [picture.rotate(90)]} if "save_all" in options else {}
        picture.save(buffer, form, **options, **more)
        seeds.append(buffer.getvalue())
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.asarray(picture, np.uint16) * 16, photometric="rgb")
    seeds.append(buffer.getvalue())
    if real:
        found = sorted((real / "data" / "aid").glob("*/*.jpg"))[::400]
        seeds += [path.read_bytes() for path in found]
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
