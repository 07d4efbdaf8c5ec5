"""Tracking: results in the layout of the Cell Tracking Challenge, one folder a sequence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tifffile

from ..findings import Finding
from . import tracking as m
from .arrays import read_array
from .predictions import LITTER, Refused, Submission, check_labels, error
from .release import Item
from .settings import Settings
from .tracking import Frames, Track

MASK = re.compile(r"^mask(\d{3,6})\.tiff?$", re.IGNORECASE)
TRACKS = "res_track.txt"
SHOWN = 20


@dataclass
class Result:
    """A sequence's masks and tracks, checked but not yet decoded."""

    masks: list[Path] = field(default_factory=list)
    tracks: list[Track] = field(default_factory=list)
    name: str = ""


@dataclass
class Truth:
    """TRA masks, sparse SEG masks by frame (and z slice), tracks."""

    masks: list[Path]
    segmented: list[tuple[int, int | None, Path]]
    tracks: list[Track]


def read_truth(item: Item) -> Truth:
    """Truth of a sequence: ``TRA/man_track*.tif``, ``TRA/man_track.txt``, ``SEG/man_seg*.tif``."""
    tra = item.truth / "TRA"
    masks = sorted(tra.glob("man_track*.tif"))
    rows = (tra / "man_track.txt").read_text("ascii").split("\n")
    segmented = []
    for path in sorted((item.truth / "SEG").glob("man_seg*.tif")):
        numbers = [int(n) for n in re.findall(r"\d+", path.name)]
        segmented.append((numbers[0], numbers[1] if len(numbers) > 1 else None, path))
    return Truth(masks, segmented, [Track(*map(int, r.split()[:4])) for r in rows if r.strip()])


def read(item: Item, submission: Submission, settings: Settings) -> Result:
    """Names and tracks of a result, with every problem of them; masks are decoded when measured."""
    folder = submission.by_id[item.id]
    name = submission.relative(folder)
    if not folder.is_dir():
        raise Refused(
            error("TRACKING_LAYOUT", "is no folder of masks", name,
                  f"hand in {item.id}_RES/ with mask000.tif ... and res_track.txt")
        )  # fmt: skip
    found: dict[int, Path] = {}
    problems: list[Finding] = []
    table = folder / TRACKS
    for path in sorted(folder.iterdir()):
        match = MASK.match(path.name)
        if match and int(match[1]) in found:
            problems.append(error("PREDICTION_TWICE", f"frame {int(match[1])} is there twice",
                                  f"{name}/{path.name}"))  # fmt: skip
        elif match:
            found[int(match[1])] = path
        elif path.name.lower() == TRACKS:
            table = path
        elif path.name not in LITTER and not path.name.startswith("."):
            problems.append(
                Finding("PREDICTION_EXTRA", "warning", "belongs to no result",
                        f"{name}/{path.name}", mend="masks are named mask000.tif, mask001.tif, ...")
            )  # fmt: skip
    frames = item.shape[0]
    missing = [t for t in range(frames) if t not in found]
    if missing:
        problems.append(
            error("FRAME_MISSING", f"{len(missing)} frames have no mask: "
                  + ", ".join(map(str, missing[:SHOWN])), name,
                  "write one mask a frame, empty ones too")
        )  # fmt: skip
    beyond = [t for t in found if t >= frames]
    if beyond:
        problems.append(error("FRAME_EXTRA", f"mask {beyond[0]} is past the last frame, "
                              f"{frames - 1}", name))  # fmt: skip
    tracks, said = read_tracks(table, f"{name}/{table.name}", frames)
    problems += said
    if any(p.severity == "error" for p in problems):
        # All problems at once: those of the masks too
        presence = _Presence(tracks, name, frames)
        for t in sorted(set(found) - set(beyond)):
            try:
                labels = np.unique(_mask(item, found[t], name, settings))
                if tracks:
                    presence.look(t, labels, found[t].name)
            except Refused as bad:
                problems += bad.findings
        raise Refused(*problems, *presence.problems)
    submission.notes += problems
    return Result([found[t] for t in range(frames)], tracks, name)


