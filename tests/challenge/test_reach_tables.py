"""Hidden truth in the notations of many programs: logs, sheets, YAML, layers, arrays of all kinds.

One search of all of them; beside each lies the same of another image, of which nothing is said.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import uuid
import zipfile
from pathlib import Path

import h5py
import imagecodecs
import numpy as np
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import scipy.io
import scipy.sparse
import tifffile
from archives import challenge_folder, discs, nuclei
from scipy import ndimage
from test_reach import found

from slidebox.vault import Vault


def sheet(head: list[str], rows: list[list]) -> bytes:
    """A spreadsheet file with shared words, as Excel writes them."""
    words = sorted({cell for row in [head, *rows] for cell in row if isinstance(cell, str)})
    lines = ""
    for r, row in enumerate([head, *rows], 1):
        cells = "".join(
            f'<c r="{chr(65 + c)}{r}" t="s"><v>{words.index(cell)}</v></c>'
            if isinstance(cell, str) else f'<c r="{chr(65 + c)}{r}"><v>{cell}</v></c>'
            for c, cell in enumerate(row)
        )  # fmt: skip
        lines += f'<row r="{r}">{cells}</row>'
    space = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as packed:
        packed.writestr("xl/workbook.xml", f"<workbook {space}/>")
        packed.writestr("xl/worksheets/sheet1.xml", f"<worksheet {space}>{lines}</worksheet>")
        packed.writestr("xl/sharedStrings.xml", f"<sst {space}>" + "".join(
            f"<si><t>{word}</t></si>" for word in words) + "</sst>")  # fmt: skip
    return target.getvalue()


def written(image: np.ndarray, labels: np.ndarray, counts: dict, file: bytes, place: Path) -> None:
    """What tells of labels, of numbers of objects by image, and of a file."""
    place.mkdir()
    numbers = [int(k) for k in np.unique(labels) if k]
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).round(2).tolist()
    boxes = [b for b in ndimage.find_objects(labels) if b is not None]
    corners = [(b[1].start, b[0].start, b[1].stop - 1, b[0].stop - 1) for b in boxes]
    rings = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in corners]
    comma = [f"{x};{y}".replace(".", ",") for y, x in centres]
    napari = [f"{n},polygon,{v},{y}.0,{x}.0" for n, ring in enumerate(rings)
              for v, (x, y) in enumerate(ring)]  # fmt: skip
    via = [json.dumps({"name": "polygon", "all_points_x": [x for x, _ in ring],
                       "all_points_y": [y for _, y in ring]}).replace('"', '""')
           for ring in rings]  # fmt: skip
    steps = ["m " + " ".join(f"{x},{y}" for x, y in np.diff([(0, 0), *r], axis=0)) for r in rings]
    dots = np.zeros(labels.shape, np.uint8)
    for y, x in np.round(centres).astype(int):
        dots[y, x] = 255
    digest = hashlib.sha256(file).hexdigest()
    texts = {
        "sheet.xlsx": sheet(["cell", "y", "x"], [[k, *c] for k, c in enumerate(centres)]),
        "comma.csv": "X;Y\n" + "\n".join(comma),
        "wide.csv": ("y\tx\n" + "\n".join(f"{y}\t{x}" for y, x in centres)).encode("utf-16"),
        "latin.csv": ("y µm;x µm\n" + "\n".join(f"{y};{x}" for y, x in centres)).encode("latin-1"),
        "run.log": "\n".join(f"[INFO] cell {k} at y={y} x={x}" for k, (y, x) in enumerate(centres)),
        "block.yaml": "".join(f"- x: {x}\n  y: {y}\n" for y, x in centres),
        "flow.yaml": "".join(f"- {{x: {x}, y: {y}}}\n" for y, x in centres),
        "boxes.toml": "".join(f"[[cell]]\nbbox = {list(c)}\n" for c in corners),
        "table.tex": "\n".join(f"{y} & {x} \\\\" for y, x in centres),
        "dump.sql": "INSERT INTO cells VALUES " + ",".join(f"({y},{x})" for y, x in centres) + ";",
        "page.js": "var cells = " + json.dumps([{"x": x, "y": y} for y, x in centres]) + ";",
        "page.html": f"<html><script>const p = {json.dumps(centres)};</script></html>",
        "napari.csv": "index,shape-type,vertex-index,axis-0,axis-1\n" + "\n".join(napari),
        "via.csv": "file,region\n" + "\n".join(f'a,"{v}"' for v in via),
        "relative.svg": "<svg>" + "".join(f'<path d="{s} z"/>' for s in steps) + "</svg>",
        "counts.xlsx": sheet(["image", "cells"], [[n, c] for n, c in counts.items()]),
        "counts.yaml": "\n".join(f"{n}: {c}" for n, c in counts.items()),
        "counts.log": "\n".join(f"[INFO] {n}.tif: {c} objects" for n, c in counts.items()),
        "counts.md": "\n".join(f"Image {n} has {c} nuclei." for n, c in counts.items()),
        "counts.json": json.dumps({n: {"stats": {"n": c}} for n, c in counts.items()}),
        "lists.json": json.dumps({"names": list(counts), "n": list(counts.values())}),
        "columns.csv": ",".join(counts) + "\n" + ",".join(map(str, counts.values())),
        "multihash.txt": f"1220{digest}",
        "uuid.txt": str(uuid.UUID(bytes=hashlib.md5(file).digest())),
        "behind.png": imagecodecs.png_encode(image.astype(np.uint8))
        + imagecodecs.png_encode(labels.astype(np.uint8)),
        "dots.png": imagecodecs.png_encode(dots),
        "boxes.csv.br": imagecodecs.brotli_encode(
            ("x1,y1,x2,y2\n" + "\n".join(",".join(map(str, c)) for c in corners)).encode()),
    }  # fmt: skip
    for name, text in texts.items():
        (place / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    scipy.io.savemat(place / "sparse.mat", {"m": scipy.sparse.csc_matrix(labels.astype(float))})
    scipy.sparse.save_npz(place / "sparse.npz", scipy.sparse.csr_matrix(labels))
    np.save(place / "flat.npy", labels.ravel().astype(np.int64))
    np.save(place / "records.npy", np.array(
        [tuple(c) for c in centres], [("y", float), ("x", float)]))  # fmt: skip
    outlines = np.empty(len(rings), object)
    outlines[:] = [np.array(ring) for ring in rings]
    scipy.io.savemat(place / "outlines.mat", {"c": outlines})
    with h5py.File(place / "apart.h5", "w") as target:
        target["y"], target["x"] = np.array(centres).T
    with h5py.File(place / "last.h5", "w") as target:
        target["masks"] = np.stack([labels == k for k in numbers], -1)
    with h5py.File(place / "v73.mat", "w", userblock_size=512) as target:
        target["M"] = labels.T.astype(float)
    tifffile.imwrite(place / "tag.tif", image, extratags=[
        (65000, 7, labels.nbytes, labels.tobytes(), False)])  # fmt: skip
    columns = pa.table({"y": [y for y, _ in centres], "x": [x for _, x in centres]})
    pyarrow.orc.write_table(columns, str(place / "centres.orc"))
    with (
        pa.OSFile(str(place / "x.arrows"), "wb") as target,
        pa.ipc.new_stream(target, columns.schema) as stream,
    ):
        stream.write_table(columns)
    shapes = [struct.pack("<BIII", 1, 3, 1, 4) + np.array(r, "<f8").tobytes() for r in rings]
    pyarrow.parquet.write_table(pa.table({"geometry": shapes}), place / "geo.parquet")
    (place / "regions").mkdir()
    for k, (x0, y0, x1, y1) in enumerate(corners):
        roi = struct.pack(">4shBB4h", b"Iout", 227, 1, 0, y0, x0, y1 + 1, x1 + 1)
        (place / "regions" / f"{k}.roi").write_bytes(roi + bytes(64))


def test_notations_of_many_programs(tmp_path):
    bench, folder = nuclei(tmp_path, each=1, test="CEF", more=2), challenge_folder(tmp_path)
    contents = {f.path: Path(f.content) for f in Vault(bench.vault).files("SB-NUCLEI")}
    secret = {n: contents[f"labels/{n}_lab.tif"] for n in ("spC_0", "spE_0", "spF_0")}
    numbers = {n: len(np.unique(tifffile.imread(p))) - 1 for n, p in secret.items()}
    labels = tifffile.imread(secret["spC_0"])
    image, other = discs(98)
    written(image, labels, numbers, secret["spC_0"].read_bytes(), bench.public / "TOLD")
    sizes = "".join(f"{n}_lab.tif\t{p.stat().st_size}\n" for n, p in secret.items())
    (bench.public / "TOLD" / "sizes.tsv").write_text(f"name\tbytes\n{sizes}")
    written(image, other, {"a": 11, "b": 12, "c": 19}, b"other", bench.public / "OTHER")
    names = {path.name for path in (bench.public / "TOLD").iterdir()}
    said = found(bench, folder)
    assert {
        n for n in names if not [x for x in said if f"TOLD/{n}" in x and "hidden" in x]
    } == set()
    assert not [x for x in said if "OTHER" in x]
