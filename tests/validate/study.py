"""A small submission that is right in everything, for tests to spoil."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

STUDY = """\
accession: S-TEST1
title: Nuclei of cultured cells in two conditions
description: Fluorescence micrographs of nuclei for testing a validator of submissions.
keywords: [nuclei, test]
license: CC-BY-4.0
release_date: 2024-01-31
acknowledgements: The test people
funding_statement: None
authors:
  - name: Ada Tester
    email: ada@example.org
    orcid: 0000-0002-1825-0097
    organisations: [Institute of Tests]
publications:
  - title: On testing
    authors: [Ada Tester]
    year: 2024
    status: published
    doi: 10.1234/test.5678
    pubmed_id: 12345678
biosamples:
  - name: HeLa cells
    organism: [{name: Homo sapiens, ncbi_taxon: NCBITaxon:9606}]
    biological_entity: HeLa cell line
    description: Cells in culture
specimens:
  - name: Fixed cells
    sample_preparation: PFA fixation and DAPI
    growth_protocol: DMEM
image_acquisitions:
  - name: Confocal
    imaging_instrument: Confocal microscope with a 63x objective
    acquisition_parameters: 100 ms exposure
    imaging_methods: [{name: confocal microscopy, fbbi: "FBbi:00000251"}]
study_components:
  - name: Images
    description: Micrographs
    associations:
      - biosample: HeLa cells
        specimen: Fixed cells
        image_acquisition: Confocal
annotation_sets:
  - name: Masks
    overview: Nuclei outlined by hand
    types: [segmentation_mask]
    methods: [by hand]
    confidence_level: self-reported high
    criteria: whole nuclei
    coverage: all images
"""

FILES = """\
path\tpart\tsource_image
images/a.ome.tif\tImages\t
labels/a.tif\tMasks\timages/a.ome.tif
"""


def image(path: Path, shape=(32, 48), dtype="uint16", **options) -> None:
    """An OME-TIFF with pixel sizes."""
    rng = np.random.default_rng(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {
        "axes": "TCZYX"[-len(shape) :] if len(shape) != 3 else "ZYX",
        "PhysicalSizeX": 0.1,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.1,
        "PhysicalSizeYUnit": "µm",
    } | options.pop("metadata", {})
    data = rng.integers(0, 200, shape).astype(dtype)
    tifffile.imwrite(path, data, metadata=metadata, **options)


def labels(path: Path, shape=(32, 48), dtype="uint16") -> None:
    """A label image of two objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros(shape, dtype)
    data[..., 2:9, 2:9] = 1
    data[..., 12:19, 20:29] = 2
    tifffile.imwrite(path, data)


def write(folder: Path, study: str = STUDY, files: str = FILES, data: bool = True) -> Path:
    """The submission in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    (folder / "files.tsv").write_text(files, encoding="utf-8")
    if data:
        image(folder / "images" / "a.ome.tif")
        labels(folder / "labels" / "a.tif")
    return folder
