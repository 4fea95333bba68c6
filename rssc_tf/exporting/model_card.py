"""The model card: what a user of an exported model has to know, as Markdown."""

from pipelines.crop import crop_side
from rssc_tf.evaluation.metrics import display_name
from rssc_tf.exporting.recipe import describe_files, describe_rule, preparing_code
from rssc_tf.models.view_count import in_words
from rssc_tf.regimes import SUPERVISED
from rssc_tf.runs import Run
from tfrecords_tools.imaging.bombs import MAX_GIF_BYTES
from tfrecords_tools.imaging.images import MAX_PIXELS

_SAVED_MODEL = f"""- Input: image files as bytes (JPEG, PNG, BMP up to {MAX_PIXELS:,} pixels, GIF up
  to {MAX_GIF_BYTES >> 10} KiB) to the signature `serving_default`, or decoded uint8 images to
  `serve_images`. Resizing, cropping and normalisation are inside. TIFF, WebP, images of 16 bits and
  BMPs with a palette go through `rssc-tf predict`.
- Output: `probabilities`, `class_names`, `predicted`, `features`, `valid` (false for a file that
  is no image; the others of its batch are classified)"""

_EXPLAIN = """
- `explain`: image files and a class for each to `heat`, where the model sees the evidence for the
  class (Grad-CAM), and `view`, the part of the picture that the map covers"""

_IMPORTS = {
    "tflite": """import numpy as np
import tensorflow as tf  # or only: from ai_edge_litert.interpreter import Interpreter
from PIL import Image
""",
    "onnx": """import numpy as np
import onnxruntime
from PIL import Image
""",
}

_CLASSIFY = {
    "tflite": """
run = tf.lite.Interpreter("model.tflite").get_signature_runner()
probabilities = run(images=images)["probabilities"][0]
""",
    "onnx": """
session = onnxruntime.InferenceSession("model.onnx")
probabilities = session.run(["probabilities"], {"images": images})[0][0]
""",
}

_NAMES = """names = open("labels.txt", encoding="utf-8").read().splitlines()
"""
_TOP = """print(names[probabilities.argmax()], probabilities.max())
"""
_LABELS = """print([name for name, p in zip(names, probabilities) if p >= 0.5])
"""
_OWN_THRESHOLDS = """thresholds = [{}]
print([name for name, p, least in zip(names, probabilities, thresholds) if p >= least])
"""


_EIGHT_VIEWS = """
- Eight views: probabilities and features are the means over the turns and flips of an image. An
  answer takes eight times the time and memory of one view (`rssc-tf export --views 1`)"""

_SIGNATURE = """.
  The signature `eight_views` is `serving_default` under a name that other exports do not have"""


def model_card(run: Run, views: int, explains: bool) -> str:
    """The card of a SavedModel; `explains`: it has the signature `explain`."""
    many = _EIGHT_VIEWS + _SIGNATURE if views == 8 else ""
    return _card(run, views, _SAVED_MODEL + many + (_EXPLAIN if explains else ""))


def portable_card(run: Run, views: int, kind: str, quantize: str, found: dict | None) -> str:
    """The card of a `model.tflite` or `model.onnx`; `found` is what `agreement.json` holds."""
    side = crop_side(run.card.side)
    batch = "1" if kind == "tflite" else "n"
    prepare = preparing_code(run.card.rule, run.card.size, side)
    last = _TOP if run.task.exclusive else _cut(run, views)
    code = _IMPORTS[kind] + prepare + _CLASSIFY[kind] + _NAMES + last
    classes = len(run.card.classes)
    usage = f"""- File: `model.{kind}`, {"float32" if quantize == "none" else "int8"}
- Input: `images`, uint8 RGB `({batch}, {side}, {side}, 3)`, decoded and cut as below. The resize
  to the backbone's size, the normalisation and the temperature are inside.
- The code is for {describe_files(run.card.rule)}
- Output: `probabilities`, float32 `({batch}, {classes})`, in the order of `labels.txt`"""
    usage += _EIGHT_VIEWS if views == 8 else ""
    more = f"\n```python\n{code}```\n\n{_describe_agreement(found)}\n"
    return _card(run, views, usage, more, "The code above")


