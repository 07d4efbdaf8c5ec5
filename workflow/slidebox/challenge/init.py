"""`slidebox challenge init`: a folder with a commented challenge.yaml to fill in."""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np

from ..atomic import write_text
from ..scoring.settings import DEFAULT_METRICS
from . import pixels
from .archive import Archive, Study
from .assemble import TRUTH_ROLES
from .model import SLUG

DESCRIPTION = "What is asked, of what images, and why it matters."
ORGANISER = "Your name"
README = "What a participant should know: how the images were made, what counts as an object."

SCORING = {
    "instance-segmentation": """\
  # preset: stardist           # decisions of stardist, cellpose, coco, ctc or cremi; what stands
                               # below wins over it: delete what the preset shall decide
  primary: AP                  # the metric that ranks
  # metrics: [AP, F1, PQ, SQ, RQ, SEG, Dice, HD95, VOI, ARE, count_error]
  # (all there are: docs/reference/metrics.md)
  thresholds: ["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
  both_empty: one              # an image without objects on both sides: one, zero or skip
  border: keep                 # or ignore: objects at the image's border count neither way
  # sparse: true               # not all objects were annotated: more predicted ones are not wrong
""",
    "semantic-segmentation": """  primary: Dice                # the metric that ranks
  # metrics: [{metrics}]
  classes: {classes}     # value: name, of every class of the truth
  # ignore_label: 255          # value of pixels of the truth that don't count
  both_empty: one              # a class that neither truth nor prediction has: one, zero or skip
""",
    "tracking": """  primary: OP_CTB              # the metric that ranks: (SEG + TRA) / 2
  # metrics: [{metrics}]
""",
    "points": """  primary: F                   # the metric that ranks
  # metrics: [{metrics}]
  tolerance: 3                 # the largest distance of a match
  unit: pixel                  # of tolerance and coordinates; or micrometer
  beta: 1                      # weight of recall in F
""",
    "restoration": """  primary: PSNR                # the metric that ranks
  # metrics: [{metrics}]
  data_range: {range: <16} # the largest possible difference of intensities (uint8: 255,
                               # uint16: 65535, 0 to 1: 1); never read from the images
""",
}

# What the archive must hold, in the words of files.tsv
TRUTH = {
    "instance-segmentation": "an image of labels with the size of its image (2D or 3D): 0 is "
    "background, each object has a number of its own; or a mask an object, all of them in one "
    "annotation set",
    "semantic-segmentation": "an image of classes with the size of its image: 0 is background, the "
    "other values are the classes",
    "tracking": "the labels of all frames, where a cell keeps its number (one file with a time "
    "axis, or the Cell Tracking Challenge's files as man_track<000-099>.tif), and a table of its "
    "tracks (man_track.txt: label begin end parent; or CSV with these columns)",
    "points": "a CSV or TSV with columns x and y (and z; or row and col; or axis-0, axis-1), in "
    "the unit that scoring.unit says, (0, 0) the middle of the first pixel",
    "restoration": "the better image, with the size of its image",
}

