"""Whether hidden truth can be reached under public/: by bytes, pixels, looks or tables."""

from __future__ import annotations

import csv
import hashlib
import itertools
import math
import os
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..findings import Finding
from ..images import UnreadableImage
from ..scoring.release import sha256_file
from . import anyimage, containers, lookalike, objects, pixels, restored, searched, tables, tells
from .archive import Study
from .assemble import Pair
from .digests import Digests
from .writer import Writer

LARGEST_TEXT = 256 << 20
POINTS = {".csv", ".tsv", ".txt"}
STAGING = re.compile(r"challenges/[^/]+/\.\d+\.\d+\.\d+\.[^/]+\.tmp/")
AXES = ("yx", "zyx", "tyx", "tzyx")
MOST_PLANES = 1 << 20  # of an image
LARGEST_PLANE = 1 << 30  # pixels of a plane that is read to compare its looks
HIDDEN_PLANES, PLANES = 256, 32  # of one image that are compared by their looks
FEWEST_TRACKS = 5  # lines of a table below which others' may be the same by chance
CLASSES = 16  # of a semantic segmentation that are looked for alone
TURNS = 4  # changes of value along a plane that isn't like any other


def partition_digest(planes: Iterable[np.ndarray]) -> str:
    """Digest of what is one object with what, whatever the numbers, the dtype and the file format.

    Planes come in C order; values count on by first appearance, so that the background may have
    any.
    """
    total = hashlib.sha256()
    number: dict[int, int] = {}
    for plane in planes:
        flat = np.ascontiguousarray(plane).reshape(-1)
        first = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
        lengths = np.diff(first, append=flat.size)
        values = [number.setdefault(v, len(number)) for v in flat[first].tolist()]
        total.update(np.asarray(plane.shape, np.int64).tobytes())
        total.update(np.asarray(values, np.int64).tobytes())
        total.update(lengths.astype(np.int64).tobytes())
    return total.hexdigest()


def _files(pair: Pair) -> Iterator[tuple[str, Path]]:
    """(name, path in the vault) of every file of a pair's truth."""
    for fileset in (pair.truth, pair.tracks):
        for file in (fileset or {}).get("files", []):
            yield file["path"], pair.study.content(file["path"])


def _says_nothing(path: Path, task: str) -> bool:
    """Whether a written truth has no object, or is one: such are all alike, and no secret."""
    if task == "points":
        return len(path.read_text("ascii").splitlines()) < 2
    if task == "tracking":
        return not (path / "TRA" / "man_track.txt").read_text("ascii").strip()
    if task == "restoration":
        return False
    with pixels.opened(path) as truth:
        return _plain(truth.planes())


def _plain(planes: Iterable[np.ndarray]) -> bool:
    """Whether planes are like many others: empty, or of one value."""
    return all(_turns(plane) < TURNS for plane in planes)


def _common(files: list[tuple[str, Path]]) -> set[str]:
    """Names of a truth's files that other truths have too: empty frames, what describes a Zarr."""
    found = {name for name, _ in files if Path(name).name in containers.ZARR_FILES}
    if len(files) == 1:
        return found
    same: dict[str, list[str]] = defaultdict(list)
    for name, path in files:
        same[sha256_file(path)].append(name)
        if name not in found and not path.name.isdigit():
            with suppress(*anyimage.BROKEN):
                planes = [p for source in anyimage.arrays(path) for p in source.planes()]
                found |= {name} if planes and _plain(planes) else set()
    return found.union(*(names for names in same.values() if len(names) > 1))


def _small_table(path: Path, task: str) -> bool:
    """Whether a table of tracks is as any short time-lapse's: `1 0 9 0`."""
    return (
        task == "tracking"
        and path.stat().st_size < 1 << 10
        and len(path.read_bytes().split(b"\n")) < FEWEST_TRACKS
    )


