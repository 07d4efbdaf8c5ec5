"""A CodaBench competition bundle.

docs.codabench.org, "Competition Bundle Structure" and "Yaml Structure" (version 2).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...atomic import write_json, write_text
from ...scoring.opening import open_release
from ...scoring.overlays import write_png
from ...scoring.release import Release
from .. import describe
from . import parts

LONGEST_KEY = 36  # of a column at CodaBench


def codabench(
    release: Path | str, out: Path | str, private: Path | None = None, split: str | None = None
) -> Path:
    """Write a CodaBench competition bundle: ``<out>/<slug>-<version>-codabench.zip``.

    Raises
    ------
    NotARelease
        The release, its split or the hidden truth isn't there.
    FileExistsError
        There is such a bundle.
    """
    opened, out = open_release(release), Path(out)
    chosen = parts.split_of(opened, split)
    target = out / f"{opened.slug}-{opened.version}-codabench.zip"
    with parts.workplace(target) as work:
        bundle = work / "bundle"
        bundle.mkdir(parents=True)
        parts.reference(opened, chosen, private, work / "reference")
        parts.program(opened, work / "program", "codabench", "run.py")
        columns = _columns(opened)
        write_json(
            work / "program" / "columns.json",
            {m.name: c["key"] for m, c in zip(parts.metrics(opened), columns, strict=True)},
        )
        write_text(
            work / "program" / "metadata.yaml", "command: python3 run.py /app/input /app/output\n"
        )
        parts.zip_folder(work / "program", bundle / "scoring_program.zip")
        parts.zip_folder(work / "reference", bundle / "reference_data.zip")
        challenge = opened.challenge
        write_text(bundle / "overview.md", _page(opened))
        write_text(bundle / "evaluation.md", f"# Evaluation\n\n{_metrics(opened)}")
        write_text(
            bundle / "terms.md",
            f"# Terms\n\nImages are published under {challenge['license']}; each image's own "
            "licence and attribution stand in splits.csv of the release.\n",
        )
        write_png(bundle / "logo.png", _logo())
        text = yaml.safe_dump(_competition(opened, chosen, columns), sort_keys=False)
        write_text(bundle / "competition.yaml", text)
        out.mkdir(parents=True, exist_ok=True)
        parts.zip_folder(bundle, work / target.name)
        (work / target.name).rename(target)
    return target


def _columns(release: Release) -> list[dict[str, Any]]:
    """Columns of the leaderboard, the primary metric first; keys as CodaBench wants them."""
    return [
        {"title": _short(m.name), "key": _short(f"m{k}_{m.name}"), "index": k,
         "sorting": "desc" if m.higher else "asc", "precision": 4}
        for k, m in enumerate(parts.metrics(release))
    ]  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_KEY else name[: LONGEST_KEY - 1] + "…"


def _competition(release: Release, split: str, columns: list[dict[str, Any]]) -> dict[str, Any]:
    challenge = release.challenge
    board = challenge.get("leaderboard") or {}
    given = board.get("phases") or [{"name": "open"}]
    times = [
        [datetime.fromisoformat(p[key]) if p.get(key) else None for key in ("begin", "end")]
        for p in given
    ]
    phases = []
    for index, (phase, (begin, end)) in enumerate(zip(given, times, strict=True)):
        begin = begin or datetime(2020, 1, 1, tzinfo=UTC)
        after = times[index + 1][0] if index + 1 < len(times) else None
        if after is not None and (end is None or end >= after):
            end = after - timedelta(seconds=1)  # the host refuses phases that touch
        entry = {
            "index": index, "name": phase["name"], "description": f"Predict split {split}.",
            "start": _time(begin), "tasks": [0], "execution_time_limit": 3600,
            # What was wrong is told on stderr; scores of single images aren't written
            "hide_output": False, "accepts_only_result_submissions": True,
        }  # fmt: skip
        if end is not None:
            entry["end"] = _time(end)
        if phase.get("quota"):
            entry["max_submissions"] = phase["quota"]
        phases.append(entry)
    people = challenge["organisers"]
    return {
        "version": "2",
        "title": challenge["title"],
        "description": challenge["description"].strip(),
        "image": "logo.png",
        "terms": "terms.md",
        "registration_auto_approve": False,
        "docker_image": parts.PYTHON,
        "enable_detailed_results": False,
        "contact_email": next((p["email"] for p in people if p.get("email")), ""),
        "pages": [
            {"title": "Overview", "file": "overview.md"},
            {"title": "Evaluation", "file": "evaluation.md"},
        ],
        "tasks": [
            {"index": 0, "name": f"{challenge['title']}: {split}",
             "description": challenge["description"].strip(),
             "scoring_program": "scoring_program.zip", "reference_data": "reference_data.zip"}
        ],
        "phases": phases,
        "leaderboards": [
            {"title": "Results", "key": "main", "submission_rule": "Force_Best", "columns": columns}
        ],
    }  # fmt: skip


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _page(release: Release) -> str:
    text = describe.LAYOUT[release.task]
    return (
        f"# {release.challenge['title']}\n\n{release.challenge['description'].strip()}\n\n"
        f"Version {release.version}. Images and the scorer are in the release. Submit a ZIP that "
        f"holds, for each id of the split in `splits.csv`, {text}. Check it first: "
        "`uv run score.py predictions/ --check`. No file in it may be named `metadata` or "
        "`metadata.yaml`: the host takes that for a program's.\n"
    )


def _metrics(release: Release) -> str:
    rows = "\n".join(
        f"| {m.name.replace('|', '/')} | {m.what.replace('|', '/')} | {m.direction} is better |"
        for m in parts.metrics(release)
    )
    head = f"{release.settings.primary} ranks.\n\n| metric | what | direction |\n|---|---|---|"
    return f"{head}\n{rows}\n"


def _logo() -> np.ndarray:
    """Three discs: (y, x, 3) uint8."""
    y, x = np.mgrid[:256, :256]
    picture = np.full((256, 256, 3), 24, np.uint8)
    for cy, cx, r, colour in ((90, 90, 52, (0, 158, 115)), (150, 165, 60, (86, 180, 233)),
                              (190, 70, 34, (230, 159, 0))):  # fmt: skip
        picture[np.hypot(y - cy, x - cx) < r] = colour
    return picture
