"""Digests of hidden files and pixels in every notation in which a manifest may have them.

A digest of 64 bits or more says by itself whose it is, also cut short to 16 of its hexadecimal
digits. Shorter ones (CRC-32, Adler-32, the first 8 to 15 digits of a longer one) are met by chance
among many numbers: they count when the file's name or size stands beside one, or when there are
more of them in a text than chance gives.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import xxhash

BLOCK = 4 << 20
LONGEST = 1 << 12  # of a name or digest in a text
NAMED = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512_256", "sha3_224", "sha3_256",
    "sha3_384", "sha3_512", "blake2b", "blake2s",
)  # fmt: skip
OF_PIXELS = 1 << 27  # bytes of an image whose values are digested in several types
DECIMAL_CUT = 12  # digits of a decimal digest that counts by itself
CUT, SHORT = 16, 8  # hexadecimal digits of a digest that was cut; of one that counts among others
CHANCE = 1e-6  # that so many short digests stand in a text that has nothing to do with them
SURE_WORD = 3  # letters of a name or size that says something beside a short digest
BESIDE = 200  # bytes before and after a short digest in which the file's name or size stands

HEX = re.compile(rb"[0-9A-Fa-f]{8,}")
PAIRS = re.compile(rb"(?:[0-9A-Fa-f]{2}[:\- ]){7,}[0-9A-Fa-f]{2}")
UUID = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
MULTIHASH = re.compile(rb"(?:1114|1220|1340|1[4-7][1-4]0|b2..)(?=[0-9a-f]{40,128}$)")
DECIMAL = re.compile(rb"(?<![\d.])\d{8,}(?!\.?\d)")
BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{22,}")
# Of digests of 16, 20, 28, 32, 48 and 64 bytes
LENGTHS = (22, 27, 38, 43, 64, 86)


class Digests:
    """What is known of hidden files by digest and name; `find` says whose stand in a text."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        self._by_start: dict[bytes, list[tuple[bytes, str]]] = {}
        self._base64: dict[bytes, str] = {}
        self._decimal: dict[bytes, str] = {}
        self._beside: dict[str, set[bytes]] = {}
        self._endings: dict[bytes, set[int]] = defaultdict(set)  # of names: how long they are
        self._count = self._short = 0  # digests; those of 32 bits

    def name(self, name: str, which: str) -> None:
        """A name that is itself a secret: the path of a hidden file."""
        written = name.encode("utf-8", "surrogateescape")
        self.names[written] = which
        self._endings[written[-4:]].add(len(written))

    def beside(self, which: str, words: Iterable[str]) -> None:
        """Words that make a short digest of this truth a sure one: its names, its size."""
        self._beside.setdefault(which, set()).update(
            w.lower().encode() for w in words if len(w) >= SURE_WORD
        )

    def file(self, path: Path, which: str) -> str:
        """All digests of a file; its sha256."""
        made = [hashlib.new(kind) for kind in NAMED]
        size = path.stat().st_size
        made += [hashlib.blake2b(digest_size=32), hashlib.blake2b(digest_size=20),
                 xxhash.xxh32(), xxhash.xxh64(), xxhash.xxh3_64(), xxhash.xxh3_128()]  # fmt: skip
        made += [hashlib.sha1(b"blob %d\0" % size), hashlib.sha256(b"blob %d\0" % size)]  # of git
        sums = [0, 1, 0]
        with path.open("rb") as handle:
            while block := handle.read(BLOCK):
                for one in made:
                    one.update(block)
                sums = [zlib.crc32(block, sums[0]), zlib.adler32(block, sums[1]),
                        google_crc32c.extend(sums[2], block)]  # fmt: skip
        for one in made:
            self.add(one.digest(), which)
        for value in sums:
            self.add(value.to_bytes(4, "big"), which)
        self.beside(which, [str(size)])
        return made[NAMED.index("sha256")].hexdigest()

    def values(self, planes: list[np.ndarray], shape: tuple[int, ...], which: str) -> Iterator:
        """Digests of an image's values in C order, in the types they may be kept in.

        Yields (bytes, sha256) of each, by which a file of bare values is known.
        """
        if sum(p.nbytes for p in planes) > OF_PIXELS:
            return
        known = set()
        for data, kind in _types(planes):
            if data in known:
                continue
            known.add(data)
            for one in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512, hashlib.blake2b,
                        xxhash.xxh64, xxhash.xxh3_64, xxhash.xxh3_128):  # fmt: skip
                self.add(one(data).digest(), which)
            head = f"{kind} {'x'.join(map(str, shape))}\n".encode()  # as splits.csv has them
            self.add(hashlib.sha256(head + data).digest(), which)
            self.add(zlib.crc32(data).to_bytes(4, "big"), which)
            yield len(data), hashlib.sha256(data).hexdigest()

    def add(self, digest: bytes, which: str) -> None:
        """A digest in its notations: hexadecimal, base64 in either alphabet, a whole number."""
        hexadecimal = digest.hex().encode()
        self._by_start.setdefault(hexadecimal[:SHORT], []).append((hexadecimal, which))
        self._count += 1
        self._short += len(digest) == 4
        self._decimal[str(int.from_bytes(digest, "big")).encode()] = which
        if len(digest) >= 16:
            for word in (base64.b64encode(digest), base64.urlsafe_b64encode(digest)):
                self._base64[word.rstrip(b"=")] = which

    def find(self, path: Path) -> set[tuple[str, str]]:
        """("has a digest" or "names the file", whose) of all that stands in a text."""
        sure: set[tuple[str, str]] = set()
        short: set[str] = set()
        words: Counter[int] = Counter()  # by their length; of decimal ones -1
        for text in _overlapping(path):
            sure |= {("names the file", whose) for whose in self._named(text)}
            for word, at, decimal in _words(text):
                if len(word) < (DECIMAL_CUT if decimal else CUT):
                    words[-1 if decimal else len(word)] += 1
                for whose, is_short in self._whose(word, decimal):
                    if not is_short or self._is_beside(text, at, whose):
                        sure.add(("has a digest", whose))
                    else:
                        short.add(whose)
            for token in BASE64.findall(text):
                # Before it may stand what it is: sha256-...
                for part in {token[-n:] for n in LENGTHS} | {token[:n] for n in LENGTHS}:
                    if whose := self._base64.get(part):
                        sure.add(("has a digest", whose))
        if len(short) > 1 and self._is_no_chance(len(short), words):
            sure |= {("has a digest", whose) for whose in short}
        return sure

    def _named(self, text: bytes) -> Iterator[str]:
        """Whose file a text names, by a whole name or path."""
        for ending, lengths in self._endings.items():
            at = text.find(ending)
            while at >= 0:
                stop = at + len(ending)
                for length in lengths if not _goes_on(text[stop : stop + 1]) else ():
                    start = stop - length
                    if (start >= 0 and (whose := self.names.get(text[start:stop]))
                            and not _goes_on(text[max(0, start - 1) : start])):  # fmt: skip
                        yield whose
                at = text.find(ending, at + 1)

    def _is_no_chance(self, found: int, words: Counter[int]) -> bool:
        """Whether numbers that mean something else would seldom be short digests so often."""
        expected = sum(
            n * (self._short / 2**32 if length < 0 else self._count / 16**length)
            for length, n in words.items()
        )
        # An upper bound of the Poisson distribution's tail
        return found * math.log(max(expected, 1e-300)) - math.lgamma(found + 1) <= math.log(CHANCE)

    def _whose(self, word: bytes, decimal: bool) -> Iterator[tuple[str, bool]]:
        """(whose, whether it's short) of a word in lower case."""
        if decimal:
            if which := self._decimal.get(word):
                yield which, len(word) < DECIMAL_CUT
            return
        for whole, which in self._by_start.get(word[:SHORT], ()):
            if whole.startswith(word):
                yield which, len(word) < CUT
                return

    def _is_beside(self, text: bytes, at: int, which: str) -> bool:
        near = text[max(0, at - BESIDE) : at + BESIDE].lower()
        return any(
            re.search(rb"(?<![^\W_])" + re.escape(word) + rb"(?![^\W_])", near)
            for word in self._beside.get(which, ())
        )


