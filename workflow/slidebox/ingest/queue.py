"""The queue: what stands in the inbox less what has a receipt.

A submission's *state key* is a digest of all that decides what must be done: its ``.ready``, its
curation and whether its release date has come. Equal key, receipt there: nothing to do. How the
work is divided stands in the key (``<12 hex>-<slices>``, or without a number when one job does it
all), so that jobs on other nodes see the plan of the main process in their paths.

Imported while the Snakefile is parsed: standard library only, one folder listing each, no walk.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from slidebox import deposit
from slidebox.config import Config

WHOLE = r"[0-9a-f]{12}"
"""Keys of small submissions: one job does all of their stages."""
SLICED = r"[0-9a-f]{12}-[0-9]+"
"""Keys of larger ones: a job a stage, and one for each slice of the images."""
KEY = rf"({WHOLE}|{SLICED})"

SMALL = 1_000_000_000
"""Bytes from which a submission has a job for each stage."""
FEW = 5_000
"""Files from which it has."""


@dataclass(frozen=True, slots=True)
class Item:
    """One submission to be taken in."""

    accession: str
    key: str
    bytes: int
    files: int


def slices_of(key: str) -> int:
    """Into how many jobs the images of this state are divided."""
    return int(key.partition("-")[2] or 1)


def is_whole(key: str) -> bool:
    """Whether one job does all stages of this state."""
    return "-" not in key


def _key(config: Config, state: str, size: int, files: int) -> str:
    slices = max(1, -(-size // config.slice_size))
    small = slices == 1 and size < SMALL and files < FEW
    return state if small else f"{state}-{slices}"


def _names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as scan:
            return {entry.name for entry in scan}
    except FileNotFoundError:
        return set()


def receipts(config: Config) -> set[tuple[str, str]]:
    """(accession, key) of every receipt."""
    found = set()
    for name in _names(config.results / "receipts"):
        accession, tilde, key = name.removesuffix(".json").partition("~")
        if tilde and name.endswith(".json") and not name.startswith("."):
            found.add((accession, key))
    return found


def request(config: Config, accession: str, memory_mb: int) -> None:
    """Keep the memory that the next run is to ask for, until the submission is sealed."""
    folder = config.results / "requests"
    folder.mkdir(parents=True, exist_ok=True)
    for name in _names(folder):
        if name.partition("~")[0] == accession:
            (folder / name).unlink(missing_ok=True)
    (folder / f"{accession}~{memory_mb}").touch()


def requests(config: Config) -> dict[str, int]:
    """Memory that operators asked for, in MB, by accession."""
    found = {}
    for name in _names(config.results / "requests"):
        accession, _, memory = name.partition("~")
        if memory.isdigit():
            found[accession] = int(memory)
    return found


def settle(config: Config, accession: str) -> None:
    """Forget what was asked for a submission: it is sealed."""
    for path in (config.results / "requests").glob(f"{accession}~*"):
        path.unlink(missing_ok=True)


def cancelled(config: Config) -> set[tuple[str, str]]:
    """(accession, 12 hex) of states that an operator took from the queue."""
    found = set()
    for name in _names(config.results / "cancelled"):
        accession, tilde, state = name.partition("~")
        if tilde:
            found.add((accession, state))
    return found


def cancel(config: Config, accession: str) -> list[Item]:
    """Take what stands in the inbox from the queue, whether it waits or runs; what it was.

    Running jobs look for the mark (`ingest.log`) and end; a new deposit is another state.
    """
    items = scan(config.model_copy(update={"only": accession}))
    folder = config.results / "cancelled"
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        (folder / f"{accession}~{item.key.partition('-')[0]}").touch()
    return items


def restore(config: Config, accession: str) -> bool:
    """Put a cancelled submission back; whether there was one."""
    marks = _names(config.results / "cancelled")
    mine = [name for name in marks if name.partition("~")[0] == accession]
    for name in mine:
        (config.results / "cancelled" / name).unlink(missing_ok=True)
    return bool(mine)


def _due(config: Config, today: date) -> set[tuple[str, str]]:
    """(accession, 12 hex) of embargoed states whose release date has come.

    Sealing leaves a file ``<accession>~<12 hex>~<date>`` for each embargoed state.
    """
    due = set()
    for name in _names(config.results / "embargoes"):
        accession, _, rest = name.partition("~")
        state, _, day = rest.partition("~")
        try:
            if date.fromisoformat(day) <= today:
                due.add((accession, state))
        except ValueError:
            continue
    return due


def scan(
    config: Config, today: date | None = None, sealed: set[tuple[str, str]] | None = None
) -> list[Item]:
    """Submissions without a receipt for their present state, in order of accession.

    `sealed`: receipts that count, by default all that are there.

    Folders without ``.ready`` are still arriving and are passed over. A folder whose name can't be
    an accession is named on standard error: nothing else could report it.
    """
    today = today or datetime.now(UTC).date()
    sealed = receipts(config) if sealed is None else sealed
    sealed = {(accession, key.partition("-")[0]) for accession, key in sealed}
    due = _due(config, today)
    dropped = cancelled(config)
    curated = _names(config.curation)
    items, standing = [], set()
    inbox = str(config.inbox)
    for name in sorted(_names(config.inbox)):
        if config.only not in (None, name):
            continue
        folder = f"{inbox}/{name}"
        try:
            line = deposit.header_line(folder)
            standing.add(name)
            if problem := deposit.check_accession(name):
                said = f"{folder} can't be taken in: {problem}; rename it"
                print(f"slidebox: {said}", file=sys.stderr)
                continue
            state = _state(config, folder, name, line, curated, released=False)
            if (name, state) in due:
                state = _state(config, folder, name, line, curated, released=True)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:  # the disk or the network failed: the next run asks again
            standing.add(name)
            print(f"slidebox: {folder} is passed over: {error}", file=sys.stderr)
            continue
        if (name, state) in sealed or (name, state) in dropped:
            continue
        header = deposit.parse_header(line)
        size, files = (header["bytes"], header["files"]) if header else (0, 0)
        items.append(Item(name, _key(config, state, size, files), size, files))
    return items + list(_revisions(config, curated, due, sealed, standing))


def _revisions(
    config: Config,
    curated: set[str],
    due: set[tuple[str, str]],
    sealed: set[tuple[str, str]],
    standing: set[str],
) -> Iterator[Item]:
    """Archived studies whose folder has gone, but whose curation or release day has come since."""
    archived = {accession for accession, _ in sealed}
    released = {accession for accession, _ in due}
    names = released | {name.removesuffix(".yaml") for name in curated if name.endswith(".yaml")}
    for name in sorted((names & archived) - standing):
        if config.only not in (None, name):
            continue
        layer = config.curation / f"{name}.yaml"
        text = layer.read_text(encoding="utf-8") if layer.is_file() else ""
        state = digest("revision", name, text, str(name in released))
        if (name, state) not in sealed:
            files = _sealed_files(config, name)
            yield Item(name, _key(config, state, 0, files), 0, files)


def _sealed_files(config: Config, accession: str) -> int:
    """How many files the largest sealed state of a study has."""
    counts = [0]
    for path in (config.results / "receipts").glob(f"{accession}~*.json"):
        with contextlib.suppress(OSError, ValueError):  # a damaged one is named by the index
            counts.append(json.loads(path.read_bytes()).get("files") or 0)
    return max(counts)


def forget(config: Config, accession: str) -> bool:
    """Drop receipt and stages of what stands in the inbox; whether it is pending now."""
    standing = scan(config.model_copy(update={"only": accession}), sealed=set())
    states = {item.key.partition("-")[0] for item in standing}
    for name, key in receipts(config):
        if name == accession and key.partition("-")[0] in states:
            (config.results / "receipts" / f"{name}~{key}.json").unlink(missing_ok=True)
            shutil.rmtree(config.results / name / key, ignore_errors=True)
    return bool(standing)


def _state(
    config: Config, folder: str, accession: str, ready: bytes, curated: set[str], released: bool
) -> str:
    digest = hashlib.sha256(ready)
    digest.update(b"\0released" if released else b"\0")
    if f"{accession}.yaml" in curated:
        digest.update((config.curation / f"{accession}.yaml").read_bytes())
    if door := deposit.door_bytes(folder):
        digest.update(b"\0" + door)
    return digest.hexdigest()[:12]


def digest(*parts: str) -> str:
    """The 12 hex digits that tell states apart."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def catalogue_key(sealed: set[tuple[str, str]]) -> str:
    """Digest of a set of receipts: the state of the archive that an index describes."""
    return digest(json.dumps(sorted(sealed)))
