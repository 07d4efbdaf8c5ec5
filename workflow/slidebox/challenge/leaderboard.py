"""Leaderboards: entries scored when they or the scorer changed, ranked with their uncertainty.

Of hidden truth the public folder gets aggregates over all images alone; scores of images and
groups, and reports, stay under private/.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import write_json, write_text
from ..findings import Finding
from ..scoring import catalog, coco, ranking, results, run, statistics
from ..scoring.apart import Apart
from ..scoring.opening import open_release
from ..scoring.predictions import allowance
from ..scoring.release import MANIFEST, Release, sha256_file
from . import entries as entry_room
from . import versions
from .model import Board, Phase
from .splits import order_key

Progress = Callable[[str, int, int], None]
# Means of these over hidden images tell how many objects there are
TELL_COUNTS = {"count_error", "splits", "merges"}
SHOWN_FINDINGS = 5
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
    for version in known:
        mine = [g for g in given if ((g.entry and g.entry.version) or known[-1]) == version]
        release = open_release(releases / version)
        secret = private / "challenges" / slug / version
        limits = Board(**(release.challenge.get("leaderboard") or {}))
        truth = truth_state(release, secret)
        with Apart(int(limits.memory_gb * 1e9), 60 * limits.minutes) as apart:
            scored = []
            for done, g in enumerate(mine):
                tell(f"{slug} {version}: {g.key}", done, len(mine))
                scored.append(_score(release, g, secret, private, threads, result, apart, truth))
        board = rank(release, mine, scored, now or datetime.now(UTC))
        result.boards[version] = board
        whole = board.pop("all_groups")
        if not board["complete"]:
            write_json(secret / "leaderboard" / "leaderboard.json", whole)
        _publish(board, out / version / "leaderboard", public, site_name)
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
    staging = place.with_name(f".{key}.tmp")
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


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def columns(rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
    """Numeric columns of scores_per_image.csv; empty cells are nan."""
    text = ("id", "group", "missing")
    return {
        name: np.array([float(r[name]) if r[name] != "" else math.nan for r in rows])
        for name in (rows[0] if rows else ()) if name not in text
    }  # fmt: skip


class MixedVersions(ValueError):
    """Scores of different challenges, truths or scorers, which can't be ranked together."""


def same_version(states: list[dict[str, str]]) -> None:
    """Refuse to rank results that were not made with one challenge, truth and scorer."""
    for what in ("challenge", "truth", "scorer"):
        if len({state.get(what) for state in states}) > 1:
            raise MixedVersions(f"scores made with different versions of the {what} aren't ranked")


def public_groups(board: Board, groups: list[str], slug: str) -> set[str]:
    """Groups of the hidden split that the public board is made from: fixed by their names."""
    names = sorted(set(groups), key=lambda g: order_key(0, f"{slug}\0{g}"))
    return set(names[: max(1, round(board.public_share * len(names)))])


def rank(
    release: Release, given: list[entry_room.Given], scored: list[dict], now: datetime
) -> dict[str, Any]:
    """The board as plain data: ranked entries, failed ones, pairwise tests."""
    settings = release.settings
    board = Board(**(release.challenge.get("leaderboard") or {}))
    metric = catalog.lookup(release.task, settings.primary, settings)
    split = (release.hidden or release.splits)[-1]
    hidden = split in release.hidden
    good = [(g, s) for g, s in zip(given, scored, strict=True) if s["metrics"]]
    same_version([s["state"] for _, s in good])
    marks = _phases([g for g, _ in good], board.phases)
    beyond = [g for g, _ in good if marks[g.key]["over_quota"]]
    good = [(g, s) for g, s in good if not marks[g.key]["over_quota"]]
    tables = [read_rows(Path(s["place"]) / "scores_per_image.csv") for _, s in good]
    out: dict[str, Any] = {
        "slug": release.slug, "version": release.version,
        "title": release.challenge.get("title", ""), "task": release.task,
        "split": split, "hidden": hidden, "primary": settings.primary,
        "direction": metric.direction, "unit": metric.unit, "what": metric.what,
        "metrics": [m for m in settings.metrics if not (hidden and m in TELL_COUNTS)],
        "average": settings.average, "confidence": settings.bootstrap.confidence,
        "resamples": settings.bootstrap.resamples,
        "scorer": run.scorer_digest(), "complete": board.public_share >= 1 or board.reveal_all,
        "phases": [p.model_dump(mode="json") for p in board.phases],
        "made": now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }  # fmt: skip
    everything = _ranked(release, metric, good, tables, None, out["metrics"], marks)
    shown = everything
    if not out["complete"] and tables:
        groups = public_groups(board, [r["group"] for r in tables[0]], release.slug)
        shown = _ranked(release, metric, good, tables, groups, out["metrics"], marks)
    failed = [
        {
            "team": g.team, "entry": g.name, "method": g.entry.method if g.entry else "",
            "reasons": [
                {"code": f["code"], "message": f["message"], "mend": f["mend"]}
                for f in s["findings"] if f["severity"] == "error"
            ][:SHOWN_FINDINGS],
            "problems": sum(f["severity"] == "error" for f in s["findings"]),
        }
        for g, s in zip(given, scored, strict=True) if not s["metrics"]
    ]  # fmt: skip
    failed += [_over_quota(g, marks[g.key]["phase"]) for g in beyond]
    return out | shown | {"failed": failed, "all_groups": out | everything | {"failed": failed}}