def check(writer: Writer, tell: Callable[[str, int, int], None]) -> list[Finding]:
    """Findings for each place under public/ from which hidden truth can be had or checked."""
    if not any(writer.is_hidden(pair) for pair in writer.pairs):
        return []
    search = _Search(writer)
    before = searched.Searched(writer.hidden.parent, search.key(writer))
    findings: list[Finding] = []
    known: set[str] = set()
    for study in _studies(writer):
        known |= {f"{study.accession}/{i['zarr']}" for i in study.public.get("images", [])
                  if i.get("zarr")}  # fmt: skip
        shown = [f for f in study.filesets if not study.is_restricted(f)]
        state = hashlib.sha256("\n".join(
            f"{f['path']} {f.get('role')} {study.sha256(f)}" for f in shown
        ).encode("utf-8", "surrogateescape")).hexdigest()  # fmt: skip
        place = f"vault/{study.accession}/{study.version}"
        if not before.is_known(place, state):
            found = [finding for f in shown for finding in search.fileset(study, f)]
            findings += found
            if not found:
                before.add(place, state)
    public = list(searched.places(writer.public, _walk(writer.public, writer)))
    release = list(searched.places(writer.staging, _walk(writer.staging, writer)))
    for done, (place, state, files) in enumerate([*public, *release], 1):
        if done > len(public) or not before.is_known(f"public/{place}", state):
            found = []
            for path in files:
                where = _where(path, writer)
                with suppress(FileNotFoundError):  # another release or study was being renamed
                    found += search.file(path, where, looked_at=_derived(path, known, writer))
            found += search.regions(files, _where(files[0].parent, writer))
            findings += found
            if not found and done <= len(public):
                before.add(f"public/{place}", state)
        tell("looking for hidden truth", done, len(public) + len(release))
    before.write()
    return list(dict.fromkeys(findings))


def _error(where: str, what: str, mend: str) -> Finding:
    return Finding("HIDDEN_REACHABLE", "error", what, where, mend=mend)


def _unsearched(where: str, why: str) -> Finding:
    return Finding("HIDDEN_UNSEARCHED", "warning", f"wasn't searched for hidden truth: {why}",
                   where, mend="look into it yourself")  # fmt: skip


def _left(left: containers.Left, where: str) -> Iterator[Finding]:
    for member, why in left.members:
        yield _unsearched(f"{where}!/{member}" if member else where, why)


AGAIN = "withdraw it, or choose another test set: what was public stays known"


