"""The pages in a real Chromium: search, facets, files, ZIP, hostile metadata, no JavaScript."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
import threading
import zipfile

import made
import pytest
from made import IMAGE_ID
from site_pictures import TOKEN, keep

from slidebox.catalogue import StudyInput, build_index, build_study, facts, make_server

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
    keep(page, "search-nothing")


def test_an_open_page_finds_what_was_archived_since(browser, tmp_path):
    def archived(number: int) -> None:
        name = f"SB-NEW{number}"
        record = made.record(name, title=f"freshly {number}", release_date=f"2026-01-0{number}")
        build_study(StudyInput(name, 1, record, [], made.file_rows(1)), tmp_path)
        build_index(sorted(tmp_path.glob("*/study.json")), [], tmp_path)

    archived(1)
    with make_server(tmp_path, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("#slides[data-turn]")
        archived(2)
        page.get_by_label("Search the archive").fill("freshly")
        expect(page.locator("#result-count")).to_have_text("2 studies found")
        page.close()
        server.shutdown()


def test_facets_narrow_and_say_so_in_the_address(watched, site):
    page = watched.page
    page.goto(site.url)
    page.get_by_label("Danio rerio").check()
    expect(page.locator("#slides .slide")).to_have_count(1)
    assert page.locator("#slides .slide-acc").inner_text() == "SB-EVIL"
    assert "organism=Danio" in page.url
    keep(page, "facet")
    page.reload()
    expect(page.locator("#slides .slide")).to_have_count(1)
    page.get_by_label("Danio rerio").uncheck()
    expect(page.locator("#slides .slide")).to_have_count(2)


def test_images_are_found_and_counted_by_facets(watched, site):
    page = watched.page
    page.goto(f"{site.url}?q=homo")
    page.get_by_role("button", name="Images").click()
    expect(page.locator("#result-count")).to_have_text("130 images found")
    expect(page.locator("#slides .image-card")).to_have_count(48)
    keep(page, "search-images")
    # Of an image alone, and of its study: both must have every word.
    page.get_by_label("Search the archive").fill("made 00017 discs")
    expect(page.locator("#result-count")).to_have_text("1 image found")
    assert "made_00017.tif" in page.locator("#slides .image-name").inner_text()
    assert page.locator("#slides a").get_attribute("href").endswith("000000000017.html")
    counts = page.get_by_role("group", name="Dimensions").locator("label").all_inner_texts()
    assert [c.split() for c in counts] == [["3D+t", "1"]]
    page.get_by_label("Search the archive").fill("danio 00017")
    page.wait_for_selector("#slides .empty")
    page.get_by_label("Search the archive").fill("")
    page.get_by_label("Danio rerio")  # a study without images has none to show
    page.get_by_label("Homo sapiens").check()
    expect(page.locator("#result-count")).to_have_text("130 images found")
    assert "show=images" in page.url and "organism=Homo" in page.url
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#slides .image-card")).to_have_count(130)
    page.locator("#slides .image-card a").last.click()
    expect(page.locator("h1")).to_contain_text("made_00129.tif")


def test_results_that_lie_in_many_files_follow_the_first_ones(watched, site):
    """Results come in rounds of six files; here of one, as if the archive were large."""
    page = watched.page

    def instead(script, old, new):
        def answer(route):
            response = route.fetch()
            assert old in response.text()
            route.fulfill(response=response, body=response.text().replace(old, new))

        page.context.route(f"**/{script}", answer)

    instead("search-worker.js", "const ROUND = 6;", "const ROUND = 1;")
    instead("search.js", "images: 48", "images: 130")
    page.goto(f"{site.url}?q=homo&show=images")
    expect(page.locator("#slides .image-card")).to_have_count(130)
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    names = page.locator("#slides .image-name").all_inner_texts()
    assert len(set(names)) == 130 and names == sorted(names)
    expect(page.locator("#slides img[data-src]")).to_have_count(0)


def test_zip_of_a_selection(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/#files")
    page.get_by_label("Part").select_option("Tables")
    page.get_by_label("Select odd/it's 100% <b>.csv").check()
    page.get_by_label("Part").select_option("")
    page.get_by_label("Find in paths").fill("00007 tif")
    page.get_by_label("Select all files found").check()
    assert page.locator("#pick-count").inner_text() == "2 files"
    page.locator("#download-bar").scroll_into_view_if_needed()
    keep(page, "download")
    with page.expect_download() as download:
        page.locator("#pick-zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        got = {name: archive.read(name) for name in archive.namelist()}
    names = ["odd/it's 100% <b>.csv", "plate/made_00007.tif"]
    assert got == {name: site.files[name] for name in names}


def select_more_than_is_held(page, site) -> None:
    """All files, as if too many to be held in memory, where pages can't write files themselves."""
    page.add_init_script("delete window.showSaveFilePicker;")
    page.goto(f"{site.url}SB-MADE1/#files")
    page.locator("#picker").evaluate("e => { e.dataset.held = 0; }")
    page.get_by_label("Select all files found").check()


def test_large_zip_is_streamed_by_the_browser(watched, site):
    """Without a way to write files itself, a page feeds the browser's own download."""
    page = watched.page
    page.add_init_script("URL.createObjectURL = () => { throw new Error('held in memory'); };")
    select_more_than_is_held(page, site)
    with page.expect_download(timeout=60_000) as download:
        page.locator("#pick-zip").click()
    assert download.value.suggested_filename == "SB-MADE1.zip"
    path = download.value.path()
    with zipfile.ZipFile(path) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == site.files
    expect(page.locator("#pick-zip")).to_have_text("Download ZIP")


