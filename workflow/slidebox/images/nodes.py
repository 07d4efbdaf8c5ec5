"""Groups and arrays of a Zarr hierarchy on disk: ``zarr.json`` in OME-Zarr 0.5 (Zarr 3), and
``.zgroup``, ``.zattrs`` and ``.zarray`` in 0.4 (Zarr 2).

What is written and read here is the same plain data for both: ``{"ome": {...}, ...}``. In 0.4 the
contents of ``ome`` stand at the top of ``.zattrs``, and the version in each of its objects.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .model import Series
from .plan import LevelPlan, Recipe

METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
"""Names of files that hold metadata, not chunks."""

_VERSIONED = ("omero", "image-label", "plate", "well")  # objects of 0.4 that say their version
_FILL: dict[str, Any] = {"f": 0.0, "b": False, "c": [0.0, 0.0]}
_SHUFFLE = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


def write_group(folder: Path, attributes: dict[str, Any], ngff: str) -> None:
    """Write a group with its attributes; the file that makes it one comes last."""
    document = group_document(attributes, ngff)
    if ngff == "0.5":
        write_json(folder / "zarr.json", document)
        return
    write_json(folder / ".zgroup", {"zarr_format": 2})
    write_json(folder / ".zattrs", document)


def group_document(attributes: dict[str, Any], ngff: str) -> dict[str, Any]:
    """What stands in the file that holds a group's attributes."""
    if ngff == "0.5":
        return {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    top = flat(attributes.get("ome", {}))
    return top | {k: v for k, v in attributes.items() if k != "ome"}


def read_document(folder: Path) -> dict[str, Any]:
    """What stands in the file that holds a group's attributes, as it stands there."""
    three = folder / "zarr.json"
    return load(three if three.is_file() else folder / ".zattrs")


def flat(ome: dict[str, Any]) -> dict[str, Any]:
    """The contents of ``ome`` as 0.4 has them at the top of ``.zattrs``."""
    top: dict[str, Any] = {k: v for k, v in ome.items() if k != "version"}
    if "multiscales" in top:
        top["multiscales"] = [{"version": "0.4", **m} for m in top["multiscales"]]
    for key in _VERSIONED:
        if key in top:
            top[key] = {**top[key], "version": "0.4"}
    return top


def read_group(folder: Path) -> tuple[str, dict[str, Any]]:
    """Version of OME-Zarr and attributes, in the form of 0.5.

    Raises OSError when there is no group, ValueError when it is none that can be parsed.
    """
    if (folder / "zarr.json").is_file():
        return "0.5", load(folder / "zarr.json")["attributes"]
    top = load(folder / ".zattrs")
    ours = {"slidebox": top.pop("slidebox")} if "slidebox" in top else {}
    return "0.4", {"ome": top, **ours}


def write_array(folder: Path, series: Series, level: LevelPlan, recipe: Recipe) -> None:
    """Write the metadata of one level: shards around Blosc in 0.5, Blosc alone in 0.4."""
    if recipe.ngff == "0.5":
        write_json(folder / "zarr.json", _array_3(series, level, recipe))
    else:
        write_json(folder / ".zarray", _array_2(series, level, recipe))


def array_layout(folder: Path) -> dict[str, Any]:
    """Shape, dtype, chunk, shard and Blosc's settings of an array that ``write_array`` wrote."""
    if (folder / "zarr.json").is_file():
        meta = load(folder / "zarr.json")
        sharding = meta["codecs"][0]["configuration"]
        blosc = next(c for c in sharding["codecs"] if c["name"] == "blosc")["configuration"]
        return {
            "ngff": "0.5",
            "shape": meta["shape"],
            "dtype": np.dtype(meta["data_type"]),
            "chunk": sharding["chunk_shape"],
            "shard": meta["chunk_grid"]["configuration"]["chunk_shape"],
            "codec": {"compressor": blosc["cname"], "level": blosc["clevel"]},
        }
    meta = load(folder / ".zarray")
    blosc = meta["compressor"]
    return {
        "ngff": "0.4",
        "shape": meta["shape"],
        "dtype": np.dtype(meta["dtype"]),
        "chunk": meta["chunks"],
        "shard": meta["chunks"],
        "codec": {"compressor": blosc["cname"], "level": blosc["clevel"]},
    }


def write_json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _pick(series: Series, numbers) -> list[int]:
    keep = ["tczyx".index(a) for a in series.axes]
    return [int(numbers[k]) for k in keep]


def _array_3(series: Series, level: LevelPlan, recipe: Recipe) -> dict[str, Any]:
    """zarr.json of one level: sharding codec around Blosc, index at the end."""
    dtype = series.dtype
    fill = _FILL.get(dtype.kind, 0)
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {
        "name": "blosc",
        "configuration": {
            "typesize": dtype.itemsize,
            "cname": recipe.compressor,
            "clevel": recipe.level,
            "shuffle": recipe.shuffle,
            "blocksize": recipe.blocksize,
        },
    }
    sharding = {
        "name": "sharding_indexed",
        "configuration": {
            "chunk_shape": _pick(series, level.chunk),
            "codecs": [little if dtype.itemsize > 1 else {"name": "bytes"}, blosc],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
    shard = _pick(series, level.shard)
    return {
        "shape": _pick(series, level.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shard}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": fill,
        "codecs": [sharding],
        "attributes": {},
        "dimension_names": list(series.axes),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _array_2(series: Series, level: LevelPlan, recipe: Recipe) -> dict[str, Any]:
    """.zarray of one level: Blosc as numcodecs names it, chunks in nested folders."""
    dtype = series.dtype
    return {
        "zarr_format": 2,
        "shape": _pick(series, level.shape),
        "chunks": _pick(series, level.chunk),
        "dtype": dtype.newbyteorder("<").str,
        "fill_value": _FILL.get(dtype.kind, 0),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
        "compressor": {
            "id": "blosc",
            "cname": recipe.compressor,
            "clevel": recipe.level,
            "shuffle": _SHUFFLE[recipe.shuffle],
            "blocksize": recipe.blocksize,
        },
    }
