"""What stays of a study whose public copy is taken away: a page, and the same for machines."""

from __future__ import annotations

import shutil
from pathlib import Path

from slidebox import atomic
from slidebox.catalogue.pages import install_assets, render_page

_KEPT = {"index.html", "study.json"}


def withdraw_study(
    accession: str,
    site_root: Path | str,
    *,
    date: str,
    reason: str,
    title: str | None = None,
    site_name: str = "Slidebox",
) -> Path:
    """Replace a study's pages by a tombstone, then take everything else of it away.

    The tombstone is written first: a reader never finds half a study without a word about it. Done
    again after a crash, it ends in the same state. Returns the study's folder.
    """
    site_root = Path(site_root)
    folder = site_root / accession
    install_assets(site_root)
    about = {"accession": accession, "title": title, "date": date, "reason": reason}
    render_page(
        "tombstone.html",
        {"section": "studies", **about},
        folder / "index.html",
        site_root=site_root,
        site_name=site_name,
    )
    atomic.write_json(folder / "study.json", {**about, "status": "withdrawn"})
    for path in sorted(folder.iterdir()):
        if path.name in _KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    atomic.fsync_dir(folder)
    return folder
