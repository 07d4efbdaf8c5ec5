"""Points (spots, centres): tables of coordinates."""

from __future__ import annotations

import csv

import numpy as np

from ..findings import Finding, has_errors
from . import points as m
from .csv_rows import opened_rows
from .instances import count_error
from .predictions import Refused, Submission, error
from .release import Item
from .settings import Settings

SHOWN = 20
MARGIN = 1.0  # pixels beyond the middle of the first and last one where a point may lie
# So many points in a corner are no chance
CROWD = 5
# As matrices are counted, in tables that have no x and y
WORDS = {"z": ("z", "plane", "slice"), "y": ("row",), "x": ("col", "column"), "t": ("t", "frame")}
UNITS = {
    "pixel": "pixel", "pixels": "pixel", "px": "pixel", "micrometer": "micrometer",
    "micrometers": "micrometer", "micron": "micrometer", "microns": "micrometer",
    "um": "micrometer", "\u00b5m": "micrometer", "\u03bcm": "micrometer",
}  # fmt: skip


def read_truth(item: Item) -> np.ndarray:
    """(N, D) true coordinates in the order of the item's axes."""
    with item.truth.open(encoding="ascii", newline="") as handle:
        rows = list(csv.DictReader(handle))
    return np.array([[float(r[a]) for a in item.axes] for r in rows]).reshape(-1, len(item.axes))


def read(item: Item, submission: Submission, settings: Settings) -> np.ndarray:
    """(N, D) coordinates of an image's table, with every problem of it."""
    problems: list[Finding] = []
    if item.id in submission.point_rows:
        rows, names, file = submission.point_rows[item.id]
    else:
        path = submission.by_id[item.id]
        file = submission.relative(path)
        with opened_rows(path, file, problems) as (names, found_rows):
            rows = list(found_rows)
    columns = columns_of(names, item.axes)
    if columns is None:
        raise Refused(
            error("POINTS_COLUMNS", f"columns are {', '.join(names) or 'missing'}", file,
                  f"write columns {', '.join(item.axes)}; of one table for all images, image too")
        )  # fmt: skip
    unit = names.get("unit") or names.get("units")
    found, more = coordinates(rows, columns, unit, item, file, settings)
    problems += more
    if has_errors(problems):
        raise Refused(*problems)
    submission.notes += problems
    return found


def columns_of(names: dict[str, str], axes: str) -> list[str] | None:
    """The table's column for each axis, or None."""
    plain = [names.get(a) for a in axes]
    if all(plain):
        return plain
    napari = [names.get(f"axis-{k}") or names.get(f"axis_{k}") for k in range(len(axes))]
    if all(napari):
        return napari
    words = [next((names[w] for w in WORDS.get(a, ()) if w in names), None) for a in axes]
    return words if all(words) else None


def coordinates(
    rows: list[tuple[int, dict]], columns: list[str], unit: str | None, item: Item, file: str,
    settings: Settings,
) -> tuple[np.ndarray, list[Finding]]:  # fmt: skip
    """Numbers of rows, and what is wrong with them: NaN, outside the image, in another unit.

    Nothing is converted: a table in another unit is an error.
    """
    if len(rows) > settings.max_objects:
        return np.zeros((0, len(columns))), [
            error("POINTS_TOO_MANY", f"{len(rows)} points; the challenge allows "
                  f"{settings.max_objects}", file, "noise taken for points?")
        ]  # fmt: skip
    problems: list[Finding] = []
    found = np.full((len(rows), len(columns)), np.nan)
    lines = np.array([line for line, _ in rows], np.int64)
    units: dict[str, int] = {}
    for k, (line, row) in enumerate(rows):
        if unit is not None:
            units.setdefault((row[unit] or "").strip(), line)
        try:
            found[k] = [float(row[c]) for c in columns]
        except (TypeError, ValueError):
            cells = ", ".join(repr((row[c] or "")[:40]) for c in columns)
            problems.append(error("POINTS_NUMBER", f"{cells} aren't all numbers", file,
                                  "write 1.5, not 1,5", line=line))  # fmt: skip
            continue
        if not np.isfinite(found[k]).all():
            problems.append(error("POINTS_NAN", "a coordinate is NaN or infinite", file,
                                  "leave such points out", line=line))  # fmt: skip
    for text, line in units.items():
        if UNITS.get(text.lower(), "") != settings.unit:
            problems.append(
                error("POINTS_UNIT", f"coordinates are in {text or 'no unit'}, the challenge's "
                      f"unit is {settings.unit}", file, f"a pixel is {_size(item)}; nothing is "
                      "converted for you", line=line, field=unit)
            )  # fmt: skip
    good = np.isfinite(found).all(1)
    scale = np.array(item.spacing if settings.unit == "micrometer" else (1.0,) * len(item.axes))
    # Centres of the first and last pixel are 0 and n - 1: an image spans -1/2 to n - 1/2. Half a
    # pixel more is let pass, as in the truth: some count from the corner, and so up to n
    low, high = -MARGIN * scale, (np.array(item.shape) - 1 + MARGIN) * scale
    outside = good & ((found < low - 1e-9) | (found > high + 1e-9)).any(1)
    if outside.any():
        mend = f"coordinates are in {settings.unit}s, {item.axes} from 0"
        pixels_fit = settings.unit == "micrometer" and bool(
            (found[good] <= np.array(item.shape)).all() and (found[outside] > 1.5 * high).any()
        )
        if pixels_fit:
            mend += f"; these look like pixels (a pixel is {_size(item)})"
        elif len(item.shape) > 1 and ((found[outside][:, ::-1] <= high) & (
            found[outside][:, ::-1] >= low)).all():  # fmt: skip
            mend += "; these look as if axes were exchanged"
        for k in np.flatnonzero(outside)[:SHOWN]:
            where = ", ".join(f"{a}={v:g}" for a, v in zip(item.axes, found[k], strict=True))
            problems.append(error("POINTS_OUTSIDE", f"{where} is outside the image", file, mend,
                                  line=int(lines[k])))  # fmt: skip
        if outside.sum() > SHOWN:
            problems.append(error("POINTS_OUTSIDE", f"{int(outside.sum()) - SHOWN} more are "
                                  "outside", file, mend))  # fmt: skip
    if problems:
        return found, problems
    return found, _doubt(found, item, file, settings, told=unit is not None)


