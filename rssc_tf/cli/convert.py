"""Turn class folders, images with a label file or without labels, or scenes, into TFRecords."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.numbers import numbers_of
from rssc_tf.cli.reading import (
    ClassLevel,
    Ignore,
    LabelColumn,
    LabelSeparator,
    NoData,
    bands_flag,
    range_flag,
    scaling,
)

NAME = "convert"
Bands = bands_flag("By default what the file calls red, green and blue.")
Range = range_flag(
    "Of images of more than 8 bits; by default p2,p98, and percentiles are of the training images."
)
_IN_A_TABLE = 24  # classes; more are printed in columns


def command(
    images: Annotated[
        list[str],
        Argument(help="Class folders, images with --labels, tfds:NAME; scenes with --tile."),
    ],
    out: Annotated[Path, Option(help="Record folder to make.")],
    dataset: Annotated[
        str | None, Option(help="Name in the card; one that `datasets` knows is checked.")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        Option(help="CSV or TSV: 0/1 columns, one column of classes or of tags; several."),
    ] = None,
    unlabelled: Annotated[
        bool, Option("--unlabelled", help="Images without labels, in folders of any kind.")
    ] = False,
    tile: Annotated[
        int | None,
        Option(help="Cut scenes (GeoTIFF and more) into unlabelled tiles of this side in pixels."),
    ] = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    class_level: ClassLevel = None,
    ignore: Ignore = None,
    split_file: Annotated[
        list[Path] | None,
        Option(help="List named ..train/..val/..test.csv, folds.csv, or *-split.pkl; several."),
    ] = None,
    resplit: Annotated[
        bool, Option("--resplit", help="Divide anew what train/, val/ and test/ divide already.")
    ] = False,
    train_fraction: Annotated[
        float | None, Option(help="Share of all images for training; 0.2 by default.")
    ] = None,
    val_fraction: Annotated[
        float | None,
        Option(help="Share for validation (with --per-class of the rest), 0.1 by default."),
    ] = None,
    per_class: Annotated[
        int | None, Option(min=1, help="Few-shot: this many training images a class.")
    ] = None,
    shots: Annotated[
        str | None,
        Option(help="Few-shot records beside these, nested, with the same test: 1,5,10,20."),
    ] = None,
    folds: Annotated[
        int | None, Option(min=2, help="Cross-validation: one of this many parts is the test.")
    ] = None,
    fold: Annotated[int | None, Option(min=0, help="Which part, from 0, the default.")] = None,
    group: Annotated[
        str | None,
        Option(help="Keep together: a regular expression on the id, or FILE.csv:COLUMN."),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Decides splits and order.")] = 0,
    size: Annotated[int, Option(help="Longest stored side in pixels; never enlarges.")] = 292,
    encode: Annotated[str, Option(help="jpeg (quality 95) or png (lossless).")] = "jpeg",
    bands: Bands = None,
    range_: Range = None,
    nodata: NoData = None,
    limit: Annotated[
        int | None, Option(min=1, help="Keep about N images, for a quick look.")
    ] = None,
    workers: Annotated[int | None, Option(min=1, help="Processes; all cores by default.")] = None,
    skip_bad: Annotated[bool, Option("--skip-bad", help="Leave bad images and rows out.")] = False,
    ignore_unlisted: Annotated[
        bool, Option("--ignore-unlisted", help="Leave out images that no split file lists.")
    ] = False,
    ignore_missing: Annotated[
        bool, Option("--ignore-missing", help="Go on without listed images that are not there.")
    ] = False,
    runner: Annotated[str, Option(help="local or beam (Apache Beam).")] = "local",
    beam_option: Annotated[
        list[str] | None, Option(help="Beam's own, as --beam-option=--runner=FlinkRunner; several.")
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing folder.")] = False,
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tfrecords_tools.common.errors import as_flags
    from tfrecords_tools.common.names import printable
    from tfrecords_tools.convert import convert, few_shot_folder

    numbers = numbers_of("shots", shots)
    card = convert(
        images if len(images) > 1 else images[0],
        out,
        name=dataset,
        labels=labels,
        unlabelled=unlabelled,
        tile=tile,
        label_column=label_column or (),
        label_separator=label_separator,
        class_level=class_level,
        ignore=ignore or (),
        split_files=split_file,
        resplit=resplit,
        train_fraction=train_fraction,
        val_fraction=val_fraction,
        per_class=per_class,
        shots=numbers,
        folds=folds,
        fold=fold,
        group=group,
        seed=seed,
        size=size,
        encoding=encode,
        **scaling(bands, range_, nodata),
        limit_to=limit,
        workers=workers,
        skip_bad=skip_bad,
        ignore_unlisted=ignore_unlisted,
        ignore_missing=ignore_missing,
        overwrite=overwrite,
        runner=runner,
        beam_options=beam_option,
    )
    table = Table("split", "examples", "shards", "MB", title=Text(f"{card.name}: {card.task}"))
    for name, split in card.splits.items():
        size_mb = f"{split.bytes / 1e6:.1f}"
        table.add_row(name, str(split.examples), str(len(split.shards)), size_mb)
    console = Console()
    console.print(table)
    if card.labelled:
        _print_classes(card, console)
    sizes = ", ".join(f"{count} of {size}" for size, count in list(card.sizes.items())[:5])
    more = ", ..." if len(card.sizes) > 5 else ""
    classes = f"{len(card.classes)} classes" if card.labelled else "no labels"
    print(f"{classes}; stored as {card.encoding}: {sizes}{more}")
    print(f"{card.made['copied']} copied untouched, {card.made['encoded']} re-encoded")
    for note in card.made["notes"]:
        print(printable(f"note: {as_flags(note)}"))
    if card.made["audit"]:
        found = ", ".join(f"{count} {kind}" for kind, count in card.made["audit"].items())
        print(printable(f"audit: {found}; all in {out}/audit.csv"))
    if card.made["left_out"]:
        left = len(card.made["left_out"])
        print(printable(f"left out: {left} bad images, listed in {out}/dataset.json"))
    for folder in (out, *(few_shot_folder(out, number) for number in numbers)):
        print(printable(f"records: {folder}"))


def _print_classes(card, console) -> None:
    """Every class with its number of images in each split; many of them in columns."""
    from rich.columns import Columns
    from rich.table import Table
    from rich.text import Text

    from tfrecords_tools.common.names import printable

    counts = list(zip(*(split.class_counts for split in card.splits.values()), strict=True))
    names = [Text(printable(name), overflow="fold") for name in card.classes]
    if len(names) <= _IN_A_TABLE:
        table = Table("class", *card.splits, "all")
        for name, own in zip(names, counts, strict=True):
            table.add_row(name, *map(str, own), str(sum(own)))
        console.print(table)
        return
    console.print(f"classes, images in {' + '.join(card.splits)}:")
    cells = [
        Text.assemble(name, f" {sum(own)} ({' + '.join(map(str, own))})")
        for name, own in zip(names, counts, strict=True)
    ]
    console.print(Columns(cells, padding=(0, 3), column_first=True))