TEMPLATE = """# A challenge made from the archive. Fill this in, then check and release it with
#   slidebox challenge release {folder}
# It goes step by step: settings, pairs, splits, pixels, leakage and hidden truth, controls. What is
# wrong in a step is told at once, and nothing is released before it is mended. A release never
# changes: later changes get a new version.
# A # before a key marks a choice that can be left out. Every key:
# workflow/schemas/challenge.schema.json; step by step: docs/tutorials/organiser.md

slug: {slug}                     # the folder's name
version: 1.0.0                 # MAJOR test set or primary metric, MINOR more data, PATCH words
title: {title}
description: |
  {description}
organisers:
  - name: {organiser}
    email: you@example.org
license: CC-BY-4.0             # SPDX identifier of the release; each image keeps its own
task: {task}

# An image and its truth are joined by the study's files.tsv: the truth's line names the image in
# its column source_image. Truth of this task is
{truth}.
{known}
data:
  sources:                     # one study or several, each with keys of its own
    - accession: {accession}
      # version: 1             # default: the newest; the release pins it
      # images:                # which of its images; default: all that have a truth
      #   parts: [{part}]
      #   paths: ["plate1/*"]  # globs: * is any text, / too
      #   where: {where}   # fields of the images: a value or a list
      # annotation sets that are the truth; default: all
      {annotations}
    # - accession: ANOTHER-STUDY
    # - query: {{organism: Homo sapiens}}  # all public studies whose record says so
  # channels: [0]              # numbers from 0; default: all
{cutting}  images: tiff                 # how they are released: tiff or ome-zarr

splits:
  # What is never divided: images that share the values of these fields. Better than an image alone
  # is what images have in common: [specimen], [study, plate], ...; "donor | image" is the first
  # that an image has.
  group_by: [study, image]
  # stratify_by: [{column}]  # what every split should have alike
  seed: 0                      # another one deals the groups anew: in the first release and with
                               # each MAJOR; else groups stay where they were
  rules:                       # splits by any names; the first is the one to train on
{rules}
    # other rules than share (of what is left over), to choose by hand, in place of a line above:
{by_hand}    # test: {{images: ["plate2/*"]}}             # globs over ids, paths or ACCESSION/path
    # test: {{groups: [donor 3, donor 7]}}       # values of group_by; of several fields: a / b
  # folds: 5                   # of the first split, for cross-validation: in splits.csv

# Splits whose truth stays with you: those whose annotation sets were archived with
# `access: restricted` in study.yaml. Truth that was public once can't be hidden any more.
hidden: [{hidden}]

leakage:
  check: true                  # images that are nearly the same in two splits are refused
  waivers: []                  # - {{images: [a, b], reason: why this pair may stand}}; ids or globs

scoring:
{scoring}  # custom:                    # your own metric, in a file beside this one:
  #   - {{name: mine, file: mine.py, function: mine, direction: higher, range: [0, 1]}}
  # def mine(truth, prediction, info): NumPy arrays of one image in, a number out; info has its
  # id, axes, pixel_size (and tracks: label, begin, end, parent). `primary: mine` lets it rank.
  # It may import NumPy, SciPy and Python's own modules, and runs by itself: ten minutes and 8 GB
  # an image; a value outside of its range is an error.

# Entries are entries/{slug}/<team>/<entry>/ with predictions/ (or one file) and entry.yaml
# (method, authors, date); `snakemake --cores 2 leaderboards` scores them.
leaderboard:
  phases: []                   # - {{name: final, begin: 2026-01-01, end: 2026-03-01, quota: 5}}
                               # (UTC; quota: entries a team). Default: open without an end
  public_share: 1.0            # share of the test groups that the public board is made from

changes: ""                    # what is new, for CHANGELOG.md
"""
CUTTING = """\
  # tiles: {size: [256, 256]}  # cut into tiles of this height and width in pixels; all z
  # crop: {size: [512, 512]}   # or the middle of each image; or with from: [y, x]
"""
COLUMNS = """\
  # columns: {y: POSITION_Y, x: POSITION_X}   # when the tables of truth name them otherwise
"""
SHOWN = 8


def init(
    folder: Path | str,
    *,
    task: str = "instance-segmentation",
    accession: str = "ACCESSION",
    archive: Archive | None = None,
) -> Path:
    """Write challenge.yaml and README.md; returns the path of challenge.yaml.

    What the archive knows of the study (its parts, annotation sets and fields) goes in: restricted
    annotation sets become the hidden test set.

    Raises
    ------
    FileExistsError
        There is a challenge.yaml already.
    ValueError
        The folder's name is no slug, there is no such task, or the archive has no such study.
    """
    folder = Path(folder)
    slug = folder.resolve().name
    if not SLUG.match(slug):
        raise ValueError(f"{slug!r} can't name a challenge: use a-z, 0-9 and -")
    if task not in SCORING:
        raise ValueError(f"no task {task!r}; there are {', '.join(SCORING)}")
    path = folder / "challenge.yaml"
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    study = archive.study(accession) if archive is not None else None
    if archive is not None and study is None:
        there = ", ".join(archive.accessions()[:SHOWN]) or "none"
        raise ValueError(f"no public study {accession} in {archive.public}; there is {there}")
    title = slug.replace("-", " ").capitalize()
    text = TEMPLATE.format(
        folder=folder.as_posix(), slug=slug, title=title, task=task, accession=accession,
        truth=_comment(TRUTH[task]),
        cutting=("" if task == "tracking" else CUTTING) + (COLUMNS if task == "points" else ""),
        description=DESCRIPTION, organiser=ORGANISER,
        scoring=SCORING[task].format(
            metrics=", ".join(DEFAULT_METRICS[task]), range=_range(study),
            classes=_classes(study) if task == "semantic-segmentation" else "",
        ),
        **(_of_study(study, task) if study is not None else UNKNOWN),
    )  # fmt: skip
    write_text(path, text)
    write_text(folder / "README.md", README + "\n")
    return path


UNKNOWN = {
    "known": "", "part": "Fields of view", "column": "stain", "hidden": "",
    "where": "{stain: DAPI}",
    "annotations": '# annotations: ["Nuclei, training", "Nuclei, test"]',
    "rules": "    train: {share: 0.8}\n    test: {share: 0.2}",
    "by_hand": '    # test: {annotations: "Nuclei, test"}      # images with this set\n',
}  # fmt: skip


