"""From challenge.yaml to pairs of an image and its truth; what doesn't fit is a finding."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from ..findings import Finding
from ..images import UnreadableImage
from . import objects, pixels
from .archive import Archive, Study
from .model import Challenge, Crop, Source

TRUTH_ROLES = {
    "instance-segmentation": ("labels",),
    "semantic-segmentation": ("labels",),
    "tracking": ("labels",),
    "points": ("table", "other"),
    "restoration": ("image", "labels"),
}


SHOWN = 6  # names in a message
LONGEST = 80  # characters of an id but for what makes it unique


@dataclass(frozen=True)
class Pair:
    """An image of the archive and its truth.

    Attributes
    ----------
    id : short name, unique in the challenge; predictions go by it.
    image, truth : filesets; `tracks` the table of tracks in tracking.
    hidden : the truth is in a restricted annotation set.
    fields : what it can be grouped and stratified by.
    box : (y, x, height, width) of a tile, or None.
    """

    id: str
    study: Study = field(repr=False, compare=False)
    image: dict[str, Any] = field(repr=False)
    truth: dict[str, Any] = field(repr=False)
    annotation: str
    hidden: bool
    fields: dict[str, str] = field(repr=False)
    tracks: dict[str, Any] | None = field(default=None, repr=False)
    series: int = 0
    box: tuple[int, int, int, int] | None = None

    @property
    def truth_path(self) -> Path:
        return self.study.content(self.truth["path"])

    def value(self, key: str) -> str:
        """A field's value; of ``a | b`` that of the first which the image has. '' for none."""
        names = [key, *map(str.strip, key.split("|"))]
        return next((v for name in names if (v := self.fields.get(name))), "")

    def group(self, by: list[str]) -> str:
        return " / ".join(self.value(key) for key in by)


def _problem(code: str, message: str, file: str | None = None, mend: str | None = None,
             severity: str = "error", field: str | None = None) -> Finding:  # fmt: skip
    return Finding(code, severity, message, file=file, field=field, mend=mend)


def resolve(
    challenge: Challenge, archive: Archive, pinned: dict[str, int] | None = None
) -> tuple[list[tuple[Source, Study]], list]:
    """Studies of all sources, at their versions: queries run, newest versions pinned.

    `pinned` are the studies and versions of a release that is being checked: what the archive has
    got since then doesn't change it.
    """
    found: list[tuple[Source, Study]] = []
    findings: list[Finding] = []
    for number, source in enumerate(challenge.data.sources):
        where = f"data.sources.{number}"
        accessions = [source.accession] if source.accession else list(archive.query(source.query))
        if pinned is not None and source.query:
            accessions = [a for a in accessions if a in pinned]
        if not accessions:
            findings.append(
                _problem("QUERY_EMPTY", f"no public study matches {source.query}",
                         "challenge.yaml", "try it with `slidebox search`", field=where)
            )  # fmt: skip
        for accession in accessions:
            study = archive.study(accession, source.version or (pinned or {}).get(accession))
            if study is None:
                version = f" at version {source.version}" if source.version else ""
                near = difflib.get_close_matches(accession, archive.accessions(), SHOWN, 0.5)
                there = f"there is {', '.join(near)}; " if near else ""
                findings.append(
                    _problem("STUDY_MISSING", f"no public study {accession}{version}",
                             "challenge.yaml",
                             f"{there}withdrawn or under embargo studies can't be used",
                             field=where)
                )  # fmt: skip
                continue
            found.append((source, study))
    return found, findings


def assemble(
    challenge: Challenge, archive: Archive, pinned: dict[str, int] | None = None
) -> tuple[list[Pair], list[Finding]]:
    """All pairs of a challenge, sorted by id, and what was found missing or unfit."""
    studies, findings = resolve(challenge, archive, pinned)
    pairs: list[Pair] = []
    for source, study in studies:
        pairs += _of_study(challenge, source, study, findings)
    pairs = _name(pairs)
    if challenge.data.tiles:
        pairs = [tile for pair in pairs for tile in cut(pair, challenge.data.tiles.size)]
    if challenge.data.crop:
        pairs = [crop(pair, challenge.data.crop) for pair in pairs]
    if not pairs and not findings:
        findings.append(
            _problem("NOTHING_SELECTED", "no image has a truth", "challenge.yaml",
                     "check data.sources: parts, paths, annotations", field="data.sources")
        )  # fmt: skip
    return sorted(pairs, key=lambda p: p.id), findings


