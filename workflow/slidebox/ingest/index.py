"""The catalogue's index over all sealed studies that are public."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.config import Config
from slidebox.ingest import queue
from slidebox.ingest.paths import BrokenReceipt, Stages, now, read_receipt

log = logging.getLogger(__name__)


def current(config: Config, only: Container[str] | None = None) -> dict[str, dict[str, Any]]:
    """The receipt in force of each accession: the last one sealed that is accepted or withdrawn.

    `only`: the accessions whose receipts are read, all when None. Damaged ones are named all at
    once (ValueError): a study must not leave the index because its receipt can't be read.
    """
    best: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    for accession, key in sorted(queue.receipts(config)):
        if only is not None and accession not in only:
            continue
        try:
            receipt = read_receipt(Stages(config, accession, key).receipt)
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
    for accession, receipt in sorted(current(config).items()):
        if receipt["where"] == "public":
            yield config.public / accession / "study.json"


def withdrawn(config: Config) -> Iterator[dict[str, Any]]:
    """accession, date and reason of each withdrawn study."""
    for _, receipt in sorted(current(config).items()):
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
    catalogue.build_index(
        public_studies(config),
        challenge_pages.cards(config),
        config.public,
        site_url=config.site.base_url,
        site_name=config.site.title,
        withdrawn=list(withdrawn(config)),
    )


def catch_up(config: Config) -> None:
    """Index what is sealed when the run itself could not, because some job failed."""
    state = queue.catalogue_key(queue.receipts(config))
    if not (config.results / "index" / f"{state}.json").exists():
        index(config, state)
