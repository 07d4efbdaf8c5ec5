"""The catalogue: pages, tables and descriptions of what the archive holds, and their server.

Everything written here is static files with relative links, so a site works from any folder of
any web server, and most of it when opened from disk.

Names are imported when they are first used: ``fetch`` and ``serve`` need the standard library only,
the rest the extra ``site`` (Jinja and Arrow).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slidebox.catalogue.describe import write_run_crate
    from slidebox.catalogue.download import CannotFetch, fetch
    from slidebox.catalogue.find import files_of, find_images
    from slidebox.catalogue.index import build_index
    from slidebox.catalogue.model import StudyInput
    from slidebox.catalogue.pages import install_assets, render_page
    from slidebox.catalogue.server import make_server, serve
    from slidebox.catalogue.study import build_study

_HOME = {
    "CannotFetch": "download",
    "StudyInput": "model",
    "build_index": "index",
    "build_study": "study",
    "fetch": "download",
    "files_of": "find",
    "find_images": "find",
    "install_assets": "pages",
    "make_server": "server",
    "render_page": "pages",
    "serve": "server",
    "write_run_crate": "describe",
}

__all__ = [
    "CannotFetch",
    "StudyInput",
    "build_index",
    "build_study",
    "fetch",
    "files_of",
    "find_images",
    "install_assets",
    "make_server",
    "render_page",
    "serve",
    "write_run_crate",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
