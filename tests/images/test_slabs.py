"""Chunks that are deeper than a plane are decoded once, and hold no more than they may."""

from __future__ import annotations

import numpy as np
import pytest

from slidebox import images
from slidebox.images.readers import slabs

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("most", [96 << 20, 3 * 40 * 50 * 2, 1])
@pytest.mark.parametrize("axis", ["z", "t"])
def test_each_chunk_is_read_once_in_bands(monkeypatch, axis, most):
    monkeypatch.setattr(slabs, "MOST", most)
    data = RNG.integers(0, 999, (2, 19, 40, 50), np.uint16)  # another axis, planes, rows, columns
    asked = []

    def read(t, c, z, count, y0, y1):
        asked.append((t, c, z, count, y0))
        at = z if axis == "z" else t
        assert at // 8 == (at + count - 1) // 8
        return data[c, at : at + count, y0:y1][None]

    band = slabs.in_slabs(read, 8, 19, 40 * 50 * 2, axis)
    for c in range(2):
        for n in range(19):
            for y0 in range(0, 40, 16):
                where = (0, c, n) if axis == "z" else (n, c, 0)
                got = band(*where, y0, min(40, y0 + 16))
                assert np.array_equal(got[0], data[c, n, y0 : y0 + 16])
    assert len(set(asked)) == len(asked)
    if most == 96 << 20:
        assert len(asked) == 2 * 3 * 3  # 2 channels, 3 rows of chunks in z, 3 bands
    assert all(count * 40 * 50 * 2 <= max(most, 40 * 50 * 2) for *_, count, _ in asked)


def test_deep_chunks_of_every_container(tmp_path, monkeypatch):
    h5py = pytest.importorskip("h5py")
    data = RNG.integers(0, 999, (21, 70, 90), np.uint16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("v", data=data, chunks=(8, 32, 32), compression="gzip")
        time = file.create_dataset("t", data=data, chunks=(21, 32, 32), compression="gzip")
        for dim, letter in zip(time.dims, "tyx", strict=True):
            dim.label = letter
        colour = RNG.integers(0, 255, (9, 40, 50, 3), np.uint8)
        last = file.create_dataset("zyxc", data=colour, chunks=(4, 32, 32, 3))
        for dim, letter in zip(last.dims, "zyxc", strict=True):
            dim.label = letter
    with images.open_image(tmp_path / "a.h5") as file:
        found = {s.name: s for s in file.series}
        assert (found["t"].axes, found["v"].axes) == ("tyx", "zyx")
        assert np.array_equal(found["v"].asarray(), data)
        assert np.array_equal(found["t"].asarray(), data)
        assert np.array_equal(found["zyxc"].asarray(), colour.transpose(3, 0, 1, 2))
        for ngff in ("0.5", "0.4"):
            out = tmp_path / f"v{ngff}.ome.zarr"
            images.convert(
                file,
                out,
                series=found["v"].index,
                recipe=images.Recipe(chunks="volume", ngff=ngff),
            )
            with images.open_image(out) as again:
                assert np.array_equal(again.series[0].asarray(), data)
            assert images.verify(out, file, found["v"].index) == []
