"""Search across studies in the catalogue's tables, on this machine or at an address."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pyarrow.parquet as pq

from slidebox.catalogue.ranged import RangedFile
from slidebox.catalogue.tables import SCHEMAS
from slidebox.catalogue.words import words_of

# Columns whose words a query is matched against.
_SEARCHED = ("accession", "path", "name", "part", "channels", "labels", "attributes")
_STUDY = ("title", "description", "keywords", "authors", "organisms", "imaging_methods")


def _source(catalogue: str | Path, name: str) -> Any:
    """A table's file: a path, or a file at an address that is read by range."""
    where = str(catalogue)
    if where.startswith(("http://", "https://")):
        base = where.partition("#")[0].removesuffix("index.html")
        base = base if base.endswith("/") else base + "/"
        if not base.endswith("/catalogue/"):
            base = urljoin(base, "catalogue/")
        return io.BufferedReader(RangedFile(urljoin(base, f"{name}.parquet")), 1 << 16)
    folder = Path(where)
    if not (folder / f"{name}.parquet").is_file():
        folder = folder / "catalogue"
    return folder / f"{name}.parquet"


def _rows(
    catalogue: str | Path, name: str, accessions: Container[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Rows of a table; those of other accessions may be left out, a row group at a time.

    A column that the archive's release didn't write is None.
    """
    with pq.ParquetFile(_source(catalogue, name)) as table:
        older = dict.fromkeys(set(SCHEMAS[name].names) - set(table.schema_arrow.names))
        for number in range(table.num_row_groups):
            if accessions is not None:
                told = table.read_row_group(number, columns=["accession"])["accession"].unique()
                if not any(a in accessions for a in told.to_pylist()):
                    continue
            for batch in table.read_row_group(number).to_batches(max_chunksize=8192):
                yield from ({**older, **row} for row in batch.to_pylist())


def _text(row: dict[str, Any], columns: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for column in columns:
        value = row.get(column)
        for part in value if isinstance(value, list) else [value]:
            if part:
                found.update(words_of(str(part)))
    return found


def find_images(
    catalogue: str | Path,
    query: str = "",
    *,
    organism: str | None = None,
    method: str | None = None,
    licence: str | None = None,
    annotated: bool | None = None,
) -> Iterator[dict[str, Any]]:
    """Rows of ``images.parquet`` that fit, studies in the catalogue's order.

    Parameters
    ----------
    catalogue : a site's folder or address (or its ``catalogue/``).
    query : words that the image or its study must have; each may be the beginning of a word.
    organism, method : part of a name, without regard to case.
    licence : SPDX identifier, as in ``CC0-1.0``.
    annotated : True for images with label images, False for those without.
    """
    words = words_of(query)
    studies = {
        row["accession"]: _text(row, _STUDY)
        for row in _rows(catalogue, "studies")
        if (not licence or (row["license"] or "").casefold() == licence.casefold())
        and (not organism or _has(row["organisms"], organism))
        and (not method or _has(row["imaging_methods"], method))
    }
    for row in _rows(catalogue, "images", studies):
        if row["accession"] not in studies:
            continue
        if annotated is not None and bool(row["labels"]) != annotated:
            continue
        if words:
            known = studies[row["accession"]] | _text(row, _SEARCHED)
            if not all(any(k.startswith(w) for k in known) for w in words):
                continue
        yield row


# What people say for what records name.
_COMMON = {
    "human": "homo sapiens",
    "mouse": "mus musculus",
    "rat": "rattus norvegicus",
    "zebrafish": "danio rerio",
    "fruit fly": "drosophila melanogaster",
    "worm": "caenorhabditis elegans",
    "yeast": "saccharomyces cerevisiae",
    "chicken": "gallus gallus",
    "frog": "xenopus laevis",
    "thale cress": "arabidopsis thaliana",
}


def _has(names: list[str] | None, wanted: str) -> bool:
    said = _COMMON.get(wanted.casefold(), wanted.casefold())
    return any(said in name.casefold() for name in names or [])


def files_of(catalogue: str | Path, images: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of ``files.parquet`` of all files of the images and of the annotations on them."""
    wanted = {(i["accession"], path) for i in images for path in [i["path"], *(i["files"] or [])]}
    for row in _rows(catalogue, "files", {accession for accession, _ in wanted}):
        if (row["accession"], row["path"]) in wanted or (
            row["source_image"] and (row["accession"], row["source_image"]) in wanted
        ):
            yield row
