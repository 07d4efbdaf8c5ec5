"""`slidebox challenge init`: a folder with a commented challenge.yaml to fill in."""

from __future__ import annotations

from pathlib import Path

from ..atomic import write_text
from ..scoring.settings import DEFAULT_METRICS
from .model import SLUG

SCORING = {
    "instance-segmentation": """  # preset: stardist           # or cellpose, coco, ctc, cremi
  primary: AP                  # the metric that ranks
  # metrics: [AP, F1, PQ, SQ, RQ, SEG, Dice, HD95, VOI, ARE, count_error]
  thresholds: ["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
  both_empty: one              # an image without objects on both sides: one, zero or skip
  border: keep                 # or ignore: objects at the image's border count neither way
""",
    "semantic-segmentation": """  primary: Dice
  classes: {{1: foreground}}     # value: name, for each class that is scored
  both_empty: one
""",
    "tracking": """  primary: OP_CTB              # (SEG + TRA) / 2
  # metrics: [{metrics}]
""",
    "points": """  primary: F
  tolerance: 3                 # the largest distance of a match
  unit: pixel                  # or micrometer
  beta: 1                      # weight of recall in F
""",
    "restoration": """  primary: PSNR
  data_range: 65535            # the largest possible difference of intensities; never from data
""",
}

TEMPLATE = """# A challenge made from the archive. Check and release it with
#   slidebox challenge release {folder}
# Every key: workflow/schemas/challenge.schema.json

slug: {slug}                   # the folder's name
version: 1.0.0                 # MAJOR test set or primary metric, MINOR more data, PATCH words
title: {title}
description: |
  What is asked, of what images, and why it matters.
organisers:
  - name: Your name
    email: you@example.org
license: CC-BY-4.0             # SPDX identifier
task: {task}

data:
  sources:
    - accession: {accession}         # a public study; or query: {{organism: Homo sapiens}}
      # version: 1             # default: the newest; the release pins it
      # images:
      #   parts: [Fields of view]        # study components
      #   paths: ["plate1/*"]            # globs
      #   where: {{stain: DAPI}}           # columns of the file list or fields of the record
      # annotations: ["Nuclei, training", "Nuclei, test"]   # annotation sets that are the truth
  # channels: [0]              # default: all
  # tiles: {{size: [256, 256]}}   # height and width
  # crop: {{size: [512, 512]}}    # the middle of each image; or with from: [y, x]
  images: tiff                 # or ome-zarr

splits:
  group_by: [study, image]     # never cut; better: specimen, donor, plate, day, any column
  # stratify_by: [stain]       # spread evenly
  seed: 0
  rules:                       # share: of what is free; or annotations, groups, images: by hand
    train: {{share: 0.8}}
    test: {{share: 0.2}}
    # test: {{annotations: "Nuclei, test"}}     # all images that have this annotation set
    # test: {{groups: [donor 3, donor 7]}}      # or {{images: ["plate2/*"]}}
  # folds: 5                   # over the first split, in splits.csv

# Splits whose truth stays with you. Their annotation sets must be archived as access: restricted.
hidden: []

leakage:
  check: true                  # images that are nearly the same in two splits are refused
  waivers: []                  # - {{images: [a, b], reason: why this pair may stand}}

scoring:
{scoring}  # custom:                    # your own metric: mine(truth, prediction, info)
  #   - {{name: mine, file: mine.py, function: mine, direction: higher, range: [0, 1]}}

leaderboard:
  phases: []                   # - {{name: final, begin: 2026-01-01, end: 2026-03-01, quota: 5}}
  public_share: 1.0            # share of the test groups that the public board is made from

changes: ""                    # what is new, for CHANGELOG.md
"""


def init(
    folder: Path | str, *, task: str = "instance-segmentation", accession: str = "ACCESSION",
) -> Path:  # fmt: skip
    """Write challenge.yaml and README.md; returns the path of challenge.yaml.

    Raises
    ------
    FileExistsError
        There is a challenge.yaml already.
    ValueError
        The folder's name is no slug, or there is no such task.
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
    title = slug.replace("-", " ").capitalize()
    scoring = SCORING[task].format(metrics=", ".join(DEFAULT_METRICS[task]))
    write_text(
        path,
        TEMPLATE.format(folder=folder.as_posix(), slug=slug, title=title, task=task,
                        accession=accession, scoring=scoring),
    )  # fmt: skip
    write_text(
        folder / "README.md",
        "What a participant should know: how the images were made, what counts as an object.\n",
    )
    return path
