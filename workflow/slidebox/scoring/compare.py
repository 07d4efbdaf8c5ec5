"""Are two results different? Paired by image, tested by group."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import ranking, statistics
from .release import rows_of


class CannotCompare(ValueError):
    """Results of different challenges, versions, splits, truths or scorers; says which."""


@dataclass
class Comparison:
    """Two results, metric by metric and image by image.

    Attributes
    ----------
    metrics : one dict a metric: name, a, b, difference (b - a), interval of the difference, p and
        whether b is better, worse or neither.
    images : one dict an image: id, group, and each metric's a, b, difference; the primary metric's
        largest loss first.
    """

    challenge: dict[str, Any]
    split: str
    primary: str
    groups: int
    metrics: list[dict[str, Any]]
    images: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        return {
            "challenge": self.challenge, "split": self.split, "primary": self.primary,
            "groups": self.groups, "metrics": self.metrics, "images": self.images,
        }  # fmt: skip


def _read(path: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    folder = path if path.is_dir() else path.parent
    try:
        scores = json.loads((folder / "scores.json").read_text("utf-8"))
        return scores, rows_of(folder / "scores_per_image.csv")
    except (OSError, ValueError) as bad:
        raise CannotCompare(f"{path} holds no scores: {bad}") from bad


def compare(a: Path | str, b: Path | str, *, resamples: int = 10_000, seed: int = 0) -> Comparison:
    """Compare two folders of results (or their scores.json).

    The difference is b - a; its interval comes from resampling groups, its p from flipping signs of
    the groups' mean differences. Values are means over images whatever the challenge's average.

    Raises
    ------
    CannotCompare
        They aren't of one challenge, version, split, truth and scorer.
    """
    (one, rows_a), (two, rows_b) = _read(Path(a)), _read(Path(b))
    try:
        _refuse_mixed(one, two)
        return _compared(one, rows_a, rows_b, resamples, seed)
    except CannotCompare:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as bad:
        raise CannotCompare(f"scores aren't as they were written ({bad}); score again") from bad


def _refuse_mixed(one: dict[str, Any], two: dict[str, Any]) -> None:
    different = [
        name for name, x, y in (
            ("challenges", one["challenge"]["slug"], two["challenge"]["slug"]),
            ("versions", one["challenge"]["version"], two["challenge"]["version"]),
            ("splits", one["split"], two["split"]),
            ("truths", one["digests"]["labels"], two["digests"]["labels"]),
            ("settings", one["digests"]["challenge"], two["digests"]["challenge"]),
            ("scorers", one["digests"]["scorer"], two["digests"]["scorer"]),
        ) if x != y
    ]  # fmt: skip
    if different:
        raise CannotCompare(
            f"these are scores of different {', '.join(different)}; score both with one release"
        )


def _compared(
    one: dict[str, Any], rows_a: list[dict[str, str]], rows_b: list[dict[str, str]],
    resamples: int, seed: int,
) -> Comparison:  # fmt: skip
    second = {row["id"]: row for row in rows_b}
    groups = [row["group"] for row in rows_a]
    _, weights = statistics.group_weights(groups, resamples, seed)
    metrics, values = [], {}
    for name, about in one["metrics"].items():
        x = _column(rows_a, name)
        y = _column([second[row["id"]] for row in rows_a], name)
        difference = y - x
        values[name] = (x, y, difference)
        p = ranking.sign_flip_p(ranking.group_means(difference[None], groups)[0])
        mean = statistics.averages(difference, groups, "image")
        better = mean > 0 if about["direction"] == "higher" else mean < 0
        verdict = "no difference shown" if p >= 0.05 else "better" if better else "worse"
        bounds = statistics.interval(
            np.atleast_1d(statistics.averages(difference, groups, "image", weights)), 0.95
        )
        metrics.append(
            {"name": name, "a": _number(statistics.averages(x, groups, "image")),
             "b": _number(statistics.averages(y, groups, "image")), "difference": _number(mean),
             "interval": bounds, "p": p, "b_is": verdict}
        )  # fmt: skip
    sign = 1 if one["metrics"][one["primary"]]["direction"] == "higher" else -1
    order = np.argsort(np.nan_to_num(sign * values[one["primary"]][2]), kind="stable")
    images = [
        {"id": rows_a[k]["id"], "group": groups[k]}
        | {n: [_number(v[k]) for v in values[n]] for n in values}
        for k in order.tolist()
    ]
    return Comparison(
        one["challenge"], one["split"], one["primary"], len(set(groups)), metrics, images
    )


def _column(rows: list[dict[str, str]], name: str) -> np.ndarray:
    return np.array([float(row[name]) if row[name] else math.nan for row in rows])


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
