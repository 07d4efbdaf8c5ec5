"""A search index of static files over studies and images, read by a worker in the browser.

Studies are ordered by date and accession, oldest first, and cut into *segments* where the digest of
an accession says so: a new study changes the segment it falls into and leaves the others alone. The
newest studies, behind the last such cut, are in segments ``new-1`` (at most 7 studies), ``new-2``
(8 to 56), ``new-3`` (64 to 448) ...: eight studies of one go to the next, so that most new studies
make a small segment anew.

``catalogue/search/index.json``
    ``{"studies", "images", "segments": [{"name", "state", "studies", "images", "bytes"}]}``
``catalogue/search/<segment>/facets.json``
    what a search must know of every study: its facets' values, and runs of images alike. And
    ``blocks``: ``[first word, offset]`` of the blocks of ``words.bin``, and ``beginnings``, which
    say where in it the one posting of all words that begin so is: ``{beginning: [offset, bytes]}``,
    for those whose own postings are many.
``catalogue/search/<segment>/cards-<k>.json``
    what a result shows of each of 32 studies: ``[title, year, images, facts, pictures]``.
``catalogue/search/<segment>/words.bin``
    blocks of words (:mod:`slidebox.catalogue.words`), read by range. A posting is the studies' own,
    each behind the distance (varint) to the study before.
``<accession>/search/words.bin``, ``images-<k>.json``
    a study's own words, and what is shown of each hundred of its images.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue import facts
from slidebox.catalogue.cards import study_card
from slidebox.catalogue.entry import Entry
from slidebox.catalogue.words import Union, pack, study_words, unpack, varint

# A key that is typed costs a request a segment, one more study the making of a segment.
SEGMENT = 500  # studies at least, and as many more on average
SEGMENT_STUDIES = 4 * SEGMENT
SEGMENT_IMAGES = 300_000
BLOCK = 16_384
HEAVY = 4 * BLOCK  # bytes that a reader is not made to read for the beginning of a word
CARDS = 32  # studies a file
FORM = 3  # of a segment's files
STEP = 8  # studies, or segments of a size, that go to the next size
KEPT = {"name", "state", "studies", "images", "bytes"}  # of a segment, in index.json
CHUNK = 100  # images
INNER = {"classes", "state", "study_bytes"}  # of a card: for the search only
SHOWN = ("title", "year", "images", "facts", "pictures")
FACETS = ("organism", "method", "dimensions", "modality", "annotated", "licence", "year")
OWN = ("dimensions", "modality", "annotated")  # of each image; the others are the study's


def write_card(study: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write ``folder/search/`` and ``folder/card.json`` of a study, from its ``study.json``."""
    words = pack(sorted(study_words(study).items()))
    _write(folder / "search" / "words.bin", words)
    shown = [i for i in study.get("images") or [] if i.get("zarr") and i.get("id")]
    kept = {"words.bin"}
    for start in range(0, len(shown), CHUNK):
        name = f"images-{start // CHUNK + 1}.json"
        rows = [_shown(image) for image in shown[start : start + CHUNK]]
        _write(folder / "search" / name, _compact(rows))
        kept.add(name)
    for old in (folder / "search").iterdir():
        if old.name not in kept:
            old.unlink()
    card = {
        **study_card(study),
        "state": _digest(words, folder / "study.json", folder / "files.tsv"),
        # It vouches for the study.json beside it.
        "study_bytes": (folder / "study.json").stat().st_size,
    }
    atomic.write_json(folder / "card.json", card)
    return card


def _digest(words: bytes, *files: Path) -> str:
    """What tells two makings of a study apart."""
    whole = hashlib.sha256(words)
    for path in files:
        if path.is_file():
            with path.open("rb") as handle:
                whole.update(hashlib.file_digest(handle, "sha256").digest())
    return whole.hexdigest()[:16]


def read_card(study: Path) -> dict[str, Any]:
    """The card beside a study.json; made anew when it isn't of the same making."""
    beside = study.with_name("card.json")
    if beside.is_file():
        card = json.loads(beside.read_bytes())
        if card.get("study_bytes") == study.stat().st_size and card.keys() >= INNER:
            return card
    return write_card(json.loads(study.read_bytes()), study.parent)