def _size(item: Item) -> str:
    return (
        " x ".join(f"{v:g} um along {a}" for a, v in item.pixel_size.items()) or "of unknown size"
    )


def _doubt(
    found: np.ndarray, item: Item, file: str, settings: Settings, told: bool
) -> list[Finding]:
    """Many points crowded into the corner that the image would be in the other unit."""
    other = np.array(item.spacing) if settings.unit == "pixel" else 1 / np.array(item.spacing)
    span = np.array(item.shape) * (np.ones_like(other) if settings.unit == "pixel" else 1 / other)
    flat = np.array(item.shape) > 1
    if told or len(found) < CROWD or not item.pixel_size or not (other[flat] <= 0.5).all():
        return []
    if (found[:, flat] <= (span * other)[flat]).all():
        wrong = "micrometers" if settings.unit == "pixel" else "pixels"
        return [
            Finding("POINTS_UNIT_DOUBT", "warning", f"all {len(found)} points are in a corner: are "
                    f"these {wrong}?", file, mend=f"the challenge's unit is {settings.unit}; a "
                    f"pixel is {_size(item)}")
        ]  # fmt: skip
    return []


def measure(
    item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings
) -> dict[str, float]:
    """Counts of an image; they add up."""
    i, _, distance = m.match(truth, pred, settings.tolerance)
    return {
        "tp": i.size, "fp": len(pred) - i.size, "fn": len(truth) - i.size,
        "n_true": len(truth), "n_pred": len(pred), "squares": float((distance**2).sum()),
    }  # fmt: skip


def values(c: dict[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    """Metrics from counts; an image without points on both sides is valued by `both_empty`."""
    empty = {"one": 1.0, "zero": 0.0, "skip": np.nan}[settings.both_empty]
    tp, fp, fn = c["tp"], c["fp"], c["fn"]
    nothing = tp + fp + fn == 0
    return {
        "F": np.where(nothing, empty, m.f_beta(tp, fp, fn, settings.beta)),
        "precision": np.where(nothing, empty, m.precision(tp, fp)),
        "recall": np.where(nothing, empty, m.recall(tp, fn)),
        "Jaccard": np.where(nothing, empty, m.jaccard(tp, fp, fn)),
        "RMSE": m.rmse(c["squares"], tp),
        "count_error": count_error(c["n_true"], c["n_pred"]),
    }


def objects(c: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How many there are in truth and prediction of each image."""
    return c["n_true"], c["n_pred"]


def empty_prediction(item: Item) -> np.ndarray:
    return np.zeros((0, len(item.axes)))


def picture(item: Item, truth: np.ndarray, pred: np.ndarray, settings: Settings) -> np.ndarray:
    """Crosses at true, false and missed points."""
    from .overlays import draw_points

    i, j, _ = m.match(truth, pred, settings.tolerance)
    scale = np.array(item.spacing if settings.unit == "micrometer" else (1.0,) * len(item.axes))
    return draw_points(item, truth / scale, pred / scale, (i, j))