def _types(planes: list[np.ndarray]) -> Iterator[tuple[bytes, str]]:
    """The values of all planes as bytes, and their type, in each type that holds them."""
    whole = np.stack(planes)
    types = [whole.dtype.newbyteorder("<")]
    if whole.dtype.kind in "uib":
        high = int(whole.max(initial=0))
        types += [np.dtype(t) for t in ("u1", "<u2", "<i4", "<u4", "<i8")
                  if high <= np.iinfo(t).max]  # fmt: skip
        types.append(np.dtype("<f4"))
    for kind in types:
        yield np.ascontiguousarray(whole, kind).tobytes(), kind.str
    if whole.dtype.kind in "ui":
        yield (whole > 0).astype(np.uint8).tobytes(), "|u1"
        yield ((whole > 0).astype(np.uint8) * 255).tobytes(), "|u1"


def _overlapping(path: Path) -> Iterator[bytes]:
    """A text in blocks, each with the end of the one before."""
    tail = b""
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            yield tail + block
            tail = (tail + block)[-LONGEST:]


def _goes_on(letter: bytes) -> bool:
    """Whether a name before or after which this stands is a part of a longer one."""
    return letter.isalnum() or letter in (b"_", b"-") or letter > b"\x7f"


def _words(text: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """What may be a digest, in lower case, where it stands and whether it's decimal or hexadecimal.

    Digits alone may be both.
    """
    for found in HEX.finditer(text):
        word = found.group().lower()
        yield word, found.start(), False
        if len(word) > 40 and (kind := MULTIHASH.match(word)):  # what it is stands before it
            yield word[kind.end() :], found.start(), False
    for found in UUID.finditer(text):
        yield found.group().replace(b"-", b"").lower(), found.start(), False
    for found in PAIRS.finditer(text):
        yield re.sub(rb"[:\- ]", b"", found.group()).lower(), found.start(), False
    for found in DECIMAL.finditer(text):
        yield found.group(), found.start(), True
