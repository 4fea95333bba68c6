"""The style sheet of the report: light and dark, phone, paper."""

from rssc_tf.regimes import REGIMES


def style_sheet() -> str:
    """The CSS of the page, with a colour for each regime that has one."""
    colored = [regime for regime in REGIMES.values() if regime.colors]
    light, dark = (
        "".join(f" --{regime.name}: {regime.colors[paper]};" for regime in colored)
        for paper in (0, 1)
    )
    return (
        f"\n:root {{{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}"
        + _CSS
        + "".join(f".{regime.name} {{ --c: var(--{regime.name}); }}\n" for regime in colored)
    )


_CSS = """
:root { color-scheme: light dark; --bg: #fff; --ink: #1b1f24; --muted: #59636e; --rule: #dfe3e8;
  --soft: #f5f6f8; --accent: #0b5c9e; --good: #0b5c9e; --bad: #c2500a; --on: #fff; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171b; --ink: #e7eaee; --muted: #9aa5b1;
  --rule: #2d343c; --soft: #1c2127; --accent: #6cb4ee; --good: #6cb4ee; --bad: #f0904a;
  --on: #10141a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 66rem; background: var(--bg);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1, h2, h3 { line-height: 1.25; overflow-wrap: anywhere; text-wrap: balance; }
h1 { font-size: 1rem; font-weight: 600; color: var(--muted); margin: 0 0 .75rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: 1.1rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 2.25rem 0 .25rem; }
p { margin: .5rem 0; max-width: 44rem; overflow-wrap: anywhere; }
.verdict { font-size: clamp(1.2rem, 1rem + 1.1vw, 1.6rem); line-height: 1.35; max-width: 50rem;
  margin: 0 0 .75rem; font-weight: 500; letter-spacing: -.005em; }
.verdict .range { white-space: nowrap; color: var(--muted); font-weight: 400; }
.muted, .note, figcaption, small { color: var(--muted); }
.note, figcaption { font-size: .9rem; }
figure { margin: 1rem 0 0; min-width: 0; }
figcaption { max-width: 40rem; margin-top: .4rem; overflow-wrap: anywhere; }
a { color: var(--accent); }
code, pre { font: .85rem/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
.scroll { position: relative; overflow-x: auto; max-width: 100%; margin: .75rem 0 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem .4rem 0; text-align: left; vertical-align: top; font-weight: 400;
  border-bottom: 1px solid var(--rule); }
thead th { font-size: .85rem; color: var(--muted); vertical-align: bottom; font-weight: 600; }
.numbers td, .numbers thead th:not(:first-child) { text-align: right; white-space: nowrap; }
.numbers td.left, .numbers thead th.left { text-align: left; }
.cell { display: block; width: max-content; max-width: 15rem; overflow-wrap: anywhere;
  white-space: normal; }
tbody th { position: sticky; left: 0; background: var(--bg); }
.scores td small, .scores td span { color: var(--muted); }
.scores td small { display: block; font-size: .8rem; }
.none { color: var(--muted); text-align: left !important; }
td.plot { padding: 0 .9rem 0 0; vertical-align: middle; }
.numbers tr:has(td.plot) > * { vertical-align: middle; padding-top: 0; padding-bottom: 0; }
.facts th { color: var(--muted); white-space: nowrap; }
.facts td, .words th, .words td { overflow-wrap: anywhere; min-width: 5rem; }
.swatch { width: .95em; height: .95em; vertical-align: -.08em; margin-right: .35em; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  gap: 1rem 2rem; align-items: start; }
.side { display: flex; flex-wrap: wrap; gap: 0 3.5rem; align-items: flex-start; }
.side > figure { max-width: 100%; }
.chart { display: block; width: 100%; max-width: 32rem; height: auto; }
.mark { display: block; }
svg text { font: 12.5px system-ui, sans-serif; fill: currentColor; }
svg text.muted { fill: var(--muted); }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--muted); }
svg .zero { stroke: var(--muted); stroke-dasharray: 2 2; }
svg .diagonal { stroke: var(--muted); stroke-dasharray: 4 4; }
svg { --c: currentColor; }
svg .line { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; }
svg .band { fill: var(--c); fill-opacity: .14; stroke: none; }
svg .whisker { stroke: var(--c); stroke-width: 2.5; stroke-linecap: round; }
svg circle, svg polygon { fill: var(--c, currentColor); }
.matrix { font-size: .8rem; border-collapse: separate; border-spacing: 2px; }
.matrix th, .matrix td { border: 0; padding: 0; }
.matrix tbody td { width: 2.3rem; height: 2.1rem; min-width: 2.3rem; text-align: center;
  vertical-align: middle; background: var(--soft); }
.matrix tbody th { text-align: right; padding-right: .5rem; vertical-align: middle; }
.matrix tbody th .cell { margin-left: auto; max-width: 11rem; white-space: nowrap;
  overflow: hidden; text-overflow: ellipsis; }
.matrix thead th { font-size: .75rem; }
.matrix thead th { vertical-align: bottom; height: 1px; }
.matrix thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11rem;
  white-space: nowrap; overflow: hidden; text-overflow: ellipsis; padding-top: .4rem; }
.matrix .corner { font-size: .75rem; color: var(--muted); vertical-align: bottom;
  text-align: right; padding: 0 .5rem .2rem 0; white-space: nowrap; }
.matrix.many, .matrix.many thead th { font-size: .68rem; line-height: 1.2; }
.matrix.many { border-spacing: 1px; }
.matrix.many tbody td { width: .95rem; height: .95rem; min-width: .95rem; }
.matrix td.share { --k: var(--accent); } .matrix td.good { --k: var(--good); }
.matrix td.bad { --k: var(--bad); }
.matrix td[style] { background: color-mix(in srgb, var(--k) calc(var(--v) * 100%), var(--soft)); }
.matrix td.strong { color: var(--on); }
@media (prefers-color-scheme: dark) { .matrix td.half { color: var(--on); } }
.key { display: inline-block; width: .8em; height: .8em; border-radius: 2px; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.hard { display: grid; gap: 1.5rem 1.1rem;
  grid-template-columns: repeat(auto-fill, minmax(8.75rem, 1fr)); }
.hard figure { margin: 0; font-size: .82rem; }
.hard img { width: 100%; aspect-ratio: 1; object-fit: cover; display: block;
  background: var(--soft); border-radius: 3px; }
.hard figcaption { font-size: inherit; margin-top: .35rem; line-height: 1.4; }
.hard figcaption b { color: var(--ink); display: block; }
.hard ul { list-style: none; margin: .2rem 0 0; padding: 0; }
.hard li.wrong { color: var(--ink); }
.hard .id { display: block; font-size: .72rem; opacity: .85; }
details { margin: 1rem 0; } summary { cursor: pointer; font-weight: 600; }
@media (max-width: 36rem) {
  body { padding-top: 1.5rem; } .cell { max-width: 8.5rem; }
  .matrix tbody th .cell { max-width: 7rem; }
}
@media print {
  :root { color-scheme: light; --bg: #fff; --ink: #000; --muted: #444; --rule: #bbb;
    --soft: #f3f3f3; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .scroll { overflow: visible; } h2, h3 { break-after: avoid; }
  h2 { margin-top: 1.5rem; }
  tr, .hard figure, .charts figure { break-inside: avoid; }
}
"""
