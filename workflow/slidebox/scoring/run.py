"""`score`: checks first, then every image, then tables, pictures and a report."""

from __future__ import annotations

import hashlib
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..findings import Finding, has_errors
from . import arrays, coco, results
from .custom import OwnMetrics
from .opening import open_release
from .orientation import looks_transposed
from .predictions import Refused, Submission, names, opened
from .release import Item, NotARelease, Release, sha256_file, sha256_tree
from .results import Progress, ScoreResult
from .summary import per_group, per_image_values, pooling, summarise
from .tasks import task_module

SUFFIX = {"tracking": "_RES/", "points": ".csv"}
LABELS = ("instance-segmentation", "semantic-segmentation")


def score(
    release: Path | str | Release,
    predictions: Path | str,
    split: str | None = None,
    out: Path | str | None = None,
    *,
    private: Path | str | None = None,
    check_only: bool = False,
    threads: int = 1,
    progress: Progress | None = None,
    overlays: bool = True,
) -> ScoreResult:
    """Check predictions and score them against the truth of a split.

    Parameters
    ----------
    release : a released challenge: a folder, a ZIP or an http(s) address. Of the last two what
        scoring needs is fetched, verified and kept (see `remote`).
    predictions : folder, ZIP or table of predictions, one for each id of the split.
    split : which split; default: a hidden one if `private` is given, else the split of which most
        ids are there.
    out : folder for scores.json, scores_per_image.csv, scores_per_group.csv, overlays and
        report.html.
    private : folder of hidden truth, or one above it; only the organiser has it.
    check_only : stop after the checks, which need no truth.
    threads : images scored side by side.
    progress : called with (stage, done, total).

    Raises
    ------
    NotARelease
        The release can't be used, or the split isn't there or has no truth here.
    """
    release = release if isinstance(release, Release) else open_release(release)
    private = Path(private) if private is not None else None
    path = Path(predictions)
    split = split or _guess_split(release, path, private)
    if split not in release.splits:
        raise NotARelease(f"no split {split!r}; there are {', '.join(release.splits)}")
    items = release.items(split, private)
    untold = [item.id for item in items if item.truth is None]
    if untold and not check_only:
        raise NotARelease(
            f"the truth of split {split!r} is hidden (e.g. {untold[0]}): check with --check, score "
            "a split with labels, or hand in to the organiser, who scores with --private DIR"
        )
    module = task_module(release.task)
    settings = release.settings
    tell = progress or (lambda *_: None)
    if not check_only:
        release.bring(items, images=out is not None and overlays, progress=tell)
    try:
        elsewhere = frozenset(r["id"] for r in release.rows if r["split"] != split)
        with opened(path, items, elsewhere) as submission:
            return _score(
                release, split, items, submission, module, settings, Path(out) if out else None,
                check_only, threads, tell, overlays,
            )  # fmt: skip
    except Refused as refused:
        return ScoreResult(refused.findings)


def _guess_split(release: Release, path: Path, private: Path | None) -> str:
    if private is not None and release.hidden:
        return release.hidden[0]
    given = names(path)
    counts = {s: sum(r["id"] in given for r in release.rows if r["split"] == s)
              for s in release.splits}  # fmt: skip
    return max(release.splits, key=lambda s: counts[s])