class _Search:
    """What is hidden of a challenge, in all the forms that it is looked for in."""

    def __init__(self, writer: Writer) -> None:
        self.task = writer.challenge.task
        self.digest = values_digest if self.task == "restoration" else partition_digest
        self.sizes: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
        self.digests = Digests()
        self.wanted: dict[str, str] = {}
        self.turns: set[int] = set()
        self.shapes: set[tuple[int, ...]] = set()
        self.planes: set[tuple[int, ...]] = set()
        self.wholes: set[tuple[int, ...]] = set()  # of all planes, as they may lie in a row
        self.points: dict[str, list[tuple[str, set]]] = {axes: [] for axes in AXES}
        self.alike = lookalike.Lookalikes()
        self.restored = restored.Restored()
        self.one_by_one: dict[str, Counter[str]] = defaultdict(Counter)  # by folder
        self.columns = writer.challenge.data.columns
        known: list[tells.Objects] = []
        open_ids = [p.id for p in writer.pairs if not writer.is_hidden(p)]
        # A waived pair looks alike, and so may its truth
        self.waived = {
            p.id for p in writer.pairs if writer.is_hidden(p)
            and any(w.covers(p.id, other) for w in writer.challenge.leakage.waivers
                    for other in open_ids)
        }  # fmt: skip
        self.sources = {pair.study.accession for pair in writer.pairs}
        self.tracks: list[tuple[frozenset, str]] = []
        for row in writer.secrets:
            if not _says_nothing(writer.hidden / row["truth"], self.task):
                self.digests.add(bytes.fromhex(row["sha256"]), row["id"])
        hidden = {
            (p.study.accession, p.study.version, p.truth["path"], p.series): p
            for p in reversed(writer.pairs) if writer.is_hidden(p)
        }  # fmt: skip
        for pair in hidden.values():  # once for all tiles of an image
            told = (self._table if self.task == "points" else self._image)(pair, known)
            self.digests.beside(pair.id, _names(pair))
            files = list(_files(pair))
            if told and len(files) == 1:
                known[-1:] = [_with_size(one, files[0][1]) for one in known[-1:]]
            common = _common(files) if told else set()
            for name, path in files:
                self.digests.name(name, pair.id)
                if told and name not in common and not _small_table(path, self.task):
                    self._bytes(pair, path)
            if pair.tracks is not None:
                with suppress(pixels.Unfit):
                    listed = frozenset(pixels.read_tracks(pair.study.content(pair.tracks["path"])))
                    if len(listed) >= tells.SEVERAL:  # others may have the same few
                        self.tracks.append((listed, pair.id))
        self.tells = tells.Tells(known)

    def key(self, writer: Writer) -> str:
        """Digest of all that is looked for."""
        total = hashlib.sha256(
            f"{self.task} {self.columns} {sorted(self.waived)} {sorted(self.sources)}".encode()
        )
        for pair in filter(writer.is_hidden, writer.pairs):
            for fileset in filter(None, (pair.image, pair.truth, pair.tracks)):
                names = [f["path"] for f in fileset["files"]]
                told = [pair.id, pair.series, fileset["path"], names, pair.study.sha256(fileset)]
                total.update(f"{told}\n".encode())
        for row in writer.secrets:
            total.update(f"{row['id']} {row['sha256']}\n".encode())
        return total.hexdigest()

    def _bytes(self, pair: Pair, path: Path) -> None:
        digest = self.digests.file(path, pair.id)
        if size := path.stat().st_size:
            self.sizes[size].add((digest, pair.id, "the hidden truth"))

    def _image(self, pair: Pair, known: list[tells.Objects]) -> bool:
        """Whether there is something to hide: an image of one value is no secret."""
        series = pair.series if len(pair.truth.get("series") or []) > 1 else 0
        with objects.Truths().opened(pair.study, pair.truth, series) as truth:
            planes = list(truth.planes())
            shape = truth.shape
            self.shapes.add(_size(truth.axes, shape))
        if _plain(planes):
            return False
        self.planes.add(_size("yx", shape[-2:]))
        whole = (len(planes), *shape[-2:]) if len(planes) > 1 else shape[-2:]
        self.wholes |= {whole, (*whole[:-2], whole[-1], whole[-2])}
        for size, digest in self.digests.values(planes, shape, pair.id):
            self.sizes[size].add((digest, pair.id, "the bare values of the hidden truth"))
        forms = [planes]
        if self.task == "restoration":
            few = _spread(planes, restored.PLANES)
            self.restored.add(pair.id, few, _planes_of(pair, restored.PLANES))
        else:
            known.append(tells.objects(pair.id, _names(pair), planes, self.task != "tracking"))
            few = numbered = _spread(planes, HIDDEN_PLANES)
            forms.append([plane > 0 for plane in planes])
            if self.task == "semantic-segmentation":
                numbered = [ndimage.label(plane)[0] for plane in few]
                classes = set(np.unique(np.stack(few)).tolist()) - {0}
                for each in sorted(classes)[:CLASSES] if len(classes) > 1 else ():
                    forms.append([plane == each for plane in planes])
                    numbered += [ndimage.label(plane == each)[0] for plane in few]
            self.alike.add(pair.id, numbered, _planes_of(pair, 3), _stains_of(pair, 3))
        for plane in itertools.chain.from_iterable(forms):
            if _turns(plane) >= TURNS:
                for turned in _turned(plane):
                    self.wanted[self.digest([turned])] = pair.id
                    self.turns.add(_turns(turned))
        return True

    def _table(self, pair: Pair, known: list[tells.Objects]) -> bool:
        """Whether there is something to hide: a point."""
        listed: list = []
        for axes in AXES:
            with suppress(pixels.Unfit):
                read = pixels.read_points(pair.truth_path, axes, self.columns)
                listed = listed or read
                if points := points_kept(read):
                    self.points[axes].append((pair.id, points))
        if listed:
            known.append(tells.points(pair.id, _names(pair), np.array(listed)))
        return bool(listed)

    def fileset(self, study: Study, fileset: dict) -> Iterator[Finding]:
        """A public fileset in the vault, from which it is served."""
        where = f"{study.accession}/{fileset['path']}"
        if fileset.get("role") not in ("labels", "image"):
            for file in fileset["files"]:
                path = study.content(file["path"])
                yield from self.file(path, f"{study.accession}/{file['path']}", file["path"])
            return
        for file in fileset["files"]:
            yield from self._packed_in(study.content(file["path"]), where)
        for number, series in enumerate(fileset.get("series") or []):
            same = self.shapes and _size(series["axes"], series["shape"]) in self.shapes
            # Pictures of other studies are too many to look at; labels aren't
            close = fileset["role"] == "labels" or study.accession in self.sources
            if same or ((self.alike or self.restored) and close):
                with pixels.archived(study, fileset, number) as image:
                    yield from self._seen(image, where)

    def _packed_in(self, path: Path, where: str) -> Iterator[Finding]:
        """What a file of an image holds beside its pixels."""
        left = containers.Left()
        try:
            for member, inner in containers.everything(path, left):
                if member:
                    yield from self._texts(inner, f"{where}!/{member}", inner.suffix.lower())
        except containers.TooMuch as why:
            yield _unsearched(where, str(why))
        yield from _left(left, where)

    def file(
        self, path: Path, where: str, name: str | None = None, looked_at: bool = False
    ) -> Iterator[Finding]:
        """A file and all that is packed in it. `looked_at`: its pixels have been elsewhere."""
        if path.stat().st_size and (why := containers.shut(path)):
            yield _unsearched(where, why)
        left = containers.Left()
        try:
            yield from self._unpacked(path, where, name, looked_at, left)
        except containers.TooMuch as why:
            yield _unsearched(where, str(why))
        yield from _left(left, where)

    def _unpacked(
        self, path: Path, where: str, name: str | None, looked_at: bool, left: containers.Left
    ) -> Iterator[Finding]:
        for member, inner in containers.everything(path, left):
            shown = f"{where}!/{member}" if member else where
            ending = Path(member or name or path.name).suffix.lower()
            yield from self._same(inner, where, member)
            if (size := inner.stat().st_size) == 0:
                continue
            if containers.may_be_text(inner):
                if size <= LARGEST_TEXT:
                    yield from self._texts(inner, shown, ending)
                if size > tables.LARGEST:
                    yield _unsearched(shown, f"a text of more than {tables.LARGEST >> 20} MB isn't "
                                      "looked at as a table")  # fmt: skip
            if looked_at or (inner.name in containers.ZARR and _smaller(inner)):
                continue
            if not self.shapes and ending not in anyimage.LISTS:
                continue
            for source in anyimage.arrays(inner):
                try:
                    yield from list(self._array(source, shown))
                except anyimage.BROKEN as broken:
                    yield _unsearched(shown, f"it can't be read: {broken}")
                    break

    def regions(self, files: list[Path], where: str) -> Iterator[Finding]:
        """ImageJ's regions of a folder, a file each."""
        rois = []
        for path in files:
            with suppress(FileNotFoundError):
                if path.suffix == ".roi" and path.stat().st_size <= containers.LARGEST_ROI:
                    rois.append(path.read_bytes())
        if len(rois) >= tells.FEWEST:
            with tempfile.TemporaryDirectory(prefix="slidebox-regions-") as folder:
                together = Path(folder, "rois.json")
                together.write_bytes(containers.boxes_of(rois))
                for which, what in sorted(self.tells.told(together)[0]):
                    yield _error(f"{where}/*.roi", f"{what} of the hidden truth of {which}", AGAIN)

    def _array(self, source: pixels.Source, where: str) -> Iterator[Finding]:
        """An image, its pixels one after the other, or a list of places."""
        for form in self._formed(source):
            yield from self._seen(form, where)
        if len(source.shape) == 2 and 1 < min(source.shape) <= tells.COLUMNS:
            listed = np.stack(list(source.planes()))[0].astype(float)
            listed = listed if listed.shape[1] <= tells.COLUMNS else listed.T
            for which, what in sorted(self.tells.places(listed)):
                yield _error(where, f"{what} of the hidden truth of {which}", AGAIN)

    def _formed(self, source: pixels.Source) -> Iterator[pixels.Source]:
        """An array as it is, and as a hidden image may be in it: its pixels in one row, its planes
        along the last axis."""
        if source.shape[0] == 1 and len(source.shape) == 2:
            for shape in sorted(self.wholes):
                if math.prod(shape) == source.shape[1]:
                    yield anyimage.plain(source.read(()).reshape(shape))
            return
        yield source
        size = math.prod(source.shape)
        if (len(source.shape) >= 3 and source.shape[-1] > 1 and size <= LARGEST_PLANE
                and _size("yx", source.shape[-3:-1]) in self.planes):  # fmt: skip
            whole = np.stack(list(source.planes())).reshape(source.shape)
            yield anyimage.plain(np.moveaxis(whole, -1, 0))

    def _same(self, path: Path, where: str, member: str) -> Iterator[Finding]:
        known = self.sizes.get(path.stat().st_size)
        digest = sha256_file(path) if known else ""
        for other, which, what in sorted(known or ()):
            if digest == other:
                said = (
                    f"holds {what} of {which} as {member}" if member
                    else f"is {what} of {which}, byte for byte"
                )  # fmt: skip
                yield _error(where, said, AGAIN)

    def _texts(self, path: Path, where: str, ending: str) -> Iterator[Finding]:
        mend = "archive the annotation set with access: restricted from the start"
        for what, which in sorted(self.digests.find(path)):
            yield _error(where, f"{what} of the hidden truth of {which}", mend)
        told, matrices = self.tells.told(path)
        for which, what in sorted(told):
            yield _error(where, f"{what} of the hidden truth of {which}", AGAIN)
        for matrix in matrices:
            yield from self._seen(anyimage.plain(matrix), where)
        if self.tracks and ending in POINTS:
            with suppress(pixels.Unfit, UnicodeDecodeError, OSError):
                listed = frozenset(pixels.read_tracks(path))
                for which in (w for known, w in self.tracks if known <= listed):
                    yield _error(where, f"has the tracks of the hidden truth of {which}", AGAIN)
        if ending in POINTS and (found := sorted(_with_points(path, self.points, self.columns))):
            yield _error(where, "has the points of the hidden truth of " + ", ".join(found),
                         "choose another test set: these points are public")  # fmt: skip

    def _seen(self, source: pixels.Source, where: str) -> Iterator[Finding]:
        if source.dtype.kind not in "uibf" or math.prod(source.shape) == 0:
            return
        if math.prod(source.shape[:-2]) > MOST_PLANES:
            yield _unsearched(where, f"it has more than {MOST_PLANES} planes")
            return
        same = _size("yx", source.shape[-2:]) in self.planes
        # What is larger isn't compared by its looks: it needn't be read
        large = math.prod(source.shape[-2:]) > (lookalike.LARGEST if self.alike else LARGEST_PLANE)
        channel = source.axes.find("c")
        count = source.shape[channel] if channel >= 0 else 1
        # Labels may be one channel of an image, or the colours of one
        for c in [*range(count), *([-1] if source.rgb and count >= 3 else [])]:
            indices = [
                i for i in itertools.product(*map(range, source.shape[:-2]))
                if channel < 0 or i[channel] == max(c, 0)
            ]  # fmt: skip

            def planes(chosen: list, c: int = c) -> Iterator[np.ndarray]:
                for i in chosen:
                    yield source.read(i) if c >= 0 else _colours(source, i, channel)

            if same and (which := self._exactly(planes(indices))):
                yield _error(where, f"shows the same as the hidden truth of {which}", AGAIN)
                return
            if large:
                continue
            if (
                self.alike
                and c >= 0
                and (told := self._centres(planes(_spread(indices, 3)), where))
            ):
                yield from told
                return
            if seen := self._alike(source, indices, channel, c, planes, where):
                told = _error(where, f"{seen.what} the hidden truth of {seen.id}", AGAIN)
                yield replace(told, severity="warning") if seen.id in self.waived else told
                return

    def _exactly(self, planes: Iterable[np.ndarray]) -> str | None:
        """Whose hidden truth a plane shows, whatever the numbers; also where another value is 0."""
        for plane in planes:
            forms = [plane]
            if self.task != "restoration":
                ground = plane != 0
                forms += [ground] if 0.02 < ground.mean() < 0.98 else []
            for form in forms:
                if _turns(form) in self.turns and (which := self.wanted.get(self.digest([form]))):
                    return which
        return None

    def _centres(self, planes: Iterable[np.ndarray], where: str) -> list[Finding]:
        """Hidden objects whose places areas of one value have: dots, discs, stretched labels."""
        for plane in planes:
            if plane.size <= lookalike.LARGEST and lookalike.is_flat(plane):
                told = self.tells.places(lookalike.centres(plane))
                if told:
                    return [
                        replace(_error(where, f"{what} of the hidden truth of {which}", AGAIN),
                                severity="warning" if which in self.waived else "error")
                        for which, what in sorted(told)
                    ]  # fmt: skip
        return []

    def _alike(
        self, source: pixels.Source, indices: list, channel: int, c: int, planes: Callable,
        where: str,
    ) -> lookalike.Alike | None:  # fmt: skip
        """Hidden truth that a channel's planes show in an edited form."""
        few = _spread(indices, PLANES)
        if self.restored:
            return self.restored.find(planes(few)) if c >= 0 else None
        if not self.alike:
            return None
        if c < 0:
            found = self.alike.find(_drawings(source, few, channel), coloured=True)
            return found or self.alike.find(planes(few))
        # A micrograph is told from labels by some of its planes
        if not self.alike.may_show(planes(_spread(few, 3))):
            return None
        return self.alike.find(planes(few), self.one_by_one[where.rpartition("/")[0]])


