"""The page: whole, self-contained, escaped, and right in a real browser."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rssc_tf.comparison.folder import read_study
from rssc_tf.comparison.report.charts import label_curves, reliability_chart, ticks
from rssc_tf.comparison.report.hardest import hardest
from rssc_tf.comparison.report.page import write_report
from rssc_tf.comparison.report.wording import interval, points, score
from rssc_tf.evaluation.statistics import Estimate
from rssc_tf.regimes import REGIMES
from tests.browser import FLAGS
from tests.rssc_tf.comparison.conftest import draw_card
from tfrecords_tools.auditing.leaks import read_examples
from tfrecords_tools.records.card import read_card

_VOID = {"meta", "link", "img", "br", "circle", "line", "polygon", "polyline"}
ODD = (
    "<script>alert(1)</script>",
    "a \"quoted\" & 'odd' one",
    "飞机场 Straße",
    "x" * 120,
    "{x} %s",
    "{{7*7}} {% raw %} {#",
)


class Page(HTMLParser):
    """Checks that every tag is closed in order, and gathers what the page would fetch."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.sources, self.links, self.text = [], [], [], []
        self.tags = set()
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        assert not any(name.startswith("on") for name in attributes)
        if tag not in _VOID:
            self.open.append(tag)
        if "src" in attributes:
            self.sources.append(attributes["src"])
        if "href" in attributes:
            self.links.append(attributes["href"])
        if tag == "img":
            assert attributes["alt"]

    def handle_startendtag(self, tag, attributes):
        assert tag in _VOID

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def page_of(out: Path) -> tuple[Page, str]:
    html = (out / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert set(page.links) <= {"data:,", "summary.csv", "differences.csv", "results.csv"}
    assert not re.search(r"url\(|@import|<script|javascript:", html)
    text = " ".join(" ".join(page.text).split())
    assert not re.search(r"</?(span|b|small|code|svg)\b|&\w+;|&#", text)  # escaped twice
    return page, text


def real_examples(records: Path) -> tuple[np.ndarray, np.ndarray]:
    rows = [(name, labels[0]) for _, name, labels, _ in _test_rows(records)]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


def _test_rows(records: Path):
    return read_examples(records, read_card(records), ("test",))


@pytest.fixture
def real(draw_comparison, records) -> Path:
    """A comparison on records that exist, so that it has pictures."""
    return draw_comparison(
        {"scratch": 0.5, "imagenet": 1.5, "dap": 1.6},
        fractions=(0.1, 0.5),
        card=read_card(records),
        examples=real_examples(records),
        target=str(records),
    )


def test_page_has_every_part(real):
    verdict = write_report(real)
    page, text = page_of(real)
    assert verdict.split("[")[0] in text
    for part in (
        "Scores",
        "All metrics",
        "What labels buy",
        "Differences",
        "Where ",
        "From scratch to ",
        "Can the probabilities be believed?",
        "The hardest test images",
        "How to read the intervals",
        "rssc-tf compare \\ --target a&b \\ --out out",
        "world 1 3 2",  # source, rounds, leaks found and excluded
        "0.001 (scratch); 0.0003 (imagenet, dap)",
        "18 of 18 runs",
        read_card(real / "runs/scenes/finetune-f0.1/dap-0").sha256[:16],
    ):
        assert part in text, part
    assert "Runs left out" not in text
    summary = pd.read_csv(real / "summary.csv")
    for row in summary[summary["metric"] == "top1"].itertuples():
        assert score(row.mean) in text
    for row in pd.read_csv(real / "differences.csv").query("metric == 'top1'").itertuples():
        found = Estimate(row.difference, 0, row.low, row.high, 3)
        assert f"{points(row.difference)} {interval(found, points)}" in text
    assert page.sources


def test_the_same_runs_give_the_same_page(real):
    names = ("report.html", "summary.csv", "differences.csv")
    write_report(real)
    first = [(real / name).read_bytes() for name in names]
    write_report(real)
    assert [(real / name).read_bytes() for name in names] == first


def test_thumbnails_are_the_hardest_images(real, records):
    write_report(real)
    page, text = page_of(real)
    study = read_study(real)
    group = study.targets[0].main
    wrong = np.mean([~run.right for run in group.all_runs()], axis=0)
    chosen = hardest(group)
    assert list(wrong[chosen]) == sorted(wrong[wrong > 0], reverse=True)
    assert len(page.sources) == len(chosen)
    stored = {name: data for _, name, _, data in _test_rows(records)}
    for number, source in zip(chosen, page.sources, strict=True):
        shown = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
        original = Image.open(io.BytesIO(stored[study.targets[0].ids[number]]))
        difference = np.asarray(shown, float) - np.asarray(original.convert("RGB"), float)
        assert np.abs(difference).mean() < 10
    assert f"wrong in {int(wrong[chosen[0]] * 9)} of 9" in text


def test_without_the_records_the_page_says_so(draw_comparison):
    out = draw_comparison({"scratch": 1, "imagenet": 2})
    write_report(out)
    page, text = page_of(out)
    assert not page.sources
    assert "of the pictures could not be read" in text


def test_odd_names_are_text(draw_comparison):
    card = draw_card("a&b <i>", ODD)
    ids = np.array([f"<img src=x onerror=alert({i})>.jpg" for i in range(200)])
    out = draw_comparison(
        {"scratch": 1, "imagenet": 2}, card=card, examples=(ids, np.arange(200) % len(ODD)), seeds=2
    )
    table = pd.read_csv(out / "results.csv")
    table["error"] = table["error"].astype(object)
    table.loc[0, ["status", "error"]] = ["failed", "NaN </td><script>"]
    table.to_csv(out / "results.csv", index=False)
    write_report(out)
    page, text = page_of(out)
    assert not {"script", "img"} & page.tags
    for name in (*ODD, "a&b <i>", "NaN </td><script>"):
        assert name in text
    assert "<img src=x onerror=alert(" in text
    assert "Runs left out" in text


@pytest.mark.parametrize("strategies", [{"dap": 2.0}, {"in-domain": 1.0, "dap-ssl": 2.0}])
@pytest.mark.parametrize("seeds", [1, 2])
def test_small_comparisons(draw_comparison, strategies, seeds):
    out = draw_comparison(strategies, seeds=seeds)
    write_report(out)
    _, text = page_of(out)
    assert ("Differences" in text) == (len(strategies) > 1)
    assert "nan" not in text.lower().replace("meaning", "")


def test_multi_label_and_two_heads(draw_comparison):
    card = draw_card("coast", multi=True)
    skills = {"scratch": 0.5, "imagenet": 1.5}
    out = draw_comparison(skills, card=card, heads=("finetune", "linear"), fractions=(0.1, 0.5))
    assert "micro-F1" in write_report(out)
    _, text = page_of(out)
    assert "Micro-F1 in percent" in text
    assert "Precision Recall F1" in text
    assert "predicted →" not in text
    assert "linear" in text


def test_many_classes_and_one_without_test_images(draw_comparison):
    classes = tuple(f"class {number}" for number in range(45))
    card = draw_card("many", classes, images=900)
    labels = np.arange(900) % 44
    ids = np.array([f"{number}.jpg" for number in range(900)])
    out = draw_comparison({"scratch": 1, "dap": 3}, seeds=1, card=card, examples=(ids, labels))
    write_report(out)
    _, text = page_of(out)
    assert "Without test images: class 44." in text
    assert "class 44 0 no test images" in text


def test_nothing_but_failed_runs(draw_comparison):
    out = draw_comparison({"scratch": 1}, seeds=2)
    shutil.rmtree(out / "runs")
    assert write_report(out) == "No run has ended with predictions that can be used."
    _, text = page_of(out)
    assert "Runs left out" in text
    assert text.count("is gone") == 2


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_forecast_says_what_one_seed_leaves_out(draw_comparison, cli, seeds):
    out = draw_comparison({"scratch": 0.1, "imagenet": 1}, seeds=seeds, fractions=(0.1, 0.2, 0.4))
    assert cli("report", out)[0] == 0
    said = " ".join(" ".join(page_of(out)[0].text).split())
    assert "functions and of the chance in the points" in said
    assert ("but for that in training where there is one seed" in said) == (seeds == 1)


def test_no_image_has_a_label(draw_comparison, cli):
    """And none was given one: micro-F1 is undefined, of all sizes."""
    card = draw_card("empty", multi=True)
    nothing = np.array([f"{n}.jpg" for n in range(200)]), np.zeros((200, 4), int)
    skills, sizes = {"scratch": 30.0, "imagenet": 40.0}, (0.1, 0.2, 0.4)
    out = draw_comparison(skills, seeds=2, fractions=sizes, card=card, examples=nothing)
    code, _, errors = cli("report", out)
    assert code == 0, errors
    page, _ = page_of(out)
    assert "Nothing can be said: micro-F1 is undefined on these test images." in page.text


def test_report_command(draw_comparison, cli, tmp_path):
    out = draw_comparison({"scratch": 1, "imagenet": 3})
    code, said, _ = cli("report", out)
    assert code == 0
    assert "ImageNet pre-training is worth" in said
    assert (out / "report.html").is_file()
    code, _, errors = cli("report", tmp_path / "none")
    assert code == 1
    assert "holds no results.csv" in errors
    assert errors.count("\n") == 1


def test_ticks_are_round_and_inside():
    assert ticks(0, 1) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert ticks(-0.031, 0.262) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.25])
    assert ticks(0.8841, 0.8859)[0] >= 0.8841


