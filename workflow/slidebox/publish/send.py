"""One object on its way: read once, compared by digest, written when it differs."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from slidebox.catalogue import evicted, pieces
from slidebox.publish import compose
from slidebox.publish.headers import Headers, headers_of
from slidebox.publish.ledger import Row, Todo
from slidebox.publish.target import SMALL, Conflict, Damaged, If, Sent, Target

PAUSES = (0.2, 1.0, 5.0, 0.0)  # seconds; a try each


@dataclass(slots=True)
class Done:
    """What became of one object; ``row`` is what the target now holds."""

    row: Row
    sent: bool
    pieces: compose.Pieces | None = None  # of what a large file is made
    bytes: int = 0  # that were sent


def send(
    target: Target,
    todo: Todo,
    row: Row | None,
    doubtful: bool,
    there: compose.Pieces | None = None,
) -> Done:
    """Bring one object up to date; run by several threads.

    Parameters
    ----------
    row : what the ledger knows of the object in the target, None when nothing.
    doubtful : an object that is there unexpectedly is replaced, not respected: the ledger was lost,
        or the last publication met somebody else's writes.
    there : of what the object that is there is made, when the ledger knows it.

    Raises Conflict, Damaged (the file hasn't the sha256 on record) or OSError.
    """
    headers = headers_of(todo.key)
    with open(todo.source, "rb") as file:
        status = os.fstat(file.fileno())
        size = status.st_size

        def done(sent: Sent, size_sent: int | None) -> Done:
            tree = evicted.tree_prefix(todo.key)
            kept = (sent.size, status.st_mtime_ns, sent.sha256, sent.etag, headers.digest)
            row = Row(todo.key, todo.unit, tree, *kept)
            return Done(row, size_sent is not None, made_of, size_sent or 0)

        made_of = pieces.read(Path(todo.source)) if size > compose.LEAST else None
        parts = compose.plan(there, made_of, size) if there and made_of else None
        data = None
        if size <= SMALL:
            data = file.read()
            sha256 = hashlib.sha256(data).hexdigest()
            if todo.sha256 is not None and sha256 != todo.sha256:
                raise Damaged(f"sha256 is {sha256} instead of {todo.sha256}")
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            local = Sent(len(data), sha256, md5)
        elif row is not None and row.size == size:
            # An object made of parts of its own cut is told by its sha256.
            digest = hashlib.file_digest(file, "sha256").hexdigest() if row.sha256 else ""
            file.seek(0)
            local = Sent(size, todo.sha256 or digest, target.etag_of(file, size))
            file.seek(0)
        else:
            local = None

        same = row is not None and local is not None and _same(row, local)
        if same and (row.headers == headers.digest or _kept(target, row, headers)):
            return done(Sent(size, local.sha256 or row.sha256, row.etag), None)

        def write(when: If) -> Done:
            if parts and row is not None and when.etag == row.etag:
                sent = target.compose(todo.key, file, parts, headers, when, row.etag)
                if sent is not None:
                    return done(sent, sum(p.size for p in parts if p.source is None))
            if data is not None:
                etag = target.put(todo.key, data, headers, when)
                return done(Sent(len(data), local.sha256, etag), size)
            file.seek(0)
            return done(target.put_file(todo.key, file, size, headers, when, todo.sha256), size)

        when = If(row.etag if row else None)
        for pause in PAUSES:
            try:
                return write(when)
            except Conflict:
                found = target.head(todo.key)
            if found is None:
                # What a killed run had under way may still be on its way.
                time.sleep(pause)
                when = If()
                continue
            held, has = found
            if local is None:
                local = Sent(size, todo.sha256 or "", target.etag_of(file, size))
            if held.etag == local.etag and has in (headers, None):
                return done(local, None)  # what a killed run sent and had not written down
            if parts and held.etag == compose.etag(file, parts) and has in (headers, None):
                return done(Sent(size, local.sha256, held.etag), None)
            if not (doubtful or held.etag == local.etag):
                break
            when = If(held.etag)
        raise Conflict(f"{todo.key} was changed by somebody else")


def _same(row: Row, local: Sent) -> bool:
    return row.etag == local.etag or bool(row.sha256 and row.sha256 == local.sha256)


def _kept(target: Target, row: Row, headers: Headers) -> bool:
    """Whether an object of which only the etag was listed has the right headers."""
    if row.headers:
        return False
    found = target.head(row.key)
    return found is not None and found[1] in (headers, None)
