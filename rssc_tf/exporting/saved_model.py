"""The functions of an exported SavedModel: raw image bytes in, and nothing else needed."""

from pathlib import Path

import keras
import tensorflow as tf

from pipelines.augment import central_window
from pipelines.crop import crop_side
from pipelines.images import evaluation_view
from rssc_tf.evaluation.grad_cam import evidence, has_feature_map
from rssc_tf.models.views import LogitsOfMean, MeanOfViews, Symmetries
from rssc_tf.runs import Run
from rssc_tf.tasks import THRESHOLD
from tfrecords_tools.imaging.graph import decode

EIGHT_VIEWS = "eight_views"  # the signature `serving_default` of an export that looks at eight

_FILES = tf.TensorSpec([None], tf.string, name="image_bytes")


class _Weights(tf.Module):
    """The variables of a model, the vectors among them in one.

    A SavedModel spends 2 kB on every variable, whatever its size, and four fifths of a
    convolutional network's are the short vectors of BatchNormalization: on MobileNetV2 that comes
    to a tenth of the weights.
    """

    def __init__(self, model: keras.Model):
        super().__init__("weights")
        packed = [v for v in model.variables if v.ndim == 1 and v.dtype == "float32"]
        self.vectors = tf.Variable(tf.concat([v.value for v in packed], 0), trainable=False)
        self.others = [v.value for v in model.variables if all(v is not p for p in packed)]

        def in_place() -> keras.StatelessScope:
            parts = tf.split(self.vectors, [v.shape[0] for v in packed])
            return keras.StatelessScope(list(zip(packed, parts, strict=True)))

        # A block in which the model takes its vectors from here. A closure, because variables of
        # Keras in an attribute would be stored too.
        self.in_place = in_place