def _planes_of(pair: Pair, most: int) -> list[np.ndarray]:
    """Some planes of a pair's image, of all its channels."""
    try:
        with pixels.archived(pair.study, pair.image, pair.series) as image:
            indices = list(itertools.product(*map(range, image.shape[:-2])))
            return [image.read(i) for i in _spread(indices, most * image.shape[0])[: 4 * most]]
    except (UnreadableImage, OSError, ValueError):
        return []


def _stains_of(pair: Pair, most: int) -> list[np.ndarray]:
    """What is coloured in some planes of a pair's image, as masks."""
    try:
        with pixels.archived(pair.study, pair.image, pair.series) as image:
            channel = image.axes.find("c")
            if not image.rgb or channel < 0 or image.shape[channel] < 3:
                return []
            indices = [i for i in itertools.product(*map(range, image.shape[:-2]))
                       if i[channel] == 0]  # fmt: skip
            return list(_drawings(image, _spread(indices, most), channel))
    except (UnreadableImage, OSError, ValueError):
        return []


def _drawings(
    source: pixels.Source, indices: list[tuple[int, ...]], channel: int
) -> Iterator[np.ndarray]:
    """What is drawn in colour, or stained, in planes of a colour picture."""
    for i in indices:
        mask = lookalike.drawn(
            *(source.read((*i[:channel], k, *i[channel + 1 :])) for k in range(3))
        )
        if mask is not None:
            yield mask


