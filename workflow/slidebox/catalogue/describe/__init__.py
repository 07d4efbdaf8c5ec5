"""Descriptions of a study for machines, each in the form that its own validator judges.

All are pure functions of a ``study.json`` (and of digests of the lists beside it); nothing here
knows more than the page shows, so what is restricted can't slip into one of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue.describe.croissant import croissant
from slidebox.catalogue.describe.datacite import datacite
from slidebox.catalogue.describe.parts import Place
from slidebox.catalogue.describe.rocrate import ro_crate
from slidebox.catalogue.describe.run_crate import write_run_crate
from slidebox.catalogue.describe.schemaorg import schema_org
from slidebox.catalogue.describe.signposting import signposts, write_linkset

WHAT = {
    "ro-crate-metadata.json": "RO-Crate 1.2 of this study",
    "croissant.json": "Croissant 1.1, for loading it into machine learning tools",
    "datacite.json": "DataCite 4.5 metadata",
    "linkset.json": "FAIR Signposting links",
}


def write_all(study: dict[str, Any], folder: Path, place: Place) -> list[dict[str, str]]:
    """Write every description that fits the study to ``folder``; returns what was written."""
    written = {
        "ro-crate-metadata.json": ro_crate(study, folder, place),
        "datacite.json": datacite(study, place),
    }
    # Croissant needs a licence and images with annotations; it would be an empty promise without.
    if any(i.get("zarr") for i in study["images"]) and study["record"].get("license"):
        written["croissant.json"] = croissant(study, folder, place)
    else:
        (folder / "croissant.json").unlink(missing_ok=True)
    for name, data in written.items():
        atomic.write_json(folder / name, data)
    names = [*sorted(written), "linkset.json"]
    write_linkset(folder / "linkset.json", study, names, place)
    return [{"href": name, "what": WHAT[name]} for name in names]


def inline_json(data: Any) -> str:
    """JSON that can stand in a <script> element: no character of markup is left in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (
        text.replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


__all__ = [
    "WHAT",
    "Place",
    "inline_json",
    "schema_org",
    "signposts",
    "write_all",
    "write_run_crate",
]
