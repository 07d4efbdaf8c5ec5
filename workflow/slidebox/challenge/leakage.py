"""Leakage: nothing that is in one split may be seen in another."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np
import tifffile

from ..atomic import write_text
from ..findings import Finding
from ..scoring.overlays import write_png
from . import keypoints, similar
from .fields import same_field
from .pixels import Source, released_image
from .writer import Writer

PICTURES = 200
# Of a refused release; of one that stands (all pairs waived) without .refused
PLACE = "private/challenges/{c.slug}/{c.version}.refused/leakage/report.html"
# Planes of a stack or time-lapse that are looked at, evenly spread: more when there are few of them
PLANES, MOST_PLANES, PREVIEWS = 8, 64, 4000
CHANNELS = 4  # looked at one by one: the same field may come in another stain


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Pairs of images in two splits: the same bytes, pixels, field or view; and groups that cross.

    A pair that a waiver names is reported as info, with the reason. Every pair found is shown in
    the private folder's ``leakage/report.html``: it is for the organiser.
    """
    findings = _groups(writer)
    waivers = writer.challenge.leakage.waivers
    used: set[frozenset] = set()
    number, shown = 0, []
    for a, b, what, picture in _pairs(writer, tell):
        key = frozenset((a["id"], b["id"]))
        if key in used:
            continue
        used.add(key)
        waiver = next((w for w in waivers if w.covers(a["id"], b["id"])), None)
        where = ""
        if number < PICTURES:
            number += 1
            name = f"{a['id']}~{b['id']}.png"
            write_png(writer.hidden / "leakage" / name, picture())
            shown.append((a, b, what, name, waiver))
            where = f"; see {PLACE.format(c=writer.challenge)}"
        text = f"{a['id']} ({a['split']}) and {b['id']} ({b['split']}) {what}"
        if waiver is not None:
            findings.append(
                Finding("LEAKAGE_WAIVED", "info", f"{text}: {waiver.reason}", a["source"],
                        field="leakage.waivers")
            )  # fmt: skip
        else:
            findings.append(
                Finding("LEAKAGE", "error", text + where, f"{a['accession']}/{a['source']}",
                        field="leakage", mend="put both into one group, leave one out, or waive "
                        "the pair with a reason")
            )  # fmt: skip
    if shown:
        write_text(writer.hidden / "leakage" / "report.html", report(writer, shown, len(used)))
    known = [row["id"] for row in writer.rows]
    for waiver in waivers:
        if not all(any(fnmatchcase(i, glob) for i in known) for glob in waiver.images):
            findings.append(
                Finding("WAIVER_UNKNOWN", "warning", f"waives {sorted(waiver.images)}, which "
                        "aren't both in this challenge", "challenge.yaml", field="leakage.waivers")
            )  # fmt: skip
    return findings


def _groups(writer: Writer) -> list[Finding]:
    splits: dict[str, set[str]] = {}
    for row in writer.rows:
        splits.setdefault(row["group"], set()).add(row["split"])
    return [
        Finding("GROUP_CROSSES", "error", f"group {name!r} is in {sorted(found)}",
                "challenge.yaml", field="splits.group_by")
        for name, found in sorted(splits.items()) if len(found) > 1
    ]  # fmt: skip