def _shown(image: dict[str, Any]) -> list[Any]:
    """``[id, label, facts, thumbnail]`` of an image, as the results show it."""
    return [image["id"], facts.image_label(image), facts.image_facts(image), image.get("thumbnail")]


@dataclass(frozen=True, slots=True)
class Segment:
    """Some studies, whose part of the index is made anew when their state is another."""

    name: str
    state: str
    entries: list[Entry]


def segments_of(entries: Iterable[Entry]) -> list[Segment]:
    """The studies of an archive in segments, the oldest first."""
    found = []

    def take(name: str, part: list[Entry]) -> None:
        state = _compact([FORM, [[e.accession, e.digest] for e in part]])
        found.append(Segment(name, hashlib.sha256(state).hexdigest()[:16], part))

    parts, newest = _cut(sorted(entries, key=lambda e: (e.date, e.accession)))
    for part in parts:
        take(hashlib.sha256(part[0].accession.encode()).hexdigest()[:12], part)
    # Like the digits of a number: what comes is added to the last, and carried when it is full.
    levels = len(oct(len(newest))) - 2 if newest else 0
    at = 0
    for level in range(levels, 0, -1):
        size = len(newest) // STEP ** (level - 1) % STEP * STEP ** (level - 1)
        if size:
            take(f"new-{level}", newest[at : at + size])
        at += size
    return found


def write_search(parts: list[Segment], site_root: Path) -> None:
    """Write ``catalogue/search/``; a segment that has not changed is left as it is."""
    folder = site_root / "catalogue" / "search"
    known = _known(folder / "index.json")
    segments = []
    for part in parts:
        name, state = part.name, part.state
        held = known.get(name)
        files = ["facets.json", "words.bin", *(file for file, _ in _card_files(part.entries))]
        whole = all((folder / name / file).is_file() for file in files)
        if held is None or held["state"] != state or not whole:
            cards = [entry.card() for entry in part.entries]
            size = _write_segment(cards, folder / name, site_root)
            images = sum(card["images"] for card in cards)
            held = {"name": name, "state": state, "studies": len(cards), "images": images}
            held["bytes"] = size
            for old in (folder / name).iterdir():
                if old.name not in files:
                    old.unlink()
        segments.append(held)
    index = {
        "studies": sum(segment["studies"] for segment in segments),
        "images": sum(segment["images"] for segment in segments),
        "segments": segments,
    }
    _write(folder / "index.json", _compact(index))
    kept = {segment["name"] for segment in segments}
    for old in folder.iterdir():
        if old.is_dir() and old.name not in kept:
            shutil.rmtree(old)
        elif not old.is_dir() and old.name != "index.json":
            old.unlink()  # an index of older software


def _known(index: Path) -> dict[str, dict[str, Any]]:
    try:
        segments = json.loads(index.read_bytes())["segments"]
        return {s["name"]: s for s in segments if s.keys() == KEPT}
    except (OSError, ValueError, KeyError):
        return {}


def _cut(entries: list[Entry]) -> tuple[list[list[Entry]], list[Entry]]:
    """Cut where a digest says so, so that one more study moves no other cut; and the rest."""
    parts: list[list[Entry]] = []
    held: list[Entry] = []
    images = 0
    for entry in entries:
        digest = hashlib.sha256(entry.accession.encode()).digest()
        cut = int.from_bytes(digest[:4], "big") % SEGMENT == 0
        full = len(held) >= SEGMENT_STUDIES or images >= SEGMENT_IMAGES
        if held and (full or (cut and len(held) >= SEGMENT)):
            parts.append(held)
            held, images = [], 0
        held.append(entry)
        images += entry.images
    return parts, held


def _card_files[T](cards: list[T]) -> Iterator[tuple[str, list[T]]]:
    for start in range(0, len(cards), CARDS):
        yield f"cards-{start // CARDS + 1}.json", cards[start : start + CARDS]


