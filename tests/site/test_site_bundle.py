"""The committed viewer is what its source builds to, and every page passes axe-core."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from made import IMAGE_ID

SITE = Path(__file__).resolve().parents[2] / "workflow" / "site"


def test_bundle_is_built_from_this_source(viewer_build, tmp_path):
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=viewer_build, check=True, timeout=120)
    for name in ("viewer.js", "viewer.LICENSES.txt"):
        assert (tmp_path / name).read_bytes() == (SITE / "assets" / name).read_bytes(), (
            f"{name} is stale: run npm ci && npm run build in workflow/site/viewer"
        )


def test_bundle_is_light_and_asks_nobody():
    bundle = (SITE / "assets" / "viewer.js").read_text()
    assert len(bundle) < 200_000
    assert not re.findall(r"https?://(?!www\.w3\.org)[a-z]", bundle)
    assert "eval(" not in bundle and "new Function" not in bundle


def test_lock_names_no_registry():
    lock = json.loads((SITE / "viewer" / "package-lock.json").read_text())
    assert not [k for k, p in lock["packages"].items() if "resolved" in p]
    assert all("integrity" in p for k, p in lock["packages"].items() if k)


PAGES = {
    "front": "",
    "found": "?q=disc",
    "study": "SB-MADE1/",
    "hostile": "SB-EVIL/",
    "image": f"SB-MADE1/image/{IMAGE_ID}.html",
    "list": "SB-MADE1/list/images-2.html",
    "tables": "catalogue/",
    "images": "?show=images&q=disc",
    "challenge": "challenges/nuclei/",
    "leaderboard": "challenges/nuclei/1.0.0/leaderboard/",
    "withdrawn": "SB-GONE/",
    "review": f"review/{'0123456789abcdef' * 2}/",
    "embargoed": "SB-LATER/",
    "version": "SB-MADE1/v1/",
}


@pytest.mark.parametrize(
    ("scheme", "width", "names"),
    [
        ("light", 1280, ["front", "study", "image", "images", "withdrawn", "review"]),
        ("dark", 375, ["challenge", "leaderboard"]),
        pytest.param("light", 1280, sorted(PAGES), marks=pytest.mark.slow),
        pytest.param("dark", 1280, sorted(PAGES), marks=pytest.mark.slow),
        pytest.param("light", 375, sorted(PAGES), marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing(browser, site, viewer_build, scheme, width, names):
    axe = (viewer_build / "node_modules" / "axe-core" / "axe.min.js").read_text()
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    found = []
    for name in names:
        page = context.new_page()
        page.goto(site.url + PAGES[name])
        if name == "image":
            page.wait_for_selector(".panel")
        page.wait_for_timeout(400)
        page.evaluate(axe + "\nnull")
        for violation in page.evaluate("axe.run()")["violations"]:
            nodes = [n["html"][:120] for n in violation["nodes"][:3]]
            found.append((name, violation["impact"], violation["id"], nodes))
        page.close()
    context.close()
    assert found == []
