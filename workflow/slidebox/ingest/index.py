"""The catalogue's index over all sealed studies that are public."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.ingest import queue
from slidebox.ingest.paths import BrokenReceipt, Stages, now, read_receipt

log = logging.getLogger(__name__)


# What the index must know of a receipt; the rest grows with the study.
_FACTS = ("status", "version", "sealed", "where", "tombstone")


def current(config: Config, only: Container[str] | None = None) -> dict[str, dict[str, Any]]:
    """The receipt in force of each accession: the last one sealed that is accepted or withdrawn.

    `only`: the accessions whose receipts are read, all when None. Damaged ones are named all at
    once (ValueError).
    """
    found = (r for r in sorted(queue.receipts(config)) if only is None or r[0] in only)
    return _in_force(config, found, read_receipt)


def standing(config: Config) -> dict[str, dict[str, Any]]:
    """What the index must know of the receipt in force of each accession, in order of accession.

    Each receipt is read once and what was in it remembered, by its time and size. A study must not
    leave the index because its receipt can't be read: damaged ones are named all at once
    (ValueError).
    """
    memory = config.results / "index" / "receipts.seen"
    try:
        was = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        was = {}
    now_seen: dict[str, list[Any]] = {}

    def read(path: Path) -> dict[str, Any]:
        status = path.stat()
        times = [status.st_mtime_ns, status.st_size]
        held = was.get(path.name)
        if not held or held[0] != times:
            receipt = read_receipt(path)
            held = [times, {key: receipt[key] for key in _FACTS if key in receipt}]
        now_seen[path.name] = held
        return held[1]

    found = _in_force(config, sorted(queue.receipts(config)), read)
    if now_seen != was:
        with atomic.replacing(memory) as out:
            out.write(json.dumps(now_seen, separators=(",", ":")))
    return found


def _in_force(
    config: Config,
    receipts: Iterable[tuple[str, str]],
    read: Callable[[Path], dict[str, Any]],
) -> dict[str, dict[str, Any]]:
    best: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    for accession, key in receipts:
        try:
            receipt = read(Stages(config, accession, key).receipt)
        except BrokenReceipt as error:
            broken.append(str(error))
            continue
        if receipt["status"] not in ("accepted", "withdrawn"):
            continue
        rank = (receipt["version"], receipt["sealed"])
        held = best.get(accession)
        if held is None or rank >= (held["version"], held["sealed"]):
            best[accession] = receipt
    if broken:
        raise ValueError("\n".join(broken))
    return best


def public_studies(config: Config) -> Iterator[Path]:
    """study.json of each public study, in order of accession."""
    return _public(config, standing(config))


def _public(config: Config, receipts: dict[str, dict[str, Any]]) -> Iterator[Path]:
    for accession, receipt in receipts.items():
        if receipt["where"] == "public":
            yield config.public / accession / "study.json"


def _withdrawn(receipts: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """accession, date and reason of each withdrawn study."""
    for receipt in receipts.values():
        if receipt["status"] == "withdrawn":
            yield {k: receipt["tombstone"][k] for k in ("accession", "date", "reason")}


def index(config: Config, state: str) -> None:
    """Write the front page and public/catalogue/, and a mark for this set of receipts."""
    started = now()
    public = config.public
    for folder in (config.results / "index", public, *public.glob("catalogue/**/")):
        atomic.sweep(folder)
    front(config)
    times = {"started": started, "ended": now()}
    atomic.write_json(config.results / "index" / f"{state}.json", {"state": state, "times": times})
    for old in (config.results / "index").glob("*.json"):
        if old.stem != state:
            old.unlink(missing_ok=True)


def front(config: Config) -> None:
    """Write what lists all studies and challenges."""
    from slidebox import catalogue  # late: the Snakefile imports this module while it is parsed
    from slidebox.ingest import challenge_pages

    challenge_pages.write(config)
    receipts = standing(config)
    catalogue.build_index(
        _public(config, receipts),
        challenge_pages.cards(config),
        config.public,
        site_url=config.site.base_url,
        site_name=config.site.title,
        withdrawn=list(_withdrawn(receipts)),
    )


def catch_up(config: Config) -> None:
    """Index what is sealed when the run itself could not, because some job failed."""
    state = queue.catalogue_key(queue.receipts(config))
    if not (config.results / "index" / f"{state}.json").exists():
        index(config, state)