def _write_segment(cards: list[dict[str, Any]], folder: Path, site_root: Path) -> int:
    """Write a segment's files; returns the length of its words.bin."""
    for name, part in _card_files(cards):
        _write(folder / name, _compact([[card[key] for key in SHOWN] for card in part]))
    words: dict[str, bytearray] = {}
    last: dict[str, int] = {}
    for number, card in enumerate(cards):
        own = (site_root / card["accession"] / "search" / "words.bin").read_bytes()
        for word, posting in unpack(own):
            if (postings := words.get(word)) is None:
                postings = words[word] = bytearray()
            postings += varint(number - last.get(word, 0))
            postings += posting
            last[word] = number
    blocks: list[list[Any]] = []
    beginnings: dict[str, list[int]] = {}
    offset = 0
    with atomic.replacing(folder / "words.bin", "wb") as out:
        for block in _blocks(words):
            data = pack(block)
            blocks.append([block[0][0], offset])
            out.write(data)
            offset += len(data)
        blocks.append(["", offset])  # the end
        images = [sum(count for count, *_ in card["classes"]) for card in cards]
        for beginning, posting in _beginnings(sorted(words), words, images):
            beginnings[beginning] = [offset, len(posting)]
            out.write(posting)
            offset += len(posting)
    places = {"blocks": blocks, "beginnings": beginnings}
    _write(folder / "facets.json", _compact(_facets(cards) | places))
    return offset


def _beginnings(
    ordered: list[str], words: dict[str, bytearray], images: list[int]
) -> list[tuple[str, bytes]]:
    """Beginnings that several words share whose postings are many, each with one posting."""
    found: list[tuple[str, bytes]] = []

    def gather(some: list[str], length: int) -> tuple[list[Union], list[str]]:
        """What is gathered already of words that are alike so far, and the other words."""
        unions, others = [], []
        for beginning, group in groupby(some, lambda word: word[:length]):
            same = list(group)
            heavy = len(same) > 1 and sum(len(words[word]) for word in same) > HEAVY
            if not heavy or len(beginning) < length:
                others += same
                continue
            below, rest = gather(same, length + 1)
            union = Union(images)
            for part in below:
                union.merge(part)
            for word in rest:
                union.add(bytes(words[word]))
            found.append((beginning, union.posting(bytes(words.get(beginning, b"")))))
            unions.append(union)
        return unions, others

    gather(ordered, 1)
    return found


def _blocks(words: dict[str, bytearray]) -> Iterator[list[tuple[str, bytes]]]:
    held: list[tuple[str, bytes]] = []
    size = 0
    # By UTF-16, as the browser compares words.
    for word in sorted(words, key=lambda w: w if w.isascii() else _utf16(w)):
        held.append((word, bytes(words[word])))
        size += len(word) + len(words[word])
        if size >= BLOCK:
            yield held
            held, size = [], 0
    if held:
        yield held


def _utf16(word: str) -> str:
    """A text whose order by code point is the word's order by UTF-16 code unit."""
    data = word.encode("utf-16-be", "surrogatepass")
    return "".join(chr(data[i] << 8 | data[i + 1]) for i in range(0, len(data), 2))


def _facets(cards: list[dict[str, Any]]) -> dict[str, Any]:
    """Values a facet, numbers of values a study, and images alike as runs ``n, class, ...``."""
    values: dict[str, dict[str, int]] = {facet: {} for facet in FACETS}
    classes: dict[tuple[int, ...], int] = {}

    def number(facet: str, value: str) -> int:
        return values[facet].setdefault(value, len(values[facet]))

    studies = {f: [[number(f, v) for v in card["facets"][f]] for card in cards] for f in FACETS}
    runs = []
    for card in cards:
        own: list[int] = []
        for count, *kind in card["classes"]:
            key = tuple(number(f, v) for f, v in zip(OWN, kind, strict=True))
            own += [count, classes.setdefault(key, len(classes))]
        runs.append(own)
    return {
        "accessions": [card["accession"] for card in cards],
        "dates": [card["date"] for card in cards],
        "values": {facet: list(known) for facet, known in values.items()},
        "studies": studies,
        "classes": [list(kind) for kind in classes],
        "images": runs,
    }


def _compact(data: Any) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (re.sub(r"[\ud800-\udfff]", "\ufffd", text) + "\n").encode()


def _write(path: Path, data: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == data):
        with atomic.replacing(path, "wb") as handle:
            handle.write(data)
