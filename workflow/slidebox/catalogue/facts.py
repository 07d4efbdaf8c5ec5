"""What the pages say about a record and an image: plain data in, terms and values out."""

from __future__ import annotations

import json
from typing import Any

from slidebox.catalogue.text import human_bytes, human_length, safe_url

# REMBI's modules in the order in which an experiment goes.
_BLOCKS = (
    ("study_components", "Study components"),
    ("biosamples", "Biosamples"),
    ("specimens", "Specimens"),
    ("image_acquisitions", "Image acquisition"),
    ("image_correlations", "Image correlation"),
    ("image_analyses", "Image analysis"),
    ("annotation_sets", "Annotations"),
)


def _values(value: Any) -> list[dict[str, str | None]]:
    """Flatten a field into texts, with a link where an ontology term or URL has one."""
    if value in (None, "", [], {}):
        return []
    if isinstance(value, list | tuple):
        return [v for item in value for v in _values(item)]
    if isinstance(value, dict):
        if taxon := value.get("ncbi_taxon"):
            digits = str(taxon).rsplit(":", 1)[-1].rsplit("_", 1)[-1]
            url = f"http://purl.obolibrary.org/obo/NCBITaxon_{digits}" if digits.isdigit() else None
            return [{"text": str(value.get("name") or taxon), "url": url}]
        if fbbi := value.get("fbbi"):
            digits = str(fbbi).rsplit(":", 1)[-1].rsplit("_", 1)[-1]
            url = f"http://purl.obolibrary.org/obo/FBbi_{digits}" if digits.isdigit() else None
            return [{"text": str(value.get("name") or fbbi), "url": url}]
        value = {k: v for k, v in value.items() if v not in (None, "", [], {})}
        if set(value) <= {"name", "ncbi_taxon", "fbbi", "value"}:
            if set(value) == {"name"}:
                return [{"text": str(value["name"]), "url": None}]
            parts = [str(v) for v in value.values() if v not in (None, "")]
            return [{"text": ": ".join(parts), "url": None}] if parts else []
        pairs = [
            f"{term_of(k)}: {', '.join(v['text'] or '' for v in _values(item))}"
            for k, item in value.items()
            if _values(item)
        ]
        return [{"text": "; ".join(pairs), "url": None}] if pairs else []
    if isinstance(value, bool):
        return [{"text": "yes" if value else "no", "url": None}]
    return [{"text": str(value), "url": safe_url(value)}]


def term_of(field: str) -> str:
    """'sample_preparation' -> 'Sample preparation'."""
    return field.replace("_", " ").strip().capitalize()


def record_blocks(record: dict[str, Any], only: dict[str, set[str]] | None = None) -> list[dict]:
    """The record's modules for display, without empty fields.

    ``only`` maps a module to the names of the entries wanted (an image's page shows its own).
    """
    blocks = []
    for key, title in _BLOCKS:
        if only is not None and key not in only:
            continue
        entries = []
        for item in record.get(key) or []:
            if not isinstance(item, dict):
                continue
            if only is not None and item.get("name") not in only[key]:
                continue
            facts = [
                (term_of(k), values)
                for k, v in item.items()
                if k not in ("name", "access", "file_list", "extra") and (values := _values(v))
            ]
            entries.append({"name": item.get("name"), "facts": facts})
        if entries:
            blocks.append({"title": title, "entries": entries})
    if only is None and record.get("extra"):
        facts = [(term_of(str(k)), vs) for k, v in record["extra"].items() if (vs := _values(v))]
        if facts:
            entries = [{"name": None, "facts": facts}]
            blocks.append({"title": "Also said by the submitter", "entries": entries})
    return blocks


def part_modules(record: dict[str, Any], part: str | None) -> dict[str, set[str]]:
    """Which entries of which modules a study component's associations point to."""
    fields = {
        "biosample": "biosamples",
        "specimen": "specimens",
        "image_acquisition": "image_acquisitions",
    }
    wanted: dict[str, set[str]] = {}
    for component in record.get("study_components") or []:
        if component.get("name") != part:
            continue
        for association in component.get("associations") or []:
            for field, module in fields.items():
                if name := association.get(field):
                    wanted.setdefault(module, set()).add(name)
    return wanted


def organisms(record: dict[str, Any]) -> list[str]:
    """Names of all organisms, without repeats."""
    names = []
    for sample in record.get("biosamples") or []:
        for organism in sample.get("organism") or []:
            name = organism.get("name") if isinstance(organism, dict) else str(organism)
            if name and name not in names:
                names.append(name)
    return names


def methods(record: dict[str, Any]) -> list[str]:
    """Names of all imaging methods, without repeats."""
    names = []
    for acquisition in record.get("image_acquisitions") or []:
        for method in acquisition.get("imaging_methods") or []:
            name = method.get("name") if isinstance(method, dict) else str(method)
            if name and name not in names:
                names.append(name)
    return names


def size_of(image: dict[str, Any], axis: str) -> int | None:
    """Length of one axis, None when the image hasn't it."""
    axes, shape = image.get("axes") or "", image.get("shape") or []
    names = [a if isinstance(a, str) else a.get("name") for a in axes]
    return int(shape[names.index(axis)]) if axis in names and len(shape) == len(names) else None