def _of_study(challenge: Challenge, source: Source, study: Study, findings: list) -> list[Pair]:
    known = {a["name"] for a in study.record.get("annotation_sets", [])}
    for name in source.annotations or []:
        if name not in known:
            findings.append(
                _problem("ANNOTATION_UNKNOWN", f"{study.accession} has no annotation set {name!r}",
                         "challenge.yaml", f"it has {', '.join(sorted(known)) or 'none'}")
            )  # fmt: skip
    findings += _choice(source, study)
    wanted = set(source.annotations) if source.annotations is not None else known
    truths: dict[str, list[dict]] = {}
    tables: dict[str, list[dict]] = {}
    for fileset in study.filesets:
        if fileset.get("part") not in wanted or not fileset.get("source_image"):
            continue
        if fileset.get("role") in TRUTH_ROLES[challenge.task]:
            truths.setdefault(fileset["source_image"], []).append(fileset)
        elif challenge.task == "tracking":
            tables.setdefault(fileset["source_image"], []).append(fileset)
    if challenge.task == "tracking":
        # A table of tracks may be an annotation set of its own beside that of the label images
        for fileset in study.filesets:
            path = fileset.get("source_image")
            if (
                path
                and fileset.get("role") in ("table", "other")
                and fileset not in tables.get(path, [])
            ):
                tables.setdefault(path, []).append(fileset)
    pairs = []
    for image in study.filesets:
        if image.get("role") != "image" or image.get("source_image"):
            continue
        fields = study.fields(image)
        if not selected(source, image, fields):
            continue
        path = image["path"]
        where = f"{study.accession}/{path}"
        if study.is_restricted(image) or (study.shown and path not in study.shown):
            findings.append(
                _problem("IMAGE_NOT_PUBLIC", "isn't public and can't be in a challenge", where,
                         "only truth may be restricted", "warning")
            )  # fmt: skip
            continue
        mine = truths.get(path, [])
        if not mine:
            findings.append(
                _problem("TRUTH_MISSING", "has no truth in the chosen annotation sets", where,
                         "it is left out; add a truth or narrow data.sources.images", "warning")
            )  # fmt: skip
            continue
        truth = mine[0] if len(mine) == 1 else _several(challenge, study, mine, where, findings)
        if truth is None:
            continue
        parts = truth.get("objects", [truth])
        unfit = [p for p in parts if not _fit(challenge.task, image, p, where, findings)]
        if unfit:
            continue
        if "objects" in truth and not _masks(study, truth, where, findings):
            continue
        tracks = None
        if challenge.task == "tracking":
            rows = tables.get(path, [])
            if not _moves(image):
                findings.append(
                    _problem("NO_TIME_AXIS", "is a single frame, and tracking needs them joined",
                             where, "list the files of a movie as one line of files.tsv, their "
                             "places between < and >: movie/t<000-099>.tif (truth: "
                             "man_track<000-099>.tif)")
                )  # fmt: skip
                continue
            if len(rows) != 1:
                findings.append(
                    _problem("TRACKS_MISSING", f"has {len(rows)} tables of tracks, not one", where,
                             "add a table label,begin,end,parent with this source_image")
                )  # fmt: skip
                continue
            tracks = rows[0]
        hidden = study.is_restricted(truth) or (tracks is not None and study.is_restricted(tracks))
        for series in range(max(1, len(image.get("series") or [1]))):
            if series and len(truth.get("series") or [1]) <= series:
                findings.append(
                    _problem("TRUTH_SERIES", f"series {series} has no truth", where, None,
                             "warning")
                )  # fmt: skip
                break
            pairs.append(
                Pair("", study, image, truth, truth["part"], hidden,
                     fields | ({"series": str(series)} if series else {}), tracks, series)
            )  # fmt: skip
    return pairs


