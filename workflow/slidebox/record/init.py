"""``slidebox init``: a submission folder to fill in, from what is there already."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path

import yaml

from ..atomic import write_text
from . import file_list, study_yaml

TEMPLATE = """\
# A study for Slidebox. Lines that begin with # are explanations; remove or keep them.
# Replace every <...>, delete what does not apply, then run: slidebox validate .
# Words stay as written; put text that holds ": " or " #" between quotes, long text after "|".

# --- The study --------------------------------------------------------------------------------
{accession_line}
# Both at least 25 characters.
title: <what was imaged and why, in one line>
description: |
  <What the study shows, how it was done, what the images are good for.>
keywords:
  - <one>
# CC0-1.0 (no conditions) or CC-BY-4.0 (name the authors).
license: CC-BY-4.0
# YYYY-MM-DD; a day in the future keeps the study unpublished until then.
release_date: {today}
# acknowledgements: <whom you thank>
# funding_statement: <as the funder wants it said>
# rules_of_use: <what others should know before they use the data>

authors:
  - name: <Full Name>
    email: <name@example.org>
    # orcid: 0000-0002-1825-0097
    # role: <data acquisition, analysis ...>
    organisations:
      - <University or institute, city, country>

# A study belongs to a publication (status: in preparation, submitted, preprint, published; the
# last two have a DOI) or says in reference_value why others will use the images.
publications:
  - title: <title of the paper>
    status: in preparation
    # doi: 10.1234/abcd
    # pubmed_id: 12345678
    # year: 2025
# reference_value: <why these images are worth keeping>

# links:
#   - url: https://example.org/code
#     description: <what is there>
# funding:
#   - agency: <name>
#     grant_id: <number>

# --- What was imaged and how: give each a name that the study components refer to ----------------
biosamples:
  - name: <sample>
    # Scientific name and, if you know it, the NCBI taxon id.
    organism:
      - name: <Homo sapiens>
        # ncbi_taxon: 9606
    biological_entity: <cell line, tissue, molecule ...>
    # description: <more about it>
    # experimental_variables: [<what you varied>]
    # extrinsic_variables: [<treatments from outside>]
    # intrinsic_variables: [<genotype, disease ...>]

specimens:
  - name: <preparation>
    sample_preparation: <fixation, labelling, mounting ...>
    # growth_protocol: <how it was grown>

image_acquisitions:
  - name: <acquisition>
    imaging_instrument: <make and model of the microscope, objective, camera>
    acquisition_parameters: <exposure, light source, filters, z-step ...>
    # Terms of FBbi, such as: confocal microscopy, bright-field microscopy, light sheet microscopy.
    imaging_methods:
      - <confocal microscopy>

# image_correlations:   # only when images of several modalities were aligned
#   - name: <correlation>
#     alignment: <how>

# image_analyses:
#   - name: <analysis>
#     overview: <what was done>
#     software:
#       - name: <program>
#         version: "<1.2>"
#         parameters: <settings>
#     input_output:
#       - inputs: [<path or part>]
#         outputs: [<path or part>]

# --- The files: files.tsv says for each file which of these parts it belongs to -----------------
study_components:
{components}
# Annotations: masks, tracks, points, classes of the images above. In files.tsv give source_image.
{annotations}"""

_COMPONENT = """\
  - name: {name}
    description: <what these images show>
    associations:
      - biosample: <sample>
        specimen: <preparation>
        image_acquisition: <acquisition>
        # image_analysis: <analysis>
    # access: restricted    # archived, but never published (hidden truth of a challenge)
