"""Download a study's files: in parallel, resumed where a download broke off, each verified.

Works with any host that serves the site; ranges are used when the host has them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import http.client
import os
import re
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from slidebox.catalogue import listing
from slidebox.catalogue.text import file_url
from slidebox.findings import Finding

_BLOCK = 1 << 20
_TRIES = 5
_TIMEOUT = 60
_LIKE_UNFINISHED = re.compile(r"(^|/)\.[^/]+\.part$")
_AGENT = {"User-Agent": "slidebox-fetch"}


class CannotFetch(Exception):
    """The address is no study, or can't be reached."""


@dataclass(slots=True)
class FetchResult:
    """What was done: counts of files, and a finding for each that isn't there and right."""

    fetched: int = 0
    present: int = 0
    bytes: int = 0
    findings: list[Finding] = field(default_factory=list)


def fetch(
    url: str,
    dest: Path | str,
    *,
    select: Sequence[str] = (),
    manifest: Path | None = None,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> FetchResult:
    """Download the files of the study at ``url`` to ``dest``, under their submitted paths.

    Parameters
    ----------
    url : address of a study's page, or of one of its versions (``.../v1/``); or the site's own,
        with a manifest over several studies whose paths begin with an accession, as
        ``slidebox search`` writes it: each study then gets a folder in ``dest``.
    select : patterns of paths (``*`` also crosses folders) or names of parts; empty takes all.
    manifest : a sha256 manifest whose files alone are wanted.
    threads : parallel downloads.
    progress : called with bytes done and bytes in all, from several threads.

    A file that is there with the right sha256 isn't fetched again. Unfinished ones are kept beside
    their place as ``.<name>.part`` and go on next time. Raises CannotFetch when there is no list.
    """
    dest = Path(dest)
    base = _study_page(url)
    wanted = _wanted(manifest)
    if wanted and not _is_study(base):
        return _fetch_studies(base, dest, select, wanted, threads, progress)
    return _fetch_study(base, dest, select, wanted, threads, progress)


def _is_study(base: str) -> bool:
    try:
        with _open(urljoin(base, "files.tsv")):
            return True
    except urllib.error.HTTPError:
        return False
    except (OSError, http.client.HTTPException) as error:
        raise CannotFetch(f"{base}: {error}") from error


def _fetch_studies(base, dest, select, wanted, threads, progress) -> FetchResult:
    """The files of several studies, each under its accession."""
    studies: dict[str, dict[str, str]] = {}
    for path, sha256 in wanted.items():
        accession, slash, own = path.partition("/")
        if not slash or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", accession):
            raise CannotFetch(f"{base} is no study, and {path!r} of the manifest begins with none")
        studies.setdefault(accession, {})[own] = sha256
    result = FetchResult()
    for accession, own in studies.items():
        page = urljoin(base, f"{accession}/")
        done = _fetch_study(page, dest / accession, select, own, threads, progress)
        result.fetched += done.fetched
        result.present += done.present
        result.bytes += done.bytes
        result.findings += done.findings
    return result


def _fetch_study(base, dest, select, wanted, threads, progress) -> FetchResult:
    dest.mkdir(parents=True, exist_ok=True)
    # The list has no name in ``dest``, where each name may be one of the study's own files.
    with tempfile.TemporaryFile(dir=dest) as table:
        _download_list(urljoin(base, "files.tsv"), table)
        return _fetch_listed(table, _root_of(base), dest, select, wanted, threads, progress)


def _fetch_listed(table, root, dest, select, wanted, threads, progress) -> FetchResult:
    result = FetchResult()
    sizes = [row["size"] for row in _selected(table, select, wanted)]
    total = sum(sizes)
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n  # exact enough for a bar; the result is summed below
        if progress:
            progress(min(done, total), total)

    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        running: dict[Future, dict[str, Any]] = {}

        def finish() -> None:
            ready, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                row = running.pop(future)
                error = future.exception()
                if error is not None and not isinstance(error, _Refused | OSError):
                    raise error
                if error is not None:
                    result.findings.append(_finding(row, error))
                elif future.result():
                    result.fetched += 1
                    result.bytes += row["size"]
                else:
                    result.present += 1

        # Files that are called as the unfinished ones are come when no other is unfinished.
        for late in (False, True):
            for row in _selected(table, select, wanted):
                if bool(_LIKE_UNFINISHED.search(row["path"])) != late:
                    continue
                # A bounded number waits, so that a list of a million files isn't held.
                while len(running) >= threads * 4:
                    finish()
                running[pool.submit(_fetch_one, root, row, dest, count)] = row
            while running:
                finish()
    if not sizes and (select or wanted):
        said = ", ".join(select) or "the manifest"
        result.findings.append(
            Finding(
                "FETCH_NOTHING_SELECTED",
                "error",
                f"no file of the study fits {said}",
                mend="Look at files.tsv on the study's page; patterns are those of a shell.",
            )
        )
    return result


class _Refused(Exception):
    """This file can't be had, for the reason said; trying again wouldn't help."""


def _finding(row: dict[str, Any], error: BaseException) -> Finding:
    code = "FETCH_FAILED"
    mend = "Run the same command again: what is there is kept and the rest is resumed."
    if isinstance(error, _Refused):
        code, mend = "FETCH_REFUSED", "Tell the archive's staff."
    return Finding(code, "error", str(error) or type(error).__name__, file=row["path"], mend=mend)


def _study_page(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise CannotFetch(f"{url!r} is no http(s) address of a study's page")
    path = re.sub(r"/(index\.html|study\.json|files\.tsv)$", "/", parts.path)
    return parts._replace(path=path.rstrip("/") + "/", query="", fragment="").geturl()


def _root_of(page: str) -> str:
    """The study's own folder: files have one address for all versions."""
    return re.sub(r"/v[1-9]\d*/$", "/", page)


def _open(url: str, start: int = 0):
    headers = dict(_AGENT)
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT)


def _download_list(url: str, out: BinaryIO) -> None:
    """Write the list at ``url`` to ``out``, all of it. Raises CannotFetch."""
    try:
        with _open(url) as answer:
            told = answer.headers.get("Content-Length")
            shutil.copyfileobj(answer, out, _BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise CannotFetch(f"{url}: {error}") from error
    if told is not None and out.tell() != int(told):
        # A connection that breaks off looks like the end.
        raise CannotFetch(f"{url}: {out.tell()} bytes came instead of {told}; try again")
    out.seek(0)
    if not {b"path", b"size", b"sha256", b"version"} <= set(out.readline().rstrip().split(b"\t")):
        raise CannotFetch(f"{url} is no list of a study's files")


def _wanted(manifest: Path | None) -> dict[str, str] | None:
    if manifest is None:
        return None
    with manifest.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        return dict(listing.parse_manifest_line(line) for line in lines if line.strip())


def _selected(
    table: BinaryIO, select: Sequence[str], wanted: dict[str, str] | None
) -> Iterator[dict[str, Any]]:
    table.seek(0)
    for row in listing.read_rows(table):
        if wanted is not None and wanted.get(row["path"]) != row["sha256"]:
            continue
        if select and not _fits(row, select):
            continue
        yield row


def _fits(row: dict[str, Any], select: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(row["path"], s) or row.get("part") == s for s in select)


def safe_target(dest: Path, path: str) -> Path:
    """Where a listed path is written. Raises when it would leave ``dest``."""
    pure = PurePosixPath(path)
    bad = pure.is_absolute() or ".." in pure.parts or "\0" in path or not pure.parts
    if not bad and os.name == "nt":
        bad = "\\" in path or ":" in path
    if bad:
        raise _Refused(f"the list names {path!r}, which lies outside the folder")
    target = dest.joinpath(*pure.parts)
    here = dest.resolve()
    # A link that was there before must not lead the file elsewhere.
    if not target.parent.resolve().is_relative_to(here):
        raise _Refused(f"{path!r} would be written through a link out of {dest}")
    return target


def _fetch_one(root: str, row: dict[str, Any], dest: Path, count: Callable[[int], None]) -> bool:
    """Fetch one file; False when it was there already. Raises _Refused or OSError."""
    target = safe_target(dest, row["path"])
    if (
        target.is_file()
        and target.stat().st_size == row["size"]
        and _sha256(target) == row["sha256"]
    ):
        count(row["size"])
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    if len(os.fsencode(part.name)) > 255:  # the longest name that file systems take
        part = target.with_name(f".{row['sha256']}.part")
    url = urljoin(root, file_url(row["path"], row["version"]))
    for attempt in range(_TRIES):
        try:
            digest = _resume(url, part, row["size"], count)
            break
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise _Refused(f"{url}: {error.code} {error.reason}") from error
            if error.code == 416:
                part.unlink(missing_ok=True)
            last: Exception = error
        except (OSError, http.client.HTTPException) as error:
            last = error
        if attempt == _TRIES - 1:
            raise OSError(f"{url}: {last}") from last
        time.sleep(min(8.0, 0.5 * 2**attempt))
    if digest != row["sha256"]:
        part.unlink(missing_ok=True)
        raise OSError(f"{url}: sha256 is {digest} instead of {row['sha256']}")
    os.replace(part, target)
    return True


def _resume(url: str, part: Path, size: int, count: Callable[[int], None]) -> str:
    """Complete ``part`` and return the sha256 of all of it."""
    hasher = hashlib.sha256()
    have = 0
    if part.is_file() and part.stat().st_size <= size:
        with part.open("rb") as handle:
            while block := handle.read(_BLOCK):
                hasher.update(block)
                have += len(block)
    if have == size and size:
        count(size)
        return hasher.hexdigest()
    with _open(url, have) as answer:
        if have and answer.status != 206:
            hasher, have = hashlib.sha256(), 0  # the host knows no ranges: from the start
        count(have)
        with part.open("ab" if have else "wb") as out:
            while block := answer.read(_BLOCK):
                out.write(block)
                hasher.update(block)
                have += len(block)
                count(len(block))
    if have != size:
        raise OSError(f"{have} bytes came instead of {size}")
    return hasher.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
