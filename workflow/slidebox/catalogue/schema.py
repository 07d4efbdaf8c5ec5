"""JSON Schemas of what the catalogue publishes: ``study.json`` and the tables' columns.

Made from the models here and the record's, shipped in ``workflow/schemas``; a test holds them to
what is written. Other keys may come in later releases; those that are here stay.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from slidebox.record.model import Record


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Label(_Open):
    name: str
    objects: int | None = Field(None, description="Number of objects, when counted")


class Image(_Open):
    id: str | None = Field(None, description="UUIDv5 of accession, files and series")
    path: str = Field(description="Primary file, as submitted")
    series: int = Field(0, description="From 0")
    files: list[str] = Field(default_factory=list, description="All files, the primary first")
    name: str | None = None
    part: str | None = Field(None, description="Name of its study component")
    attributes: dict[str, Any] = Field(
        default_factory=dict, description="Free columns of the file list"
    )
    status: Literal["derived", "failed", "unreadable"]
    finding: dict[str, Any] | None = Field(None, description="Why there is no image")
    derivation: str | None = Field(None, description="8 hex digits: the recipe and its inputs")
    zarr: str | None = Field(None, description="OME-Zarr, relative to the study's folder")
    thumbnail: str | None = Field(None, description="PNG, relative to the study's folder")
    axes: str | None = Field(None, description="Of t, c, z, y, x")
    shape: list[int] | None = Field(None, description="In the order of axes")
    dtype: str | None = None
    rgb: bool | None = None
    pixel_size: dict[str, float | None] | None = Field(None, description="Micrometres an axis")
    time_step: float | None = None
    channels: list[dict[str, Any]] | None = None
    labels: list[Label] | None = Field(None, description="Label images in the OME-Zarr")


class Files(_Open):
    count: int
    bytes: int
    table: str = Field(description="Name of the list beside this file")


class Changes(_Open):
    added: int
    changed: int
    removed: int


class Version(_Open):
    version: int
    created: str | None = Field(None, description="RFC 3339, UTC")
    message: str | None = None
    kind: Literal["deposit", "revision"] | None = None
    changes: Changes | None = None


class Decision(_Open):
    date: str
    name: str
    reason: str
    what: str


class Left(_Open):
    """A finding that was left when the study was accepted."""

    code: str
    severity: Literal["error", "warning", "info"]
    message: str
    file: str | None = None
    field: str | None = None
    mend: str | None = None


class Study(_Open):
    """study.json: a version of a study, as everybody may see it."""

    accession: str
    version: int
    title: str | None
    release_date: str | None = Field(description="YYYY-MM-DD")
    record: Record = Field(description="The curated record, without what is restricted")
    images: list[Image]
    files: Files
    versions: list[Version] = Field(description="The oldest first")
    curation: list[Decision] = Field(description="What curators decided, the oldest first")
    findings: list[Left]
    provenance: dict[str, Any] = Field(
        description="Software and settings; run_crate is the ingest's Provenance Run Crate"
    )


def study_schema() -> dict[str, Any]:
    """The JSON Schema of study.json."""
    return _named("study-json", "A study of a Slidebox archive", Study.model_json_schema())


def tables_schema() -> dict[str, Any]:
    """The columns of the Parquet tables, as a JSON Schema of their rows."""
    from slidebox.catalogue.tables import SCHEMAS

    kinds = {"string": "string", "int32": "integer", "int64": "integer", "double": "number"}
    kinds["bool"] = "boolean"
    tables = {}
    for name, schema in SCHEMAS.items():
        columns: dict[str, Any] = {}
        for column in schema:
            kind = str(column.type)
            if kind.startswith("list"):
                columns[column.name] = {"type": ["array", "null"], "items": {"type": "string"}}
            else:
                columns[column.name] = {"type": [kinds[kind], "null"]}
        tables[name] = {"type": "object", "properties": columns, "required": list(columns)}
    return _named("tables", "Rows of a Slidebox catalogue's tables", {"$defs": tables})


def _named(name: str, title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://slidebox.invalid/schemas/{name}.schema.json",
        **schema,
        "title": title,
    }
