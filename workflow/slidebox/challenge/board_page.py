"""The files of a leaderboard: JSON, a table, the page with its plot."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path
from typing import Any

from ..atomic import write_json, write_text


def safe_cell(text: Any) -> Any:
    """A CSV cell that no spreadsheet takes for a formula."""
    if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + text
    return text


def board_csv(board: dict[str, Any]) -> str:
    """The board as a table: ranked entries, then failed ones without a rank."""
    buffer = StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["rank", "team", "entry", "method", "date", "late", "phase",
                     "low", "high", "rank_low", "rank_high", "first",
                     *board["metrics"]])  # fmt: skip
    for e in board["entries"]:
        low, high = e["interval"] or ("", "")
        writer.writerow(
            [safe_cell(v) for v in (
                "late" if e["rank"] is None else e["rank"], e["team"], e["entry"], e["method"],
                e["date"], e["late"], e["phase"] or "", low, high,
                *(e["rank_interval"] or ("", "")), "" if e["first"] is None else e["first"],
                *(e["metrics"][m] if e["metrics"][m] is not None else "" for m in board["metrics"]),
            )]
        )  # fmt: skip
    for e in board["failed"]:
        writer.writerow(["failed", *(safe_cell(e[k]) for k in ("team", "entry", "method")),
                         *[""] * (8 + len(board["metrics"]))])  # fmt: skip
    return buffer.getvalue()


def publish(board: dict[str, Any], out: Path, public: Path, site_name: str) -> None:
    """Write them; when nothing but the moment changed, they stay as they are."""
    from ..catalogue import render_page

    kept = out / "leaderboard.json"
    if kept.is_file():
        old = json.loads(kept.read_text("utf-8"))
        if {**old, "made": ""} == {**board, "made": ""}:
            board["made"] = old["made"]
    write_json(kept, board)
    write_text(out / "leaderboard.csv", board_csv(board))
    render_page(
        "challenge/leaderboard.html",
        {"board": board, "section": "challenges", "chart": _chart(board)},
        out / "index.html", site_root=public, site_name=site_name,
    )  # fmt: skip


def _chart(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Positions of values and intervals along a line of 0 to 100, for the page's plot."""
    numbers = [v for e in board["entries"] for v in (e["value"], *(e["interval"] or ()))
               if v is not None]  # fmt: skip
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(100 * (value - low) / span, 2)

    return [
        {
            "label": f"{e['team']}: {e['method']}", "at": place(e["value"]),
            "low": place((e["interval"] or [e["value"]] * 2)[0]),
            "high": place((e["interval"] or [e["value"]] * 2)[1]),
            "value": e["value"],
        }
        for e in board["entries"] if e["value"] is not None
    ]  # fmt: skip
