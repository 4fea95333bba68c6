"""Warm-up requests: what TensorFlow Serving sends to a model before it says that it is ready.

The first request of a shape waits for lazy initialisation. The server therefore replays
`assets.extra/tf_serving_warmup_requests` of a version folder, a TFRecord file of `PredictionLog`
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
from PIL import Image

WARMUP = "assets.extra/tf_serving_warmup_requests"
BATCHES = (1, 4)  # the bytes of every image count in the export's size


def write_warmup(folder: Path, name: str, images: Sequence[bytes]) -> None:
    """Writes requests to `serving_default`, one for each of `BATCHES`.

    Args:
        folder: version folder of the export (`OUT/1`).
        name: of the model when it is served.
        images: image files as bytes, which are repeated where there are too few; if there are
            none, a drawn one.
    """
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

    images = list(images) or [_drawn()]
    path = folder / WARMUP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in BATCHES:
            batch = [images[number % len(images)] for number in range(size)]
            request = PredictRequest(
                model_spec=ModelSpec(name=name, signature_name="serving_default"),
                inputs={"image_bytes": tf.make_tensor_proto(batch)},
            )
            log = PredictionLog(predict_log=PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))


def _drawn() -> bytes:
    image = Image.radial_gradient("L").convert("RGB").resize((256, 256))
    return tf.io.encode_jpeg(image).numpy()
