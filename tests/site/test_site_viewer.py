"""The viewer in a real Chromium: the right colours in the right places, nothing from outside."""

from __future__ import annotations

import numpy as np
import pytest
from made import IMAGE_ID, picture
from site_pictures import keep

PAGE = f"SB-MADE1/image/{IMAGE_ID}.html"
READY = '#viewer[data-state="done"]'


def open_viewer(watched, site, state: str = ""):
    watched.page.goto(f"{site.url}{PAGE}{state}")
    watched.page.wait_for_selector(READY)
    watched.page.wait_for_timeout(150)
    return watched.page.locator(".stage canvas").first


def at(canvas, x: float, y: float) -> list[int]:
    """Colour at a pixel of the image, found through the viewer's own fit."""
    image = picture(canvas)
    height, width = image.shape[:2]
    scale = min(width / 480, height / 320) * 0.98
    px, py = width / 2 + (x - 240) * scale, height / 2 + (y - 160) * scale
    return image[round(py), round(px)].tolist()


def test_channels_have_their_colours(watched, site):
    canvas = open_viewer(watched, site)
    keep(watched.page, "viewer")
    assert at(canvas, 90, 160) == [0, 0, 255]
    assert at(canvas, 390, 160) == [0, 255, 0]
    assert at(canvas, 240, 150) == [255, 0, 0]
    assert at(canvas, 10, 10) == [0, 0, 0]


def test_channel_off_and_contrast(watched, site):
    canvas = open_viewer(watched, site)
    watched.page.get_by_label("DAPI", exact=True).uncheck()
    watched.page.get_by_label("GFP: brightest value").fill("7900")
    watched.page.wait_for_timeout(300)
    assert at(canvas, 90, 160) == [0, 0, 0]
    assert at(canvas, 390, 160) == pytest.approx([0, 127, 0], abs=2)


def test_z_and_t_by_keyboard(watched, site):
    canvas = open_viewer(watched, site)
    canvas.focus()
    watched.page.keyboard.press(".")
    watched.page.keyboard.press(".")
    watched.page.keyboard.press("]")
    watched.page.wait_for_timeout(300)
    watched.page.wait_for_selector(READY)
    watched.page.wait_for_timeout(200)
    assert at(canvas, 240 + 30, 60 + 45 * 4) == [255, 0, 0]
    assert at(canvas, 240, 60) == [0, 0, 0]
    assert "z=4" in watched.page.url and "t=1" in watched.page.url


def test_slider_by_keyboard_says_its_value(watched, site):
    open_viewer(watched, site)
    z = watched.page.get_by_label("z", exact=True)
    z.focus()
    watched.page.keyboard.press("ArrowRight")
    assert z.get_attribute("aria-valuetext") == "4 / 5, 3 µm"


def test_labels_on_and_off(watched, site):
    canvas = open_viewer(watched, site)
    before = at(canvas, 90, 160)
    watched.page.get_by_label("nuclei").check()
    watched.page.wait_for_timeout(500)
    watched.page.wait_for_selector(READY)
    watched.page.wait_for_timeout(200)
    over = at(canvas, 90, 160)
    keep(watched.page, "viewer-labels")
    assert over != before
    # Three objects, three colours; the background stays.
    shades = {tuple(over), tuple(at(canvas, 390, 160)), tuple(at(canvas, 240, 150))}
    assert len(shades) == 3
    assert at(canvas, 10, 10) == [0, 0, 0]
    watched.page.get_by_label("nuclei").uncheck()
    watched.page.wait_for_timeout(300)
    assert at(canvas, 90, 160) == before


def test_state_comes_from_the_address(watched, site):
    state = "#z=0&c=0:100:4000:0000ff,1:100:4000:00ff00,1:100:4000:ffffff"
    canvas = open_viewer(watched, site, state)
    assert at(canvas, 90, 160) == [0, 0, 0]
    assert at(canvas, 240, 60) == [255, 255, 255]


def test_scale_bar_is_true(watched, site):
    open_viewer(watched, site)
    text = watched.page.locator(".scale-bar span").inner_text()
    width = watched.page.locator(".scale-bar i").bounding_box()["width"]
    stage = watched.page.locator(".stage").bounding_box()
    scale = min(stage["width"] / 480, stage["height"] / 320) * 0.98  # pixels an image pixel
    assert text.endswith(" µm")
    assert width / scale * 0.25 == pytest.approx(float(text.split()[0]), rel=0.01)


def test_zoomed_out_reads_a_small_level(watched, site):
    asked = []
    watched.page.on("request", lambda r: asked.append(r.url))
    open_viewer(watched, site, "#x=240&y=160&s=0.25")
    levels = {u.split("made.ome.zarr/")[1][0] for u in asked if "/c/" in u}
    assert levels == {"2"}


def test_volume_view_shows_all_planes(watched, site):
    open_viewer(watched, site)
    annotations = watched.page.locator("input[data-labels]").first
    assert annotations.is_enabled()
    watched.page.get_by_role("button", name="3D").click()
    watched.page.wait_for_selector('#viewer[data-volume="done"]', timeout=25000)
    watched.page.wait_for_timeout(800)
    assert annotations.is_disabled()  # they aren't drawn there, and say so
    keep(watched.page, "viewer-volume")
    image = picture(watched.page.locator(".stage canvas:visible")).astype(int)
    red = (image[..., 0] > 200) & (image[..., 1] < 60) & (image[..., 2] < 60)
    blue = (image[..., 2] > 200) & (image[..., 0] < 60) & (image[..., 1] < 60)
    # The red disc lies elsewhere in every plane, so its projection is longer than the blue one.
    assert blue.any()
    assert np.ptp(np.nonzero(red)[0]) > 1.7 * np.ptp(np.nonzero(blue)[0])
    assert "v=3d" in watched.page.url


def test_odd_values_leave_the_others_as_they_are(watched, site):
    """Ones in a window from 0 to 2, beside no numbers, infinity and one very bright voxel."""
    watched.page.goto(f"{site.url}SB-ODD/image/{IMAGE_ID}.html")
    watched.page.wait_for_selector(READY)
    watched.page.wait_for_timeout(150)
    canvas = watched.page.locator(".stage canvas:visible")
    image = picture(canvas)
    middle = image.shape[1] // 2
    column = image[:, middle, 0].astype(int)
    thirds = [column[round(len(column) * share)] for share in (0.12, 0.38, 0.75)]
    assert thirds == [0, 255, pytest.approx(128, abs=2)]
    watched.page.get_by_role("button", name="3D").click()
    watched.page.wait_for_selector('#viewer[data-volume="done"]', timeout=25000)
    watched.page.wait_for_timeout(800)
    shades = picture(canvas)[..., 0].astype(int)
    # The ones are grey, not lost in the range that the hot voxel asks for; infinity is white.
    assert (abs(shades - 128) <= 4).sum() > 1000 and (shades > 250).sum() > 500


def test_from_disk_it_says_what_to_do(browser, site):
    page = browser.new_page()
    page.goto((site.root / PAGE).as_uri())
    assert "slidebox serve" in page.locator("#viewer-note").inner_text()
    assert page.locator(".viewer-still img").evaluate("i => i.naturalWidth") > 0
    page.close()


def test_a_lost_image_is_said(watched, site):
    page = watched.page
    page.route("**/made.ome.zarr/**", lambda route: route.fulfill(status=404, body=""))
    page.goto(f"{site.url}{PAGE}")
    page.wait_for_selector('#viewer[data-state="failed"]')
    assert "could not open" in page.get_by_role("alert").inner_text()
    assert page.locator(".viewer-still img").is_visible()
