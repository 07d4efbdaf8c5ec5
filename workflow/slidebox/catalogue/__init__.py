"""The catalogue: pages, tables and descriptions of what the archive holds, and their server.

Everything written here is static files with relative links, so a site works from any folder of
any web server, and most of it when opened from disk.
"""

from slidebox.catalogue.describe import write_run_crate
from slidebox.catalogue.fetch import CannotFetch, fetch
from slidebox.catalogue.find import files_of, find_images
from slidebox.catalogue.index import build_index
from slidebox.catalogue.model import StudyInput
from slidebox.catalogue.pages import install_assets, render_page
from slidebox.catalogue.server import serve
from slidebox.catalogue.study import build_study
from slidebox.catalogue.tombstone import withdraw_study

__all__ = [
    "CannotFetch",
    "StudyInput",
    "build_index",
    "build_study",
    "fetch",
    "files_of",
    "find_images",
    "install_assets",
    "render_page",
    "serve",
    "withdraw_study",
    "write_run_crate",
]