def _turns(plane: np.ndarray) -> int:
    """How often the value changes in C order."""
    flat = np.ascontiguousarray(plane).reshape(-1)
    return int(np.count_nonzero(flat[1:] != flat[:-1]))


def _spread(items: list, most: int) -> list:
    """At most so many of a list, evenly spread."""
    if len(items) <= most:
        return items
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]


def _with_size(one: tells.Objects, path: Path) -> tells.Objects:
    """How many bytes labels take tells how much there is on them."""
    one.facts["the size of the file"] = float(path.stat().st_size)
    return one


def _names(pair: Pair) -> set[str]:
    return {pair.id, Path(pair.image["path"]).name.split(".")[0],
            Path(pair.truth["path"]).name.split(".")[0]}  # fmt: skip


def _colours(source: pixels.Source, index: tuple[int, ...], channel: int) -> np.ndarray:
    """A colour picture's plane as one number a colour."""
    parts = [source.read((*index[:channel], c, *index[channel + 1 :])) for c in range(3)]
    return sum(p.astype(np.int64) << (16 * k) for k, p in enumerate(parts))


def _derived(path: Path, known: set[str], writer: Writer) -> bool:
    """Whether it is of an image that a study's page has, whose original is looked at in the
    vault."""
    if path.name not in containers.ZARR or not path.is_relative_to(writer.public):
        return False
    parts = path.relative_to(writer.public).parts
    return "labels" not in parts and "/".join(parts[:3]) in known


