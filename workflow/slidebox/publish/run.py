"""Publication: bring a bucket or a folder up to date with what is public, and nothing else.

In this order: tombstones of what was withdrawn, and away with its data; assets; of each study,
challenge and reviewer's copy first the data, then the tables, then the pages; the site's own pages;
deletions; a mark, ``published.json``. Killed anywhere, the next run goes on.
"""

from __future__ import annotations

import fcntl
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slidebox import __version__
from slidebox.config import Config
from slidebox.findings import Finding
from slidebox.ingest import index
from slidebox.ingest.paths import now
from slidebox.ingest.withdrawal import TOMBSTONE
from slidebox.publish import recover, units
from slidebox.publish.compose import LEAST, Pieces
from slidebox.publish.headers import headers_of
from slidebox.publish.ledger import Ledger, Row, Todo
from slidebox.publish.send import Done, send
from slidebox.publish.target import SMALL, Conflict, Damaged, If, PublishError, Target
from slidebox.publish.wanted import DATA, RANKS, Planned, Planner

MARK = "published.json"
BATCH = 2000  # objects
BATCH_BYTES = 4 << 30
COMMIT = 0.5  # seconds
GIVE_UP = 20  # failures in a row: the server has gone

Progress = Callable[[int, int], None]


@dataclass
class Outcome:
    """What a publication did."""

    target: str
    nothing_new: bool = False
    sent: int = 0
    bytes: int = 0
    compared: int = 0  # looked at again, found the same
    deleted: int = 0
    stale: int = 0  # no longer wanted, and kept for want of a word
    taken_down: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def publish(
    config: Config,
    target: Target,
    ledger_path: Path,
    *,
    delete: bool = False,
    check: bool = False,
    takedowns: bool = False,
    progress: Progress | None = None,
) -> Outcome:
    """Publish all that changed.

    Parameters
    ----------
    delete : also delete what is no longer wanted (withdrawn and revoked things go without).
    check : ask the target what it holds, instead of believing the ledger.
    takedowns : only take away what was withdrawn or revoked (and then the site's own pages, when
        nothing else is to be published).
    progress : called with bytes done and bytes in all.

    Raises PublishError when the target can't be used.
    """
    with _lock(ledger_path.with_suffix(".lock")):
        ledger = Ledger(ledger_path)
        try:
            return _Run(config, target, ledger, ledger_path.parent, progress).run(
                delete=delete, check=check, takedowns=takedowns
            )
        finally:
            ledger.close()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One publication to a target at a time; the lock ends with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PublishError("another publication to this target is under way") from None
        except OSError:
            pass  # a file system without locks: conditional writes must do
        yield


