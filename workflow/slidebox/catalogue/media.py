"""What kind of thing each file of the site is, by its name."""

from __future__ import annotations

from pathlib import PurePosixPath

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".jsonld": "application/ld+json",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".yaml": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file",
    ".wasm": "application/wasm",
}
BYTES = "application/octet-stream"
# OME-Zarr 0.4 calls its metadata so.
ZARR_METADATA = {".zarray", ".zattrs", ".zgroup", ".zmetadata"}


def media_type(path: str) -> str:
    """Content type of a file of the site by its name; bytes when it is nothing known."""
    name = PurePosixPath(path)
    if name.name in ZARR_METADATA:
        return TYPES[".json"]
    return TYPES.get(name.suffix.lower(), BYTES)
