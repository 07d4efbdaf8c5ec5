"""A site that the tests look at with a real Chromium, and the browser itself."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import made
import pytest
from site_pictures import TOKEN

from slidebox.catalogue import StudyInput, build_index, build_study, render_page, search
from slidebox.catalogue.server import make_server

SITE = Path(__file__).resolve().parents[2] / "workflow" / "site"
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
]
MARKUP = '<script>document.title="owned"</script><img src=x onerror=\'document.title="owned"\'>'


class Originals:
    """The vault's way of handing out a file, for files that the tests make up."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def open(self, accession: str, path: str, version: int | None = None):
        folder = Path(self.folder) / hashlib.sha256(path.encode()).hexdigest()
        folder.write_bytes(self.files[path])
        return folder.open("rb")


def _challenge_pages(root: Path) -> None:
    """A challenge and its leaderboard, with what the other rooms hand to the templates."""
    challenge = {
        "title": "Nuclei",
        "slug": "nuclei",
        "version": "1.0.0",
        "organisers": [{"name": MARKUP}],
        "task": "instance-segmentation",
        "primary": "ap",
        "license": "CC0-1.0",
    }
    split = {"name": "test", "images": 3, "groups": 2, "truth": "hidden"}
    context = {"challenge": challenge, "paragraphs": [MARKUP], "splits": [split], "board": 1}
    folder = root / "challenges" / "nuclei"
    context["versions"] = ["1.0.0"]
    render_page("challenge/challenge.html", context, folder / "index.html", site_root=root)
    entry = {
        "rank": 1,
        "team": MARKUP,
        "entry": "a",
        "method": "x" * 200,
        "code": "javascript:alert(1)",
        "value": 0.5,
        "interval": [0.4, 0.6],
        "rank_interval": [1, 2],
        "first": 0.9,
        "metrics": {"ap": 0.5, "f1": 0.6},
        "date": "2026-11-01",
    }
    board = {
        "title": "Nuclei",
        "version": "1.0.0",
        "split": "test",
        "primary": "ap",
        "what": "precision",
        "direction": "higher",
        "images": 3,
        "groups": 2,
        "complete": True,
        "confidence": 0.95,
        "resamples": 100,
        "metrics": ["ap", "f1"],
        "entries": [entry],
        "pairs": [{"a": "x", "b": "y", "p": 0.1, "holm": 0.2}],
        "failed": [],
    }
    bar = {"label": MARKUP, "low": 40, "high": 60, "at": 50, "value": 0.5}
    out = folder / "1.0.0" / "leaderboard" / "index.html"
    context = {"board": board, "chart": [bar]}
    render_page("challenge/leaderboard.html", context, out, site_root=root)


@dataclass
class Site:
    root: Path
    url: str
    files: dict[str, bytes]


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Iterator[Site]:
    """Two studies (one with hostile metadata), 130 images that are one, 250 files; served."""
    root = tmp_path_factory.mktemp("site")
    folder = root / "SB-MADE1"
    (folder / "images").mkdir(parents=True)
    made.write_image(folder / "images" / "made.ome.zarr")
    images = [made.image_entry(f"{made.IMAGE_ID[:-12]}{i:012d}", i) for i in range(130)]
    contents = {f"plate/made_{i:05d}.tif": b"pixels of %d " % i * 20 for i in range(249)}
    contents["odd/it's 100% <b>.csv"] = b"=1+1\n"
    rows = [
        {
            "path": path,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "version": 1,
            "part": "Time-lapses" if path.startswith("plate") else "Tables",
            "role": "image",
        }
        for path, data in sorted(contents.items())
    ]
    build_study(
        StudyInput("SB-MADE1", 1, made.record(), images, rows, versions=[{"version": 1}]), root
    )
    hostile = made.record(
        "SB-EVIL",
        title=MARKUP,
        description=MARKUP * 3,
        release_date="2025-01-01",
        license="CC-BY-4.0",
        keywords=[MARKUP, "=cmd|' /C calc'!A0", "x" * 5000, "\u202egnp.exe", "\u2066a"],
        authors=[{"name": MARKUP, "email": 'a@b.c"onmouseover=1', "orcid": "javascript:1"}],
        links=[{"url": "javascript:alert(1)", "description": "click"}],
        biosamples=[{"name": "z", "organism": [{"name": "Danio rerio"}]}],
    )
    build_study(StudyInput("SB-EVIL", 1, hostile, [], made.file_rows(1)), root)
    studies = [root / a / "study.json" for a in ("SB-EVIL", "SB-MADE1")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(search, "HEAVY", 500)  # as many images' words have it in a large archive
        build_index(studies, [], root)
    for state, home in (("review", f"review/{TOKEN}"), ("embargoed", "SB-LATER")):
        given = StudyInput("SB-LATER", 1, made.record("SB-LATER"), images[:1], made.file_rows(1))
        given.state, given.folder = state, home
        (root / home / "images").parent.mkdir(parents=True)
        (root / home / "images").symlink_to(folder / "images")
        build_study(given, root)
    odd = {**made.image_entry(made.IMAGE_ID, 0), "zarr": "images/odd.ome.zarr", "labels": []}
    odd |= {"axes": "zyx", "shape": [4, 64, 64], "dtype": "float32", "channels": []}
    made.write_odd_values(root / "SB-ODD" / "images" / "odd.ome.zarr")
    build_study(StudyInput("SB-ODD", 1, made.record("SB-ODD"), [odd], made.file_rows(1)), root)
    told = {"accession": "SB-GONE", "date": "2026-11-03", "reason": MARKUP, "contact": "a@b.org"}
    gone = root / "SB-GONE" / "index.html"
    render_page("tombstone.html", {"tombstone": told}, gone, site_root=root)
    _challenge_pages(root)
    originals = Originals(contents)
    originals.folder = tmp_path_factory.mktemp("originals")
    with make_server(root, originals, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield Site(root, f"http://127.0.0.1:{server.server_address[1]}/", contents)
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium; CHROMIUM may name another one."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


class Watched:
    """A page that notes requests to other hosts and errors of scripts."""

    def __init__(self, page, host: str) -> None:
        self.page, self.outside, self.errors = page, [], []
        page.on("request", lambda r: self._request(r.url, host))
        page.on("pageerror", lambda e: self.errors.append(str(e)))

    def _request(self, url: str, host: str) -> None:
        if not url.startswith((host, "blob:", "data:")):
            self.outside.append(url)


@pytest.fixture
def watched(browser, site) -> Iterator[Watched]:
    """A fresh page of a laptop's size; the test fails on outside requests and script errors."""
    context = browser.new_context(viewport={"width": 1000, "height": 700}, accept_downloads=True)
    watched = Watched(context.new_page(), site.url)
    yield watched
    context.close()
    assert watched.outside == []
    assert watched.errors == []


@pytest.fixture(scope="session")
def viewer_build(tmp_path_factory) -> Path:
    """The viewer's source with its packages installed, away from the checkout."""
    if not shutil.which("npm"):
        pytest.skip("npm is not on this machine; the bundle can't be rebuilt")
    folder = tmp_path_factory.mktemp("viewer") / "viewer"
    shutil.copytree(SITE / "viewer", folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"npm can't install the viewer's packages here: {done.stderr[-300:]}")
    return folder