# Runs in a copy of the page, once it has loaded: opens everything, tells what it finds. It waits
# for nothing more, because the browser's virtual time does not wait for it.
_PROBE = """<script>
const seen = [];
addEventListener("error", e => seen.push(String(e.message || e.target.outerHTML)), true);
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(d => d.open = true);
  const pictures = [...document.images];
  const root = document.documentElement;
  parent.postMessage(JSON.stringify({errors: seen, pictures: pictures.length,
    loaded: pictures.filter(p => p.naturalWidth > 0).length,
    width: innerWidth, scroll: root.scrollWidth, client: root.clientWidth,
    ground: getComputedStyle(document.body).backgroundColor,
    requests: performance.getEntriesByType("resource").map(e => e.name)
      .filter(name => !name.startsWith("data:"))}), "*");
});
</script>"""
# A window cannot be as narrow as a phone, a frame can.
_FRAME = """<!doctype html><meta charset="utf-8"><iframe src="probed.html"
style="width:{width}px;height:900px;border:0"></iframe><script>onmessage = e => {{
const out = document.createElement("pre"); out.id = "probe"; out.textContent = e.data;
document.body.append(out); }};</script>"""


def look(browser: str, page: Path, width: int, dark: bool, tmp_path: Path) -> dict:
    """Opens a page in a headless browser of some width; returns what `_PROBE` found."""
    text = page.read_text(encoding="utf-8").replace("<style>", f"{_PROBE}<style>", 1)
    (tmp_path / "probed.html").write_text(text, encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(_FRAME.format(width=width), encoding="utf-8")
    command = [browser, "--headless", *FLAGS, "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--window-size=1600,1000", "--virtual-time-budget=20000", "--dump-dom"]
    command += [f"--blink-settings=preferredColorScheme={0 if dark else 1}", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    shown = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert shown, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr, done.stderr
    return json.loads(shown.group(1))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True), (360, False)])
