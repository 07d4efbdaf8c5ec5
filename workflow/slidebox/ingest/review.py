"""Review before release: an embargoed study under an address that nobody can guess.

``private/reviews/<token>.json`` says what was given out; ``public/review/<token>/`` are the pages,
made from the study as it is sealed. Nothing else of the site knows of them. A review ends on its
date, when the study comes out, is withdrawn, or when it is revoked; the pages then go.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.ingest import filesets, queue
from slidebox.ingest.anonymous import Anonymous
from slidebox.ingest.paths import Stages, now, read_json

WITHHELD = (
    "The files as submitted are not offered in an anonymous review: they may name people. "
    "Every pixel of the images is in their OME-Zarr."
)
_TEXTS = {".json", ".zattrs", ".zgroup"}


class NoReview(ValueError):
    """There is nothing to review, or no such review; the text says why."""


def create(
    config: Config, accession: str, *, until: date | None = None, anonymous: bool = False
) -> dict[str, Any]:
    """Give out an address; return the review: token, accession, created, until, anonymous."""
    receipt = _embargoed(config, accession)
    if receipt is None:
        raise NoReview(f"{accession} is not sealed under embargo: there is nothing to review")
    if until and until <= _today():
        raise NoReview(f"--until {until} is not in the future")
    review = {
        "token": secrets.token_hex(16),
        "accession": accession,
        "created": now(),
        "until": until.isoformat() if until else None,
        "anonymous": anonymous,
    }
    _build(config, review, receipt)
    atomic.write_json(_path(config, review["token"]), review)
    return review


def reviews(config: Config, accession: str | None = None) -> list[dict[str, Any]]:
    """Every review that was given out, ended ones too, the oldest first."""
    found = [read_json(path) for path in _folder(config).glob("*.json")]
    found = [r for r in found if accession in (None, r["accession"])]
    return sorted(found, key=lambda r: (r["created"], r["token"]))


def revoke(config: Config, accession: str, token: str | None = None) -> list[str]:
    """End a study's reviews, or the one with this token; return the tokens."""
    live = [r for r in reviews(config, accession) if not r.get("ended")]
    chosen = [r for r in live if token in (None, r["token"])]
    if not chosen:
        raise NoReview(f"{accession}: no review is open" + (f" as {token}" if token else ""))
    for review in chosen:
        _end(config, review, "revoked")
    return [review["token"] for review in chosen]


def refresh(config: Config) -> None:
    """End what has come to its end, show the others as their studies now are."""
    known = set()
    for review in reviews(config):
        if review.get("ended"):
            continue
        receipt = _embargoed(config, review["accession"])
        if review["until"] and date.fromisoformat(review["until"]) <= _today():
            _end(config, review, "its date has come")
        elif receipt is None:
            _end(config, review, "the study is released or withdrawn")
        else:
            _build(config, review, receipt)
            known.add(review["token"])
    # What a killed command or a revocation on another copy left behind.
    pages = config.public / "review"
    for old in pages.iterdir() if pages.is_dir() else ():
        if old.name not in known:
            shutil.rmtree(old)


def state(config: Config, sealed: Iterable[tuple[str, str]]) -> str | None:
    """Digest of what the reviews depend on: days and receipts; None without any review.

    For the Snakefile: standard library only, and nothing but the open reviews is read.
    """
    folder = _folder(config)
    if not folder.is_dir():
        return None
    given = reviews(config)
    if not given:
        return None
    today = _today()
    live = {r["token"]: r["accession"] for r in given if not r.get("ended") and not _over(r, today)}
    keys = sorted(pair for pair in sealed if pair[0] in live.values())
    return queue.digest(*sorted(live), *(f"{a}~{k}" for a, k in keys))


def accessions(config: Config) -> set[str]:
    """Studies that are open for review."""
    return {r["accession"] for r in reviews(config) if not r.get("ended")}


def _today() -> date:
    return datetime.now(UTC).date()


def _over(review: dict[str, Any], today: date) -> bool:
    return bool(review["until"]) and date.fromisoformat(review["until"]) <= today


def _folder(config: Config) -> Path:
    return config.private / "reviews"


def _path(config: Config, token: str) -> Path:
    return _folder(config) / f"{token}.json"


def _end(config: Config, review: dict[str, Any], why: str) -> None:
    shutil.rmtree(config.public / "review" / review["token"], ignore_errors=True)
    atomic.write_json(_path(config, review["token"]), {**review, "ended": now(), "why": why})


def _embargoed(config: Config, accession: str) -> dict[str, Any] | None:
    """The receipt in force when the study is under embargo."""
    from slidebox.ingest import index

    receipt = index.current(config, {accession}).get(accession)
    return receipt if receipt and receipt["where"] == "embargoed" else None


def _build(config: Config, review: dict[str, Any], receipt: dict[str, Any]) -> None:
    """Write the pages of a review; its images are links to the derived ones, which never change."""
    from slidebox import catalogue
    from slidebox.ingest import study

    stages = Stages(config, review["accession"], receipt["key"])
    if not stages.published.is_file():
        raise NoReview(f"{stages.folder} is gone; run slidebox rebuild {review['accession']} first")
    given = study.study_input(stages, receipt["version"])
    folder = f"review/{review['token']}"
    software = {k: v for k, v in given.provenance.items() if k != "run_crate"}
    given = replace(given, state="review", folder=folder, provenance=software)
    given = replace(given, curation=[], versions=[])
    blot = None
    if review["anonymous"]:
        blot = Anonymous(filesets.head(stages.filesets)["record"])
        findings = [f for f in given.findings if not _about_people(f)]
        given = replace(
            given,
            record=blot.record(given.record),
            images=[blot.image(image) for image in given.images],
            files=[],
            findings=blot.data(findings),
            provenance={},
            withheld=WITHHELD,
        )
    target = config.public / folder
    source = config.embargoed / review["accession"]
    kinds = ("plate_zarr", "zarr", "thumbnail")  # a field goes with its whole plate
    wanted = {image[kind] for image in given.images for kind in kinds if image.get(kind)}
    wanted -= {image["zarr"] for image in given.images if image.get("plate_zarr")}
    for name in sorted(wanted):
        _link(source / name, target / name, blot)
    for old in (target / "images").iterdir() if (target / "images").is_dir() else ():
        if f"images/{old.name}" not in wanted:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    catalogue.build_study(given, config.public)


def _about_people(finding: dict[str, Any]) -> bool:
    from slidebox.ingest.anonymous import LEFT_OUT

    return str(finding.get("field") or "").startswith(tuple(LEFT_OUT))


def _link(source: Path, target: Path, blot: Anonymous | None) -> None:
    """Link a file or a tree; where people must not be named, texts are blotted copies."""
    for path, name in _files(source, target):
        if blot and "OME" in name.relative_to(target).parts:
            continue  # what the microscope wrote: it may name who sat there
        if blot:  # a group of labels is called after its annotation set
            name = target / blot.path(name.relative_to(target))
        if name.exists():
            continue
        name.parent.mkdir(parents=True, exist_ok=True)
        if blot and path.suffix in _TEXTS:
            atomic.write_text(name, blot.zarr(path.read_text(encoding="utf-8")))
            continue
        try:
            os.link(path, name)
        except OSError:  # another file system, or one without links
            with path.open("rb") as reading, atomic.replacing(name, "wb") as writing:
                shutil.copyfileobj(reading, writing, 1 << 20)


def _files(source: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    if not source.is_dir():
        yield source, target
        return
    for parent, _, names in os.walk(source):
        for name in sorted(names):
            path = Path(parent) / name
            yield path, target / path.relative_to(source)
