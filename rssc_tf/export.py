"""A run -> a SavedModel that takes raw image bytes, with nothing else needed to use it."""

import json
from pathlib import Path

import tensorflow as tf

from pipelines.augment import crop_side
from pipelines.stream import decode_whole, evaluation_view
from rssc_tf.evaluation.calibration import read_calibration
from rssc_tf.evaluation.inference import to_probabilities
from rssc_tf.evaluation.metrics import THRESHOLD
from rssc_tf.models.classifier import with_features
from rssc_tf.runs import METRICS, Run
from rssc_tf.saving import writing
from tfrecords_tools.folders import new_folder
from tfrecords_tools.headers import MAX_GIF_BYTES, refuse_bombs
from tfrecords_tools.images import MAX_PIXELS

VERSION = "1"


class Server(tf.Module):
    """The functions that a SavedModel serves. All return the same dict:

    `probabilities` float32 `(n, classes)`, `class_names` string `(n, classes)`, `predicted`
    string `(n,)` (the top class; for multi-label, comma separated, the labels from 0.5 upwards, or
    from the run's tuned thresholds), `features` float32 `(n, d)` and `valid` bool `(n,)`. The
    run's temperature is applied.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run):
        super().__init__("rssc_tf")
        card = run.card
        model = with_features(run.model)
        # Tracked one by one, and the Keras model not at all: each weight is stored once.
        self.weights = [variable.value for variable in run.model.variables]
        self._names = tf.constant(card.classes)
        self._multi_label = card.multi_label
        calibration = read_calibration(run.folder, card.classes)
        self._temperature = calibration.temperature if calibration else 1.0
        tuned = (calibration and calibration.thresholds) or {}
        self._thresholds = tf.constant([tuned.get(name, THRESHOLD) for name in card.classes])
        self._call = lambda images: model(images, training=False)
        self._size, self._crop = card.size, crop_side(card.side)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve_bytes(self, image_bytes):
        """JPEG, PNG, BMP or small GIF files, string `(n,)`. One that does not decode, or is a
        decompression bomb (`headers.refuse_bombs`), has `valid` false and harms no other."""

        def read(data):
            image = decode_whole(refuse_bombs(data))
            return evaluation_view(image, self._size, self._crop), True

        blank = (tf.zeros([self._crop, self._crop, 3], tf.uint8), False)

        def read_or_blank(data):
            # There is no `try` in a graph; a dataset of one image that skips its error is one.
            image = tf.data.Dataset.from_tensors(data).map(read).ignore_errors()
            return image.concatenate(tf.data.Dataset.from_tensors(blank)).take(1)

        count = tf.shape(image_bytes, tf.int64)[0]
        images = tf.data.Dataset.from_tensor_slices(image_bytes).interleave(
            read_or_blank, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        images, valid = images.batch(tf.maximum(count, 1)).get_single_element()
        return self._classify(images, valid)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def serve_images(self, images):
        """Decoded images of any size, uint8 `(n, height, width, 3)`."""
        views = tf.map_fn(lambda image: evaluation_view(image, self._size, self._crop), images)
        return self._classify(views, tf.ones(tf.shape(images)[:1], tf.bool))

    def _classify(self, images, valid):
        features, logits = self._call(images)
        probabilities = to_probabilities(logits, self._multi_label, self._temperature)
        if self._multi_label:
            named = tf.where(probabilities >= self._thresholds, self._names, "")
            joined = tf.strings.reduce_join(named, axis=1, separator=",")
            # Several commas stand where labels were left out.
            predicted = tf.strings.regex_replace(joined, ",+", ",")
            predicted = tf.strings.regex_replace(predicted, "^,|,$", "")
        else:
            predicted = tf.gather(self._names, tf.argmax(probabilities, axis=1))
        names = tf.repeat(self._names[None, :], tf.shape(probabilities)[0], axis=0)
        return {
            "probabilities": tf.where(valid[:, None], probabilities, 0.0),
            "class_names": names,
            "predicted": tf.where(valid, predicted, ""),
            "features": tf.cast(features, tf.float32),
            "valid": valid,
        }


def export(run: Run, out: Path, overwrite: bool = False) -> None:
    """Writes `OUT/1/` (the SavedModel, in TensorFlow Serving's layout), `OUT/labels.txt`,
    `OUT/dataset.json` and `OUT/model_card.md`.

    Args:
        run: a finished run.
        out: export folder; appears when it is whole.
        overwrite: replace an existing one.

    Raises:
        RsscError: `out` exists or cannot be written.
    """
    with new_folder(out, overwrite) as folder:
        server = Server(run)
        signatures = {"serving_default": server.serve_bytes, "serve_images": server.serve_images}
        with writing(out):
            tf.saved_model.save(server, str(folder / VERSION), signatures=signatures)
        (folder / "labels.txt").write_text("\n".join(run.card.classes) + "\n", encoding="utf-8")
        (folder / "model_card.md").write_text(model_card(run), encoding="utf-8")


def model_card(run: Run) -> str:
    """What a user of the model has to know, as Markdown."""
    config, card = run.config, run.card
    metrics = {}
    if (run.folder / METRICS).is_file():
        metrics = json.loads((run.folder / METRICS).read_text(encoding="utf-8"))
    scores = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in metrics.items() if isinstance(value, float)
    )
    sizes = ", ".join(f"{split.examples} {name}" for name, split in card.splits.items())
    return f"""# {card.name}: {config["backbone"]}, {config["strategy"]}

A {card.task} scene classifier for overhead photographs, made with rssc-tf.

- Classes ({len(card.classes)}): {", ".join(card.classes)}
- Trained on: {card.name} ({sizes} images), card sha256 `{card.sha256}`
- Pre-training: {config["strategy"]}; head: {config["head"]}; {config["epochs"]} epochs, seed
  {config["seed"]}
- Input: image files as bytes (JPEG, PNG, BMP up to {MAX_PIXELS:,} pixels, GIF up to
  {MAX_GIF_BYTES >> 10} KiB) to the signature `serving_default`, or decoded uint8 images to
  `serve_images`. Resizing, cropping and normalisation are inside.
- Output: `probabilities`, `class_names`, `predicted`, `features`, `valid`

Measured on {metrics.get("examples", 0)} images of the {metrics.get("split", "test")} split:

| metric | value |
| --- | --- |
{scores}

{_describe_calibration(run)}

Photographs from another sensor, season or region than the training images may be classified worse
than these figures say.
"""


def _describe_calibration(run: Run) -> str:
    found = read_calibration(run.folder, run.card.classes)
    if found is None:
        return "The probabilities are not calibrated."
    text = (
        f"The probabilities are calibrated: the logits are divided by a temperature of "
        f"{found.temperature:.4g}, fitted on {found.examples} validation images (log loss "
        f"{found.log_loss_before:.4f} before, {found.log_loss_after:.4f} after)."
    )
    if found.thresholds is None:
        return text
    rows = "\n".join(f"| {name} | {value:.4f} |" for name, value in found.thresholds.items())
    return (
        f"{text}\n\n`predicted` names a label from its own threshold upwards, the one with the "
        "highest F1 on the same images. The scores `tuned_...` above are at these thresholds, the "
        f"others at 0.5.\n\n| label | threshold |\n| --- | --- |\n{rows}"
    )
