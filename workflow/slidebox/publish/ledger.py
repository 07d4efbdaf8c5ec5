"""What is known to be in a target: a local SQLite file, so that nothing unchanged is asked for.

It may be deleted: what the target holds is then listed again (`slidebox.publish.recover`). Rows are
written after the target took the object, a few hundred at a time; what a killed run had not yet
written down is compared by digest and not sent twice.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS units (
    name TEXT PRIMARY KEY, stamp TEXT, published INTEGER NOT NULL DEFAULT 0,
    doubtful INTEGER NOT NULL DEFAULT 0, run INTEGER NOT NULL DEFAULT 0,
    stale INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    key TEXT PRIMARY KEY, unit TEXT NOT NULL, tree TEXT, size INTEGER, mtime INTEGER,
    sha256 TEXT, etag TEXT, headers TEXT, seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_unit ON objects (unit, seen);
CREATE INDEX IF NOT EXISTS by_tree ON objects (tree) WHERE tree IS NOT NULL;
CREATE TABLE IF NOT EXISTS trees (
    prefix TEXT PRIMARY KEY, unit TEXT, digest TEXT, seen INTEGER NOT NULL DEFAULT 0)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS todo (
    key TEXT PRIMARY KEY, unit TEXT NOT NULL, rank INTEGER, source TEXT, size INTEGER,
    sha256 TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_rank ON todo (rank, unit);
CREATE TABLE IF NOT EXISTS pieces (key TEXT PRIMARY KEY, etag TEXT, pieces TEXT) WITHOUT ROWID;
"""


@dataclass(slots=True)
class Row:
    """One object of the target. ``mtime`` (ns) is that of the local file; 0 when not known."""

    key: str
    unit: str
    tree: str | None
    size: int
    mtime: int
    sha256: str
    etag: str
    headers: str


@dataclass(slots=True)
class Todo:
    """One object to be sent: from where, in which order, and its sha256 when that is on record."""

    key: str
    unit: str
    rank: int
    source: str
    size: int
    sha256: str | None