def _smaller(array: Path) -> bool:
    """Whether a Zarr array is a smaller level of a pyramid, whose first one is looked at."""
    level = array.parent.name
    return level.isdigit() and level != "0" and (array.parent.parent / "0" / array.name).is_file()


def _walk(root: Path, writer: Writer) -> Iterator[Path]:
    """Regular files but for what releases are writing at this moment, this one's own aside; also
    in folders that are linked to, as they are served."""
    inside, linked = root.resolve(), set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        for link in [f for f in folders if (folder / f).is_symlink()]:
            real = (folder / link).resolve()
            around = any(real.is_relative_to(other) for other in (inside, *linked))
            if around or inside.is_relative_to(real):  # walked anyway, or without an end
                folders.remove(link)
            linked.add(real)
        folders.sort()
        for path in sorted(folder / file for file in files):
            if path.is_file() and (root == writer.staging or not STAGING.match(
                path.relative_to(root).as_posix()
            )):  # fmt: skip
                yield path


def _where(path: Path, writer: Writer) -> str:
    for root, name in ((writer.staging, "release"), (writer.public, "public")):
        if path.is_relative_to(root):
            return f"{name}/{path.relative_to(root).as_posix()}"
    return str(path)


def values_digest(planes: Iterable[np.ndarray]) -> str:
    """Digest of what values an image has, whatever the dtype and the file format."""
    total = hashlib.sha256()
    for plane in planes:
        total.update(np.asarray(plane.shape, np.int64).tobytes())
        total.update(np.ascontiguousarray(plane, np.float64).tobytes())
    return total.hexdigest()


