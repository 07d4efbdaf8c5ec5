"""The pages in a real Chromium: search, facets, files, ZIP, hostile metadata, no JavaScript."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile

import pytest
from made import IMAGE_ID

from slidebox.catalogue import facts

expect = pytest.importorskip("playwright.sync_api").expect


def test_search_as_you_type(watched, site):
    page = watched.page
    page.goto(site.url)
    page.get_by_label("Search the archive").press_sequentially("homo dis")
    expect(page.locator("#result-count")).to_contain_text("found")
    page.wait_for_timeout(200)
    assert page.locator("#slides .slide").count() == 1
    assert page.locator("#slides .slide-acc").inner_text() == "SB-MADE1"
    assert page.locator("#result-count").inner_text() == "1 study found"
    page.get_by_label("Search the archive").fill("nothinglikeit")
    page.wait_for_selector("#slides .empty")


def test_facets_narrow_and_say_so_in_the_address(watched, site):
    page = watched.page
    page.goto(site.url)
    page.get_by_label("Danio rerio").check()
    expect(page.locator("#slides .slide")).to_have_count(1)
    assert page.locator("#slides .slide-acc").inner_text() == "SB-EVIL"
    assert "organism=Danio" in page.url
    page.reload()
    expect(page.locator("#slides .slide")).to_have_count(1)
    page.get_by_label("Danio rerio").uncheck()
    expect(page.locator("#slides .slide")).to_have_count(2)


def test_zip_of_a_selection(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/#files")
    page.get_by_label("Part").select_option("Tables")
    page.get_by_label("Select odd/it's 100% <b>.csv").check()
    page.get_by_label("Part").select_option("")
    page.get_by_label("Find in paths").fill("00007 tif")
    page.get_by_label("Select all files found").check()
    assert page.locator("#pick-count").inner_text() == "2 files"
    with page.expect_download() as download:
        page.locator("#pick-zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        got = {name: archive.read(name) for name in archive.namelist()}
    names = ["odd/it's 100% <b>.csv", "plate/made_00007.tif"]
    assert got == {name: site.files[name] for name in names}


def test_manifest_and_command_of_a_selection(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/#files")
    page.get_by_label("Find in paths").fill("it's")
    page.get_by_label("Select all files found").check()
    with page.expect_download() as download:
        page.locator("#pick-manifest").click()
    text = download.value.path().read_text()
    assert text.endswith("  odd/it's 100% <b>.csv\n")
    page.locator("#pick-command").click()
    command = page.locator("#pick-out").inner_text()
    assert command.startswith(f"slidebox fetch '{site.url}SB-MADE1/'")
    assert "--select 'odd/it'\\''s 100% <b>.csv'" in command


def test_hostile_metadata_is_inert(watched, site):
    page = watched.page
    for where in ("SB-EVIL/", "", "?q=owned", "SB-EVIL/v1/"):
        page.goto(site.url + where)
        page.wait_for_timeout(300)
        assert "owned" not in page.title() or "<script>" in page.title()
        assert page.locator("main script, main img[onerror]").count() == 0
        hrefs = page.locator("a").evaluate_all("all => all.map(a => a.href)")
        assert not [h for h in hrefs if h.startswith("javascript:")]
    page.goto(f"{site.url}SB-EVIL/")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 1000


def test_readable_without_javascript(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.url}SB-MADE1/")
    assert page.locator(".image-card").count() == 60
    assert page.locator("table.files tbody tr").count() == 100
    page.get_by_label("Pages of images").get_by_role("link", name="Next").click()
    page.get_by_label("Pages, top").get_by_role("link", name="Next").click()
    assert page.locator(".image-card").count() == 10
    page.locator(".image-card a").first.click()
    assert page.locator(".viewer-still img").is_visible()
    assert page.locator("dl.facts").inner_text().count("480 pixels") == 1
    context.close()


@pytest.mark.parametrize("where", ["", "SB-MADE1/", f"SB-MADE1/image/{IMAGE_ID}.html"])
def test_phone_width_has_no_sideways_scroll(browser, site, where):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(site.url + where)
    page.wait_for_timeout(600)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.close()


def test_keyboard_reaches_the_content(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_download_of_an_original(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/image/{IMAGE_ID}.html")
    with page.expect_download() as download:
        page.get_by_role("link", name="plate/made_00000.tif").click()
    assert download.value.path().read_bytes() == site.files["plate/made_00000.tif"]
    assert io.BytesIO(site.files["plate/made_00000.tif"]).read(6) == b"pixels"


@pytest.mark.parametrize("title", ["Python (zarr)", "Python (dask)"])
def test_snippets_run(site, title):
    """The Python that an image's page shows, with the address it shows, reads the image."""
    pytest.importorskip("aiohttp")
    if title.endswith("(dask)"):
        pytest.importorskip("dask.array")
    snippet = next(s for s in facts.snippets() if s["title"] == title)
    address = f"{site.url}SB-MADE1/images/made.ome.zarr"
    code = snippet["before"] + address + snippet["after"]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "(2, 3, 5, 320, 480)" in done.stdout


def test_copied_address_is_absolute(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/image/{IMAGE_ID}.html")
    expect(page.locator("#zarr-url")).to_have_text(f"{site.url}SB-MADE1/images/made.ome.zarr")
