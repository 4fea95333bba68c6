"""What the package does in one call, put together from its parts: a classifier, a trained run."""

from pathlib import Path

import keras

from pipelines.crop import crop_side
from rssc_tf.fields import check_value
from rssc_tf.models import classifier
from rssc_tf.models.backbones import prepare
from rssc_tf.models.seeded import seeded
from rssc_tf.records import Records
from rssc_tf.runs import Run, default_folder, load_run
from rssc_tf.settings import Settings, check_seed
from rssc_tf.training.stages import run_regime
from rssc_tf.weights.initial import initialise, open_weights
from rssc_tf.weights.size import default_size
from tfrecords_tools.records.card import refuse_unlabelled

_OWN = ("imagenet", "ssl")  # weights that a backbone's library, or our table, provides


def build_classifier(
    backbone: str,
    records: Records | str | Path,
    *,
    weights: str | Path | None = "imagenet",
    image_size: int | None = None,
    normalization: str | None = None,
    frozen: bool = False,
    seed: int = 0,
) -> keras.Model:
    """A classifier for the classes of `records`, not compiled: a plain Keras model.

    Compile it with the loss and the metrics of the task: outputs are logits.

    ```python
    model.compile("adam", loss=records.task.loss(), metrics=records.task.metrics())
    ```

    Args:
        backbone: a name of `rssc_tf.BACKBONES`, of a vision transformer as timm has it, or
            `hub:<preset>` for one of KerasHub.
        records: the records that it is for: their number of classes, and the size of their images.
        weights: initial weights of the backbone: `"imagenet"` (supervised) or `"ssl"`
            (self-supervised), which are downloaded where they are not in the cache; a name of
            `rssc-tf weights list`, an address, a weights file or the folder of a run; `None` for
            random ones. A file of such a name is `"./imagenet"`.
        image_size: side at which the backbone sees images, in pixels, at least 8. Defaults to that
            of the crops, for trained weights to theirs where that is larger.
        normalization: overrides what the weights say of their normalisation; a name of
            `rssc_tf.models.normalization.MODES`.
        frozen: leaves the backbone as it is, and trains the head only.
        seed: int in 0..2**31 - 1, of the head's and of random weights. The generators of the
            process stay as they are.

    Returns:
        keras.Model: images, uint8 or float in 0..255 `(batch, any, any, 3)`, to logits, float32
        `(batch, classes)`. Resizing and normalisation are layers of it.

    Raises:
        SettingError: a setting out of range.
        DataError: bad records, or bad weights or ones of another backbone.
    """
    records = records if isinstance(records, Records) else Records(records)
    refuse_unlabelled(records.path, records.card)
    check_value(Settings, "image_size", image_size)
    check_seed(seed)
    with seeded(seed):
        if weights is None or weights in _OWN:
            pretraining, file = weights or "random", None
            network, layer, _ = initialise(backbone, pretraining, None, normalization)
        else:
            pretraining, file = "imagenet", weights
            imported = open_weights(weights, backbone, normalization)
            network, layer = prepare(imported.model), imported.normalization
        crop = crop_side(records.card.side)
        return classifier.build_classifier(
            network,
            layer,
            len(records.classes),
            image_size or default_size(crop, backbone, pretraining, file),
            frozen=frozen,
            seed=seed,
        )


def train(settings: Settings, out: str | Path | None = None, *, overwrite: bool = False) -> Run:
    """Trains a classifier under a regime and evaluates it: what `rssc-tf train` does.

    Args:
        settings: of the run.
        out: run folder; by default `runs/TARGET-STRATEGY-SEED`. A run that the same settings left
            unfinished there is continued.
        overwrite: replaces what is there, unless that is this very run, unfinished.

    Returns:
        The finished run; its `metrics` are those of the test split (where the records have none,
        of the validation split; without both, of the training images).

    Raises:
        SettingError, DataError: bad settings, records or weights; nothing is written then. Or a
            finished run in `out`, or an unfinished one with other settings.
    """
    out = default_folder(settings) if out is None else Path(out)
    run_regime(settings, out, overwrite=overwrite)
    return load_run(out)