def _of_study(study: Study, task: str) -> dict[str, str]:
    """The template's places from what the archive has of a study."""
    images = [f for f in study.filesets if f.get("role") == "image" and not f.get("source_image")]
    sets: dict[str, list[str]] = {}
    for fileset in study.filesets:
        if fileset.get("source_image") and fileset.get("role") in TRUTH_ROLES[task]:
            sets.setdefault(fileset["part"], []).append(fileset["source_image"])
    secret = [name for name in sets if name in study.restricted]
    parts = Counter(str(f.get("part")) for f in images)
    values: dict[str, set[str]] = {}
    for image in images:
        for key, value in study.fields(image).items():
            values.setdefault(key, set()).add(value)
    lines = [f"{study.accession}, version {study.version}, has"]
    lines += [f"- images: {n} in {_quoted(name)}" for name, n in sorted(parts.items())]
    lines += [
        f"- truth: {_number(about)} in {_quoted(name)}" + (", restricted" if name in secret else "")
        for name, about in sets.items()
    ] or [f"- no truth for {task}: no file of it names an image in source_image"]
    own = {k for f in images for k in (f.get("attributes") or {})}
    for key, found in sorted(values.items()):
        some = ", ".join(sorted(found)[:4])
        if len(found) > 4 or len(some) > 60:
            some = some[:60] + " ..."
        if len(found) > 1:
            lines.append(f"- field {key}: {len(found)} values ({some})")
    same = ", ".join(key for key, found in sorted(values.items()) if len(found) == 1)
    if same:
        lines += textwrap.wrap(f"- fields with one value for all images: {same}", 97,
                               subsequent_indent="  ")  # fmt: skip
    # What divides images into few kinds is an example of a stratum
    kinds = {k: len(values[k]) for k in own or {"part"} if len(values[k]) > 1}
    column = min(kinds, key=lambda k: (kinds[k], k), default="part")
    train = "1.0" if secret else "0.8"
    rules = [f"    train: {{share: {train}}}"]
    if secret:
        names = ["test"] if len(secret) == 1 else [f"test{k}" for k in range(1, len(secret) + 1)]
        rules += [
            f"    {split}: {{annotations: {_quoted(name)}}}   # all images with this set"
            for split, name in zip(names, secret, strict=True)
        ]
    else:
        names = []
        rules.append("    test: {share: 0.2}")
    chosen, rivals = _rivals(sets, secret, task)
    more = f"   # or {', '.join(map(_quoted, rivals))}: one truth an image" if rivals else ""
    return {
        "known": "#\n" + "\n".join(f"# {line}" for line in lines) + "\n",
        "part": _quoted(min(parts, default="Images")), "column": _plain(column),
        "where": f"{{{_plain(column)}: {_quoted(min(values.get(column, {'...'})))}}}",
        "rules": "\n".join(rules), "by_hand": "",
        "annotations": ("" if sets else "# ")
        + f"annotations: [{', '.join(map(_quoted, chosen)) or 'Masks'}]{more}",
        "hidden": ", ".join(names),
    }  # fmt: skip


def _rivals(
    sets: dict[str, list[str]], secret: list[str], task: str
) -> tuple[list[str], list[str]]:
    """Annotation sets that can be the truth together, and those left out since an image would have
    several: sets of other annotators. Restricted ones stay."""
    chosen: list[str] = []
    for name in [*secret, *(n for n in sets if n not in secret)]:
        about = sets[name]
        # A track's table and its labels may be sets of their own
        if task == "tracking" or not any(set(about) & set(sets[other]) for other in chosen):
            chosen.append(name)
    return [n for n in sets if n in chosen], [n for n in sets if n not in chosen]


def _number(about: list[str]) -> str:
    """How many truths there are, where an image may have several."""
    images = len(set(about))
    return str(images) if images == len(about) else f"{len(about)} files of {images} images"


def _range(study: Study | None) -> int:
    """Largest difference that images of a study can have by their type; 65535 when unknown."""
    types = {
        series.get("dtype") for f in (study.filesets if study is not None else [])
        if f.get("source_image") for series in f.get("series") or []
    }  # fmt: skip
    return 255 if types == {"uint8"} else 65535


def _classes(study: Study | None) -> str:
    """Values of a few public truths as classes to be named."""
    values: set[int] = set()
    truths = [f for f in (study.filesets if study is not None else [])
              if f.get("source_image") and f.get("role") == "labels"
              and not study.is_restricted(f)]  # fmt: skip
    for fileset in truths[:SHOWN]:
        with pixels.archived(study, fileset) as source:
            for plane in itertools.islice(source.planes(), SHOWN):
                values |= set(np.unique(plane)[: SHOWN + 1].tolist())
    found = sorted(int(v) for v in values if v > 0)[:SHOWN]
    if len(found) < 2:
        return f"{{{found[0] if found else 1}: foreground}}"
    return "{" + ", ".join(f"{v}: class_{v}" for v in found) + "}"


def _quoted(text: str) -> str:
    """Text as YAML on one line."""
    return json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    """Text as YAML inside of brackets, without quotes where it can do without."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_. /-]*", text) else _quoted(text)


def _comment(text: str) -> str:
    return "\n".join(f"# {line}" for line in textwrap.wrap(text, 97))
