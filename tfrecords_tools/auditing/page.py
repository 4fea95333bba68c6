"""The audit as one HTML page: counts first, then the findings with thumbnails, no other file."""

import base64
import io
import re
from html import escape
from pathlib import Path

from tfrecords_tools.auditing.findings import KINDS, Finding, Read, Report
from tfrecords_tools.common.atomic import new_file
from tfrecords_tools.common.regular_files import MOST_IMAGE, BadFile, read_regular
from tfrecords_tools.imaging.images import BadImage, load_rgb

_SHOWN = 40  # findings a kind; the CSV has all
_SIDE = 120  # pixels of a thumbnail

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Audit of {title}</title>
<style>
body {{ font: 16px/1.45 system-ui, sans-serif; margin: 1rem auto; max-width: 60rem;
       padding: 0 1rem; color: #1c2126; background: #fff; }}
h1 {{ font-size: 1.5rem; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.15rem; margin: 2rem 0 .5rem; }}
table {{ border-collapse: collapse; width: 100%; }}
th {{ white-space: nowrap; }}
th, td {{ text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid #dde2e6;
         vertical-align: top; overflow-wrap: anywhere; }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; }}
.error {{ color: #a3180d; }} .warning {{ color: #855000; }} .note {{ color: #4a5560; }}
.tag {{ font-size: .85rem; font-weight: 600; overflow-wrap: normal; }}
.finding {{ display: flex; flex-wrap: wrap; gap: .8rem; padding: .7rem 0;
           border-bottom: 1px solid #dde2e6; }}
figure {{ margin: 0; width: {side}px; }}
figure img {{ width: {side}px; height: {side}px; object-fit: cover; display: block;
             background: #eee; }}
figcaption, .text {{ font-size: .85rem; overflow-wrap: anywhere; }}
.text {{ flex: 1 1 14rem; }}
</style></head><body>
{body}
</body></html>
"""


def write_html(reports: list[Report], read: Read, path: Path) -> None:
    """Writes the page.

    Args:
        reports: the reports.
        read: ids of images to their files or encoded bytes, for the thumbnails.
        path: the file to write.
    """
    shown = {name for report in reports for f in _shown(report) for name in (f.image, f.other)}
    images = read(shown)
    body = "\n".join(_section(report, images) for report in reports)
    title = escape(", ".join(report.name for report in reports))
    with new_file(path) as aside:
        aside.write_text(_PAGE.format(title=title, body=body, side=_SIDE), encoding="utf-8")


def _shown(report: Report) -> list[Finding]:
    kept = []
    for kind in report.counts:
        kept += [finding for finding in report.findings if finding.kind == kind][:_SHOWN]
    return kept


def _section(report: Report, images: dict) -> str:
    facts = "; ".join(
        f"{key.replace('_', ' ')}: {_fact(value)}"
        for key, value in report.facts.items()
        if value not in (None, [], {})
    )
    lines = [f"<h1>Audit of {escape(report.name)}</h1>"]
    lines.append(f"<p>{report.images:,} images. {escape(facts)}</p>")
    if not report.findings:
        lines.append("<p><b>Nothing was found.</b></p>")
        return "\n".join(lines)
    lines.append("<table><tr><th>Kind</th><th>What</th><th>Found</th></tr>")
    for kind, count in report.counts.items():
        severity, meaning = KINDS[kind]
        lines.append(
            f'<tr><td class="tag {severity}"><a class="{severity}" href="#{kind}">{kind}</a></td>'
            f'<td>{escape(meaning)}</td><td class="n">{count:,}</td></tr>'
        )
    lines.append("</table>")
    for kind, count in report.counts.items():
        severity, meaning = KINDS[kind]
        lines.append(f'<h2 id="{kind}" class="{severity}">{kind}: {count:,}</h2>')
        lines.append(f"<p>{escape(meaning[0].upper() + meaning[1:])}.</p>")
        if count > _SHOWN:
            lines.append(f"<p>The first {_SHOWN}; all are in the CSV.</p>")
        found = [finding for finding in report.findings if finding.kind == kind]
        lines += [_finding(finding, images) for finding in found[:_SHOWN]]
    return "\n".join(lines)


def _finding(finding: Finding, images: dict) -> str:
    sides = (
        (finding.image, finding.split, finding.labels),
        (finding.other, finding.other_split, finding.other_labels),
    )
    figures, names = [], []
    for name, split, labels in sides:
        if not name:
            continue
        about = ", ".join(part for part in (split, labels.replace("|", ", ")) if part)
        source = _thumbnail(images, name)
        # Names break after their separators, not in the middle of a number.
        broken = re.sub(r"([/_-])", r"\1<wbr>", escape(name))
        caption = f"<b>{broken}</b>" + (f"<br>{escape(_cut(about))}" if about else "")
        if source:
            figures.append(
                f'<figure><img alt="" src="{source}"><figcaption>{caption}</figcaption></figure>'
            )
        else:
            names.append(caption)
    text = "<br>".join([*names, escape(finding.detail)])
    return f'<div class="finding">{"".join(figures)}<div class="text">{text}</div></div>'


def _thumbnail(images: dict, name: str) -> str | None:
    source = images.get(name)
    if source is None:
        return None
    try:
        data = source if isinstance(source, bytes) else read_regular(source, MOST_IMAGE)
        image, _ = load_rgb(data)
    except (BadImage, BadFile):
        return None
    image.thumbnail((2 * _SIDE, 2 * _SIDE))  # twice, for a phone's fine screen
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _fact(value) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cut(text: str, length: int = 160) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
