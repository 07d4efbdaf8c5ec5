"""Who stands where on a leaderboard: ranks with their uncertainty, phases, quotas, what failed."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ..scoring import catalog, coco, ranking, results, run, statistics, summary
from ..scoring.release import Release, rows_of
from . import entries as entry_room
from .model import Board, Phase
from .splits import order_key

# Means of these over hidden images tell how many objects there are
TELL_COUNTS = {"count_error", "splits", "merges"}
SHOWN_FINDINGS = 5


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
    tables = [rows_of(Path(s["place"]) / "scores_per_image.csv") for _, s in good]
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
            seen = rows_of(Path(made["place"]) / results.DETECTIONS)
            found = coco.from_rows(seen, [r["id"] for r in rows], settings)
        groups = [r["group"] for r in rows]
        data = columns(rows)
        pool = summary.pooling(data, [r["missing"] == "True" for r in rows], release)
        _, weights = statistics.group_weights(
            groups, settings.bootstrap.resamples, settings.bootstrap.seed
        )
        values.append(
            {
                m: float(summary.of_metric(release, m, pool, data, groups, None, found))
                for m in shown
            }
        )
        resampled.append(
            np.atleast_1d(
                summary.of_metric(release, settings.primary, pool, data, groups, weights, found)
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