def _several(
    challenge: Challenge, study: Study, truths: list[dict], where: str, findings: list
) -> dict[str, Any] | None:
    """Several truths of one image as one: a mask an object. Else a finding, and None."""
    sets = sorted({f["part"] for f in truths})
    if len(sets) == 1 and challenge.task == "instance-segmentation":
        return objects.joined(truths)
    names = sorted(f"{f['path']} ({f['part']})" for f in truths)
    told = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    mend = "choose one of the annotation sets in data.sources.annotations"
    if len(sets) == 1:
        mend = "leave one file an image in this set; give others a set of their own in study.yaml"
    findings.append(
        _problem("TRUTH_AMBIGUOUS", f"has {len(truths)} truths: {told}", where, mend)
    )  # fmt: skip
    return None


def _masks(study: Study, truth: dict[str, Any], where: str, findings: list) -> bool:
    """Whether files of one set for one image are masks of one object each."""
    try:
        found = objects.read(study, truth)
    except (pixels.Unfit, UnreadableImage) as bad:
        findings.append(
            _problem("TRUTH_AMBIGUOUS",
                     f"has {len(truth['objects'])} truths in {truth['part']!r}: {bad}", where,
                     "several files for one image are taken for a mask an object: mend the masks, "
                     "or keep one file of labels")
        )  # fmt: skip
        return False
    odd = [f"{found.shared} pixels are in several of its masks, and stay with the first by name"]
    odd = odd if found.shared else []
    if found.empty:
        odd.append(f"masks without an object: {', '.join(found.empty[:SHOWN])}")
    if odd:
        findings.append(
            _problem("MASKS_ODD", "; ".join(odd), where, "look whether that is meant", "warning")
        )  # fmt: skip
    return True