class Server(tf.Module):
    """The functions that a SavedModel serves. `serve_bytes` and `serve_images` return one dict:

    `probabilities` float32 `(n, classes)`, `class_names` string `(n, classes)`, `predicted`
    string `(n,)` (the top class; for multi-label, comma separated, the labels from 0.5 upwards, or
    from the run's tuned thresholds), `features` float32 `(n, d)` and `valid` bool `(n,)`. The
    run's temperature is applied.

    Args:
        run: a finished run.
        views: 1, or 8: probabilities and features are the means over an image's symmetries.
    """

    def __init__(self, run: Run, views: int = 1):
        super().__init__("rssc_tf")
        card = run.card
        # The Keras model itself is not tracked: each weight is stored once.
        self.weights = _Weights(run.model)
        self._names = tf.constant(card.classes)
        self._task = run.task
        self._views = views
        calibration = run.calibration(views)
        self._temperature = calibration.temperature if calibration else 1.0
        tuned = (calibration and calibration.thresholds) or {}
        self._thresholds = tf.constant([tuned.get(name, THRESHOLD) for name in card.classes])
        self._size, self._crop = card.size, crop_side(card.side)
        self._explains = has_feature_map(run.model)
        pool, resize = run.model.get_layer("pool"), run.model.get_layer("resize")
        network = keras.Model(resize.output, [pool.input, pool.output, run.model.output])

        def call(images):
            with self.weights.in_place():
                return network(images, training=False)

        # Closures: layers in an attribute would be stored too.
        self._resize = lambda images: resize(images)
        self._turned = lambda images: Symmetries()(images)
        self._merged = lambda features, logits: (
            MeanOfViews()(features),
            LogitsOfMean(run.task.exclusive)(logits),
        )

        def evidence_of(features, classes):
            with self.weights.in_place():
                return evidence(run.model, features, classes)

        # Functions that all signatures call, or each of them would store their graphs.
        resized = tf.TensorSpec([None, resize.size, resize.size, 3], tf.float32)
        self._call, self._evidence = tf.function(call, [resized]), evidence_of
        self._read = tf.function(self._read_files, [_FILES])

    @property
    def signatures(self) -> dict:
        """Name to function, as `tf.saved_model.save` takes them."""
        found = {"serving_default": self.serve_bytes, "serve_images": self.serve_images}
        if self._views == 8:  # says so to whoever looks, and to a client that wants no less
            found[EIGHT_VIEWS] = self.serve_bytes
        if self._explains:
            asked = [_FILES, tf.TensorSpec([None], tf.int32, name="class_index")]
            found["explain"] = tf.function(self.explain, asked)
        return found

    @tf.function(input_signature=[_FILES])
    def serve_bytes(self, image_bytes):
        """JPEG, PNG, BMP or small GIF files, string `(n,)`. One that does not decode, is a
        decompression bomb, or is of a kind that TensorFlow would decode to other pixels than the
        conversion (`imaging.graph`), has `valid` false; the others are classified."""
        images, _, valid = self._read(image_bytes)
        return self._classify(images, valid)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serve_images(self, images):
        """Decoded images of any size, uint8 `(n, height, width, 3)`."""
        crops = tf.map_fn(lambda image: evaluation_view(image, self._size, self._crop), images)
        return self._classify(crops, tf.ones(tf.shape(images)[:1], tf.bool))

    # No tf.function, which would be saved for backbones of tokens too.
    def explain(self, image_bytes, class_index):
        """Where the model sees the evidence for a class in the image as it lies: Grad-CAM as in
        `evaluation.explain`.

        Args:
            image_bytes: string `(n,)`, as for `serve_bytes`.
            class_index: int32 `(n,)`, the class to explain for each image.

        Returns:
            A dict: `heat` float32 `(n, h', w')`, the evidence at the resolution of the feature
            map, each map divided by its own maximum: 0..1, and 0 throughout where no place speaks
            for the class, there is no such class, or the image is not valid. `view` float32
            `(n, 4)`: left, top, right, bottom of the rectangle that the model sees (and that the
            map covers) as shares 0..1 of the original picture's width and height. `valid` bool
            `(n,)`.
        """
        images, shown, valid = self._read(image_bytes)
        features, _, _ = self._call(self._resize(images))
        heat = self._evidence(features, class_index)
        heat = tf.math.divide_no_nan(heat, tf.reduce_max(heat, axis=(1, 2), keepdims=True))
        return {"heat": tf.where(valid[:, None, None], heat, 0.0), "view": shown, "valid": valid}

    def _read_files(self, image_bytes):
        """What the model is shown: uint8 `(n, crop, crop, 3)`; which share of the picture that
        is, float32 `(n, 4)`; and whether it is a picture at all, bool `(n,)`."""

        def read(data):
            image = decode(data)
            view = evaluation_view(image, self._size, self._crop)
            return view, self._seen(tf.shape(image)), True

        blank = (tf.zeros([self._crop, self._crop, 3], tf.uint8), tf.zeros([4]), False)

        def read_or_blank(data):
            # There is no `try` in a graph; a dataset of one image that skips its error is one.
            image = tf.data.Dataset.from_tensors(data).map(read).ignore_errors()
            return image.concatenate(tf.data.Dataset.from_tensors(blank)).take(1)

        count = tf.shape(image_bytes, tf.int64)[0]
        images = tf.data.Dataset.from_tensor_slices(image_bytes).interleave(
            read_or_blank, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return images.batch(tf.maximum(count, 1)).get_single_element()

    def _seen(self, shape):
        """Of an image of this shape, the window that `evaluation_view` shows, in shares."""
        sides = tf.minimum(shape[:2], self._size)
        window = central_window(sides[0], sides[1])
        corners = tf.concat([window[:2], window[:2] + window[2:]], 0)  # top, left, bottom, right
        shares = tf.cast(corners, tf.float32) / tf.cast(tf.tile(sides, [2]), tf.float32)
        return tf.gather(shares, [1, 0, 3, 2])

    def _classify(self, images, valid):
        images = self._resize(images)
        if self._views == 1:
            _, features, logits = self._call(images)
        else:
            _, features, logits = self._call(self._turned(images))
            features, logits = self._merged(features, logits)
        probabilities = self._task.probabilities(logits, self._temperature)
        if self._task.exclusive:
            predicted = tf.gather(self._names, tf.argmax(probabilities, axis=1))
        else:
            named = tf.where(probabilities >= self._thresholds, self._names, "")
            joined = tf.strings.reduce_join(named, axis=1, separator=",")
            # Several commas stand where labels were left out.
            predicted = tf.strings.regex_replace(joined, ",+", ",")
            predicted = tf.strings.regex_replace(predicted, "^,|,$", "")
        names = tf.repeat(self._names[None, :], tf.shape(probabilities)[0], axis=0)
        return {
            "probabilities": tf.where(valid[:, None], probabilities, 0.0),
            "class_names": names,
            "predicted": tf.where(valid, predicted, ""),
            "features": tf.cast(features, tf.float32),
            "valid": valid,
        }


def save(run: Run, folder: Path, views: int = 1) -> None:
    """Writes the SavedModel of a run to `folder`; see `Server`."""
    server = Server(run, views)
    tf.saved_model.save(server, str(folder), signatures=server.signatures)
