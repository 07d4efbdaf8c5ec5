"""How a study was ingested, from what each stage wrote of itself: steps without host or user."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from slidebox.catalogue import write_run_crate
from slidebox.catalogue.text import license_url
from slidebox.resources import resource

FOLDER = "provenance"
_STEPS = {
    "validate": (
        "Checks that the submission is complete, described and readable",
        ["The files as submitted"],
        ["The findings", "The record and its filesets"],
    ),
    "archive": (
        "Writes the originals into the vault, bit by bit, as a version of an OCFL object",
        ["The files as submitted", "The findings", "The record and its filesets"],
        ["A version of the study in the vault", "The list of its files with sha256"],
    ),
    "images": (
        "Derives an OME-Zarr image from each series and proves it pixel by pixel",
        ["A version of the study in the vault", "The record and its filesets"],
        ["OME-Zarr images and thumbnails"],
    ),
    "study": (
        "Writes the study's pages, lists, tables and descriptions",
        ["The record and its filesets", "OME-Zarr images and thumbnails"],
        ["The study's folder on the site"],
    ),
    "seal": (
        "Writes the receipt: what came in, what was made of it, with which software",
        ["The study's folder on the site"],
        ["The receipt"],
    ),
}


def write(
    folder: Path,
    *,
    accession: str,
    version: int,
    licence: str | None,
    times: dict[str, dict[str, str] | Iterable[dict[str, str]]],
    software: dict[str, str],
) -> Path:
    """Write the Provenance Run Crate to ``folder``; returns its metadata's path.

    Parameters
    ----------
    times : stage -> ``{"started", "ended"}``, or one of these a slice.
    software : name -> version of what did the work.
    """
    steps: list[dict[str, Any]] = []
    for name, (description, inputs, outputs) in _STEPS.items():
        took = times[name]
        slices = [took] if isinstance(took, dict) else list(took)
        step = {
            "name": name,
            "description": description,
            "started": min(t["started"] for t in slices),
            "ended": max(t["ended"] for t in slices),
            "inputs": inputs,
            "outputs": outputs,
            "software": software,
        }
        steps.append(step)
    return write_run_crate(
        folder,
        accession=accession,
        version=version,
        snakefile=resource("Snakefile"),
        steps=steps,
        snakemake_version=_snakemake(),
        license_url=license_url(licence),
    )


def _snakemake() -> str:
    try:
        return metadata.version("snakemake")
    except metadata.PackageNotFoundError:  # rebuilt where no workflow runs
        return "9"
