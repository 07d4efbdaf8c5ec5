"""What the archive knows to be one field of view can't be in two splits, whatever its pixels."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from slidebox.challenge.fields import field_name, same_field

STUDY = SimpleNamespace(accession="SB-1")


def picture(name, path, series=0, listed=None, study=STUDY):
    listed = listed or [{"shape": [64, 64]}]
    image = {"path": path, "series": listed}
    return SimpleNamespace(id=name, study=study, image=image, series=series, box=None)


def crossing(*pictures):
    split = {p.id: "train" if k % 2 else "test" for k, p in enumerate(pictures)}
    return {(a, b) for a, b, _ in same_field(list(pictures), split)}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("a/img_c1.tif", "a/img_c2.tif"),
        ("a/C1-img.tif", "a/C2-img.tif"),
        ("img_z003_ch00.tif", "img_z004_ch01.tif"),
        ("pos1_T001.tif", "pos1_T002.tif"),
        ("frame 1.png", "frame 2.png"),
        ("p_A01_s1_w1E78EB128-BD0D-4D94-A6AD-3FF28BB1B105.tif",
         "p_A01_s1_w2AF8C1E5C-9A0B-4F1B-8E0D-6D1D3BCAF7C2.tif"),
    ],
)  # fmt: skip
def test_files_that_differ_in_a_plane_alone_are_one_field(one, two):
    assert field_name(one) == field_name(two) is not None
    assert crossing(picture("a", one), picture("b", two)) == {("a", "b")}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("plate_C1.tif", "plate_C2.tif"),  # wells
        ("spA_0.tif", "spA_1.tif"),
        ("a/img_c1.tif", "b/img_c2.tif"),
        ("cell1_c1.tif", "cell2_c2.tif"),
        ("p_A01_s1_w1.tif", "p_A01_s2_w1.tif"),
        ("exact1.tif", "exact2.tif"),
    ],
)
def test_other_names_are_other_fields(one, two):
    assert crossing(picture("a", one), picture("b", two)) == set()


def test_other_studies_and_sizes_are_other_fields():
    other = SimpleNamespace(accession="SB-2")
    assert not crossing(picture("a", "i_c1.tif"), picture("b", "i_c2.tif", study=other))
    large = [{"shape": [99, 64]}]
    assert not crossing(picture("a", "i_c1.tif"), picture("b", "i_c2.tif", listed=large))


def at(x, y, size=0.5):
    return {"shape": [3, 100, 200], "pixel_size": {"y": size, "x": size},
            "stage_position": {"x": x, "y": y, "z": 0.0}}  # fmt: skip


@pytest.mark.parametrize(
    ("places", "cross"),
    [
        ([at(10, 20), at(10, 20)], True),
        ([at(10, 20), at(60, 30)], True),  # half of the frame in common
        ([at(10, 20), at(110, 20)], False),
        ([at(10, 20), at(105, 20)], False),  # tiles that touch
        ([at(0, 0), at(0, 0)], False),  # not filled in
        ([at(10, 20, None), at(10, 20, None)], True),
        ([at(10, 20, None), at(11, 20, None)], False),
        ([{"shape": [8, 8]}, {"shape": [8, 8]}], False),
    ],
)
def test_series_of_a_file_at_one_place_are_one_field(places, cross):
    found = crossing(*(picture(str(k), "a.nd2", k, places) for k in range(2)))
    assert found == ({("0", "1")} if cross else set())


def test_parts_of_one_image_are_one_field():
    assert crossing(picture("a", "a.tif"), picture("b", "a.tif")) == {("a", "b")}
    one_split = [picture("a", "a.tif"), picture("b", "a.tif")]
    assert not list(same_field(one_split, {"a": "train", "b": "train"}))