"""

_ANNOTATION = """\
{hash}annotation_sets:
{hash}  - name: {name}
{hash}    overview: <what was annotated and how>
{hash}    # any of: {types}
{hash}    types: [segmentation_mask]
{hash}    methods:
{hash}      - <by hand with which tool, or by which program>
{hash}    # confidence_level, criteria, coverage, version, access as above
"""

_IGNORED = {"Thumbs.db", "desktop.ini", "deposit.yaml"}


class InitRefused(Exception):
    """The folder already has what would be written."""


def _files(folder: Path) -> list[str]:
    """Regular files below the folder, '/'-separated, sorted; hidden ones and records left out."""
    out = []
    stack = [""]
    while stack:
        base = stack.pop()
        with os.scandir(folder / base) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in _IGNORED:
                    continue
                path = f"{base}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    stack.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False):
                    out.append(path)
    return sorted(out)


_LABEL = re.compile(
    r"(^|[/_\-. ])(masks?|labels?|annotations?|segmentations?|gt|tracks?)([/_\-. ]|$)", re.I
)


def init(
    folder: Path,
    *,
    accession: str | None = None,
    describe: Callable[[Path], str | None] | None = None,
) -> list[Path]:
    """Write a commented study.yaml and a files.tsv for what is in the folder (made if absent).

    Each top-level folder becomes a study component, or an annotation set when its name says so;
    loose files make one component. ``describe`` may give a line for a file (what the images room
    reads of it), which is put into the component's comment. Returns what was written.

    Raises
    ------
    InitRefused : study.yaml or files.tsv is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (study_yaml.NAME, file_list.NAME):
        if (folder / name).exists():
            raise InitRefused(f"{folder / name} is there already; move it away to start anew")
    parts: dict[str, list[str]] = {}
    for path in _files(folder):
        top = path.split("/", 1)[0] if "/" in path else ""
        parts.setdefault(top, []).append(path)
    images = {top: paths for top, paths in parts.items() if not _LABEL.search(top)}
    labels = {top: paths for top, paths in parts.items() if top not in images}
    if not images:
        images, labels = (labels, {}) if labels else ({"": []}, {})

    def named(top: str) -> str:
        return top or "Images"

    def plain(name: str) -> str:
        return yaml.safe_dump(name, width=1000, allow_unicode=True).removesuffix("\n...\n").strip()

    components = ""
    for top, paths in images.items():
        line = describe(folder / paths[0]) if describe and paths else None
        if paths:
            components += f"  # {len(paths)} files below {top or '.'}" + (
                f"; the first: {line}\n" if line else "\n"
            )
        components += _COMPONENT.format(name=plain(named(top)))
    kinds = (
        "class_labels, bounding_boxes, counts, derived_annotations,",
        "geometrical_annotations, graphs, point_annotations, segmentation_mask, tracks,",
        "weak_annotations, other",
    )
    types = "\n{h}    #   ".join(kinds)
    annotations = ""
    for i, top in enumerate(labels):
        text = _ANNOTATION.format(hash="", name=plain(named(top)), types=types.format(h=""))
        annotations += text if i == 0 else text.split("\n", 1)[1]
    if not labels:
        annotations = _ANNOTATION.format(hash="# ", name="<masks>", types=types.format(h="# "))
    name = accession or (folder.resolve().name if _ACCESSION.match(folder.resolve().name) else "")
    text = TEMPLATE.format(
        accession_line=f"accession: {name}"
        if name
        else "# accession: <given by the archive; leave this out if you have none>",
        today=date.today().isoformat(),
        components=components.rstrip("\n"),
        annotations=annotations,
    )
    rows = [
        file_list.Row(path, named(top))
        for group in (images, labels)
        for top, paths in group.items()
        for path in paths
    ]
    stems: dict[str, list[str]] = {}
    for paths in images.values():
        for path in paths:
            stems.setdefault(_stem(path), []).append(path)
    for row in rows:
        if row.part in {named(t) for t in labels}:
            sources = stems.get(_stem(row.path), [])
            row.source_image = sources[0] if len(sources) == 1 else ""
    listed = file_list.dumps(rows)
    if labels and "source_image" not in listed.split("\n", 1)[0]:
        lines = listed.splitlines()
        listed = "\n".join([lines[0] + "\tsource_image", *lines[1:]]) + "\n"
    write_text(folder / file_list.NAME, listed)
    write_text(folder / study_yaml.NAME, text)
    return [folder / study_yaml.NAME, folder / file_list.NAME]


_ACCESSION = re.compile(r"[A-Z][A-Za-z-]*[0-9]+\Z")


def _stem(path: str) -> str:
    """A mask's name without what makes it a mask, so that it meets its image's."""
    stem = path.rsplit("/", 1)[-1].split(".", 1)[0].casefold()
    return re.sub(r"[_\-. ]?(masks?|labels?|gt|seg(mentation)?)$", "", stem)
