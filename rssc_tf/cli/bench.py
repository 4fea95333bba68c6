"""`rssc-tf bench`: what is how fast, on your records and machine."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from rssc_tf.cli.export_flags import Trust
from tfrecords_tools.common.atomic import refuse_existing_file
from tfrecords_tools.common.errors import DataError
from tfrecords_tools.common.tensorflow import import_tensorflow

app = typer.Typer(
    help="Measure the stream, the training step, eight views, the conversion, a server."
)

_Rounds = Annotated[int, Option(min=1, help="How often each variant is timed, in turn.")]
_Seconds = Annotated[float, Option(min=0.01, help="Length of one timing.")]
_Json = Annotated[Path | None, Option("--json", help="File for the figures of all rounds.")]
_Overwrite = Annotated[bool, Option("--overwrite", help="Replace the file of --json.")]


@app.command("pipeline")
def bench_pipeline(
    records: Annotated[Path, Argument(help="Record folder.")],
    batch_size: Annotated[int, Option(min=1)] = 32,
    rounds: _Rounds = 7,
    seconds: _Seconds = 1.0,
    json_file: _Json = None,
    overwrite: _Overwrite = False,
) -> None:
    """Our input stream, the study's, decoding alone, torch's DataLoader."""
    _refuse_existing(json_file, overwrite)
    import_tensorflow()
    from rssc_tf.bench.pipeline import bench_pipeline

    _show(bench_pipeline(records, batch_size, rounds, seconds), json_file)


@app.command("train")
def bench_train(
    target: Annotated[Path, Option(help="Record folder.")],
    backbone: Annotated[str, Option(help="As in train; random weights.")] = "resnet50",
    image_size: Annotated[
        int | None, Option(min=8, help="Side the backbone sees; the crop by default.")
    ] = None,
    batch_size: Annotated[int, Option(min=1, help="Over all devices.")] = 32,
    precision: Annotated[
        list[str] | None, Option(help="float32, mixed_bfloat16 or mixed_float16; several.")
    ] = None,
    label_free: Annotated[
        bool, Option("--label-free", help="Without labels too: two views of half as many images.")
    ] = False,
    rounds: _Rounds = 5,
    seconds: _Seconds = 3.0,
    json_file: _Json = None,
    overwrite: _Overwrite = False,
) -> None:
    """The training step, fed by the stream and from memory; the end of an epoch; PyTorch's step."""
    from rssc_tf.settings import PRECISIONS

    precisions = precision or ["float32", "mixed_bfloat16"]
    for name in precisions:
        if name not in PRECISIONS:
            raise typer.BadParameter(f"one of {', '.join(PRECISIONS)}", param_hint="--precision")
    if label_free and batch_size < 4:
        reason = "at least 4 with --label-free: two views each of two images"
        raise typer.BadParameter(reason, param_hint="--batch-size")
    _refuse_existing(json_file, overwrite)
    import_tensorflow()
    from rssc_tf.bench.train import bench_train

    arguments = (backbone, image_size, batch_size, precisions, rounds, seconds, label_free)
    _show(bench_train(target, *arguments), json_file)


@app.command("views")
def bench_views(
    target: Annotated[Path, Option(help="Record folder.")],
    backbone: Annotated[str, Option(help="As in train; random weights.")] = "mobilenet_v2",
    image_size: Annotated[
        int | None, Option(min=8, help="Side the backbone sees; the crop by default.")
    ] = None,
    rounds: _Rounds = 5,
    seconds: _Seconds = 3.0,
    json_file: _Json = None,
    overwrite: _Overwrite = False,
) -> None:
    """Eight views of an image against Keras's predict on as many images."""
    _refuse_existing(json_file, overwrite)
    import_tensorflow()
    from rssc_tf.bench.views import bench_views

    _show(bench_views(target, backbone, image_size, rounds, seconds), json_file)


@app.command("convert")
def bench_convert(
    images: Annotated[Path, Argument(help="Class folders.")],
    limit: Annotated[int | None, Option(min=1, help="About this many of the images.")] = 500,
    size: Annotated[int, Option(min=8, help="As in convert; smaller re-encodes more.")] = 292,
    skip_bad: Annotated[bool, Option("--skip-bad", help="Leave bad images out.")] = False,
    rounds: _Rounds = 3,
    json_file: _Json = None,
    overwrite: _Overwrite = False,
) -> None:
    """Conversion with one worker and with all cores, a bare loop; verification; memory."""
    _refuse_existing(json_file, overwrite)
    import_tensorflow()
    from rssc_tf.bench.convert import bench_convert

    _show(bench_convert(images, limit, size, rounds, skip_bad), json_file)


@app.command("serve")
def bench_serve(
    export: Annotated[Path, Argument(help="Export folder.")],
    images: Annotated[
        Path | None, Option(help="Folder of JPEG or PNG files; drawn scenes by default.")
    ] = None,
    clients: Annotated[int, Option(min=1, help="That send at the same time.")] = 64,
    requests: Annotated[int, Option(min=1, help="Of one round, one image each.")] = 2000,
    garbage: Annotated[float, Option(min=0, max=0.9, help="Share of bad requests.")] = 0.05,
    batch_size: Annotated[int, Option(min=1, help="Of the server and of direct calls.")] = 32,
    rounds: _Rounds = 3,
    json_file: _Json = None,
    overwrite: _Overwrite = False,
    trust: Trust = False,
) -> None:
    """A server under load against the model called directly; every answer is checked."""
    from rssc_tf.cli.serve import require_serving
    from tfrecords_tools.common.errors import RsscError

    require_serving()
    _refuse_existing(json_file, overwrite)
    import_tensorflow()
    from rssc_tf.bench.serve import bench_serve

    result = bench_serve(export, images, clients, requests, garbage, batch_size, rounds, trust)
    _show(result, json_file)
    if wrong := result["answers"]["wrong"]:
        raise RsscError(f"{wrong} answers were wrong: {'; '.join(result['answers']['examples'])}")


def _refuse_existing(json_file: Path | None, overwrite: bool) -> None:
    """Before minutes are measured that could not be kept."""
    if json_file:
        try:
            refuse_existing_file(json_file, overwrite)
        except DataError as error:
            raise DataError(str(error).replace("`out`", "`json`")) from error


def _show(result: dict, json_file: Path | None) -> None:
    from rssc_tf.bench.measure import write_json
    from rssc_tf.bench.tables import print_result

    print_result(result)
    if json_file:
        write_json(json_file, result)
