"""Look for bad images, doubtful labels, duplicates and leaks; report them."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from rssc_tf.cli.effects import refuse_without_effect
from rssc_tf.cli.reading import ClassLevel, Ignore, LabelColumn, LabelSeparator
from tfrecords_tools.common.locks import writes_to

NAME = "audit"
FILES = ("audit.json", "audit.csv", "audit.html")


@writes_to("out")
def command(
    what: Annotated[
        Path, Argument(help="Records, class folders, images with --labels, or label files alone.")
    ],
    against: Annotated[
        Path | None, Option(help="Records or class folders that must not share images with it.")
    ] = None,
    labels: Annotated[
        list[Path] | None, Option(help="CSV or TSV, as convert takes them, or a folder of them.")
    ] = None,
    split_file: Annotated[
        list[Path] | None, Option(help="Published lists: look for leaks between their splits.")
    ] = None,
    dataset: Annotated[
        str | None, Option(help="Name in `rssc-tf datasets`; else known by its labels.")
    ] = None,
    label_column: LabelColumn = None,
    label_separator: LabelSeparator = None,
    class_level: ClassLevel = None,
    ignore: Ignore = None,
    unlabelled: Annotated[
        bool, Option("--unlabelled", help="Images without labels, in folders of any kind.")
    ] = False,
    label_cap: Annotated[
        int | None, Option(min=1, help="Most labels an image may have; else the catalogue's.")
    ] = None,
    out: Annotated[
        Path | None, Option(help="Folder for audit.json, audit.csv and audit.html.")
    ] = None,
    workers: Annotated[int | None, Option(min=1, help="Processes; all cores by default.")] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="Replace an existing --out.")] = False,
) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from tfrecords_tools.auditing.audit import audit
    from tfrecords_tools.auditing.findings import KINDS, write_findings, write_json
    from tfrecords_tools.auditing.page import write_html
    from tfrecords_tools.common.atomic import new_folder, refuse_existing
    from tfrecords_tools.common.errors import as_flags
    from tfrecords_tools.common.names import printable

    refuse_without_effect(
        ("overwrite", overwrite, out, "goes with `out`"),
        ("label_column", label_column, labels, "goes with `labels`"),
        ("label_separator", label_separator, labels, "goes with `labels`"),
        ("class_level", class_level, not labels, "is for class folders, not `labels`"),
        ("unlabelled", unlabelled, not (labels or class_level), "contradicts labels"),
    )
    if out:
        refuse_existing(out, overwrite, FILES)
    reports, read = audit(
        what,
        against=against,
        labels=labels,
        split_files=split_file,
        dataset=dataset,
        label_cap=label_cap,
        workers=workers,
        class_level=class_level,
        ignore=ignore or (),
        label_column=label_column or (),
        label_separator=label_separator,
        unlabelled=unlabelled,
    )
    console = Console()
    for report in reports:
        table = Table(
            "", "found", "what", title=Text(printable(f"{report.name}: {report.images} images"))
        )
        colours = {"error": "red", "warning": "yellow", "note": "dim"}
        for kind, count in report.counts.items():
            severity, meaning = KINDS[kind]
            table.add_row(f"[{colours[severity]}]{kind}[/]", str(count), meaning)
        nothing = Text(printable(f"{report.name}: nothing was found"))
        console.print(table if report.findings else nothing)
        facts = {k: v for k, v in report.facts.items() if v not in (None, [], {}) and k != "sizes"}
        facts = "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in facts.items())
        print(printable(as_flags(facts)))
        for finding in _to_show(report.findings):
            other = f" and {finding.other}" if finding.other else ""
            console.print(
                printable(as_flags(f"{finding.kind}: {finding.image}{other}: {finding.detail}")),
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    if out:
        with new_folder(out, overwrite, FILES) as folder:
            write_json(reports, folder / FILES[0])
            write_findings(reports, folder / FILES[1])
            write_html(reports, read, folder / FILES[2])
        print(printable(f"report: {out}/audit.html, all findings: {out}/audit.csv"))


def _to_show(findings: list, each: int = 5) -> list:
    """The first few of every kind; the CSV has all."""
    seen: dict[str, int] = {}
    shown = []
    for finding in findings:
        seen[finding.kind] = seen.get(finding.kind, 0) + 1
        if seen[finding.kind] <= each:
            shown.append(finding)
    return shown
