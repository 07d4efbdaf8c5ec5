"""The catalogue as Parquet: ``studies``, ``images``, ``files`` and ``annotations``.

Each study writes its own part beside its pages: ``<accession>/tables/*.parquet`` for readers, and
the same rows as ``*.arrow``, which open ten times as fast. :func:`compact` writes the latter's
rows together, a segment of the archive at a time (``catalogue/.parts/<segment>/``, kept for the
next time), and joins those files into ``catalogue/*.parquet`` without reading them: one more study
costs its segment, and memory doesn't grow with the archive.

Text is written as it is: a cell that begins with ``=`` is a string to every reader of Parquet.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from slidebox import atomic
from slidebox.catalogue import facts, listing, parquet_join, pieces
from slidebox.catalogue.search import Segment
from slidebox.catalogue.text import bare_doi, file_url

_TEXTS = pa.list_(pa.string())
SCHEMAS = {
    "studies": pa.schema(
        [
            ("accession", pa.string()),
            ("version", pa.int32()),
            ("doi", pa.string()),
            ("title", pa.string()),
            ("description", pa.string()),
            ("license", pa.string()),
            ("release_date", pa.string()),
            ("keywords", _TEXTS),
            ("authors", _TEXTS),
            ("organisms", _TEXTS),
            ("imaging_methods", _TEXTS),
            ("images", pa.int64()),
            ("files", pa.int64()),
            ("bytes", pa.int64()),
        ]
    ),
    "images": pa.schema(
        [
            ("accession", pa.string()),
            ("id", pa.string()),
            ("path", pa.string()),
            ("files", _TEXTS),  # all that it is made of, when there is more than its path
            ("series", pa.int32()),
            ("name", pa.string()),
            ("part", pa.string()),
            ("zarr", pa.string()),
            ("thumbnail", pa.string()),
            ("status", pa.string()),
            ("reason", pa.string()),
            ("size_x", pa.int64()),
            ("size_y", pa.int64()),
            ("size_z", pa.int64()),
            ("size_c", pa.int64()),
            ("size_t", pa.int64()),
            ("dtype", pa.string()),
            ("rgb", pa.bool_()),
            ("pixel_size_x_um", pa.float64()),
            ("pixel_size_y_um", pa.float64()),
            ("pixel_size_z_um", pa.float64()),
            ("time_step", pa.float64()),
            ("channels", _TEXTS),
            ("labels", _TEXTS),
            ("organisms", _TEXTS),
            ("imaging_methods", _TEXTS),
            ("license", pa.string()),
            ("attributes", pa.string()),
        ]
    ),
    "files": pa.schema(
        [
            ("accession", pa.string()),
            ("path", pa.string()),
            ("size", pa.int64()),
            ("sha256", pa.string()),
            ("version", pa.int32()),
            ("part", pa.string()),
            ("role", pa.string()),
            ("source_image", pa.string()),
            ("url", pa.string()),
        ]
    ),
    "annotations": pa.schema(
        [
            ("accession", pa.string()),
            ("image", pa.string()),
            ("name", pa.string()),
            ("zarr", pa.string()),
            ("objects", pa.int64()),
            ("annotation_set", pa.string()),
            ("source", pa.string()),
        ]
    ),
}
_ROWS = 50_000
_PARTS = "catalogue/.parts"


def write_parts(
    study: dict[str, Any], files_tsv: Path, folder: Path, home: str | None = None
) -> None:
    """Write a study's four parts to ``folder``, from its study.json and files.tsv.

    ``home`` is where the study is under the site's root, by default its accession.
    """
    accession = study["accession"]
    home = home or accession
    _write(folder / "studies.parquet", SCHEMAS["studies"], iter([_study_row(study)]))
    _write(folder / "images.parquet", SCHEMAS["images"], _image_rows(study, home))
    _write(folder / "files.parquet", SCHEMAS["files"], _file_rows(accession, files_tsv, home))
    _write(folder / "annotations.parquet", SCHEMAS["annotations"], _annotation_rows(study, home))


def compact(segments: Iterable[Segment], site_root: Path) -> list[dict[str, Any]]:
    """Join all studies' parts into ``catalogue/<table>.parquet`` under ``site_root``.

    Beside each, ``.<table>.pieces`` says of what it is made (:mod:`slidebox.catalogue.pieces`).
    Returns ``{"href", "rows", "bytes", "what"}`` for each table. A study without parts is skipped.
    """
    what = {
        "studies": "one row a study",
        "images": "one row an image, with sizes, channels and addresses",
        "files": "one row a file as submitted, with its sha256 and address",
        "annotations": "one row a label image",
    }
    out = site_root / "catalogue"
    parts = [(site_root / _PARTS / s.name, _segment(s, site_root)) for s in segments]
    kept = {folder.name for folder, _ in parts}
    for old in (site_root / _PARTS).glob("*"):
        if old.is_dir() and old.name not in kept:
            shutil.rmtree(old)
    found = []
    for name, schema in SCHEMAS.items():
        target = out / f"{name}.parquet"
        made_of = [digests[name] for _, digests in parts]
        held = pieces.read(target)
        if held is None or [piece for piece, _ in held[1:]] != made_of:
            _join([folder / f"{name}.parquet" for folder, _ in parts], target, schema, made_of)
        found.append(
            {
                "href": target.name,
                "rows": pq.read_metadata(target).num_rows,
                "bytes": target.stat().st_size,
                "what": what[name],
            }
        )
    return found


def _join(parts: list[Path], target: Path, schema: pa.Schema, made_of: list[str]) -> None:
    if not parts:
        _write_batches(target, schema, [])
        pieces.write(target, [])
        return
    with atomic.replacing(target, "wb") as handle:
        sizes = parquet_join.join(parts, handle)
    magic = (parquet_join.MAGIC.decode(), len(parquet_join.MAGIC))
    pieces.write(target, [magic, *zip(made_of, sizes, strict=True)])


def _segment(segment: Segment, site_root: Path) -> dict[str, str]:
    """Make a segment's tables anew when its studies are others; the digest of each."""
    folder = site_root / _PARTS / segment.name
    # Files that are joined are written by the same writer: their footers must be alike.
    form = [pa.__version__, {name: str(schema) for name, schema in SCHEMAS.items()}]
    state = _digest(json.dumps([segment.state, form]).encode())
    try:
        held = json.loads((folder / "state.json").read_bytes())
        if held["state"] == state:
            return held["tables"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    digests = {}
    for name, schema in SCHEMAS.items():
        own = (site_root / e.accession / "tables" / f"{name}.arrow" for e in segment.entries)
        part = folder / f"{name}.parquet"
        _write_batches(part, schema, _gathered((p for p in own if p.is_file()), schema))
        with part.open("rb") as handle:
            digests[name] = hashlib.file_digest(handle, "sha256").hexdigest()[:32]
    for old in folder.glob("*.arrow"):
        old.unlink()  # of an older release
    # Last: it vouches for the others.
    atomic.write_json(folder / "state.json", {"state": state, "tables": digests})
    return digests


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


@contextmanager
def _arrow(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with (
        atomic.replacing(path, "wb") as handle,
        pa.ipc.new_file(handle, schema, options=options) as part,
    ):
        yield part


def _gathered(parts: Iterable[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of about _ROWS rows: many small studies share a row group."""
    held: list[pa.Table] = []
    count = 0
    for part in parts:
        with pa.OSFile(str(part)) as source, pa.ipc.open_file(source) as file:
            for number in range(file.num_record_batches):
                held.append(_conformed(file.get_batch(number), schema))
                count += held[-1].num_rows
                if count >= _ROWS:
                    yield pa.concat_tables(held).combine_chunks()
                    held, count = [], 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _conformed(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """The rows with the present columns; one that an older release didn't write is empty."""
    here = set(batch.schema.names)
    columns = [
        batch.column(field.name).cast(field.type)
        if field.name in here
        else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _write(path: Path, schema: pa.Schema, rows: Iterator[dict[str, Any]]) -> None:
    def batches() -> Iterator[pa.Table]:
        while part := list(islice(rows, _ROWS)):
            yield pa.Table.from_pylist(part, schema=schema)

    with _arrow(path.with_suffix(".arrow"), schema) as part:

        def both() -> Iterator[pa.Table]:
            for table in batches():
                part.write_table(table)
                yield table

        _write_batches(path, schema, both())


def _write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.Table]) -> int:
    rows = 0
    with (
        atomic.replacing(path, "wb") as handle,
        pq.ParquetWriter(handle, schema, compression="zstd") as writer,
    ):
        for table in batches:
            writer.write_table(table)
            rows += table.num_rows
    return rows


def _text(value: Any) -> str | None:
    """Text for Arrow, which refuses what is no UTF-8."""
    return None if value is None else str(value).encode("utf-8", "replace").decode("utf-8")


def _texts(values: Iterable[Any]) -> list[str]:
    return [t for v in values if (t := _text(v))]


def _study_row(study: dict[str, Any]) -> dict[str, Any]:
    record, files = study.get("record") or {}, study.get("files") or {}
    return {
        "accession": study["accession"],
        "version": study.get("version"),
        "doi": bare_doi(record.get("doi")),
        "title": _text(record.get("title")),
        "description": _text(record.get("description")),
        "license": _text(record.get("license")),
        "release_date": _text(study.get("release_date")),
        "keywords": _texts(record.get("keywords") or []),
        "authors": _texts(a.get("name") for a in record.get("authors") or []),
        "organisms": _texts(facts.organisms(record)),
        "imaging_methods": _texts(facts.methods(record)),
        "images": sum(1 for i in study.get("images") or [] if i.get("zarr")),
        "files": files.get("count"),
        "bytes": files.get("bytes"),
    }


def _image_rows(study: dict[str, Any], home: str) -> Iterator[dict[str, Any]]:
    record, accession = study.get("record") or {}, study["accession"]
    shared = {
        "accession": accession,
        "organisms": _texts(facts.organisms(record)),
        "imaging_methods": _texts(facts.methods(record)),
        "license": _text(record.get("license")),
    }
    for image in study.get("images") or []:
        pixel = image.get("pixel_size") or {}
        yield {
            **shared,
            "id": image.get("id"),
            "path": _text(image.get("path")),
            "files": _texts(files) if len(files := image.get("files") or []) > 1 else None,
            "series": image.get("series"),
            "name": _text(image.get("name")),
            "part": _text(image.get("part")),
            "zarr": f"{home}/{image['zarr']}" if image.get("zarr") else None,
            "thumbnail": f"{home}/{image['thumbnail']}" if image.get("thumbnail") else None,
            "status": image.get("status"),
            "reason": _text((image.get("finding") or {}).get("message")),
            **{f"size_{a}": facts.size_of(image, a) for a in "xyzct"},
            "dtype": _text(image.get("dtype")),
            "rgb": bool(image.get("rgb")),
            **{f"pixel_size_{a}_um": pixel.get(a) for a in "xyz"},
            "time_step": image.get("time_step"),
            "channels": _texts(c.get("name") for c in image.get("channels") or []),
            "labels": _texts(la.get("name") for la in image.get("labels") or []),
            "attributes": _text(
                json.dumps(image.get("attributes") or {}, ensure_ascii=False, sort_keys=True)
            ),
        }


def _file_rows(accession: str, files_tsv: Path, home: str) -> Iterator[dict[str, Any]]:
    for row in listing.read_table(files_tsv):
        yield {
            "accession": accession,
            **{k: _text(row.get(k)) for k in ("path", "sha256", "part", "role", "source_image")},
            "size": row["size"],
            "version": row["version"],
            "url": f"{home}/{file_url(row['path'], row['version'])}",
        }


def _annotation_rows(study: dict[str, Any], home: str) -> Iterator[dict[str, Any]]:
    accession = study["accession"]
    for image in study.get("images") or []:
        for label in image.get("labels") or []:
            objects = label.get("objects")
            yield {
                "accession": accession,
                "image": image.get("id"),
                "name": _text(label.get("name")),
                "zarr": f"{home}/{image['zarr']}/labels/{label.get('name')}"
                if image.get("zarr")
                else None,
                "objects": objects if isinstance(objects, int) else None,
                "annotation_set": _text(label.get("part")),
                "source": _text(label.get("path")),
            }