def read_tracks(path: Path, name: str, frames: int) -> tuple[list[Track], list[Finding]]:
    """Rows of res_track.txt and all that is wrong with them."""
    if not path.is_file():
        return [], [error("TRACKS_MISSING", "there is no res_track.txt", name,
                          "a line a track: label, begin, end, parent or 0")]  # fmt: skip
    tracks: list[Track] = []
    line_of: dict[int, int] = {}
    problems: list[Finding] = []

    def wrong(code: str, message: str, line: int, mend: str | None = None) -> None:
        problems.append(error(code, message, name, mend, line=line))

    for number, row in enumerate(path.read_text("utf-8-sig", "replace").splitlines(), 1):
        if not row.strip():
            continue
        try:
            values = [int(v) for v in row.split()]
            if len(values) != 4:
                raise ValueError
        except ValueError:
            wrong("TRACK_LINE", f"{row[:80]!r} isn't four whole numbers", number,
                  "write: label begin end parent")  # fmt: skip
            continue
        track = Track(*values)
        if track.label < 1:
            wrong("TRACK_LABEL", f"label {track.label} isn't positive", number)
        elif track.label in line_of:
            wrong("TRACK_TWICE", f"label {track.label} is in line {line_of[track.label]} too",
                  number, "one line a track")  # fmt: skip
            continue
        if track.begin > track.end:
            wrong("TRACK_RANGE", f"track {track.label} ends ({track.end}) before it begins "
                  f"({track.begin})", number)  # fmt: skip
        elif track.begin < 0 or track.end >= frames:
            wrong("TRACK_RANGE", f"track {track.label} is in frames {track.begin} to {track.end}; "
                  f"there are 0 to {frames - 1}", number)  # fmt: skip
        line_of[track.label] = number
        tracks.append(track)
    by_label = {t.label: t for t in tracks}
    for track in tracks:
        line = line_of[track.label]
        if track.parent == 0:
            continue
        parent = by_label.get(track.parent)
        if track.parent < 0 or parent is None:
            wrong("TRACK_PARENT", f"track {track.label} has the unknown parent {track.parent}",
                  line, "0 is no parent")  # fmt: skip
        elif parent.end >= track.begin:
            cycle = _in_cycle(track, by_label)
            text = "is its own ancestor" if cycle else (
                f"begins in frame {track.begin}, its parent {parent.label} ends in {parent.end}"
            )  # fmt: skip
            wrong("TRACK_CYCLE" if cycle else "TRACK_PARENT_LATE",
                  f"track {track.label} {text}", line,
                  "a parent ends before its children begin")  # fmt: skip
    return tracks, problems


def _in_cycle(track: Track, by_label: dict[int, Track]) -> bool:
    seen, at = set(), track
    while at is not None and at.parent and at.label not in seen:
        seen.add(at.label)
        at = by_label.get(at.parent)
    return at is not None and at.label == track.label and bool(seen)


def _mask(item: Item, path: Path, name: str, settings: Settings) -> np.ndarray:
    frame = replace(item, shape=item.shape[1:], axes=item.axes[1:])
    file = f"{name}/{path.name}"
    return check_labels(read_array(path, frame, file), frame, file, settings.max_objects)


class _Presence:
    """Whether the labels in the masks are those of the tracks, frame by frame."""

    def __init__(self, tracks: list[Track], name: str, frames: int) -> None:
        self.name, self.problems = name, []
        self.expected: list[set[int]] = [set() for _ in range(frames)]
        for track in tracks:
            # Tracks out of range are said elsewhere
            for t in range(max(track.begin, 0), min(track.end + 1, frames)):
                self.expected[t].add(track.label)

    def look(self, t: int, labels: np.ndarray, file: str) -> None:
        present = set(labels.tolist()) - {0}
        extra, gone = present - self.expected[t], self.expected[t] - present
        if extra:
            self.problems.append(
                error("LABEL_WITHOUT_TRACK", f"frame {t}: labels {_some(extra)} are in no track "
                      "of this frame", f"{self.name}/{file}", "add them to res_track.txt")
            )  # fmt: skip
        if gone:
            self.problems.append(
                error("TRACK_WITHOUT_LABEL", f"frame {t}: tracks {_some(gone)} have no pixel",
                      f"{self.name}/{file}",
                      "end the track before, and begin another with it as parent after a gap")
            )  # fmt: skip


def _some(labels: set[int]) -> str:
    listed = sorted(labels)
    return ", ".join(map(str, listed[:SHOWN])) + (" ..." if len(listed) > SHOWN else "")


def verify(item: Item, pred: Result, settings: Settings) -> None:
    """Decode every mask and compare it with the tracks; what `measure` does on its way."""
    presence = _Presence(pred.tracks, pred.name, item.shape[0])
    problems: list[Finding] = []
    for t, path in enumerate(pred.masks):
        try:
            presence.look(t, np.unique(_mask(item, path, pred.name, settings)), path.name)
        except Refused as bad:
            problems += bad.findings
    if problems or presence.problems:
        raise Refused(*problems, *presence.problems)


