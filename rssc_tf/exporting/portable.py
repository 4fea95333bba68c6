"""A run as one file for other runtimes: TensorFlow Lite or ONNX, float or int8.

Decoding and cropping are left to the caller, because neither runtime decodes files. From there on
it is the run's model: resize, normalisation and temperature are inside.
"""

import warnings
from pathlib import Path

import tensorflow as tf

from pipelines.crop import crop_side
from rssc_tf.compat import all_layers
from rssc_tf.evaluation.files import write_metrics
from rssc_tf.exporting import agreement, to_onnx, to_tflite
from rssc_tf.exporting.folder import MARKS, describe
from rssc_tf.exporting.model_card import portable_card
from rssc_tf.exporting.records import first_images, own_records
from rssc_tf.exporting.versions import refuse_later_versions
from rssc_tf.models.views import seen_in_views
from rssc_tf.records import Records
from rssc_tf.runs import Run, load_model
from tfrecords_tools.common.atomic import new_folder
from tfrecords_tools.common.errors import DataError, RsscError, SettingError, first_line
from tfrecords_tools.common.locks import writes_to
from tfrecords_tools.common.tensorflow import hold_stderr

FORMATS = {"tflite": to_tflite, "onnx": to_onnx}
QUANTIZATIONS = ("none", "int8")
REPRESENTATIVE = 200  # training images that the int8 ranges are taken from
COMPARED = 1000  # images at most on which the file is compared with the run's model
AGREEMENT = "agreement.json"
_POOR = 0.9  # agreement below which an export is warned about


class Portable(tf.Module):
    """A run's model from decoded images to probabilities, in float32 throughout.

    Args:
        run: a finished run.
        views: 1, or 8 for the mean probability of an image's symmetries.

    Attributes:
        side: int. Height and width of the images that it takes, in pixels.
    """

    def __init__(self, run: Run, views: int = 1):
        super().__init__("rssc_tf")
        self.side = crop_side(run.card.side)
        # A copy: a run trained in mixed precision keeps its own.
        model = load_model(run.folder)
        for layer in all_layers(model):
            layer.dtype_policy = "float32"
        self.weights = [variable.value for variable in model.variables]
        model = seen_in_views(model, views, run.task.exclusive)
        calibration = run.calibration(views)
        temperature = calibration.temperature if calibration else 1.0
        self._call = lambda images: run.task.probabilities(
            model(images, training=False), temperature
        )

    def function(self, batch: int | None):
        """A tf.function `{"probabilities": f(images)}`: uint8 `(batch, side, side, 3)` to float32
        `(batch, classes)`."""
        spec = tf.TensorSpec([batch, self.side, self.side, 3], tf.uint8, name="images")
        return tf.function(
            lambda images: {"probabilities": self._call(images)}, input_signature=[spec]
        )


@writes_to("out")
def export_portable(
    run: Run,
    out: Path,
    kind: str,
    quantize: str = "none",
    overwrite: bool = False,
    records: str | Path | None = None,
    *,
    views: int | None = None,
) -> dict | None:
    """Writes `OUT/model.tflite` or `OUT/model.onnx`, and what describes it.

    Beside the model: `model_card.md`, `labels.txt`, `dataset.json` and, where the run's records
    can be read, `agreement.json`: how far the file, run by its own runtime, agrees with the run's
    model on the test split. An agreement below 0.9 is a warning.

    Args:
        run: a finished run.
        out: folder; appears when it is whole.
        kind: a name of `FORMATS`.
        quantize: `"none"` (float32) or `"int8"`: weights and activations in 8 bits, with ranges
            taken from training images.
        overwrite: replace an existing folder.
        records: where the run's records are now, if they were moved.
        views: as for `folder.export`.

    Returns:
        The content of `agreement.json`, or `None` where the records cannot be read.

    Raises:
        RsscError: no such kind, quantization or number of views, `out` exists or cannot be
            written, a package is missing, the run is not calibrated for these views, the model
            cannot be converted, or int8 is wanted and the records cannot be read.
    """
    if kind not in FORMATS:
        raise SettingError("format", f"is one of {', '.join(FORMATS)}", kind)
    if quantize not in QUANTIZATIONS:
        raise SettingError("quantize", f"is one of {', '.join(QUANTIZATIONS)}", quantize)
    format_, views = FORMATS[kind], run.views if views is None else views
    format_.require()
    run.calibration(views)
    refuse_later_versions(out)
    with new_folder(out, overwrite, MARKS) as folder:
        own, samples, found = _records(run, quantize, records), None, None
        if quantize == "int8":
            samples = first_images(own, "train", REPRESENTATIVE).map(lambda images, _: images)
        path = folder / f"model.{kind}"
        portable = Portable(run, views)
        classify = _convert(portable, format_, path, samples)
        if own is not None:
            found = agreement.compare(run, classify, own, COMPARED, views)
            found = {
                "format": kind,
                "quantize": quantize,
                "views": views,
                "bytes": path.stat().st_size,
                "runtime": format_.runtime(),
                **found,
            }
            write_metrics(found, folder / AGREEMENT)
        describe(run, folder, portable_card(run, views, kind, quantize, found))
    if found and found["agreement"] < _POOR:
        instead = "`quantize='none'`" if quantize == "int8" else "the SavedModel"
        warnings.warn(
            f"{out / path.name} agrees with the run's model on only {found['agreement']:.1%} of "
            f"{found['examples']} {found['split']} images: use {instead} "
            "where that matters",
            stacklevel=2,
        )
    return found


def _convert(portable: Portable, format_, path: Path, samples):
    """Writes the file, and opens it in its runtime, which may not know an op that the converter
    let pass."""
    with hold_stderr():
        try:
            path.write_bytes(format_.convert(portable, samples))
            return format_.load(path)
        except OSError:
            raise
        except Exception as error:  # they raise nearly anything
            failed = error
    reason = first_line(failed)
    raise DataError(
        f"this model cannot be written as {path.name}, {'float' if samples is None else 'int8'} "
        f"({reason}): choose another `format` or `quantize`"
    ) from failed


def _records(run: Run, quantize: str, elsewhere: str | Path | None) -> Records | None:
    try:
        return own_records(run, elsewhere)
    except RsscError as error:
        if elsewhere:
            raise
        if quantize == "int8":
            raise DataError(
                f"`quantize='int8'` takes the range of every layer from training images: {error}"
            ) from error
        warnings.warn(f"the file is not compared with the run's model: {error}", stacklevel=3)
        return None