def test_in_a_browser(real, browser, width, dark, tmp_path):
    write_report(real)
    found = look(browser, real / "report.html", width, dark, tmp_path)
    assert found["width"] == width
    assert found["errors"] == [] and found["requests"] == []
    assert found["pictures"] == found["loaded"] > 0
    assert found["scroll"] <= found["client"]
    assert found["ground"] == ("rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")


def test_odd_and_many_classes_in_a_browser(draw_comparison, browser, tmp_path):
    classes = (*ODD, *(f"class_{number}" for number in range(40)))
    card = draw_card("m" * 90, classes, images=450)
    out = draw_comparison(
        {name: 2.0 for name in ("scratch", "imagenet", "ssl", "in-domain", "dap", "dap-ssl")},
        card=card,
        seeds=1,
        fractions=(0.1, 0.5),
    )
    write_report(out)
    found = look(browser, out / "report.html", 390, False, tmp_path)
    assert found["errors"] == []
    assert found["scroll"] <= found["client"]


def test_the_names_of_lines_have_room():
    """That of a long regime was cut off at the edge of the chart."""
    score_of = Estimate(0.5, 0.01, 0.4, 0.6, 3)
    curves = label_curves({one: [(7, "", score_of)] for one in REGIMES}, (0.3, 0.7), "")
    table = pd.DataFrame({"confidence": [0.4], "frequency": [0.5], "count": [50]})
    for chart in (curves, reliability_chart(dict.fromkeys(REGIMES, table), "", "")):
        width = float(re.search(r'viewBox="0 0 (\d+)', chart)[1])
        for name in REGIMES:
            (x,) = re.findall(rf'<text[^>]* x="([0-9.]+)"[^>]*>{name}</text>', chart)
            assert float(x) + 7 * len(name) < width  # 12.5 px of a wide sans-serif
