"""Warm-up requests, read back with TensorFlow Serving's own messages."""

import io

import tensorflow as tf
from PIL import Image

from rssc_tf.exporting.warmup import WARMUP, write_warmup


def _requests(version):
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for record in tf.data.TFRecordDataset(str(version / WARMUP)).as_numpy_iterator():
        log = PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.signature_name == "serving_default"
        yield request.model_spec.name, tf.make_ndarray(request.inputs["image_bytes"])


def test_an_export_answers_its_own_requests(exported, records):
    stored = b"".join(path.read_bytes() for path in records.glob("train*.tfrecord"))
    serve = tf.saved_model.load(str(exported / "1")).signatures["serving_default"]
    sizes = []
    for name, images in _requests(exported / "1"):
        assert name == exported.name
        assert all(image in stored for image in images)
        assert serve(image_bytes=tf.constant(images))["valid"].numpy().all()
        sizes.append(len(images))
    assert sizes == [1, 4]


def test_without_records_the_image_is_a_drawn_one(tmp_path):
    write_warmup(tmp_path, "model", [])
    sent = [images for _, images in _requests(tmp_path)]
    assert [len(images) for images in sent] == [1, 4]
    for images in sent:
        for data in images:
            with Image.open(io.BytesIO(data)) as image:
                assert (image.format, image.mode) == ("JPEG", "RGB")
                assert len(image.getcolors(1 << 20)) > 100