def measure(item: Item, truth: Truth, pred: Result, settings: Settings) -> dict[str, float]:
    """Counts of a sequence; they add up over sequences. One frame of each in memory."""
    frames = Frames()
    presence = _Presence(pred.tracks, pred.name, item.shape[0])
    problems: list[Finding] = []
    dense = {t: path for t, z, path in truth.segmented if z is None}
    slices: dict[int, list[tuple[int, Path]]] = {}
    for t, z, path in truth.segmented:
        if z is not None:
            slices.setdefault(t, []).append((z, path))
    seg_sum, seg_n = 0.0, 0
    for t, path in enumerate(truth.masks):
        ref = tifffile.imread(path, maxworkers=1)
        try:
            mask = (
                _mask(item, pred.masks[t], pred.name, settings)
                if pred.masks
                else np.zeros(ref.shape, np.uint8)
            )
        except Refused as bad:
            problems += bad.findings
            continue
        value, count = frames.add(ref, mask)
        presence.look(t, frames.res[-1], pred.masks[t].name if pred.masks else "")
        same = not truth.segmented or (t in dense and _same_bytes(dense[t], path))
        if same:
            seg_sum, seg_n = seg_sum + value, seg_n + count
        elif t in dense:
            value, count = Frames().add(tifffile.imread(dense[t], maxworkers=1), mask)
            seg_sum, seg_n = seg_sum + value, seg_n + count
        elif t in slices:
            # Annotated slices of one frame are one volume: an object counts once
            planes = np.stack([tifffile.imread(p, maxworkers=1) for _, p in slices[t]])
            value, count = Frames().add(planes, np.stack([mask[z] for z, _ in slices[t]]))
            seg_sum, seg_n = seg_sum + value, seg_n + count
    if problems or presence.problems:
        raise Refused(*problems, *presence.problems)
    return counts(frames, truth.tracks, pred.tracks, settings) | {
        "seg_sum": seg_sum, "seg_n": seg_n
    }  # fmt: skip


def _same_bytes(a: Path, b: Path) -> bool:
    return a.stat().st_size == b.stat().st_size and a.read_bytes() == b.read_bytes()


def counts(
    frames: Frames, ref: list[Track], res: list[Track], settings: Settings
) -> dict[str, float]:
    """All that tracking's metrics are computed from but SEG's."""
    row: dict[str, float] = dict(m.graph_errors(frames, ref, res))
    assigned = m.assignments(frames)
    row["ct_double"], row["ct_tracks"] = m.complete_tracks(assigned, ref, res)
    row["tf_sum"], row["tf_n"] = m.track_fractions(assigned, ref)
    row["ref_tracks"] = len(ref)
    row["n_pred"] = sum(map(len, frames.res))
    row["bc_tp"], row["bc_fp"], row["bc_fn"] = m.division_counts(
        frames, ref, res, settings.division_tolerance
    )
    row["div_tp"], row["div_fp"], row["div_fn"] = m.division_counts(frames, ref, res, 0)
    cca = m.cell_cycle_accuracy(ref, res)
    row["cca_sum"], row["cca_n"] = (0.0, 0) if np.isnan(cca) else (cca, 1)
    return row


def values(c: dict[str, np.ndarray], settings: Settings) -> dict[str, np.ndarray]:
    """Metrics from counts; nan where one isn't defined (one frame has no link: no LNK)."""

    def part(a, b, otherwise=np.nan):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(b > 0, np.divide(a, b), otherwise)

    out = {
        "SEG": part(c["seg_sum"], c["seg_n"]),
        "DET": m.det(c["ns"], c["fn"], c["fp"], c["vertices"]),
        "LNK": m.lnk(c["ed"], c["ea"], c["ec"], c["edges"]),
        "TRA": m.tra(
            c["ns"], c["fn"], c["fp"], c["ed"], c["ea"], c["ec"], c["vertices"], c["edges"]
        ),
        "CT": part(c["ct_double"], c["ct_tracks"]),
        # Nothing detected of what there is: the worst, not undefined
        "TF": part(c["tf_sum"], c["tf_n"], np.where(c["ref_tracks"] > 0, 0.0, np.nan)),
        "BC": m.f1_of_counts(c["bc_tp"], c["bc_fp"], c["bc_fn"]),
        "division_F1": m.f1_of_counts(c["div_tp"], c["div_fp"], c["div_fn"]),
        "CCA": part(c["cca_sum"], c["cca_n"]),
    }
    out["BIO"] = m.mean_of_defined(out["CT"], out["TF"], out["BC"], out["CCA"])
    out["OP_CSB"] = m.overall(out["SEG"], out["DET"])
    out["OP_CTB"] = m.overall(out["SEG"], out["TRA"])
    out["OP_CLB"] = m.overall(out["LNK"], out["BIO"])
    # A reference without objects defines nothing: the challenge says what that is worth
    empty = {"one": 1.0, "zero": 0.0, "skip": np.nan}[settings.both_empty]
    nothing = c["vertices"] == 0
    worth = np.where(c["n_pred"] == 0, empty, 0.0)
    return {name: np.where(nothing, worth, value) for name, value in out.items()}


def objects(c: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Objects over all frames in reference and result of each sequence."""
    return c["vertices"], c["n_pred"]


def empty_prediction(item: Item) -> Result:
    return Result()


def picture(item: Item, truth: Truth, pred: Result, settings: Settings) -> np.ndarray | None:
    """True, false and missed objects of the middle frame."""
    from .overlays import draw_objects

    t = len(truth.masks) // 2
    ref = tifffile.imread(truth.masks[t])
    mask = (
        _mask(item, pred.masks[t], pred.name, settings)
        if pred.masks
        else np.zeros(ref.shape, np.uint8)
    )
    images = sorted(item.image.glob("t*.tif"))
    frame = replace(item, shape=ref.shape, axes=item.axes[1:], image=images[t] if images else
                    item.image)  # fmt: skip
    return draw_objects(frame, ref, mask)
