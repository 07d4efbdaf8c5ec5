"""What a release says of itself: README for people, RO-Crate and Croissant for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slidebox

from ..scoring import catalog
from ..scoring.release import sha256_file
from ..scoring.settings import Settings
from . import baseline
from .strata import named
from .wheel import wheel_name
from .writer import Writer

SPDX = "https://spdx.org/licenses/"

LAYOUT = {
    "instance-segmentation": "one label image `<id>.tif` (or PNG, OME-Zarr) of the image's size: "
    "0 is background, every object has a number of its own. One COCO JSON (polygons or RLE) or one "
    "CSV of run lengths for all images is fine too",
    "semantic-segmentation": "one label image `<id>.tif` (or PNG, OME-Zarr) of the image's size "
    "with the classes' values",
    "tracking": "one folder `<id>_RES` with `mask000.tif`, `mask001.tif`, ... and `res_track.txt` "
    "(label, begin, end, parent), as in the Cell Tracking Challenge",
    "points": "one table `<id>.csv` with a column for each axis (`y,x`, or `z,y,x`), in the unit "
    "`scoring.unit` of `challenge.yaml`; or one table for all with the column `image` too, where a "
    "row with an image alone says that it has no point",
    "restoration": "one image `<id>.tif` of the image's size",
}


SPLITS = """
![Share of each split's images, by stratum and study](splits.svg)
"""
FOLDS = """
For cross-validation the first split is divided into folds (column `fold` of `splits.csv`), by whole
groups too:

![Share of each fold's images, by stratum and study](folds.svg)

"""
BASELINE = """`baseline.py` is a classical method to start from: `uv run baseline.py predictions/`
(without uv it needs `pip install scikit-image` too).
"""


def license_url(spdx: str) -> str:
    """Address of a licence by its SPDX identifier; addresses stay what they are."""
    return spdx if "://" in spdx else f"{SPDX}{spdx}.html"


def readme(resolved: dict[str, Any], rows: list[dict[str, str]], folder: Path, strata: str) -> str:
    """README.md of a release. Says nothing about hidden truth but that there is some."""
    task = resolved["task"]
    settings = Settings(**resolved["scoring"]).resolved(task)
    primary = catalog.lookup(task, settings.primary, settings)
    hidden = resolved.get("hidden", [])
    counts = "\n".join(
        f"| {name} | {n} | {len({r['group'] for r in rows if r['split'] == name})} | "
        f"{'hidden' if name in hidden else 'released'} |"
        for name, n in resolved["images"].items()
    )
    metrics = "\n".join(
        f"| {name}{' (ranks)' if name == settings.primary else ''} | {m.what} | {m.direction} is "
        f"better | {m.unit} |"
        for name in settings.metrics
        for m in [catalog.lookup(task, name, settings)]
    )
    people = ", ".join(
        p["name"] + (f" <{p['email']}>" if p.get("email") else "") for p in resolved["organisers"]
    )
    open_split = next((s for s in resolved["images"] if s not in hidden), None)
    more = ""
    if (folder / "README.md").is_file():
        more = "\n" + (folder / "README.md").read_text("utf-8").strip() + "\n"
    try_it = (
        f"uv run score.py predictions/ --split {open_split} --out scores/   # and score\n"
        if open_split else ""
    )  # fmt: skip
    groups = ", ".join(map(named, resolved["splits"]["group_by"]))
    start = BASELINE if task in baseline.TASKS else ""
    waivers = (resolved.get("leakage") or {}).get("waivers", [])
    waived = (
        "## Images that are alike and stay\n\n"
        + "\n".join(f"- {' and '.join(w['images'])}: {w['reason']}" for w in waivers) + "\n\n"
        if waivers else ""
    )  # fmt: skip
    hand_in = (
        f"The truth of {', '.join(hidden)} is hidden. Hand your predictions in to the organisers; "
        "check them first.\n"
        if hidden else ""
    )  # fmt: skip
    return f"""# {resolved["title"]}

{resolved["description"].strip()}
{more}
Version {resolved["version"]}. Organised by {people}.

## What is here

| split | images | groups | truth |
|---|---|---|---|
{counts}

Images are in `<split>/images`, their truth in `<split>/labels`. `splits.csv` names every image with
its split, group, axes, shape, pixel size, origin and licence. `SHA256SUMS` has the digest of each
file (`sha256sum -c SHA256SUMS`); `pixels_sha256` and `truth_sha256` are of the decoded values, the
same whatever the platform that wrote the files.

## How the splits are made

Images of one group ({groups}) are never divided. Images of each split, and their share of it:

{strata}
## Take part

Predictions are a folder or a ZIP that holds, for each id of a split in `splits.csv`,
{LAYOUT[task]}.

```
uv run score.py empty/ --template        # writes valid empty predictions to start from
uv run score.py predictions/ --check     # only check
{try_it}```

{start}Without uv: `pip install {wheel_name()}`, then `python score.py ...` with the same
arguments. Every problem of the predictions is listed at once; the exit code is 0 when all is well,
1 when predictions have errors. `scores/report.html` shows distributions and the worst images first.

{hand_in}
## How it's scored

| metric | what | direction | unit |
|---|---|---|---|
{metrics}

{primary.name} ranks. An image without a prediction gets the worst value. An image in which neither
truth nor prediction has an object is valued as `both_empty: {settings.both_empty}`. Intervals come
from resampling whole groups. All decisions are in `challenge.yaml` under `scoring`.

{waived}## Licence

{resolved["license"]}; each image's own licence and attribution are in `splits.csv`.
{("Cite: " + resolved["citation"]) if resolved.get("citation") else ""}
"""


def _published(writer: Writer) -> str:
    """The date a release states: the organiser's, or the newest of its studies'; never today's."""
    if writer.challenge.released:
        return writer.challenge.released.isoformat()
    dates = [str(p.study.record.get("release_date") or "") for p in writer.pairs]
    return max([d for d in dates if d], default="1970-01-01")


def ro_crate(resolved: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """ro-crate-metadata.json (RO-Crate 1.1) of what the public folder holds."""
    staging = writer.staging
    files = sorted(
        p for p in staging.rglob("*")
        if p.is_file() and p.name not in ("ro-crate-metadata.json", "croissant.json")
    )  # fmt: skip
    people = [
        {
            "@id": f"https://orcid.org/{p['orcid']}" if p.get("orcid") else f"#organiser-{k}",
            "@type": "Person",
            "name": p["name"],
            **({"email": p["email"]} if p.get("email") else {}),
            **({"affiliation": p["organisation"]} if p.get("organisation") else {}),
        }
        for k, p in enumerate(resolved["organisers"], 1)
    ]
    licence = {"@id": license_url(resolved["license"])}
    origin = {f"{r['split']}/images/{r['id']}": r for r in writer.rows}
    entities = []
    for path in files:
        name = path.relative_to(staging).as_posix()
        entity: dict[str, Any] = {
            "@id": name, "@type": "File", "name": path.name,
            "contentSize": str(path.stat().st_size), "sha256": sha256_file(path),
            "encodingFormat": _format(path),
        }  # fmt: skip
        # An image is a file, a folder of frames or an OME-Zarr; ids have no dots
        row = origin.get("/".join(name.split("/")[:3]).split(".")[0])
        if row is not None and row["license"]:
            entity["license"] = {"@id": license_url(row["license"])}
            entity["creditText"] = row["attribution"]
            entity["isBasedOn"] = f"{row['accession']}/files/{row['source']}"
        entities.append(entity)
    used = sorted(
        {license_url(r["license"]) for r in writer.rows if r["license"]} | {licence["@id"]}
    )
    return {
        "@context": [
            "https://w3id.org/ro/crate/1.1/context",
            {"sha256": "https://schema.org/sha256"},
        ],
        "@graph": [
            {
                "@id": "ro-crate-metadata.json", "@type": "CreativeWork",
                "about": {"@id": "./"},
                "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
            },
            {
                "@id": "./", "@type": "Dataset", "name": resolved["title"],
                "description": resolved["description"].strip(), "version": resolved["version"],
                "datePublished": _published(writer), "license": licence,
                "creator": [{"@id": p["@id"]} for p in people],
                "hasPart": [{"@id": e["@id"]} for e in entities],
            },
            *people,
            *({"@id": u, "@type": "CreativeWork",
               "name": u.rsplit("/", 1)[-1].removesuffix(".html")} for u in used),
            *entities,
        ],
    }  # fmt: skip


def _format(path: Path) -> str:
    return {
        ".tif": "image/tiff", ".csv": "text/csv", ".json": "application/json",
        ".yaml": "application/yaml", ".md": "text/markdown", ".py": "text/x-python",
        ".whl": "application/zip", ".txt": "text/plain", ".svg": "image/svg+xml",
    }.get(path.suffix, "application/octet-stream")  # fmt: skip


CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}

FIELDS = {
    "id": "Name of the image; predictions go by it",
    "split": "Split of the image",
    "group": "Images of one group are in one split",
    "image": "Path of the image",
    "truth": "Path of the truth; empty where it is hidden",
    "axes": "Axes of the prediction",
    "shape": "Shape of the prediction",
    "pixel_size": "Pixel size along each axis in micrometers",
    "accession": "Study of the archive",
    "source": "File in the study",
    "license": "Licence of the image",
    "attribution": "Whom to name",
}


def croissant(resolved: dict[str, Any], writer: Writer) -> dict[str, Any]:
    """croissant.json (Croissant 1.1): the table of images as a record set that can be loaded."""
    staging = writer.staging
    name = f"{resolved['slug']}-{resolved['version']}"
    people = ", ".join(p["name"] for p in resolved["organisers"])
    cite = resolved.get("citation") or (
        f"{people}: {resolved['title']}, version {resolved['version']}, {_published(writer)[:4]}"
    )
    distribution = [
        {
            "@type": "cr:FileObject", "@id": file, "name": file, "contentUrl": file,
            "encodingFormat": _format(Path(file)), "sha256": sha256_file(staging / file),
        }
        for file in ("splits.csv", "challenge.yaml", "score.py", wheel_name())
    ]  # fmt: skip
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": name,
        "description": resolved["description"].strip(),
        "version": resolved["version"],
        "datePublished": _published(writer),
        "license": license_url(resolved["license"]),
        "url": f"challenges/{resolved['slug']}/{resolved['version']}/",
        "citeAs": cite,
        "creator": [{"@type": "sc:Person", "name": p["name"]} for p in resolved["organisers"]],
        "keywords": ["bioimaging", "benchmark", resolved["task"]],
        "sdVersion": slidebox.__version__,
        "distribution": distribution,
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "images",
                "name": "images",
                "description": "Every image with its split, group, origin and licence",
                "key": {"@id": "images/id"},
                "field": [
                    {
                        "@type": "cr:Field", "@id": f"images/{column}", "name": column,
                        "description": what, "dataType": "sc:Text",
                        "source": {
                            "fileObject": {"@id": "splits.csv"}, "extract": {"column": column}
                        },
                    }
                    for column, what in FIELDS.items()
                ],
            }
        ],
    }  # fmt: skip
