"""Rendering: one Jinja environment, the shared frame of every page, and the site's assets.

Metadata is what strangers wrote. Autoescape is on for every template, links pass
:func:`slidebox.catalogue.text.safe_url`, and the frame carries a content security policy under
which nothing from another host, no inline script and no inline style runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import jinja2

from slidebox import __version__, atomic
from slidebox.catalogue import text
from slidebox.resources import resource

ASSETS_FOLDER = "assets"


@cache
def environment() -> jinja2.Environment:
    """The templates of ``workflow/site/templates`` with this house's filters."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("site/templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.ChainableUndefined,
    )
    env.filters.update(
        bytes=text.human_bytes,
        grouped=text.human_count,
        safe_url=text.safe_url,
        doi_url=text.doi_url,
        path_url=text.path_url,
        license_name=text.license_name,
        license_url=text.license_url,
        color=_color,
    )
    env.globals.update(plural=text.plural, file_url=text.file_url, slidebox_version=__version__)
    return env


@cache
def look() -> str:
    """A digest of the templates and of this release: what decides, beside the data, how pages
    read."""
    whole = hashlib.sha256(__version__.encode())
    for path in sorted(Path(resource("site/templates")).rglob("*.html")):
        whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def _color(value: object) -> str:
    """A six-digit hex colour with its '#', grey when it is anything else."""
    digits = str(value or "").lstrip("#")[:6]
    if len(digits) == 6 and all(c in "0123456789abcdefABCDEF" for c in digits):
        return "#" + digits.lower()
    return "#888888"


def render_page(
    template: str,
    context: Mapping[str, Any],
    out: Path | str,
    *,
    site_root: Path | str,
    site_name: str = "Slidebox",
    durable: bool = True,
) -> Path:
    """Render one page of the house to ``out``, atomically.

    Parameters
    ----------
    template : name under ``workflow/site/templates``, e.g. ``challenge/leaderboard.html``. It
        should begin with ``{% extends "base.html" %}`` and fill ``title`` and ``main``.
    context : what the template needs. ``root`` (the relative way from this page to the site's root,
        '' or '../' ...), ``site_name`` and ``section`` (which entry of the navigation is current)
        are set here unless given.
    out : the page's file; it must lie under ``site_root``.
    durable : False when the caller makes many pages and calls :func:`settle` once for all.

    Returns the path written. Same input, same bytes.
    """
    out, site_root = Path(out), Path(site_root)
    depth = len(out.resolve().relative_to(site_root.resolve()).parts) - 1
    values = {"root": "../" * depth, "site_name": site_name, "section": "", **context}
    html = environment().get_template(template).render(values)
    # File names may hold bytes that are no UTF-8 (surrogates); pages show them replaced.
    data = html.encode("utf-8", "replace")
    if out.is_file() and out.read_bytes() == data:
        return out
    if durable:
        with atomic.replacing(out, "wb") as handle:
            handle.write(data)
    else:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = out.with_name(f".{out.name}.tmp")
        temporary.write_bytes(data)
        temporary.replace(out)
    return out


def settle(folder: Path) -> None:
    """Make the pages in a folder durable, after many were written with ``durable=False``.

    Syncing at the end costs a fraction of a sync a page: most are on disk by then. Until it is done
    a crash may leave an empty page, which the next build sees and writes again.
    """
    for path in sorted(folder.glob("*.html")):
        with path.open("rb") as handle:
            os.fsync(handle.fileno())
    atomic.fsync_dir(folder)


def install_assets(site_root: Path | str) -> None:
    """Copy style sheet, scripts and notices to ``site_root/assets``, only what differs."""
    source = resource("site/assets")
    target = Path(site_root) / ASSETS_FOLDER
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        relative = PurePosixPath(os.fspath(path.relative_to(source)))
        data = path.read_bytes()
        out = target / relative
        if not (out.is_file() and out.read_bytes() == data):
            with atomic.replacing(out, "wb") as handle:
                handle.write(data)
