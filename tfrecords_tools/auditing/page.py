"""The audit as one HTML page: counts first, then the findings with thumbnails, no other file."""

import re
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from tfrecords_tools.auditing.findings import KINDS, Finding, Read, Report
from tfrecords_tools.common.html_pages import write_page
from tfrecords_tools.common.regular_files import BadFile
from tfrecords_tools.imaging.images import BadImage
from tfrecords_tools.imaging.thumbnail import thumbnail

_SHOWN = 40  # findings a kind; the CSV has all
_SIDE = 120  # pixels of a thumbnail


@dataclass(frozen=True)
class _Side:
    """One of the images of a finding: its name, its split and labels, its picture if it has one."""

    name: Markup
    about: str
    picture: str | None


def write_html(reports: list[Report], read: Read, path: Path) -> None:
    """Writes the page.

    Args:
        reports: the reports.
        read: ids of images to their files or encoded bytes, for the thumbnails.
        path: the file to write.
    """
    images = read(
        {
            name
            for report in reports
            for kind in report.counts
            for finding in _shown(report, kind)
            for name in (finding.image, finding.other)
        }
    )
    write_page(
        path,
        __package__,
        "audit.html",
        reports=reports,
        kinds=KINDS,
        side=_SIDE,
        facts=_facts,
        shown=_shown,
        sides=lambda finding: _sides(finding, images),
    )


def _shown(report: Report, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind][:_SHOWN]


def _sides(finding: Finding, images: dict) -> list[_Side]:
    sides = (
        (finding.image, finding.split, finding.labels),
        (finding.other, finding.other_split, finding.other_labels),
    )
    return [
        _Side(
            _breakable(name),
            _cut(", ".join(part for part in (split, labels.replace("|", ", ")) if part)),
            _picture(images.get(name)),
        )
        for name, split, labels in sides
        if name
    ]


def _breakable(name: str) -> Markup:
    """Names break after their separators, not in the middle of a number."""
    return Markup("<wbr>").join(re.split(r"(?<=[/_-])", name))


def _picture(source: bytes | str | None) -> str | None:
    if source is None:
        return None
    try:
        return thumbnail(source, 2 * _SIDE)
    except (BadImage, BadFile):
        return None


def _facts(report: Report) -> str:
    known = {key: value for key, value in report.facts.items() if value not in (None, [], {})}
    return "; ".join(f"{key.replace('_', ' ')}: {_fact(value)}" for key, value in known.items())


def _fact(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