def _score(
    release: Release, split: str, items: list[Item], submission: Submission, module: ModuleType,
    settings: Any, out: Path | None, check_only: bool, threads: int, tell: Progress,
    overlays: bool,
) -> ScoreResult:  # fmt: skip
    findings = list(submission.findings)
    unread = _read_tables(submission, items, release, findings)
    missing = [
        item.id for item in items
        if not _there(submission, item) and item.id not in submission.refused
    ]  # fmt: skip
    if unread and len(missing) == len(items):
        # What is wrong is the table, not that each image is missing in it
        return ScoreResult(findings)
    none = len(missing) == len(items)
    refuse = "error" if settings.missing == "refuse" or none else "warning"
    for which in missing:
        findings.append(
            Finding(
                "PREDICTION_MISSING",
                refuse,
                f"image {which} has no prediction"
                + (" and is scored as the worst" if refuse == "warning" else ""),
                file=which,
                mend=f"add {which}{SUFFIX.get(release.task, '.tif')}",
            )
        )  # fmt: skip
    gone = set(missing)
    rows: dict[str, dict[str, float]] = {}
    detections: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def one(item: Item) -> tuple[Item, list[Finding], dict[str, float] | None]:
        pred = truth = None
        try:
            pred = (
                module.empty_prediction(item)
                if item.id in gone
                else module.read(item, submission, settings)
            )
            if check_only:
                if item.id not in gone and hasattr(module, "verify"):
                    module.verify(item, pred, settings)
                return item, [], None
            truth = module.read_truth(item)
            if release.task == "instance-segmentation":
                masks = submission.masks.get(item.id)
                row, seen = module.measure_all(item, truth, pred, settings, masks)
                if seen is not None:
                    detections[item.id] = seen
            else:
                row = module.measure(item, truth, pred, settings)
            row |= own.measure(item, truth, pred)
            turned = (
                looks_transposed(item, truth, pred, item.id)
                if item.id not in gone and release.task in LABELS else []
            )  # fmt: skip
            return item, turned, row
        except Refused as refused:
            return item, refused.findings, None
        finally:
            arrays.close(pred)
            arrays.close(truth)

    there = [item for item in items if item.id not in submission.refused]
    with OwnMetrics(release) as own, ThreadPoolExecutor(max(1, threads)) as pool:
        for done, (item, found, row) in enumerate(pool.map(one, there), 1):
            findings.extend(found)
            if row is not None:
                rows[item.id] = row
            tell("checking" if check_only else "scoring", done, len(there))
    findings += sorted(submission.notes, key=lambda f: (f.file or "", f.line or 0))
    if check_only or has_errors(findings):
        return ScoreResult(findings)

    ordered = [rows[item.id] for item in items]
    counts = {
        key: np.array([row.get(key, math.nan) for row in ordered], float) for key in ordered[0]
    }
    groups = [item.group for item in items]
    absent = [item.id in gone for item in items]
    found = (
        coco.join([detections[item.id] for item in items], settings)
        if coco.wanted(settings) else None
    )  # fmt: skip
    per_image = per_image_values(counts, absent, release, found)
    metrics = summarise(release, pooling(counts, absent, release), per_image, groups, found)
    result = ScoreResult(findings, detections=found)
    result.rows = [
        {"id": item.id, "group": item.group, "missing": item.id in gone}
        | {name: float(per_image[name][k]) for name in settings.metrics}
        | {key: float(value[k]) for key, value in counts.items()}
        for k, item in enumerate(items)
    ]
    result.scores = {
        "slidebox_scores": 1,
        "challenge": {
            "slug": release.slug,
            "version": release.version,
            "title": release.challenge.get("title", ""),
            "task": release.task,
        },
        "split": split,
        "hidden": split in release.hidden,
        "primary": settings.primary,
        "average": settings.average,
        "metrics": metrics,
        "images": len(items),
        "groups": len(set(groups)),
        "missing": missing,
        "digests": {
            "challenge": sha256_file(release.folder / "challenge.yaml"),
            "splits": sha256_file(release.folder / "splits.csv"),
            "labels": truth_digest(items),
            "predictions": sha256_tree(submission.files(), submission.root)
            if submission.root.is_dir()
            else sha256_file(submission.root),
            "scorer": scorer_digest(),
        },
        "scorer": scorer_version(),
        "bootstrap": settings.bootstrap.model_dump(),
        "per_group": per_group(per_image, groups, settings),
        "findings": [f.to_dict() for f in findings],
    }
    if out is not None:
        results.write(release, items, submission, module, result, out, gone, tell, overlays)
    return result


def _there(submission: Submission, item: Item) -> bool:
    return item.id in submission.by_id or item.id in submission.decoded


def _read_tables(
    submission: Submission, items: list[Item], release: Release, findings: list[Finding]
) -> bool:
    """Read what is one table for all images; whether one can't be read at all."""
    unread = False
    if submission.tables:
        from .tables import decode

        for table in submission.tables:
            try:
                most = release.settings.max_objects
                decode(table, submission, items, release.task, findings, most)
            except Refused as refused:
                findings.extend(refused.findings)
                unread = True
    return unread


def truth_digest(items: list[Item]) -> str:
    """One digest over the ids and the bytes of the truth of a split."""
    total = hashlib.sha256()
    for item in sorted(items, key=lambda i: i.id):
        if item.truth.is_dir():
            digest = sha256_tree([p for p in item.truth.rglob("*") if p.is_file()], item.truth)
        else:
            digest = sha256_file(item.truth)
        total.update(f"{digest}  {item.id}\n".encode())
    return total.hexdigest()


def scorer_digest() -> str:
    """Digest of the scorer's own source, so that a score says which code made it."""
    here = Path(__file__).parent
    return sha256_tree(list(here.glob("*.py")), here)


def scorer_version() -> str:
    """Version of the library that this scorer is of."""
    from .. import __version__

    return __version__
