"""Leaderboards: entries scored when they or the scorer changed, ranked with their uncertainty.

Of hidden truth the public folder gets aggregates over all images alone; scores of images and
groups, and reports, stay under private/.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..atomic import owner, sweep, write_json
from ..findings import Finding
from ..scoring import results, run
from ..scoring.apart import Apart
from ..scoring.opening import open_release
from ..scoring.predictions import allowance
from ..scoring.release import MANIFEST, Release, sha256_file
from . import entries as entry_room
from . import versions
from .alone import alone
from .board_page import publish
from .model import Board
from .standings import rank

Progress = Callable[[str, int, int], None]
# Entries of fewer bytes are never too large
LARGEST_ENTRY = 4 << 30


@dataclass
class Leaderboards:
    """Boards that were written: by version, and what was wrong with the whole."""

    slug: str
    boards: dict[str, dict[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    scored: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "slug": self.slug,
            "versions": list(self.boards),
            "scored": self.scored,
            "findings": [f.to_dict() for f in self.findings],
        }


def leaderboard_inputs(folder: Path | str, entries: Path | str, public: Path | str) -> list[Path]:
    """Files that a leaderboard depends on: all entries', and each release's manifest."""
    slug = Path(folder).name
    found = sorted(p for p in (Path(entries) / slug).rglob("*") if p.is_file())
    return found + sorted((Path(public) / "challenges" / slug).glob("*/SHA256SUMS"))


def leaderboard(
    folder: Path | str,
    entries: Path | str,
    *,
    public: Path | str,
    private: Path | str,
    out: Path | str | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    now: datetime | None = None,
    site_name: str = "Slidebox",
) -> Leaderboards:
    """Score what changed, rank, and write ``<out>/<version>/leaderboard/`` for each release.

    Parameters
    ----------
    folder : the challenge's folder; its name is the slug.
    entries : folder of all challenges' entries: ``<entries>/<slug>/<team>/<entry>/``.
    out : default ``<public>/challenges/<slug>``.
    """
    public, private = Path(public), Path(private)
    slug = Path(folder).resolve().name
    releases = public / "challenges" / slug
    out = Path(out) if out is not None else releases
    result = Leaderboards(slug)
    known = versions.released(releases)
    if not known:
        result.findings.append(
            Finding("NOT_RELEASED", "error", f"{slug} has no release", str(releases),
                    mend="run `snakemake challenges` first")
        )  # fmt: skip
        return result
    given = list(entry_room.read_all(Path(entries) / slug))
    tell = progress or (lambda *_: None)
    with alone(private / "challenges" / slug):
        for version in known:
            mine = [g for g in given if ((g.entry and g.entry.version) or known[-1]) == version]
            release = open_release(releases / version)
            secret = private / "challenges" / slug / version
            limits = Board(**(release.challenge.get("leaderboard") or {}))
            truth = truth_state(release, secret)
            sweep(secret / "scores")  # what killed runs left
            with Apart(int(limits.memory_gb * 1e9), 60 * limits.minutes) as apart:
                scored = []
                for done, g in enumerate(mine):
                    tell(f"{slug} {version}: {g.key}", done, len(mine))
                    scored.append(
                        _score(release, g, secret, private, threads, result, apart, truth)
                    )
            board = rank(release, mine, scored, now or datetime.now(UTC))
            result.boards[version] = board
            whole = board.pop("all_groups")
            if not board["complete"]:
                write_json(secret / "leaderboard" / "leaderboard.json", whole)
            publish(board, out / version / "leaderboard", public, site_name)
    for g in given:
        wanted = g.entry.version if g.entry else None
        if wanted and wanted not in known:
            result.findings.append(
                Finding("ENTRY_VERSION", "warning", f"is for version {wanted}, which isn't "
                        "released", g.key, mend=f"released are {', '.join(known)}")
            )  # fmt: skip
    return result


def truth_state(release: Release, secret: Path) -> str:
    """Digest of the truth that entries are scored against: when it changes, all are scored anew.

    Names, sizes, times and the table of digests: read in no time, whatever the truth's size.
    """
    split = (release.hidden or release.splits)[-1]
    total = hashlib.sha256()
    roots = [secret / "truth.csv"] if split in release.hidden else [release.folder / MANIFEST]
    for path in roots:
        total.update(path.read_bytes() if path.is_file() else b"")
    private = secret if split in release.hidden and (secret / "truth.csv").is_file() else None
    for item in release.items(split, private):
        files = [item.truth] if item.truth and item.truth.is_file() else sorted(
            p for p in (item.truth.rglob("*") if item.truth else ()) if p.is_file()
        )  # fmt: skip
        for path in files:
            about = path.stat()
            total.update(f"{path.name} {about.st_size} {about.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _score(
    release: Release, given: entry_room.Given, secret: Path, private: Path, threads: int,
    result: Leaderboards, apart: Apart, truth: str,
) -> dict[str, Any]:  # fmt: skip
    """An entry's result, from the last time if nothing changed."""
    key = hashlib.sha256(given.key.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    place = secret / "scores" / key
    split = (release.hidden or release.splits)[-1]
    findings = list(given.findings)
    most = max(LARGEST_ENTRY, 4 * allowance(release.items(split)))
    try:
        digest = entry_room.digest(given, most)
    except entry_room.TooLarge as size:
        digest = f"{size} bytes"
        findings.append(
            Finding("ENTRY_TOO_LARGE", "error", f"the entry has {size} bytes; predictions of this "
                    f"split need at most {most}", mend="hand in predictions and nothing else")
        )  # fmt: skip
    state = {
        "entry": digest,
        "scorer": run.scorer_digest(),
        "challenge": sha256_file(release.folder / "challenge.yaml"),
        "truth": truth,
    }
    done = place / "result.json"
    before = json.loads(done.read_text("utf-8")) if done.is_file() else None
    if before and before["state"] == state:
        return before | {"place": str(place)}
    staging = place.with_name(f".{key}.{owner()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    scores = None
    if not findings:
        # Apart, with limits: one entry must never bring down the board
        findings, scores = apart.score(
            release.folder, given.predictions, split, staging, private, threads
        )
    data = {
        "team": given.team, "entry": given.name, "state": state, "split": split,
        "findings": [f.to_dict() for f in findings],
        "metrics": results.clean(scores["metrics"]) if scores else None,
        "history": (before or {}).get("history", []),
    }  # fmt: skip
    if before and before["metrics"] and before["state"]["entry"] == state["entry"]:
        # The same predictions with another scorer or truth: what changed is published
        data["history"] = [
            *data["history"],
            {"scorer": before["state"]["scorer"],
             "because": [k for k in state if before["state"].get(k) != state[k]],
             "metrics": {k: v["value"] for k, v in before["metrics"].items()}},
        ]  # fmt: skip
    write_json(staging / "result.json", data)
    shutil.rmtree(place, ignore_errors=True)
    staging.rename(place)
    result.scored.append(given.key)
    data["place"] = str(place)
    return data