def _choice(source: Source, study: Study) -> list[Finding]:
    """Conditions on images of a named study that none of them meets."""
    if not source.accession:
        return []
    images = [f for f in study.filesets if f.get("role") == "image" and not f.get("source_image")]
    fields = [study.fields(image) for image in images]
    findings = []

    def told(key: str, what: str, there: set[str]) -> None:
        some = ", ".join(sorted(there)[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
        findings.append(
            _problem("CHOICE_UNMET", f"no image of {study.accession} {what}", "challenge.yaml",
                     f"there is {some or 'none'}", field=f"data.sources.images.{key}")
        )  # fmt: skip

    parts = {str(image.get("part")) for image in images}
    for part in source.images.parts or []:
        if part not in parts:
            told("parts", f"is of a part {part!r}", parts)
    for glob in source.images.paths or []:
        if not any(like(image["path"], glob) for image in images):
            told("paths", f"has a path like {glob!r}", {image["path"] for image in images})
    for key, value in source.images.where.items():
        values = {found[key] for found in fields if key in found}
        for one in [value] if isinstance(value, str) else value:
            if one not in values:
                told("where", f"has {key!r} {one!r}",
                     values or {name for found in fields for name in found})  # fmt: skip
    return findings


def like(name: str, glob: str) -> bool:
    """Whether a name is meant: one written out is, whatever brackets it has."""
    return name == glob or fnmatchcase(name, glob)


def selected(source: Source, image: dict[str, Any], fields: dict[str, str]) -> bool:
    """Whether an image meets a source's conditions."""
    choice = source.images
    if choice.parts is not None and image.get("part") not in choice.parts:
        return False
    if choice.paths is not None and not any(like(image["path"], g) for g in choice.paths):
        return False
    return all(
        fields.get(key) in ([value] if isinstance(value, str) else value)
        for key, value in choice.where.items()
    )


def _fit(task: str, image: dict, truth: dict, where: str, findings: list) -> bool:
    """Whether what the archive's metadata says of both agrees: sizes, and numbers without loss."""
    if task != "restoration" and truth.get("format") == "jpeg":
        findings.append(
            _problem("PAIR_UNFIT", f"its truth {truth['path']} is a JPEG, which changes numbers of "
                     "labels along each outline", where,
                     "leave it out with data.sources.images, or archive the labels as they were "
                     "drawn, as PNG or TIFF")
        )  # fmt: skip
        return False
    if task == "points" or not image.get("series") or not truth.get("series"):
        return True
    a = _sizes(image["series"][0])
    b = _sizes(truth["series"][0])
    drop = () if task == "restoration" else ("c",)
    a = {k: v for k, v in a.items() if k not in drop and v > 1}
    b = {k: v for k, v in b.items() if k not in drop and v > 1}
    if a != b:
        findings.append(
            _problem("TRUTH_SHAPE", f"is {a}, its truth {truth['path']} is {b}", where,
                     "truth must have the image's size in t, z, y, x")
        )  # fmt: skip
        return False
    return True


def _moves(image: dict) -> bool:
    """Whether an image has more than one moment, as far as the archive's metadata says."""
    return all(_sizes(s).get("t", 1) > 1 for s in image.get("series") or [])


def _sizes(series: dict[str, Any]) -> dict[str, int]:
    return dict(zip(series["axes"], series["shape"], strict=True))


def starts(length: int, size: int) -> list[int]:
    """Where tiles begin along an axis; the last one moves inwards to keep its size."""
    if length <= size:
        return [0]
    return [*range(0, length - size, size), length - size]


def cut(pair: Pair, size: tuple[int, int]) -> list[Pair]:
    """Tiles of a pair, row by row, named by their corner; they stay in one group as whole images
    do, since ``image`` is a field they share."""
    series = pair.image["series"][pair.series]
    height, width = series["shape"][-2:]
    h, w = min(size[0], height), min(size[1], width)
    return [
        replace(pair, id=f"{pair.id}_y{y:05d}_x{x:05d}", box=(y, x, h, w))
        for y in starts(height, h) for x in starts(width, w)
    ]  # fmt: skip


def crop(pair: Pair, wanted: Crop) -> Pair:
    """One box of a pair; it moves inwards where it would leave the image."""
    height, width = pair.image["series"][pair.series]["shape"][-2:]
    h, w = min(wanted.size[0], height), min(wanted.size[1], width)
    y, x = wanted.origin or ((height - h) // 2, (width - w) // 2)
    return replace(pair, box=(min(y, height - h), min(x, width - w), h, w))


def stem(path: str) -> str:
    """A file's name without its endings, with nothing that a file system could mind."""
    name = PurePosixPath(path).name
    name = re.sub(r"(\.ome)?\.[A-Za-z0-9]{1,8}$", "", name)
    return _plain(name)[:LONGEST] or "image"


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")


def _name(pairs: list[Pair]) -> list[Pair]:
    """Give ids: the file's stem where that's unique, then with its folders, then with accession,
    then with a digest. What a pattern of names joins goes by its folder (01/t<000-099>.tif)."""
    paths = []
    for pair in pairs:
        path = pair.image["path"]
        folder = path.rpartition("/")[0]
        paths.append(folder if pair.image.get("pattern") and folder else path)
    series = [f"_s{p.series}" if p.series else "" for p in pairs]
    long = ["_".join([*map(_plain, path.split("/")[:-1]), stem(path)])[-LONGEST:] for path in paths]
    digests = [
        hashlib.sha256(f"{p.study.accession}/{p.image['path']}#{p.series}".encode()).hexdigest()[:8]
        for p in pairs
    ]
    accessions = [p.study.accession for p in pairs]
    levels = [
        [stem(path) + s for path, s in zip(paths, series, strict=True)],
        [name + s for name, s in zip(long, series, strict=True)],
        [f"{a}_{name}{s}" for a, name, s in zip(accessions, long, series, strict=True)],
    ]
    counts = [Counter(name.lower() for name in level) for level in levels]
    # A longer name mustn't be another's shorter one
    short = {n.lower() for n in levels[0] if counts[0][n.lower()] == 1}
    named = []
    for at, pair in enumerate(pairs):
        name = next(
            (level[at] for k, (level, count) in enumerate(zip(levels, counts, strict=True))
             if count[level[at].lower()] == 1 and (k == 0 or level[at].lower() not in short)),
            f"{levels[2][at]}_{digests[at]}",
        )  # fmt: skip
        named.append(replace(pair, id=name))
    return named