def points_kept(points: Iterable[tuple[float, ...]]) -> set[tuple[float, ...]]:
    """Points without the digits beyond the third."""
    return {tuple(round(float(v), 3) + 0.0 for v in p) for p in points}


def _turned(plane: np.ndarray) -> Iterator[np.ndarray]:
    """A plane as it is, and rotated and flipped."""
    for mirrored in (plane, plane[:, ::-1]):
        for k in range(4):
            yield np.rot90(mirrored, k)


def _studies(writer: Writer) -> Iterator[Study]:
    """Every public study at every version that has public pages."""
    for accession in writer.archive.accessions():
        newest = writer.archive.study(accession)
        versions = {newest.version} if newest is not None else set()
        versions |= {
            int(p.parent.name[1:])
            for p in (writer.public / accession).glob("v*/study.json")
            if p.parent.name[1:].isdigit()
        }
        for version in sorted(versions):
            study = writer.archive.study(accession, version)
            if study is not None:
                yield study


def _with_points(
    path: Path, wanted: dict[str, list[tuple[str, set]]], columns: dict[str, str] | None
) -> set[str]:
    """Ids whose points a table has, up to a tenth of them; in usual columns or the challenge's."""
    found = set()
    for axes, hidden in wanted.items():
        for names in [None, columns] if columns else [None]:
            try:
                points = points_kept(pixels.read_points(path, axes, names)) if hidden else set()
            except (pixels.Unfit, UnicodeDecodeError, OSError, csv.Error):
                continue
            found |= {which for which, mine in hidden if len(mine & points) >= 0.9 * len(mine)}
    return found


def _size(axes: str, shape) -> tuple[int, ...]:
    """Sizes that tell images apart, those of a plane in any order."""
    outer = [int(n) for a, n in zip(axes[:-2], shape[:-2], strict=True) if n > 1 and a != "c"]
    return (*outer, *sorted(int(n) for n in shape[-2:]))