class _Run:
    def __init__(
        self, config: Config, target: Target, ledger: Ledger, scratch: Path,
        progress: Progress | None,
    ) -> None:  # fmt: skip
        self.config, self.target, self.ledger = config, target, ledger
        self.scratch, self.progress = scratch, progress
        self.number = int(ledger.fact("run") or 0) + 1
        self.outcome = Outcome(str(target))
        self.failed: set[str] = set()
        self.changed: set[str] = set()
        self._row = 0  # failures in a row
        self._planned = self._done = 0

    def run(self, *, delete: bool, check: bool, takedowns: bool) -> Outcome:
        survey = units.survey(self.config)
        self.purged = survey.purged
        try:
            mark = self.target.head(MARK)
        except Exception:
            self.target.check()  # says in a line what is wrong
            raise
        etag = mark[0].etag if mark else None
        known = self.ledger.fact("mark")
        same = known is not None and etag == known
        waiting = delete and self.ledger.stale_total()
        if same and not check and not waiting and self.ledger.fact("state") == survey.state:
            self.outcome.nothing_new = True
            self.outcome.stale = self.ledger.stale_total()
            return self.outcome
        self.target.check()
        self._learn()
        self.ledger.set_fact("run", str(self.number))
        self._doubts(check or (known is not None and not same), etag)
        complete = self._work(survey, takedowns) and not self.failed
        if complete:
            self._delete_stale(survey, delete)
        self._finish(survey, complete)
        return self.outcome

    def _learn(self) -> None:
        """What the server can, asked once."""
        learn = getattr(self.target, "learn", None)
        if learn is not None:
            self.ledger.set_fact("can", learn(self.ledger.fact("can")))
            self.ledger.commit()
        self.outcome.notes += self.target.notes

    def _doubts(self, doubt: bool, etag: str | None) -> None:
        """Decide whether the ledger is to be believed."""
        if doubt:
            self.ledger.doubt()
            self.ledger.set_fact("new", "no")
        elif self.ledger.fact("new") is None:
            # No ledger: the target may be empty, or hold all of an earlier publication.
            first = next(iter(self.target.list("")), None)
            self.ledger.set_fact("new", "yes" if first is None else "no")
        self.ledger.set_fact("state", None)
        self.ledger.set_fact("mark_is", etag)
        self.ledger.commit()

    def _doubtful(self, unit: str) -> bool:
        if self.ledger.doubtful(unit):
            return True
        return self.ledger.fact("new") == "no" and unit not in self._stamps

    def _work(self, survey: units.Survey, takedowns: bool) -> bool:
        """Everything but deletions and the mark; False when something was left for another run."""
        self._stamps = stamps = self.ledger.stamps()
        dirty = [unit for unit, stamp in survey.stamps.items() if stamps.get(unit) != stamp]
        gone = [u for u in stamps if u.startswith("review/") and u not in survey.stamps]
        names = {unit.partition("/")[2] for unit in dirty if unit.startswith("study/")}
        receipts = index.current(self.config, names) if names else {}
        away, rest = [], []
        for unit in dirty:
            fate = self._fate(unit, receipts)
            if fate == "publish":
                rest.append(unit)
            elif fate != "wait" or self.ledger.published(unit) or self._doubtful(unit):
                away.append((unit, fate))
        own = [unit for unit in rest if unit != units.SITE]
        late = not own  # then the front page is put right before the data it shows go
        with ThreadPoolExecutor(self.config.publish.threads) as pool:
            self.pool = pool
            for unit, fate in away:
                self._tombstone(unit, fate)
                if not late:
                    self._take_down(unit, fate, survey)
            for unit in gone:
                self._take_down(unit, "wait", survey)
            if own and not takedowns:
                self._units(own, survey)
            new = [unit for unit in self.failed if not self.ledger.published(unit)]
            if units.SITE in rest and not new and not (takedowns and own):
                self._units([units.SITE], survey)
            if late:
                for unit, fate in away:
                    self._take_down(unit, fate, survey)
        for unit in set(dirty) - set(rest) - {unit for unit, _ in away}:
            self.ledger.begin_unit(unit)
            self.ledger.end_unit(unit, survey.stamps[unit], self.number)
        return not (takedowns and own)

    def _fate(self, unit: str, receipts: dict[str, dict[str, Any]]) -> str:
        """publish; withdrawn: a tombstone stays; wait: not public, nothing may be there."""
        kind, _, name = unit.partition("/")
        if kind != "study":
            return "publish"
        receipt = receipts.get(name)
        if (self.config.public / name / TOMBSTONE).is_file():
            return "withdrawn"
        public = receipt is not None and receipt["where"] == "public"
        return "publish" if public and self.purged.get(name, set()) is not None else "wait"

    # Taking away

    def _tombstone(self, unit: str, fate: str) -> None:
        if fate != "withdrawn":
            return
        self.ledger.begin_unit(unit)
        self.ledger.commit()
        accession = unit.partition("/")[2]
        for name in (TOMBSTONE, "index.html"):
            path = self.config.public / accession / name
            if path.is_file():
                key = f"{accession}/{name}"
                todo = Todo(key, unit, DATA, str(path), 0, None)
                # Whatever is there, it goes: a withdrawal waits for nobody.
                self._take(send(self.target, todo, self.ledger.row(key), True))

    def _take_down(self, unit: str, fate: str, survey: units.Survey) -> None:
        """Delete all of a unit that the target lists, but for its tombstone."""
        self.ledger.begin_unit(unit)
        self.ledger.commit()
        prefix = units.prefix_of(unit)
        kept = {f"{prefix}{n}" for n in (TOMBSTONE, "index.html")}
        keep = kept if fate == "withdrawn" else set()
        rows = [row for key in sorted(keep) if (row := self.ledger.row(key))]
        keys = (held.key for held in self.target.list(prefix) if held.key not in keep)
        for _ in self._each(self.target.delete, keys):
            self.outcome.deleted += 1
        self.target.abort_uploads(prefix)
        self.target.delete(recover.manifest_key(unit))
        self.ledger.drop_unit(unit)
        if unit in survey.stamps:
            self.ledger.begin_unit(unit)
            for row in rows:
                self.ledger.put(row, self.number)
            self.ledger.end_unit(unit, survey.stamps[unit], self.number)
        self.ledger.commit()
        self.outcome.taken_down.append(unit)

    # Sending

    def _units(self, names: Iterable[str], survey: units.Survey) -> None:
        """Publish units, small ones many at a time, so that no worker waits for the last."""
        planner = Planner(self.config, self.ledger, self.number)
        batch: dict[str, Planned] = {}
        for unit in names:
            if self._doubtful(unit):
                recover.recover(self.target, self.ledger, unit)
                self.ledger.doubt(unit)
            self.ledger.begin_unit(unit)
            accession = unit.partition("/")[2]
            purged = survey.purged.get(accession) if unit.startswith("study/") else None
            batch[unit] = planner.plan(unit, purged or set())
            count, size = self.ledger.pending()
            if count >= BATCH or size >= BATCH_BYTES:
                self._flush(batch, survey)
                batch = {}
        self._flush(batch, survey)

    def _flush(self, batch: dict[str, Planned], survey: units.Survey) -> None:
        for unit, planned in batch.items():
            self.outcome.findings += planned.findings
            if any(finding.severity == "error" for finding in planned.findings):
                self.failed.add(unit)
        self.ledger.commit()
        self._planned += self.ledger.pending()[1]
        for rank in RANKS:
            # Pages whose data did not arrive are not sent.
            wanted = (
                todo
                for todo in self.ledger.planned(rank)
                if rank == DATA or todo.unit not in self.failed
            )
            self._send(wanted)
        self.ledger.clear_plan()
        for unit, planned in batch.items():
            if gone := tuple(planned.takedown):
                self._remove(r for r in self.ledger.rows(unit) if r.key.startswith(gone))
            if unit not in self.failed:
                for prefix, digest in planned.trees.items():
                    self.ledger.put_tree(prefix, unit, digest, self.number)
                if unit in self.changed:
                    self._manifest(unit)
                self.ledger.end_unit(unit, survey.stamps[unit], self.number)
        self.ledger.commit()

    def _send(self, todos: Iterable[Todo]) -> None:
        def one(todo: Todo, row: Row | None, doubtful: bool, there: Pieces | None) -> Done:
            return send(self.target, todo, row, doubtful, there)

        doubts: dict[str, bool] = {}

        def jobs() -> Iterator[tuple]:
            for todo in todos:
                if todo.unit not in doubts:
                    doubts[todo.unit] = self._doubtful(todo.unit)
                row = self.ledger.row(todo.key)
                there = self.ledger.pieces(row) if row and row.size > LEAST else None
                yield todo, row, doubts[todo.unit], there

        committed = time.monotonic()
        for (todo, *_), future in self._futures(one, jobs()):
            try:
                self._take(future.result())
                self._row = 0
            except FileNotFoundError:
                self.failed.add(todo.unit)  # replaced meanwhile: the next run sees what by
            except Exception as error:
                self._failure(todo, error)
            self._done += todo.size
            if self.progress:
                self.progress(min(self._done, self._planned), self._planned)
            if time.monotonic() - committed > COMMIT:
                self.ledger.commit()
                committed = time.monotonic()
        self.ledger.commit()

    def _take(self, done: Done) -> None:
        before = self.ledger.row(done.row.key)
        self.ledger.put(done.row, self.number)
        if done.pieces:
            self.ledger.put_pieces(done.row, done.pieces)
        if done.sent:
            self.outcome.sent += 1
            self.outcome.bytes += done.bytes
        else:
            self.outcome.compared += 1
        if before is None or before.etag != done.row.etag or before.headers != done.row.headers:
            self.changed.add(done.row.unit)

    def _failure(self, todo: Todo, error: Exception) -> None:
        self.failed.add(todo.unit)
        code, mend = "PUBLISH_FAILED", "Run the same again: what arrived is kept."
        if isinstance(error, Conflict):
            self.ledger.doubt(todo.unit)
            code = "PUBLISH_CONFLICT"
            mend = "Does another machine publish here? If not, run the same again: it replaces it."
        elif isinstance(error, Damaged):
            code, mend = "PUBLISH_DAMAGED", f"slidebox repair {todo.key.partition('/')[0]}"
        else:
            self._row += 1
        said = " ".join(str(error).split())[:300] or type(error).__name__
        self.outcome.findings.append(
            Finding(code, "error", f"{todo.key}: {said}", file=todo.key, mend=mend)
        )
        if self._row >= GIVE_UP:
            self.ledger.commit()
            raise PublishError(f"{self.target} does not take anything any more: {said}")

    def _futures(self, work: Callable, jobs: Iterable[tuple]) -> Iterator[tuple[tuple, Future]]:
        """Each job with its finished future; a bounded number waits."""
        running: dict[Future, tuple] = {}
        jobs = iter(jobs)
        while True:
            while len(running) < 3 * self.config.publish.threads:
                job = next(jobs, None)
                if job is None:
                    break
                running[self.pool.submit(work, *job)] = job
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED)[0]:
                yield running.pop(future), future

    def _each(self, work: Callable, items: Iterable) -> Iterator[Any]:
        for (item,), future in self._futures(work, ((item,) for item in items)):
            future.result()
            yield item

    # Ending

    def _remove(self, rows: Iterable[Row]) -> None:
        def keys() -> Iterator[str]:
            for row in rows:
                if row.tree:
                    self.ledger.drop_tree(row.tree)
                yield row.key

        for key in self._each(self.target.delete, keys()):
            self.ledger.drop([key])
            self.outcome.deleted += 1

    def _delete_stale(self, survey: units.Survey, delete: bool) -> None:
        """What no unit wants any more: deleted, or counted. Studies never go by being absent."""
        stamps = self.ledger.stamps()
        with ThreadPoolExecutor(self.config.publish.threads) as self.pool:
            for unit in stamps:
                absent = unit.startswith("challenge/") and unit not in survey.stamps
                if not (delete or absent or self._stamps.get(unit) != stamps[unit]):
                    continue  # counted when it was last published
                rows = self.ledger.rows(unit) if absent else self.ledger.stale(unit)
                if not delete:
                    self.ledger.set_stale(unit, sum(1 for _ in rows))
                    continue
                before = self.outcome.deleted
                self._remove(rows)
                if absent:
                    self.target.delete(recover.manifest_key(unit))
                    self.ledger.drop_unit(unit)
                    continue
                self.ledger.set_stale(unit, 0)
                if self.outcome.deleted > before:
                    self._manifest(unit)
        self.outcome.stale = self.ledger.stale_total()
        self.ledger.commit()

    def _manifest(self, unit: str) -> None:
        """Put the list of a unit's objects beside them: the ledger can be made again from it."""
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            for line in recover.manifest_lines(self.ledger.rows(unit)):
                file.write(line.encode())
            size = file.tell()
            file.seek(0)
            key = recover.manifest_key(unit)
            if size <= SMALL:
                self.target.put(key, file.read(), headers_of(key), None)
            else:
                self.target.put_file(key, file, size, headers_of(key), None, None)

    def _finish(self, survey: units.Survey, complete: bool) -> None:
        if not complete:
            self.ledger.commit()
            return
        objects, size = self.ledger.totals()
        mark = {
            "published": now(),
            "state": survey.state,
            "objects": objects,
            "bytes": size,
            "manifests": recover.MANIFESTS,
            "software": f"slidebox {__version__}",
        }
        data = (json.dumps(mark, indent=2) + "\n").encode()
        was = self.ledger.fact("mark_is")
        try:
            etag = self.target.put(MARK, data, headers_of(MARK), If(was))
        except Conflict:
            raise PublishError(
                f"{self.target}: another publication ended meanwhile; run the same again"
            ) from None
        self.ledger.set_fact("mark", etag)
        self.ledger.set_fact("state", survey.state)
        self.ledger.set_fact("new", "yes")
        self.ledger.commit()
