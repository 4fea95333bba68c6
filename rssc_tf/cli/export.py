"""Export a run: a SavedModel that takes raw image bytes, or one file for TFLite or ONNX."""

from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer
from typer import Argument, Option

from rssc_tf.models.view_count import check_views
from tfrecords_tools.common.tensorflow import import_tensorflow

NAME = "export"


class Format(StrEnum):
    savedmodel = "savedmodel"
    tflite = "tflite"
    onnx = "onnx"


class Quantization(StrEnum):
    none = "none"
    int8 = "int8"


def command(
    run: Annotated[Path, Argument(help="Run folder.")],
    out: Annotated[Path, Option(help="Export folder to make.")],
    format_: Annotated[
        Format, Option("--format", help="What to make; onnx needs the extra 'export'.")
    ] = Format.savedmodel,
    quantize: Annotated[
        Quantization,
        Option(help="int8: 8 bits for weights and activations; for tflite and onnx."),
    ] = Quantization.none,
    views: Annotated[
        int | None,
        Option(
            help="8: answers are mean probabilities of an image's turns and flips, in eight times "
            "the time; 1: of it as it lies. Those of the run by default.",
        ),
    ] = None,
    records: Annotated[
        Path | None, Option(help="Where the run's records are now, if they were moved.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    if format_ is Format.savedmodel and quantize is not Quantization.none:
        raise typer.BadParameter("--quantize int8 goes with --format tflite or onnx")
    if views is not None:
        check_views(views)
    import_tensorflow()
    from rssc_tf.runs import load_run

    if format_ is Format.savedmodel:
        from rssc_tf.exporting.folder import export

        export(load_run(run), out, overwrite, records, views=views)
        print(f"export: {out} (SavedModel in {out}/1; rssc-tf predict {quote(str(out))} IMAGES...)")
        return
    from rssc_tf.exporting.portable import export_portable

    opened = load_run(run)
    found = export_portable(opened, out, format_, quantize, overwrite, records, views=views)
    print(f"export: {out}/model.{format_} (how to use it: {out}/model_card.md)")
    if found:
        print(
            f"on {found['examples']} {found['split']} images: {found['agreement']:.2%} the same "
            f"answer as the run's model, probabilities differ by {found['max_difference']:.2g} at "
            f"most; {found['metric']} {found['of_the_file']:.4f}, the run's model "
            f"{found['of_the_run']:.4f}"
        )
