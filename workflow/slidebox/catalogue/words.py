"""The words of a study and of its images, and the compact form in which an index keeps them.

A word's *posting* in a study says how much it counts there and which images have it. A word of the
record is a word of each of its images.

A *list* of words is: 4 bytes (little endian), the length of a JSON header
``{"w": [words, sorted], "n": [bytes of each posting]}``, the header, the postings one after the
other. All numbers in a posting are LEB128 varints: ``weight * 2``, or ``weight * 2 + 1`` followed
by the number of runs of images and, for each run, how many images it leaves out and how many it
holds.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from operator import or_
from typing import Any

from slidebox.catalogue import facts

# Words of one study's text, and of its images; beyond this a study drowns the others.
MOST_WORDS = 3000
MOST_IMAGE_WORDS = 300_000
LONGEST = 40
_WORD = re.compile(r"[^\W_]+", re.UNICODE)

# How much a word counts by where it stands.
TITLE, KEYWORD, TEXT, IMAGE = 8, 4, 2, 1


def words_of(text: str) -> list[str]:
    """Lower-case words without accents, as the index and a query both spell them."""
    if text.isascii():
        return _WORD.findall(text.lower())
    plain = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(c for c in plain if not unicodedata.combining(c)))


def varint(number: int) -> bytes:
    """LEB128, as in DWARF and protocol buffers."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def study_words(study: dict[str, Any]) -> dict[str, bytes]:
    """word -> posting of a study, from its ``study.json``; images are those that are shown."""
    record = study.get("record") or {}
    shown = [i for i in study.get("images") or [] if i.get("zarr") and i.get("id")]
    text = _record_words(study["accession"], record)
    found = {word: varint(2 * weight) for word, weight in text.items()}
    images: dict[str, list[int]] = {}
    for number, image in enumerate(shown):
        for word in image_words(image):
            if word in found:
                continue
            if (places := images.get(word)) is not None:
                places.append(number)
            elif len(images) < MOST_IMAGE_WORDS:
                images[word] = [number]
    for word, places in images.items():
        whole = len(places) == len(shown)
        found[word] = varint(2 * IMAGE) if whole else _runs(places)
    return found


def _runs(places: list[int]) -> bytes:
    runs = bytearray()
    count = end = 0
    position = 0
    while position < len(places):
        first = last = places[position]
        while position + 1 < len(places) and places[position + 1] == last + 1:
            position += 1
            last += 1
        runs += varint(first - end) + varint(last - first + 1)
        end, count, position = last + 1, count + 1, position + 1
    return varint(2 * IMAGE + 1) + varint(count) + bytes(runs)


def image_words(image: dict[str, Any]) -> set[str]:
    """Words of what an image is called, lies in, shows and carries."""
    texts = [facts.image_label(image), str(image.get("path") or ""), str(image.get("part") or "")]
    texts += [str(c.get("name") or "") for c in image.get("channels") or []]
    texts += [str(label.get("name") or "") for label in image.get("labels") or []]
    texts += [str(value) for value in (image.get("attributes") or {}).values()]
    return {word for text in texts for word in words_of(text) if len(word) <= LONGEST}


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            if key not in ("email", "orcid", "access", "license"):
                yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)


def _record_words(accession: str, record: dict[str, Any]) -> dict[str, int]:
    """word -> weight, the highest of the places where it stands."""
    found: dict[str, int] = {}

    def take(text: str, weight: int) -> None:
        for word in words_of(text):
            if len(word) > LONGEST or (len(found) >= MOST_WORDS and word not in found):
                continue
            if found.get(word, 0) < weight:
                found[word] = weight

    take(accession, TITLE)
    take(str(record.get("title") or ""), TITLE)
    for keyword in [*facts.organisms(record), *facts.methods(record)]:
        take(keyword, KEYWORD)
    for text in _strings(record.get("keywords") or []):
        take(text, KEYWORD)
    for author in record.get("authors") or []:
        take(str(author.get("name") or ""), KEYWORD)
    for key, value in record.items():
        if key not in ("authors", "title", "keywords"):
            for text in _strings(value):
                take(text, TEXT)
    return found


def pack(words: list[tuple[str, bytes]]) -> bytes:
    """A list of words, from pairs sorted by word."""
    header = json.dumps(
        {"w": [word for word, _ in words], "n": [len(posting) for _, posting in words]},
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    return len(header).to_bytes(4, "little") + header + b"".join(p for _, p in words)


def unpack(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The pairs of a list of words."""
    at = 4 + int.from_bytes(data[:4], "little")
    header = json.loads(data[4:at])
    for word, size in zip(header["w"], header["n"], strict=True):
        yield word, data[at : at + size]
        at += size


class Union:
    """What many words say of a segment's studies together.

    ``images`` says how many each study has.
    """

    def __init__(self, images: list[int]) -> None:
        self._all = [(1 << count) - 1 for count in images]
        self._weights = [0] * len(images)
        self._found = [0] * len(images)  # images, as bits

    def add(self, posting: bytes) -> None:
        """Take in a word, by its posting in the segment."""
        weights, found = self._weights, self._found
        # Nearly always a byte is a number.
        numbers = posting if posting.isascii() else list(_numbers(posting))
        at = study = 0
        while at < len(numbers):
            study += numbers[at]
            kind = numbers[at + 1]
            at += 2
            if weights[study] < kind >> 1:
                weights[study] = kind >> 1
            if not kind & 1:
                found[study] = self._all[study]
                continue
            end = images = 0
            beyond = at + 1 + 2 * numbers[at]
            for run in range(at + 1, beyond, 2):
                first = end + numbers[run]
                end = first + numbers[run + 1]
                images |= (1 << end) - (1 << first)
            found[study] |= images
            at = beyond

    def merge(self, other: Union) -> None:
        """Take in what other words say together."""
        self._weights = list(map(max, self._weights, other._weights))
        self._found = list(map(or_, self._found, other._found))

    def posting(self, exact: bytes = b"") -> bytes:
        """All as one posting; studies that have the word ``exact`` weigh at least twice as it."""
        weights = list(self._weights)
        if exact:
            own = Union([0] * len(weights))
            own.add(exact)
            weights = [max(w, 2 * e) for w, e in zip(weights, own._weights, strict=True)]
        out = bytearray()
        last = 0
        for study, (weight, found) in enumerate(zip(weights, self._found, strict=True)):
            if not weight:
                continue
            out += varint(study - last)
            last = study
            if found == self._all[study]:
                out += varint(2 * weight)
                continue
            bits = f"{found:b}"[::-1]  # the first image first
            runs = [match.span() for match in re.finditer("1+", bits)]
            out += varint(2 * weight + 1) + varint(len(runs))
            end = 0
            for first, beyond in runs:
                out += varint(first - end) + varint(beyond - first)
                end = beyond
        return bytes(out)


def _numbers(data: bytes) -> Iterator[int]:
    """The LEB128 numbers in data."""
    number = shift = 0
    for byte in data:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            yield number
            number = shift = 0
