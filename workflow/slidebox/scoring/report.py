"""The report a participant opens: numbers, distributions, worst images first, pictures."""

from __future__ import annotations

from html import escape
from typing import Any

from .overlays import CAPTIONS, LEGENDS, OBJECTS

STYLE = """
:root{color-scheme:light dark;--line:#8884;--dim:#777;--accent:#0072b2}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:72rem;padding:1.5rem}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.2rem;margin:2rem 0 .6rem}
p.dim,.dim{color:var(--dim)}table{border-collapse:collapse;width:100%}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left}
td.n,th.n{white-space:nowrap;text-align:right;font-variant-numeric:tabular-nums}
tr.primary td{font-weight:650}.scroll{overflow-x:auto}
figure{display:inline-block;margin:0 1rem 1.2rem 0;vertical-align:top;width:20rem;max-width:100%}
figure img{width:100%;max-height:30rem;object-fit:contain;object-position:0 0;
image-rendering:pixelated;border-radius:4px;display:block}
figcaption{font-size:.85rem;overflow-wrap:anywhere}
.key{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .3em 0 .9em}
svg{max-width:100%;height:auto}code{font-size:.85em;overflow-wrap:anywhere}
"""


def number(value: float | None, digits: int = 4) -> str:
    """A number for people; a dash where it isn't defined."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.{digits}f}" if abs(value) < 1e5 else f"{value:.4g}"


def histogram(values: list[float], label: str, bins: int = 20) -> str:
    """An SVG histogram of values; spoken by its title."""
    values = [v for v in values if v is not None]
    if not values:
        return ""
    low, high = min(values), max(values)
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    span = (high - low) or 1.0
    counts = [0] * bins
    for v in values:
        counts[min(int((v - low) / span * bins), bins - 1)] += 1
    top, width, height = max(counts), 560, 150
    step = width / bins
    bars = "".join(
        f'<rect x="{30 + k * step:.1f}" y="{10 + height * (1 - c / top):.1f}" '
        f'width="{step - 2:.1f}" height="{height * c / top:.1f}" fill="var(--accent)">'
        f"<title>{low + span * k / bins:.3g} to {low + span * (k + 1) / bins:.3g}: {c}"
        "</title></rect>"
        for k, c in enumerate(counts)
    )
    text = 'font-size="12" fill="currentColor"'
    return (
        f'<svg viewBox="0 0 620 200" width="620" role="img" aria-label="{escape(label)} of '
        f'{len(values)} images, {number(min(values))} to {number(max(values))}">'
        f'<text x="26" y="20" text-anchor="end" {text}>{top}</text>'
        f'<line x1="30" x2="590" y1="160" y2="160" stroke="currentColor"/>{bars}'
        f'<text x="30" y="178" {text}>{number(low, 2)}</text>'
        f'<text x="590" y="178" text-anchor="end" {text}>{number(high, 2)}</text>'
        f'<text x="310" y="194" text-anchor="middle" {text}>{escape(label)}, images</text></svg>'
    )


def report_html(
    scores: dict[str, Any], rows: list[dict[str, Any]], pictures: dict[str, str], primary: Any
) -> str:
    """The page; `rows` are images, worst first, `pictures` their overlays' addresses."""
    challenge = scores["challenge"]
    shown = list(scores["metrics"])
    head = scores["metrics"][primary.name]
    interval = head["interval"]
    metric_rows = "".join(
        f'<tr class="{"primary" if name == primary.name else ""}"><td>{escape(name)}</td>'
        f'<td class="n">{number(m["value"])}</td><td class="n">'
        + (f"{number(m['interval'][0])} – {number(m['interval'][1])}" if m["interval"] else "–")
        + f"</td><td>{escape(m['direction'])} is better</td><td>{escape(m['unit'])}</td>"
        f"<td>{escape(m['what'])}</td></tr>"
        for name, m in scores["metrics"].items()
    )
    image_rows = "".join(
        f"<tr><td>{escape(row['id'])}{' (missing)' if row['missing'] else ''}</td>"
        f"<td>{escape(row['group'])}</td>"
        + "".join(f'<td class="n">{number(row[name])}</td>' for name in shown)
        + "</tr>"
        for row in rows
    )
    group_rows = "".join(
        f'<tr><td>{escape(g["group"])}</td><td class="n">{g["images"]}</td>'
        + "".join(f'<td class="n">{number(g[name])}</td>' for name in shown)
        + "</tr>"
        for g in scores["per_group"]
    )
    columns = "".join(f'<th class="n">{escape(name)}</th>' for name in shown)
    figures = "".join(
        f'<figure><img src="{escape(pictures[row["id"]], quote=True)}" loading="lazy" '
        f'alt="{escape(row["id"], quote=True)}: what is true, false and missed">'
        f"<figcaption>{escape(row['id'])}<br>{escape(primary.name)} {number(row[primary.name])}"
        "</figcaption></figure>"
        for row in rows
        if row["id"] in pictures
    )
    legend = "".join(
        f'<span class="key" style="background:rgb{colour}"></span>{escape(name)}'
        for name, colour in LEGENDS.get(challenge["task"], OBJECTS)
    )
    legend += escape(CAPTIONS.get(challenge["task"], ""))
    notes = "".join(
        f"<li>{escape(f['severity'])} <code>{escape(f['code'])}</code> "
        f"{escape(f['file'] or '')}: {escape(f['message'])}</li>"
        for f in scores["findings"]
    )
    digests = "".join(
        f"<tr><td>{escape(k)}</td><td><code>{v}</code></td></tr>"
        for k, v in scores["digests"].items()
    )
    confidence = round(100 * scores["bootstrap"]["confidence"])
    band = (
        f", {confidence} % interval {number(interval[0])} – {number(interval[1])}"
        if interval
        else ""
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(challenge["title"] or challenge["slug"])}: scores</title>
<style>{STYLE}</style></head>
<body><main>
<h1>{escape(challenge["title"] or challenge["slug"])}</h1>
<p class="dim">Version {escape(challenge["version"])}, split {escape(scores["split"])},
{scores["images"]} images in {scores["groups"]} groups, {len(scores["missing"])} missing</p>
<p><strong>{escape(primary.name)} = {number(head["value"])}</strong>{band}
({escape(primary.direction)} is better)</p>
{histogram([row[primary.name] for row in rows], primary.name)}
<h2>Metrics</h2>
<p class="dim">Intervals: {scores["bootstrap"]["resamples"]} resamples of whole groups. Average:
{escape(scores["average"])}.</p>
<div class="scroll"><table><thead><tr><th>Metric</th><th class="n">Value</th>
<th class="n">{confidence} % interval</th><th>Direction</th><th>Unit</th><th>What</th></tr></thead>
<tbody>{metric_rows}</tbody></table></div>
{f"<h2>Findings</h2><ul>{notes}</ul>" if notes else ""}
{f"<h2>Pictures, worst first</h2><p>{legend}</p>{figures}" if figures else ""}
<h2>Images, worst first</h2>
<div class="scroll"><table><thead><tr><th>Image</th><th>Group</th>{columns}</tr></thead>
<tbody>{image_rows}</tbody></table></div>
<h2>Groups</h2>
<div class="scroll"><table><thead><tr><th>Group</th><th class="n">Images</th>{columns}</tr></thead>
<tbody>{group_rows}</tbody></table></div>
<h2>Digests</h2>
<p class="dim">sha256; the same digests and the same scorer give the same scores.</p>
<div class="scroll"><table><tbody>{digests}</tbody></table></div>
</main></body></html>
"""
