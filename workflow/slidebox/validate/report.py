"""Reports for people: a table on the terminal, and one HTML page that can be sent by mail."""

from __future__ import annotations

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from ..atomic import write_text
from ..findings import Finding
from ..record.codes import CODES
from .run import Validation
from .tree import shown

ORDER = {"error": 0, "warning": 1, "info": 2}
_TERMINAL_CAP = 8


def _where(finding: Finding) -> str:
    where = shown(finding.file or "")
    if finding.line:
        where += f":{finding.line}"
    if finding.field:
        where += f" {finding.field}" if where else finding.field
    return where


def by_code(findings: list[Finding]) -> list[tuple[str, list[Finding]]]:
    """Findings by code, the gravest first, else in the order they came."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.severity, one.code), []).append(one)
    ordered = sorted(groups.items(), key=lambda g: ORDER[g[0][0]])
    return [(code, members) for (_, code), members in ordered]


def summary(validation: Validation) -> str:
    """One line: status, counts of findings, files, images."""
    counts = Counter(f.severity for f in validation.findings)
    said = ", ".join(
        f"{counts[s]} {s if s == 'info' else s + 's' * (counts[s] != 1)}"
        for s in ("error", "warning", "info")
        if counts[s]
    )
    return (
        f"{validation.accession}: {validation.status}; {said or 'nothing to mend'}; "
        f"{validation.files:,} files, {validation.bytes:,} bytes, {len(validation.images):,} images"
    )


def print_terminal(validation: Validation, console: Any, *, all_findings: bool = False) -> None:
    """Write all findings by code to a rich console (which leaves colours out when piped).

    Of one code the first few are shown and the rest counted, unless ``all_findings``.
    """
    from rich.text import Text

    colours = {"error": "bold red", "warning": "yellow", "info": "cyan"}
    for code, members in by_code(validation.findings):
        severity = members[0].severity
        head = Text()
        head.append(f"{severity} ", style=colours[severity])
        head.append(code, style="bold")
        if len(members) > 1:
            head.append(f" ({len(members)} times)")
        console.print(head)
        limit = len(members) if all_findings else _TERMINAL_CAP
        for i, one in enumerate(members[:limit]):
            where = _where(one)
            console.print(Text(f"  {where + ': ' if where else ''}{shown(one.message)}"))
            nxt = members[i + 1].mend if i + 1 < min(len(members), limit) else None
            if one.mend and one.mend != nxt:
                console.print(Text(f"    -> {shown(one.mend)}", style="green"))
        if len(members) > limit:
            console.print(Text(f"  ... and {len(members) - limit} more"))
    style = "bold red" if validation.status == "rejected" else "bold green"
    console.print(Text(shown(summary(validation)), style=style))


_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;
color:#1a1a1a;background:#fff}h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.status{display:inline-block;padding:.2rem .7rem;border-radius:.3rem;color:#fff;font-weight:600}
.accepted{background:#1b6e3c}.rejected{background:#a3201d}table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #ddd;
overflow-wrap:anywhere}code{font-size:.92em}details{border:1px solid #ccc;border-left-width:.4rem;
border-radius:.3rem;margin:.6rem 0;padding:.4rem .8rem}details.error{border-left-color:#a3201d}
details.warning{border-left-color:#b07800}details.info{border-left-color:#2b6ca3}
summary{cursor:pointer}.mend{color:#14532d}.dim{color:#595959}
@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}td,th{border-color:#444}
.dim{color:#aaa}.mend{color:#8fd6a8}details{border-color:#555}}
"""


def _text(value: Any) -> str:
    return escape(shown(str(value)))


def html(validation: Validation, *, title: str = "Validation report") -> str:
    """A self-contained page: no script, nothing loaded, everything escaped."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        '<meta name=viewport content="width=device-width,initial-scale=1">',
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\">",
        f"<title>{_text(validation.accession)}: {validation.status}</title>",
        f"<style>{_STYLE}</style>",
        f"<h1>{_text(title)}: {_text(validation.accession)} "
        f'<span class="status {validation.status}">{validation.status}</span></h1>',
    ]
    if validation.record and validation.record.title:
        parts.append(f"<p>{_text(validation.record.title)}</p>")
    parts.append(f"<p class=dim>{_text(summary(validation))}</p>")
    headings = {
        "error": "Must be mended",
        "warning": "Please look at",
        "info": "Good to know",
    }
    last = None
    for code, members in by_code(validation.findings):
        severity = members[0].severity
        if severity != last:
            parts.append(f"<h2>{headings[severity]}</h2>")
            last = severity
        meaning = CODES[code].meaning if code in CODES else ""
        open_ = " open" if severity == "error" or len(members) <= 5 else ""
        parts.append(
            f"<details class={severity}{open_}><summary><b><code>{escape(code)}</code></b> "
            f"({len(members)}) {escape(meaning)}</summary><table>"
            "<tr><th>Where<th>What<th>How to mend it"
        )
        for one in members:
            parts.append(
                f"<tr><td><code>{_text(_where(one))}</code><td>{_text(one.message)}"
                f"<td class=mend>{_text(one.mend or '')}"
            )
        parts.append("</table></details>")
    if not validation.findings:
        parts.append("<p>Nothing to mend.</p>")
    if validation.waived:
        parts.append(
            "<h2>Set by the archive or waived by a curator</h2>"
            "<table><tr><th>Code<th>Where<th>Set to<th>Reason"
        )
        for one in validation.waived:
            parts.append(
                f"<tr><td><code>{_text(one['code'])}</code><td>{_text(one.get('file') or '')}"
                f"<td>{_text(one['set_to'])}<td>{_text(one['reason'])}"
            )
        parts.append("</table>")
    if validation.images:
        parts.append(
            "<h2>Images</h2><table><tr><th>File<th>Series<th>Axes<th>Shape<th>Type"
            "<th>Pixel size (µm)<th>Channels"
        )
        for one in validation.images[:500]:
            sizes = one["pixel_size"] or {}
            sizes = ", ".join(f"{a} {v:.4g}" for a, v in sizes.items() if v is not None)
            names = ", ".join(c.get("name") or "?" for c in one["channels"][:8])
            parts.append(
                f"<tr><td>{_text(one['path'])}<td>{_text(one['series'])} {_text(one['name'] or '')}"
                f"<td>{_text(one['axes'])}<td>{' × '.join(map(str, one['shape']))}"
                f"<td>{_text(one['dtype'])}<td>{_text(sizes)}<td>{_text(names)}"
            )
        parts.append("</table>")
        if len(validation.images) > 500:
            parts.append(f"<p class=dim>and {len(validation.images) - 500:,} more</p>")
    return "\n".join(parts) + "</html>\n"


def write_html(validation: Validation, path: Path | str) -> None:
    """Write the page atomically."""
    write_text(path, html(validation))