def _ranked(
    release: Release, metric: catalog.Metric, good: list, tables: list[list[dict]],
    only: set[str] | None, shown: list[str], marks: dict[str, dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """Entries with their values; those in time have a rank, late ones come after them without."""
    if not good:
        return {"entries": [], "pairs": [], "groups": 0, "images": 0}
    settings = release.settings
    values, resampled, by_image = [], [], []
    groups: list[str] = []
    for (_, made), table in zip(good, tables, strict=True):
        rows = [r for r in table if only is None or r["group"] in only]
        found = None
        if coco.wanted(settings):
            seen = read_rows(Path(made["place"]) / results.DETECTIONS)
            found = coco.from_rows(seen, [r["id"] for r in rows], settings)
        groups = [r["group"] for r in rows]
        data = columns(rows)
        pool = run.pooling(data, [r["missing"] == "True" for r in rows], release)
        _, weights = statistics.group_weights(
            groups, settings.bootstrap.resamples, settings.bootstrap.seed
        )
        values.append(
            {m: float(run.of_metric(release, m, pool, data, groups, None, found)) for m in shown}
        )
        resampled.append(
            np.atleast_1d(
                run.of_metric(release, settings.primary, pool, data, groups, weights, found)
            )
            if settings.bootstrap.resamples else np.array([math.nan])
        )  # fmt: skip
        by_image.append(data[settings.primary])
    primary = np.array([v[settings.primary] for v in values])
    late = [k for k in range(len(good)) if marks[good[k][0].key]["late"]]
    inside = [k for k in range(len(good)) if k not in late]
    means = ranking.group_means(np.stack(by_image), groups)
    standing: dict[int, dict[str, Any]] = {}
    if inside:
        position = ranking.ranks(primary[inside], metric.higher)
        spread = ranking.ranks(np.stack([resampled[k] for k in inside]), metric.higher)
        bounds = ranking.rank_interval(spread, settings.bootstrap.confidence)
        first = ranking.first_probability(spread)
        for at, k in enumerate(inside):
            standing[k] = {
                "rank": int(position[at]), "rank_interval": [int(v) for v in bounds[at]],
                "first": float(first[at]),
            }  # fmt: skip
    inside.sort(key=lambda k: (standing[k]["rank"], good[k][0].key))
    order = inside + sorted(late, key=lambda k: good[k][0].key)
    unranked = {"rank": None, "rank_interval": None, "first": None}
    pairs = [(a, b) for i, a in enumerate(inside) for b in inside[i + 1 :]]
    p = np.array([ranking.sign_flip_p(means[a] - means[b]) for a, b in pairs])
    corrected = ranking.holm(p) if p.size else p
    listed = []
    for k in order:
        g, s = good[k]
        interval = statistics.interval(resampled[k], settings.bootstrap.confidence)
        listed.append(
            {
                **standing.get(k, unranked), "team": g.team, "entry": g.name,
                "method": g.entry.method, "authors": g.entry.authors, "code": g.entry.code,
                "paper": g.entry.paper, "description": g.entry.description,
                "date": g.entry.date.isoformat().replace("+00:00", "Z"),
                "value": results.clean(values[k][settings.primary]), "interval": interval,
                "metrics": results.clean(values[k]),
                "missing": sum(r["missing"] == "True" for r in tables[k]),
                "late": marks[g.key]["late"], "phase": marks[g.key]["phase"],
                "rescored": [
                    {"scorer": h["scorer"], "because": h.get("because", ["scorer"]),
                     "value": h["metrics"].get(settings.primary),
                     "difference": _difference(values[k], h["metrics"])}
                    for h in s["history"]
                ],
            }
        )  # fmt: skip
    return {
        "entries": listed,
        "groups": len(set(groups)),
        "images": len(groups),
        "pairs": [
            {"a": good[a][0].key, "b": good[b][0].key, "p": float(q), "holm": float(c)}
            for (a, b), q, c in zip(pairs, p, corrected, strict=True)
        ],
    }


def _difference(now: dict[str, float], before: dict[str, Any]) -> dict[str, float]:
    """Now minus before, of the metrics that both have."""
    return {
        m: float(v - before[m]) for m, v in now.items()
        if before.get(m) is not None and math.isfinite(v)
    }  # fmt: skip


def _phases(scored: list[entry_room.Given], phases: list[Phase]) -> dict[str, dict[str, Any]]:
    """Of each entry that was scored: its phase, and whether it's late or beyond its team's quota.

    The first count; entries that failed don't use up a quota.
    """
    marks: dict[str, dict[str, Any]] = {}
    used: dict[tuple[str, str], int] = {}
    for given in sorted(scored, key=lambda g: (g.entry.date, g.name)):
        moment = given.entry.date
        phase = next(
            (p for p in phases
             if (p.begin is None or p.begin <= moment) and (p.end is None or moment < p.end)),
            None,
        )  # fmt: skip
        over = False
        if phase is not None:
            count = used[given.team, phase.name] = used.get((given.team, phase.name), 0) + 1
            over = phase.quota is not None and count > phase.quota
        marks[given.key] = {
            "late": bool(phases) and phase is None, "phase": phase and phase.name,
            "over_quota": over,
        }  # fmt: skip
    return marks


def _over_quota(given: entry_room.Given, phase: str) -> dict[str, Any]:
    """An entry beyond its team's quota, as it is listed: without a value, which would be one more
    look at the hidden truth."""
    message = f"the team's quota of phase {phase} was used up by earlier entries"
    return {
        "team": given.team, "entry": given.name, "method": given.entry.method, "problems": 1,
        "reasons": [{"code": "OVER_QUOTA", "message": message,
                     "mend": "withdraw an earlier entry or wait for the next phase"}],
    }  # fmt: skip


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


def _publish(board: dict[str, Any], out: Path, public: Path, site_name: str) -> None:
    from ..catalogue import render_page

    # When nothing but the moment changed, the files stay as they are
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
