"""Checks of what images say about themselves: pure functions of plain data."""

from __future__ import annotations

from typing import Any

from ..record.model import ImageData
from .collect import Collector

SMALLEST_UM = 1e-5
LARGEST_UM = 100.0
_DPI = (72, 96, 100, 150, 200, 300, 600, 1200)


def check_series(fileset: dict[str, Any], out: Collector) -> None:
    """Emptiness and pixel sizes of the series of one fileset."""
    for one in fileset["series"]:
        if one.get("role", "image") != "image":
            continue
        at = f"series[{one['index']}]"
        if not all(one["shape"]):
            out.add(
                "IMAGE_EMPTY", f"series {one['index']} has no pixels", fileset["path"], field=at
            )
        if fileset["role"] != "image":
            continue
        sizes = one.get("pixel_size") or {}
        if not any(sizes.get(a) is not None for a in "xy"):
            out.add(
                "PIXEL_SIZE_MISSING",
                f"series {one['index']} says nothing of its pixel size",
                fileset["path"],
                field=f"{at}.pixel_size",
            )
        for axis, value in sizes.items():
            if value is None:
                continue
            dpi = next((n for n in _DPI if axis != "z" and abs(value * n / 25400 - 1) < 1e-3), None)
            if dpi or not SMALLEST_UM <= value <= LARGEST_UM:
                out.add(
                    "PIXEL_SIZE_IMPLAUSIBLE",
                    f"series {one['index']}: a pixel of {value:g} µm along {axis}"
                    + (f", which is {dpi} dots an inch, a printer's figure" if dpi else ""),
                    fileset["path"],
                    field=f"{at}.pixel_size.{axis}",
                )


def check_labels(filesets: list[dict[str, Any]], out: Collector) -> None:
    """Label images are whole numbers and as large as the image they label."""
    by_path = {f["path"]: f for f in filesets}
    for fileset in filesets:
        if fileset["role"] != "labels":
            continue
        if fileset.get("format") == "jpeg":
            out.add("LABEL_LOSSY", "labels are a JPEG, which changes numbers", fileset["path"])
        for one in fileset["series"]:
            if one["dtype"].startswith(("float", "complex")):
                out.add(
                    "LABEL_NOT_INTEGER",
                    f"series {one['index']} holds {one['dtype']}",
                    fileset["path"],
                    field=f"series[{one['index']}].dtype",
                )
            if (one.get("min") or 0) < 0:
                out.add(
                    "LABEL_NEGATIVE",
                    f"series {one['index']} holds {one['min']:g}",
                    fileset["path"],
                    field=f"series[{one['index']}]",
                )
            elif one.get("all_read") and one.get("max") == 0:
                out.add(
                    "LABEL_EMPTY",
                    f"series {one['index']} holds no object",
                    fileset["path"],
                    field=f"series[{one['index']}]",
                )
        source = by_path.get(fileset.get("source_image") or "")
        if source is None or not source["series"] or not fileset["series"]:
            continue
        for one in fileset["series"]:
            against = source["series"][min(one["index"], len(source["series"]) - 1)]
            mine, other = _sizes(one), _sizes(against)
            wrong = [
                f"{axis} {mine.get(axis, 1)} for {other.get(axis, 1)}"
                for axis in "tzyx"
                if mine.get(axis, 1) != other.get(axis, 1)
                and not (axis in "tz" and mine.get(axis, 1) == 1)
            ]
            if wrong:
                out.add(
                    "LABEL_SHAPE",
                    f"series {one['index']} has {', '.join(wrong)} of {source['path']}",
                    fileset["path"],
                    field=f"series[{one['index']}].shape",
                )


def _sizes(series: dict[str, Any]) -> dict[str, int]:
    return dict(zip(series["axes"], series["shape"], strict=True))


def images(filesets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The images of ``validation.json``: one a series; ids come when they are archived."""
    return [
        {
            "id": None,
            "path": f["path"],
            "series": s["index"],
            "name": s["name"],
            "axes": s["axes"],
            "shape": s["shape"],
            "dtype": s["dtype"],
            "pixel_size": s["pixel_size"],
            "channels": s["channels"],
            "time_step": s.get("time_step"),
            "format": f["format"],
            "role": f["role"],
            "part": f["part"],
        }
        for f in filesets
        for s in f["series"]
    ]


def image_data(filesets: list[dict[str, Any]]) -> list[ImageData]:
    """REMBI's image data module, one a part, read from the files."""
    parts: dict[str, list[tuple[dict, dict]]] = {}
    for fileset in filesets:
        for one in fileset["series"]:
            if fileset["role"] in ("image", "labels"):
                parts.setdefault(fileset["part"], []).append((fileset, one))
    out = []
    for part, members in parts.items():
        series = [s for _, s in members]
        sizes: list[dict[str, float | None]] = []
        for one in series:
            if one.get("pixel_size") and one["pixel_size"] not in sizes:
                sizes.append(one["pixel_size"])
        shapes = [s["shape"] for s in series]
        same = len({len(s) for s in shapes}) == 1
        out.append(
            ImageData(
                part=part,
                formats=sorted({f["format"] for f, _ in members if f["format"]}),
                images=len(members),
                axes=sorted({s["axes"] for s in series}),
                dtypes=sorted({s["dtype"] for s in series}),
                shape_min=[min(n) for n in zip(*shapes, strict=True)] if same else [],
                shape_max=[max(n) for n in zip(*shapes, strict=True)] if same else [],
                pixel_size=sizes[:20],
                channels=sorted(
                    {c["name"] for s in series for c in s["channels"] if c.get("name")}
                ),
            )
        )
    return out