def _cut(run: Run, views: int) -> str:
    """Code that names the labels of an image."""
    found = run.calibration(views)
    if found is None or not found.thresholds:
        return _LABELS
    return _OWN_THRESHOLDS.format(", ".join(repr(found.thresholds[name]) for name in run.classes))


def _card(run: Run, views: int, usage: str, more: str = "", decides: str = "`predicted`") -> str:
    config, card = run.config, run.card
    trained = f"{config['strategy']}; head: {config['head']}; {config['epochs']} epochs"
    sizes = ", ".join(f"{split.examples} {name}" for name, split in card.splits.items())
    return f"""# {card.name}: {config["backbone"]}, {config["strategy"]}

A {card.task} scene classifier for overhead photographs, made with rssc-tf.

- Classes ({len(card.classes)}): {", ".join(card.classes)}
- Trained on: {card.name} ({sizes} images), card sha256 `{card.sha256}`
- Pre-training: {trained}; seed {config["seed"]}
{_describe_source(run)}{_describe_pixels(run)}{usage}
{more}
{_describe_scores(run, views)}

{_describe_calibration(run, views, decides)}

Photographs from another sensor, season or region than the training images may be classified worse
than the test images.
"""


def _describe_source(run: Run) -> str:
    """A line on the source round and what it learnt from; nothing where there was none."""
    stage = next((stage for stage in run.stages if stage.get("stage") == "source"), None)
    if stage is None:
        return ""
    text = f"- Source round: {stage.get('records')}, {stage.get('objective', SUPERVISED)}"
    if left_out := stage.get("leaks_excluded"):
        text += f", without {left_out} images that show a photograph of the test split"
    if teacher := stage.get("teacher"):
        text += (
            f"\n- Teacher of the source round: {run.config.get('teacher')} "
            f"({teacher.get('backbone')} at {teacher.get('image_size')} px, weights sha256 "
            f"`{teacher.get('weights_sha256')}`)"
        )
    return f"{text}\n"


def _describe_pixels(run: Run) -> str:
    rule = describe_rule(run.card.rule)
    return f"- Pixels of the training images: {rule}\n" if rule else ""


def _describe_scores(run: Run, views: int) -> str:
    metrics = run.metrics_of(views)
    if not metrics:
        return (
            f"**The run's own model was not evaluated with {in_words(views)} of an image**: "
            f"`rssc-tf evaluate RUN --views {views}`, then export again."
        )
    rows = "\n".join(
        f"| {name} | {value:.4f} |" for name, value in metrics.items() if isinstance(value, float)
    )
    measured = f"{metrics.get('examples', 0)} images of the {metrics.get('split', 'test')} split"
    return f"""The run's own model, on {measured} ({in_words(views)} of each):

| metric | value |
| --- | --- |
{rows}"""


def _describe_agreement(found: dict | None) -> str:
    if found is None:
        return (
            "**This file was not compared with the run's model**: the run's records could not be "
            "read when it was made."
        )
    metric = display_name(found["metric"])
    compared = f"{found['examples']} of the {found['of']} images of the {found['split']} split"
    return f"""This file, run by {found["runtime"]}, against the run's own model, on {compared}:

| | |
| --- | --- |
| the same answer | {found["agreement"]:.2%} |
| {metric} of this file | {found["of_the_file"]:.4f} |
| {metric} of the run's model | {found["of_the_run"]:.4f} |
| largest difference of a probability | {found["max_difference"]:.2g} |
| mean difference of a probability | {found["mean_difference"]:.2g} |"""


def _describe_calibration(run: Run, views: int, decides: str) -> str:
    found = run.calibration(views)
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
        f"{text}\n\n{decides} names a label from its own threshold upwards, the one with the "
        "highest F1 on the same images. The scores `tuned_...` above are at these thresholds, the "
        f"others at 0.5.\n\n| label | threshold |\n| --- | --- |\n{rows}"
    )