def test_large_zip_is_refused_with_the_command_instead(watched, site):
    page = watched.page
    page.add_init_script("delete Navigator.prototype.serviceWorker;")
    select_more_than_is_held(page, site)
    page.locator("#pick-zip").click()
    expect(page.locator("#pick-out")).to_contain_text("can't put a ZIP of")
    assert f"slidebox fetch '{site.url}SB-MADE1/'" in page.locator("#pick-out").inner_text()


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
    # Joined by "=": a name that begins with "-" would be taken for an option.
    assert shlex.split(command)[-1] == "--select=odd/it's 100% <b>.csv"


HOSTILE = ["SB-EVIL/", "", "?q=owned", "SB-EVIL/v1/", "SB-GONE/", "challenges/nuclei/"]
HOSTILE += ["challenges/nuclei/1.0.0/leaderboard/", "?q=img&show=images"]


def test_hostile_metadata_is_inert(watched, site):
    page = watched.page
    for where in HOSTILE:
        page.goto(site.url + where)
        page.wait_for_timeout(300)
        keep(page, f"hostile-{HOSTILE.index(where)}")
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
    assert page.locator("table.files tbody tr:not(.folder)").count() == 100
    page.get_by_label("Pages of images").get_by_role("link", name="Next").click()
    page.get_by_label("Pages, top").get_by_role("link", name="Next").click()
    assert page.locator(".image-card").count() == 10
    page.locator(".image-card a").first.click()
    assert page.locator(".viewer-still img").is_visible()
    assert page.locator("dl.facts").inner_text().count("480 pixels") == 1
    context.close()


@pytest.mark.parametrize(
    "where",
    [
        "",
        "?q=disc&show=images",
        "SB-MADE1/",
        f"SB-MADE1/image/{IMAGE_ID}.html",
        "SB-EVIL/",
        "challenges/nuclei/1.0.0/leaderboard/",
        f"review/{TOKEN}/",
    ],
)
def test_phone_width_has_no_sideways_scroll(browser, site, where):
    page = browser.new_page(viewport={"width": 360, "height": 740})
    page.goto(site.url + where)
    page.wait_for_timeout(600)
    keep(page, f"phone-{where.strip('/').replace('/', '-').replace('?', '')[:30] or 'front'}")
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
    snippet = next(s for s in facts.snippets({}) if s["title"] == title)
    address = f"{site.url}SB-MADE1/images/made.ome.zarr"
    code = snippet["before"] + address + snippet["after"]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-1500:]
    assert "(2, 3, 5, 320, 480)" in done.stdout


def test_neuroglancer_is_told_which_plane_to_show_and_how_bright():
    window = {"start": 95.0, "end": 680.0}
    for axes, shown in (("tczyx", ["x", "y", "z"]), ("yx", ["x", "y"]), ("cyx", ["x", "y"])):
        image = {"axes": axes, "shape": [4] * len(axes), "channels": [{"window": window}]}
        (snippet,) = [s for s in facts.snippets(image) if s["title"].startswith("Neuroglancer")]
        text = snippet["before"] + "http://localhost/a.ome.zarr" + snippet["after"]
        state = json.loads(text.removeprefix("#!"))
        (layer,) = state["layers"]
        assert layer["source"] == "http://localhost/a.ome.zarr/|zarr:"
        assert layer["shaderControls"]["normalized"]["range"] == [95, 680]
        assert list(state["dimensions"]) == shown  # in this order


def test_copied_address_is_absolute(watched, site):
    page = watched.page
    page.goto(f"{site.url}SB-MADE1/image/{IMAGE_ID}.html")
    expect(page.locator("#zarr-url")).to_have_text(f"{site.url}SB-MADE1/images/made.ome.zarr")


def test_bidi_characters_stay_in_their_place(watched, site):
    """A name that turns the direction of writing turns only itself."""
    page = watched.page
    page.goto(f"{site.url}SB-EVIL/")
    kept = page.locator("main .bidi-probe")
    assert kept.count() == 0
    keyword = page.get_by_text("gnp.exe", exact=False)
    assert keyword.count() == 1
    styles = page.locator("h1").evaluate("e => getComputedStyle(e).unicodeBidi")
    assert styles in ("isolate", "plaintext")


def test_pages_before_release_lead_nowhere_else(watched, site):
    page = watched.page
    for where in (f"review/{TOKEN}/", "SB-LATER/"):
        page.goto(site.url + where)
        keep(page, f"alone-{where[:6]}")
        links = page.locator("a").evaluate_all("all => all.map(a => a.href)")
        inside = [a for a in links if a.startswith(site.url)]
        assert inside and all(a.startswith(site.url + where) for a in inside)
        assert page.locator("meta[name=robots]").get_attribute("content").startswith("noindex")
        assert page.locator(".image-card").count() == 1


def test_the_leaderboard_is_readable_on_a_phone_and_in_the_dark(browser, site):
    context = browser.new_context(color_scheme="dark", viewport={"width": 375, "height": 740})
    page = context.new_page()
    page.goto(site.url + "challenges/nuclei/1.0.0/leaderboard/")
    bars = page.locator(".chart li")
    assert bars.count() == 2  # values with intervals, ranks with theirs
    for piece in (".chart-name", ".chart-value"):
        seen = page.locator(piece).last
        box = seen.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375
        assert float(seen.evaluate("e => parseFloat(getComputedStyle(e).fontSize)")) >= 13
    assert page.locator(".chart-value").last.inner_text() == "90 % first"
    dot = page.locator(".chart-line .dot").last
    assert dot.evaluate("e => getComputedStyle(e).fill") == "rgb(111, 208, 186)"  # not black
    context.close()
