"""Images are opened in children with limits: bombs, fuzz and crashes cost a finding, no more."""

from __future__ import annotations

import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import study
import tifffile

from slidebox.validate import validate
from slidebox.validate.opening import Children
from slidebox.validate.settings import Settings

OME = (
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0" '
    'Name="{name}"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="8" '
    'SizeC="1" SizeZ="1" SizeT="{t}"><TiffData FirstT="0"/>{more}</Pixels></Image></OME>'
)


def raw_tiff(path: Path, width: int, height: int, strip: bytes, compression: int = 1) -> None:
    """A TIFF of one strip that says what it is told to say."""
    strip += b"\0" * (len(strip) % 2)
    tags = [
        (256, width), (257, height), (258, 8), (259, compression), (262, 1), (273, 8), (277, 1),
        (278, height), (279, len(strip)),
    ]  # fmt: skip
    out = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(tags))
    out += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(out + b"\0\0\0\0")


@pytest.fixture(scope="module")
def children(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    settings = Settings(memory=256 << 20, seconds=30)
    with Children(folder, settings) as pool:
        yield pool


def ask(children: Children, name: str, deep: bool = False) -> dict:
    size = (children.folder / name).stat().st_size
    return next(children.inspect([(name, size)], deep=deep))[1]


def codes(answer: dict) -> list[str]:
    return [code for code, _ in answer["problems"]]


def test_decompression_bomb(children: Children) -> None:
    raw_tiff(children.folder / "bomb.tif", 64, 64, zlib.compress(b"\0" * (64 << 20), 9), 8)
    assert codes(ask(children, "bomb.tif"))[0] in ("IMAGE_UNREADABLE", "IMAGE_MEMORY")


@pytest.mark.parametrize("side", [60_000, 4_000_000_000])
def test_huge_dimensions(children: Children, side: int) -> None:
    raw_tiff(children.folder / "huge.tif", side, side, b"x" * 100)
    assert codes(ask(children, "huge.tif")) == ["IMAGE_BOMB"]


def test_memory_limit(children: Children) -> None:
    # plausible for its size, but one plane is more than the child may hold
    path = children.folder / "wide.tif"
    with tifffile.TiffWriter(path) as writer:
        plane = np.zeros((30_000, 12_000), np.uint8)
        writer.write(plane, compression="zlib", rowsperstrip=30_000)
    assert codes(ask(children, "wide.tif")) in (["IMAGE_MEMORY"], ["IMAGE_BOMB"])
    study.image(children.folder / "after.ome.tif")
    assert codes(ask(children, "after.ome.tif")) == []


def test_circular_directory(children: Children) -> None:
    path = children.folder / "loop.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), metadata=None)
    data = bytearray(path.read_bytes())
    at = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[at : at + 2])[0]
    data[at + 2 + 12 * count : at + 6 + 12 * count] = struct.pack("<I", at)
    path.write_bytes(data)
    answer = ask(children, "loop.tif", deep=True)
    assert "IMAGE_LOOP" in codes(answer) and len(answer["series"]) <= 1


def test_xml_entities_are_not_resolved(children: Children) -> None:
    (children.folder / "secret.txt").write_text("TOPSECRET")
    secret = f"file://{children.folder / 'secret.txt'}"
    bomb = "".join(
        f'<!ENTITY {c} "{f"&{p};" * 10}">' for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    )
    for name, doctype, entity in (
        ("xxe", f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret}">]>', "&e;"),
        ("bomb", f'<!DOCTYPE x [<!ENTITY a "{"a" * 30}">{bomb}]>', "&i;"),
    ):
        text = f'<?xml version="1.0"?>{doctype}' + OME.format(name=entity, t=1, more="")
        path = children.folder / f"{name}.ome.tif"
        tifffile.imwrite(path, np.zeros((8, 8), np.uint8), description=text, metadata=None)
        answer = ask(children, path.name)
        assert "IMAGE_XML_ENTITY" in codes(answer)
        assert "TOPSECRET" not in str(answer) and len(str(answer)) < 10_000


def test_image_that_names_files_outside(children: Children, tmp_path: Path) -> None:
    study.image(tmp_path / "outside.tif", shape=(8, 8), dtype="uint8")
    there = os.path.relpath(tmp_path / "outside.tif", children.folder)
    more = f'<TiffData FirstT="1"><UUID FileName="{there}">urn:uuid:1</UUID></TiffData>'
    text = OME.format(name="x", t=2, more=more)
    path = children.folder / "outside.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), description=text, metadata=None)
    answer = ask(children, path.name, deep=True)
    assert codes(answer) == ["IMAGE_UNREADABLE"] or answer["series"][0]["shape"] == [8, 8]


