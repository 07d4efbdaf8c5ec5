"""Releases that are elsewhere: at an http(s) address or in a ZIP. Only what scoring needs is taken.

Each file is held to the release's SHA256SUMS and kept in a cache (``SLIDEBOX_CACHE``, else
``XDG_CACHE_HOME/slidebox``, else ``~/.cache/slidebox``), named by the digest of that manifest, so
that a version is downloaded once and two versions never mix.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from ..atomic import replacing, write_text
from .release import MANIFEST, NotARelease, sha256_file

BASE = ("challenge.yaml", "splits.csv")
SMALL = 64 << 20  # bytes of the manifest; nobody's is larger
TRIES = 3
TIMEOUT = 60
AT_ONCE = 4
Progress = Callable[[str, int, int], None]


def is_elsewhere(where: Path | str) -> bool:
    """Whether a release isn't a folder: an address, or a ZIP."""
    text = str(where)
    return text.startswith(("http://", "https://")) or (
        Path(where).is_file() and zipfile.is_zipfile(where)
    )


def cache() -> Path:
    """The folder that releases are kept in."""
    if given := os.environ.get("SLIDEBOX_CACHE"):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "slidebox"


class Source:
    """A release elsewhere, and the folder here that its files come to.

    Attributes
    ----------
    folder : the cache of this release; holds what was asked for.
    manifest : sha256 of every file of the release.
    """

    def __init__(self, where: Path | str) -> None:
        self.where = str(where)
        self.web = self.where.startswith(("http://", "https://"))
        text = self._manifest()
        self.manifest = _parse(text, self.where)
        digest = hashlib.sha256(text.encode()).hexdigest()
        self.folder = cache() / "releases" / digest[:16]
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / MANIFEST, text)
        for name in BASE:
            if name not in self.manifest:
                raise NotARelease(f"{self.where} is no release: its {MANIFEST} has no {name}")
        self.bring(BASE)
        self.bring(n for n in self.manifest if n.startswith("metrics/"))

    def bring(self, names: Iterable[str], progress: Progress | None = None) -> None:
        """Have these files (and all below, of a folder) in `folder`, verified.

        Raises
        ------
        NotARelease
            One isn't in the manifest, can't be had, or is not what the manifest vouches for.
        """
        wanted = sorted({full for name in names for full in self._files(name)})
        missing = [n for n in wanted if not self._whole(n)]
        tell = progress or (lambda *_: None)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done, _ in enumerate(pool.map(self._bring, missing), 1):
                tell("downloading" if self.web else "unpacking", done, len(missing))

    def _files(self, name: str) -> list[str]:
        if name in self.manifest:
            return [name]
        below = [n for n in self.manifest if n.startswith(f"{name}/")]
        if not below:
            raise NotARelease(f"{self.where}: {MANIFEST} has no {name}")
        return below

    def _whole(self, name: str) -> bool:
        path = self.folder / name
        return path.is_file() and sha256_file(path) == self.manifest[name]

    def _bring(self, name: str) -> None:
        _again(lambda: self._copy(name))

    def _copy(self, name: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with replacing(path, "wb") as sink:
            for block in self._blocks(name):
                digest.update(block)
                sink.write(block)
            if digest.hexdigest() != self.manifest[name]:
                raise NotARelease(
                    f"{self.where}: {name} is not what {MANIFEST} vouches for "
                    f"(sha256 {digest.hexdigest()}); ask the organiser for a whole copy"
                )

    def _manifest(self) -> str:
        # The manifest's address leads to the copy that was made when the address last answered
        kept = cache() / "addresses" / hashlib.sha256(self.where.encode()).hexdigest()[:16]
        try:
            text = _again(self._text).decode("utf-8")
        except UnicodeDecodeError:
            raise NotARelease(f"{self.where} is no release: {MANIFEST} is no text") from None
        except Unreachable:
            if not kept.is_file():
                raise
            return kept.read_text("utf-8")
        if self.web:
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_text(kept, text)
        return text

    def _text(self) -> bytes:
        data = b""
        for block in self._blocks(MANIFEST):
            data += block
            if len(data) > SMALL:
                raise NotARelease(f"{self.where}: {MANIFEST} has more than {SMALL} bytes")
        return data

    def _blocks(self, name: str) -> Iterator[bytes]:
        return _download(_address(self.where, name)) if self.web else _packed(self.where, name)


class Unreachable(NotARelease):
    """The address doesn't answer."""


def _parse(text: str, where: str) -> dict[str, str]:
    manifest = {}
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        path = PurePosixPath(name)
        if len(digest) != 64 or not name or path.is_absolute() or ".." in path.parts:
            raise NotARelease(f"{where} is no release: {MANIFEST} has the line {line[:80]!r}")
        manifest[name] = digest
    return manifest


def _address(base: str, name: str) -> str:
    parts = urllib.parse.urlsplit(base)
    path = parts.path.removesuffix("index.html").removesuffix("README.md").rstrip("/")
    return urllib.parse.urlunsplit(
        parts._replace(path=f"{path}/{urllib.parse.quote(name)}", fragment="")
    )


def _download(address: str) -> Iterator[bytes]:
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "slidebox"})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            yield from iter(lambda: answer.read(1 << 20), b"")
    except urllib.error.HTTPError as bad:
        if bad.code >= 500:
            raise Unreachable(f"{address} answers {bad.code} {bad.reason}") from bad
        raise NotARelease(
            f"{address} answers {bad.code} {bad.reason}: give the address of a release, the folder "
            f"that holds challenge.yaml and {MANIFEST}"
        ) from bad
    except (OSError, http.client.HTTPException) as bad:
        raise Unreachable(f"{address} can't be reached: {bad}") from bad


def _again[T](work: Callable[[], T]) -> T:
    """Try a few times: networks stumble."""
    for attempt in range(TRIES):
        try:
            return work()
        except Unreachable:
            if attempt == TRIES - 1:
                raise
            time.sleep(2**attempt)
    raise AssertionError


def _packed(archive: str, name: str) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(archive) as packed:
            # A folder around it all is fine
            inside = min(
                (n for n in packed.namelist() if n == MANIFEST or n.endswith(f"/{MANIFEST}")),
                key=len, default=None,
            )  # fmt: skip
            if inside is None:
                raise NotARelease(f"{archive} is no release: there is no {MANIFEST} in the ZIP")
            with packed.open(inside.removesuffix(MANIFEST) + name) as source:
                yield from iter(lambda: source.read(1 << 20), b"")
    except KeyError:
        raise NotARelease(f"{archive} lacks {name}, which its {MANIFEST} names") from None
    except NotARelease:
        raise
    except Exception as bad:  # each compression has errors of its own
        raise NotARelease(f"{archive} can't be read: {bad}") from bad