def _pairs(writer: Writer, tell) -> Iterator[tuple[dict, dict, str, Callable]]:
    """(row, row, what is the matter, a function that draws it) of images in two splits."""
    rows = writer.rows
    source = {p.id: p for p in writer.pairs}
    for what, key in (
        # Tiles of one file are told apart by their pixels alone
        ("are the same file", lambda r: "" if r["box"] else r["series"] + " "
         + source[r["id"]].study.sha256(source[r["id"]].image)),
        ("have the same pixels", lambda r: r["pixels_sha256"]),
    ):  # fmt: skip
        seen: dict[str, list[dict]] = {}
        for row in rows:
            if digest := key(row):
                seen.setdefault(digest, []).append(row)
        for same in seen.values():
            for k, a in enumerate(same):
                for b in same[k + 1 :]:
                    if a["split"] != b["split"]:
                        yield a, b, what, lambda a=a, b=b: _plain(writer, a, b)
    by_id = {row["id"]: row for row in rows}
    for one, two, what in same_field(writer.pairs, writer.split_of):
        a, b = by_id[one], by_id[two]
        yield a, b, what, lambda a=a, b=b: _plain(writer, a, b)
    # One decision for previews and search, by the planes that are looked at
    stacks = sum(_outer(row) > 1 for row in rows)
    most = max(PLANES, min(MOST_PLANES, PREVIEWS // max(1, stacks)))
    many = sum(min(most, _outer(row)) for row in rows) > keypoints.MANY
    done = 0

    def look(row: dict) -> list[similar.Features]:
        nonlocal done
        made = [similar.features(p, many=many) for p in planes(writer.staging / row["image"], most)]
        done += 1
        tell("looking for leakage", done, len(rows))
        return made

    found, owner = [], []
    with ThreadPoolExecutor(writer.threads) as pool:
        for row, made in zip(rows, pool.map(look, rows), strict=True):
            found += made
            owner += [row] * len(made)
    order = {name: k for k, name in enumerate(writer.challenge.splits.rules)}
    labels = [order[row["split"]] for row in owner]
    for match in similar.find(found, labels, writer.threads, many=many):
        a, b = owner[match.a], owner[match.b]
        how = "mirrored, " * match.mirrored + "inverted, " * match.inverted
        scale = match.scale * found[match.a].scale / found[match.b].scale
        places = f"{match.inliers} places agree" if match.inliers else "in the same place"
        places = "once it is moved" if match.shifted else places
        what = (
            f"show the same ({how}scale {scale:.2f}, correlation {match.correlation:.2f}, {places})"
        )
        one, two = found[match.a].preview, found[match.b].preview
        yield a, b, what, lambda p=one, q=two, m=match.matrix: side_by_side(p, q, m)


def _outer(row: dict) -> int:
    """Planes of a stack or time-lapse, channels aside."""
    return math.prod(map(int, row["shape"].split("x")[:-2]))


def _plain(writer: Writer, a: dict, b: dict) -> np.ndarray:
    one, two = (
        keypoints.preview(next(planes(writer.staging / row["image"]))) for row in (a, b)
    )  # fmt: skip
    return side_by_side(one, two, np.eye(2, 3, dtype=np.float32))


def planes(path: Path, most: int = PLANES) -> Iterator[np.ndarray]:
    """(y, x) planes of a released image that stand for it: up to `most` of a stack or time-lapse,
    and the brightest of all depths, in each of up to CHANNELS channels; colours are averaged."""
    if path.is_dir() and path.suffix != ".zarr":
        for name in _spread(sorted(path.glob("t*.tif")), most):
            frame = tifffile.imread(name)
            stack = frame.reshape(-1, *frame.shape[-2:])
            yield stack[len(stack) // 2]
        return
    with released_image(path) as image:
        if image.rgb:
            yield np.mean(list(image.planes()), 0)
            return
        sizes = dict(zip(image.axes[:-2], image.shape[:-2], strict=True))
        ranges = [
            _spread(list(range(n)), CHANNELS if axis == "c" else most)
            for axis, n in sizes.items()
        ]  # fmt: skip
        for index in _spread(list(itertools.product(*ranges)), most * CHANNELS):
            yield image.read(index)
        if sizes.get("z", 1) > 1:
            yield from _projections(image, sizes)


def _projections(image: Source, sizes: dict[str, int]) -> Iterator[np.ndarray]:
    """The brightest of all depths, at the middle time, of each channel that is looked at."""
    at = {axis: [n // 2] for axis, n in sizes.items()}
    for channel in _spread(list(range(sizes.get("c", 1))), CHANNELS):
        at["c"], at["z"] = [channel], range(sizes["z"])
        brightest = None
        for index in itertools.product(*(at[axis] for axis in sizes)):
            plane = image.read(index)
            brightest = plane if brightest is None else np.maximum(brightest, plane)
        yield brightest


def _spread(items: list, most: int) -> list:
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def side_by_side(one: np.ndarray, two: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Two previews, and the second laid over the first (red and cyan): (y, x, 3) uint8, doubled."""
    height, width = one.shape
    moved = cv2.warpAffine(
        two, matrix, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    other = np.zeros_like(one)
    small = two[:height, :width]
    other[: small.shape[0], : small.shape[1]] = small
    flat = [np.repeat(x[..., None], 3, -1) for x in (one, other)]
    return np.hstack([*flat, np.stack([one, moved, moved], -1)]).repeat(2, 0).repeat(2, 1)


def report(writer: Writer, shown: list[tuple], total: int) -> str:
    """A page that shows each pair: its two images and one laid over the other."""
    parts = []
    for a, b, what, name, waiver in shown:
        text = f"{a['id']} ({a['split']}) and {b['id']} ({b['split']}) {what}"
        files = f"{a['accession']}/{a['source']} and {b['accession']}/{b['source']}"
        line = f"- {{images: [{a['id']}, {b['id']}], reason: ...}}"
        told = f"Waived: {waiver.reason}" if waiver else f"Put into one group, or waive: {line}"
        parts.append(
            f"<figure><img src='{html.escape(name)}' alt='{html.escape(text)}'>"
            f"<figcaption>{html.escape(text)}<br>{html.escape(files)}</figcaption>"
            f"<p>{html.escape(told)}</p></figure>"
        )
    title = f"Leakage between splits of {writer.challenge.slug} {writer.challenge.version}"
    more = f" The first {len(shown)} are shown." if total > len(shown) else ""
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title>"
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}img{max-width:100%}"
        "figure{margin:2em 0}</style>"
        f"<h1>{title}</h1><p>Pairs of images that are alike: {total}.{more} Left and middle: "
        "the two images; right: the second (cyan) laid over the first (red); grey where they "
        "agree. Lines of waivers go below <code>leakage: {waivers: ...}</code> in challenge.yaml, "
        "one for each pair that may stay, with the reason; they are published.</p>"
        + "\n".join(parts) + "</html>\n"
    )  # fmt: skip