def test_pickled_arrays_are_not_loaded(children: Children, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    array = np.array([type("E", (), {"__reduce__": lambda s: (os.system, (f"touch {mark}",))})()])
    for name in ("a.npy", "a.tif", "a.h5"):
        with (children.folder / name).open("wb") as handle:
            np.save(handle, array, allow_pickle=True)
        assert codes(ask(children, name))
    assert ["FILE_PICKLE", "holds pickled Python objects"] in children.header("a.npy")["problems"]
    with (children.folder / "a.pkl").open("wb") as handle:
        pickle.dump({"a": 1}, handle)
    assert "FILE_PICKLE" in codes(children.header("a.pkl"))
    assert not mark.exists()


def test_empty_and_wrong_files(children: Children) -> None:
    for name, data in (("a.png", b""), ("b.tif", b"<html>"), ("c.jpg", b"\xff\xd8\xff\xe0junk")):
        (children.folder / name).write_bytes(data)
        assert codes(ask(children, name))[0] == "IMAGE_UNREADABLE", name


def test_truncation_in_the_middle_is_found_by_deep(children: Children) -> None:
    path = children.folder / "stack.ome.tif"
    study.image(path, shape=(20, 64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[5].dataoffsets[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + 200] = b"\xff" * 200
    path.write_bytes(data)
    assert codes(ask(children, path.name)) == []
    deep = ask(children, path.name, deep=True)
    assert codes(deep) == ["IMAGE_UNREADABLE"] and "z=5" in deep["problems"][0][1]


def test_time_limit(tmp_path: Path) -> None:
    study.image(tmp_path / "a.ome.tif")
    with Children(tmp_path, Settings(seconds=0.0001)) as pool:
        assert codes(ask(pool, "a.ome.tif")) == ["IMAGE_TIMEOUT"]


def test_child_that_dies_is_replaced(children: Children) -> None:
    study.image(children.folder / "ok.ome.tif")
    assert codes(ask(children, "ok.ome.tif")) == []
    first = children._all[0].process
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert codes(ask(children, "ok.ome.tif")) == []
    assert children._all[0].process.pid != first.pid


def test_network_is_kept_out(children: Children) -> None:
    study.image(children.folder / "ok.ome.tif")
    ask(children, "ok.ome.tif")
    network = children.confined["network"]
    assert network in ("cut off by a namespace", "closed in Python only")
    if network.startswith("cut off"):
        pid = children._all[0].process.pid
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")


def test_nothing_outside_can_be_read_or_written(tmp_path: Path) -> None:
    """Run as the worker is: libraries and the folder are open to it, the rest is not."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("mine")
    (tmp_path / "secret.txt").write_text("not yours")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import fence\n"
        "print(fence.fence(sys.argv[2]))\n"
        "print(open(sys.argv[2] + '/a.txt').read())\n"
        "import imagecodecs, tifffile\n"
        "for name, mode in (('/../secret.txt', 'r'), ('/new.txt', 'w'), ('/a.txt', 'a')):\n"
        "    try: open(sys.argv[2] + name, mode); print('open', name)\n"
        "    except PermissionError: print('closed')\n"
    )
    room = Path(validate.__code__.co_filename).parent
    arguments = [sys.executable, "-c", code, str(room), str(tmp_path / "in")]
    said = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split("\n")
    if said[0].startswith("not fenced"):
        pytest.skip(said[0])
    assert said[1:5] == ["mine", "closed", "closed", "closed"]


def test_fuzzed_tiffs_end_well(children: Children) -> None:
    rng = random.Random(20)
    source = children.folder / "source.ome.tif"
    study.image(source, shape=(3, 40, 40), compression="zlib")
    good = source.read_bytes()
    start = time.monotonic()
    for i in range(60):
        data = bytearray(good)
        for _ in range(rng.choice((1, 3, 20))):
            at = rng.choice((rng.randrange(8), rng.randrange(len(data)), rng.randrange(600)))
            data[at] = rng.choice((0, 255, rng.randrange(256)))
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        (children.folder / f"fuzz{i}.tif").write_bytes(data)
    paths = [(f"fuzz{i}.tif", 1000) for i in range(60)]
    answers = dict(children.inspect(paths))
    assert len(answers) == 60 and all("problems" in a for a in answers.values())
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("name", ["0.1 m", "72 dpi", "zero"])
def test_pixel_sizes_in_the_wrong_unit(submission: Path, name: str) -> None:
    path = submission / "images/a.ome.tif"
    if name == "0.1 m":
        study.image(path, metadata={"PhysicalSizeX": 0.1, "PhysicalSizeXUnit": "m"})
    elif name == "zero":
        study.image(path, metadata={"PhysicalSizeX": 0, "PhysicalSizeY": 0})
    else:
        tifffile.imwrite(
            path, np.zeros((32, 48), np.uint8), resolution=(72, 72), resolutionunit=2, metadata=None
        )
    found = {f.code for f in validate(submission).findings}
    assert found & {"PIXEL_SIZE_IMPLAUSIBLE", "PIXEL_SIZE_MISSING"}, found


def test_real_micrographs(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "seg2d"
    pngs = sorted(source.rglob("*.png"))[:40]
    if not pngs:
        pytest.skip("no PNG in the shared data")
    folder = tmp_path / "S-1"
    (folder / "images").mkdir(parents=True)
    rows = ["path\tpart"]
    for i, png in enumerate(pngs):
        (folder / f"images/{i}.png").write_bytes(png.read_bytes())
        rows.append(f"images/{i}.png\tImages")
    (folder / "study.yaml").write_text(study.STUDY.split("annotation_sets")[0])
    (folder / "files.tsv").write_text("\n".join(rows) + "\n")
    result = validate(folder, threads=2, deep=True, slices=3)
    assert result.status == "accepted" and len(result.images) == 40
    loads = [sum(f["bytes"] for f in result.filesets if f["slice"] == s) for s in range(3)]
    assert max(loads) < 2 * min(loads)
