"""What an audit finds: one row a finding, counted by kind, written as JSON and CSV."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.csv_files import write_csv

# Kind -> what it means, in the order of a report. Errors mislead a measurement, warnings may,
# notes are for the eye.
KINDS = {
    "undecodable": ("error", "image files that do not decode"),
    "leak": ("error", "the same photograph on both sides of a split"),
    "leak-between-sets": ("error", "the same photograph in both sets"),
    "conflict": ("error", "copies of one photograph with different labels"),
    "over-cap": ("error", "images with more labels than the authors' cap"),
    "never-in-own-class": ("error", "labels that their own class never has"),
    "fill-block": ("error", "blocks of adjacent labels all set, as by a fill error"),
    "unused-label": ("warning", "labels that no image has"),
    "no-label": ("warning", "images without a label"),
    "exact-duplicate": ("warning", "copies with the very same pixels"),
    "near-duplicate": ("warning", "copies that were re-encoded, resized, turned or flipped"),
    "constant": ("warning", "images of one colour"),
    "blank-header": ("warning", "label columns without a name in the header"),
    "column-order": ("warning", "label files with another column order than most"),
    "filled": ("note", "images with pixels without data, which got their mean colour"),
    "odd-size": ("note", "images of another size than most"),
    "look-alike": ("note", "pairs with nearly the same dHash whose detail differs: no leak"),
    "differs-from-catalogue": ("note", "differences from what is published about the set"),
}

# Gives the images of a report's thumbnails: their ids to files or bytes, of those that there are.
Read = Callable[[set[str]], dict[str, str | bytes]]


@dataclass(frozen=True)
class Finding:
    """One thing that an audit found.

    Attributes:
        kind: a key of `KINDS`.
        image: id of the image, or name of the file or label.
        other: id of the other image of a pair.
        detail: what exactly, in words.
        split, other_split: splits of the images, where they have one.
        labels, other_labels: class names, joined with `|`.
    """

    kind: str
    image: str
    other: str = ""
    detail: str = ""
    split: str = ""
    other_split: str = ""
    labels: str = ""
    other_labels: str = ""

    @property
    def severity(self) -> str:
        return KINDS[self.kind][0]


@dataclass
class Report:
    """All findings about one set, or about two.

    Attributes:
        name: what was audited.
        images: number of images (or of label rows).
        facts: JSON-ready extra facts: classes, column orders, the other set.
        findings: the findings.
    """

    name: str
    images: int
    facts: dict = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Kind to number of findings, in the order of `KINDS`, zeros left out."""
        counts = Counter(finding.kind for finding in self.findings)
        return {kind: counts[kind] for kind in KINDS if counts[kind]}

    def sort(self) -> None:
        order = {kind: number for number, kind in enumerate(KINDS)}
        self.findings.sort(key=lambda f: (order[f.kind], f.image, f.other))

    def to_dict(self) -> dict:
        """JSON-ready, findings included."""
        rows = [{"severity": f.severity, **asdict(f)} for f in self.findings]
        return {
            "name": self.name,
            "images": self.images,
            "counts": self.counts,
            **self.facts,
            "findings": rows,
        }


def write_json(reports: list[Report], path: Path) -> None:
    """Writes one report as an object, several as a list."""
    content = [report.to_dict() for report in reports]
    with new_file(path) as aside:
        text = json.dumps(content[0] if len(content) == 1 else content, indent=1)
        aside.write_text(text + "\n", encoding="utf-8")


def write_findings(reports: list[Report], path: Path) -> None:
    """Writes one row a finding."""
    rows = [
        {"set": report.name, "severity": finding.severity, **asdict(finding)}
        for report in reports
        for finding in report.findings
    ]
    columns = ["set", "severity", *Finding.__dataclass_fields__]
    with new_file(path) as aside:
        write_csv(pd.DataFrame(rows, columns=columns), aside)