def dimensions(image: dict[str, Any]) -> str:
    """'2D', '3D', '2D+t' or '3D+t'."""
    depth = "3D" if (size_of(image, "z") or 1) > 1 else "2D"
    return depth + ("+t" if (size_of(image, "t") or 1) > 1 else "")


def image_label(image: dict[str, Any]) -> str:
    """What an image is called: the file's name, and its own where it is another.

    An image of many files is no one of them: it has its own name alone.
    """
    path = str(image.get("path") or "")
    name = str(image.get("name") or "")
    if name and len(image.get("files") or []) > 1:
        return name
    base = path.rsplit("/", 1)[-1]
    if name and base and name not in base and base not in name:
        return f"{base} · {name}"
    return base or name or str(image.get("id"))


def image_facts(image: dict[str, Any]) -> str:
    """'2 048 × 2 048 · z 40 · t 2 · 3 channels'."""
    y, x = size_of(image, "y"), size_of(image, "x")
    words = [f"{x} × {y}"] if x and y else []
    for axis in "zt":
        n = size_of(image, axis)
        if n and n > 1:
            words.append(f"{axis} {n}")
    channels = size_of(image, "c") or 1
    if image.get("rgb"):
        words.append("RGB")
    elif channels > 1:
        words.append(f"{channels} channels")
    return " · ".join(words)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def image_rows(image: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of an image's table of facts."""
    rows = [("Name", image.get("name") or ""), ("Part", image.get("part") or "")]
    if image.get("well"):
        place = f"{image['plate']}, well {image['well']}, field {image['field']}"
        rows.append(("Plate", place))
    for axis, word in (("x", "Width"), ("y", "Height"), ("z", "Depth")):
        n = size_of(image, axis)
        if not n or (axis == "z" and n == 1):
            continue
        pixel = _number((image.get("pixel_size") or {}).get(axis))
        extra = f", {human_length(pixel)} each, {human_length(pixel * n)} in all" if pixel else ""
        rows.append((word, f"{n} {'planes' if axis == 'z' else 'pixels'}{extra}"))
    if (t := size_of(image, "t") or 1) > 1:
        step = _number(image.get("time_step"))
        unit = image.get("time_unit") or "s"
        rows.append(("Time points", f"{t}, every {step:.4g} {unit}" if step else str(t)))
    channels = size_of(image, "c")
    if image.get("rgb"):
        rows.append(("Channels", "RGB colour"))
    elif channels:
        rows.append(("Channels", str(channels)))
    rows.append(("Pixel type", str(image.get("dtype") or "")))
    levels = image.get("levels") or []
    if levels:
        sizes = [" × ".join(str(n) for n in level.get("shape") or []) for level in levels]
        axes = image.get("axes") or ""
        names = axes if isinstance(axes, str) else "".join(a.get("name", "") for a in axes)
        rows.append((f"Pyramid ({names})", "; ".join(sizes)))
    if image.get("bytes"):
        rows.append(("Converted size", human_bytes(image["bytes"])))
    for key, value in sorted((image.get("attributes") or {}).items()):
        if value not in (None, ""):
            rows.append((term_of(str(key)), str(value)))
    if image.get("reader"):
        rows.append(("Read with", f"{image['reader']} {image.get('reader_version') or ''}".strip()))
    rows.append(("Image id", str(image.get("id") or "")))
    rows.append(("Derivation", str(image.get("derivation") or "")))
    return [(term, value) for term, value in rows if value]


def snippets(image: dict[str, Any]) -> list[dict[str, str]]:
    """Code that opens an image elsewhere: what stands before and after its address."""
    # Neuroglancer by itself shows the first axes, time and depth, and the pixel type's full range.
    sizes = image.get("pixel_size") or {}
    axes = {
        a: [sizes[a] * 1e-6, "m"] if sizes.get(a) else [1, ""] for a in "xyz" if size_of(image, a)
    }
    view: dict[str, Any] = {"dimensions": axes, "layout": "xy"}
    window = ((image.get("channels") or [{}])[0]).get("window") or {}
    bright = ""
    if window.get("start") is not None and window.get("end") is not None:
        span = json.dumps([window["start"], window["end"]])
        bright = f', "shaderControls": {{"normalized": {{"range": {span}}}}}'
    return [
        {
            "title": "Python (zarr)",
            "before": 'import zarr\n\nimage = zarr.open_group("',
            "after": '", mode="r")\nfull = image["0"]\nprint(full.shape, full.dtype)',
        },
        {
            "title": "Python (dask)",
            "before": 'import dask.array as da\n\nimage = da.from_zarr("',
            "after": '", component="0")\nprint(image)',
        },
        {"title": "napari", "before": 'napari --plugin napari-ome-zarr "', "after": '"'},
        {
            "title": "Fiji",
            "before": "File > Import > HDF5/N5/Zarr/OME-NGFF ... and paste:\n",
            "after": "",
        },
        {
            "title": "Neuroglancer, behind its address",
            "before": '#!{"layers": [{"type": "image", "name": "image", "source": "',
            "after": f'/|zarr:"{bright}}}], {json.dumps(view)[1:]}',
        },
    ]