class Ledger:
    """The ledger of one target. One process at a time writes it; one thread uses it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = TRUNCATE")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        # What a killed run had planned is planned anew.
        self._db.execute("DELETE FROM todo")
        self._db.execute("BEGIN")

    def close(self) -> None:
        self.commit()
        self._db.close()

    def commit(self) -> None:
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    # Facts about the whole target

    def fact(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def set_fact(self, name: str, value: str | None) -> None:
        self._db.execute("REPLACE INTO facts VALUES (?, ?)", (name, value))

    # Units

    def stamps(self) -> dict[str, str | None]:
        """Unit -> the stamp under which it was published in full; None while it isn't."""
        return dict(self._db.execute("SELECT name, stamp FROM units"))

    def begin_unit(self, name: str) -> None:
        """From now on until `end_unit` the target may hold a part of the unit."""
        self._db.execute(
            "INSERT INTO units (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET stamp = NULL",
            (name,),
        )

    def end_unit(self, name: str, stamp: str, run: int) -> None:
        self._db.execute(
            "UPDATE units SET stamp = ?, published = 1, doubtful = 0, run = ? WHERE name = ?",
            (stamp, run, name),
        )

    def drop_unit(self, name: str) -> None:
        self.forget(name)
        self._db.execute("DELETE FROM units WHERE name = ?", (name,))

    def published(self, name: str) -> bool:
        """Whether the unit was ever published in full."""
        row = self._db.execute("SELECT published FROM units WHERE name = ?", (name,)).fetchone()
        return bool(row and row[0])

    def doubt(self, name: str | None = None) -> None:
        """What is in the target may differ from what is written here (all units when None)."""
        if name is None:
            self._db.execute("UPDATE units SET doubtful = 1, stamp = NULL")
        else:
            self.begin_unit(name)
            self._db.execute("UPDATE units SET doubtful = 1 WHERE name = ?", (name,))

    def doubtful(self, name: str) -> bool:
        row = self._db.execute("SELECT doubtful FROM units WHERE name = ?", (name,)).fetchone()
        return bool(row and row[0])

    # Objects

    def row(self, key: str) -> Row | None:
        found = self._db.execute(
            "SELECT key, unit, tree, size, mtime, sha256, etag, headers FROM objects WHERE key = ?",
            (key,),
        ).fetchone()
        return Row(*found) if found else None

    def put(self, row: Row, run: int) -> None:
        self._db.execute(
            "REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.key, row.unit, row.tree, row.size, row.mtime, row.sha256, row.etag, row.headers,
             run),
        )  # fmt: skip

    def drop(self, keys: Iterable[str]) -> None:
        self._db.executemany("DELETE FROM objects WHERE key = ?", ((key,) for key in keys))

    def forget(self, unit: str) -> None:
        """Drop all rows of a unit."""
        for table in ("objects", "trees"):
            self._db.execute(f"DELETE FROM {table} WHERE unit = ?", (unit,))

    def see(self, key: str, run: int) -> None:
        """The object is wanted in this run."""
        self._db.execute("UPDATE objects SET seen = ? WHERE key = ?", (run, key))

    def rows(self, unit: str) -> Iterator[Row]:
        """All rows of a unit in order of key; the ledger may be written in between."""
        last = ""
        while True:
            page = self._db.execute(
                "SELECT key, unit, tree, size, mtime, sha256, etag, headers FROM objects "
                "WHERE unit = ? AND key > ? ORDER BY key LIMIT 1000",
                (unit, last),
            ).fetchall()
            yield from (Row(*found) for found in page)
            if len(page) < 1000:
                return
            last = page[-1][0]

    def stale(self, unit: str) -> Iterator[Row]:
        """Objects of a unit that its last publication in full did not want."""
        (run,) = self._db.execute("SELECT run FROM units WHERE name = ?", (unit,)).fetchone()
        kept = {
            prefix
            for (prefix,) in self._db.execute(
                "SELECT prefix FROM trees WHERE unit = ? AND seen = ?", (unit, run)
            )
        }
        for row in self.rows(unit):
            if row.tree in kept:
                continue
            (seen,) = self._db.execute(
                "SELECT seen FROM objects WHERE key = ?", (row.key,)
            ).fetchone()
            if seen != run:
                yield row

    def set_stale(self, unit: str, count: int) -> None:
        """How many objects of a unit are kept though nothing wants them."""
        self._db.execute("UPDATE units SET stale = ? WHERE name = ?", (count, unit))

    def stale_total(self) -> int:
        return self._db.execute("SELECT coalesce(sum(stale), 0) FROM units").fetchone()[0]

    def totals(self) -> tuple[int, int]:
        """Objects and bytes of the target."""
        return self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM objects").fetchone()

    def pieces(self, row: Row) -> list[tuple[str, int]] | None:
        """Of what an object was made when it was sent (`slidebox.catalogue.pieces`)."""
        found = self._db.execute(
            "SELECT pieces FROM pieces WHERE key = ? AND etag = ?", (row.key, row.etag)
        ).fetchone()
        return [(name, size) for name, size in json.loads(found[0])] if found else None

    def put_pieces(self, row: Row, pieces: list[tuple[str, int]]) -> None:
        self._db.execute(
            "REPLACE INTO pieces VALUES (?, ?, ?)", (row.key, row.etag, json.dumps(pieces))
        )

    # Trees: images whose chunks need no look while their digest is the same

    def tree(self, prefix: str) -> str | None:
        """Digest of a tree that is in the target in full."""
        row = self._db.execute("SELECT digest FROM trees WHERE prefix = ?", (prefix,)).fetchone()
        return row[0] if row else None

    def trees(self) -> list[str]:
        """Prefixes of all trees that are in the target in full."""
        return [prefix for (prefix,) in self._db.execute("SELECT prefix FROM trees ORDER BY 1")]

    def put_tree(self, prefix: str, unit: str, digest: str, run: int) -> None:
        self._db.execute("REPLACE INTO trees VALUES (?, ?, ?, ?)", (prefix, unit, digest, run))

    def see_tree(self, prefix: str, run: int) -> None:
        self._db.execute("UPDATE trees SET seen = ? WHERE prefix = ?", (run, prefix))

    def drop_tree(self, prefix: str) -> None:
        self._db.execute("DELETE FROM trees WHERE prefix = ?", (prefix,))

    def tree_rows(self, prefix: str) -> Iterator[Row]:
        """Rows of one tree."""
        for found in self._db.execute(
            "SELECT key, unit, tree, size, mtime, sha256, etag, headers FROM objects "
            "WHERE tree = ? ORDER BY key",
            (prefix,),
        ):
            yield Row(*found)

    # What is to be sent

    def plan(self, todo: Todo) -> None:
        self._db.execute(
            "REPLACE INTO todo VALUES (?, ?, ?, ?, ?, ?)",
            (todo.key, todo.unit, todo.rank, todo.source, todo.size, todo.sha256),
        )

    def planned(self, rank: int) -> Iterator[Todo]:
        """What is to be sent at a rank, in order of key; the ledger may be written in between."""
        last = ""
        while True:
            page = self._db.execute(
                "SELECT key, unit, rank, source, size, sha256 FROM todo "
                "WHERE rank = ? AND key > ? ORDER BY key LIMIT 1000",
                (rank, last),
            ).fetchall()
            yield from (Todo(*found) for found in page)
            if len(page) < 1000:
                return
            last = page[-1][0]

    def pending(self) -> tuple[int, int]:
        """Objects and bytes that are to be sent."""
        return self._db.execute("SELECT count(*), coalesce(sum(size), 0) FROM todo").fetchone()

    def clear_plan(self) -> None:
        self._db.execute("DELETE FROM todo")
