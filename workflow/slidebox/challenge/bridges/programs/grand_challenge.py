"""grand-challenge's evaluation: reads /input, writes /output/metrics.json.

A phase that takes predictions unpacks the submitted ZIP into /input. One that takes algorithms
writes /input/predictions.json, a list of jobs, and each job's outputs to /input/<job>/output/.
"""

import json
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

from common import HERE, measured, predictions, prepare

JOBS = "predictions.json"
# What an algorithm may write, of which the first found counts
FILES = (".tif", ".tiff", ".mha", ".png", ".csv", ".zip")
LARGEST = 4 << 30  # bytes of an unpacked track
TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip


def jobs(folder):
    """The jobs of an algorithm's submission; None when predictions were handed in."""
    path = folder / JOBS
    if not path.is_file():
        return None
    try:
        told = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
    listed = isinstance(told, list) and all(isinstance(job, dict) for job in told)
    return told if listed and all("pk" in job and "outputs" in job for job in told) else None


def collected(told, folder, ids):
    """A folder with each job's output under the id of the image it was given."""
    target = Path(tempfile.mkdtemp())
    for job in told:
        names = [value["image"]["name"] for value in job["inputs"] if value.get("image")]
        which = next((i for name in names if (i := identity(name, ids))), None)
        if which is None:
            sys.exit(
                f"job {job['pk']} was given {', '.join(names) or 'no image'}, which is no "
                "image of this split: upload the test images by their names in the release"
            )
        places = [folder / job["pk"] / "output" / value["interface"]["relative_path"]
                  for value in job["outputs"]]  # fmt: skip
        found = [path for place in places for path in files(place)]
        if not found:
            sys.exit(
                f"job {job['pk']} ({which}) has no output that is "
                f"{', '.join(FILES)}: {[str(p) for p in places]}"
            )
        copy(min(found, key=lambda p: FILES.index(p.suffix.lower())), target, which)
    return target


def identity(name, ids):
    """The id that an image's file name begins with, the longest one."""
    fitting = [i for i in ids if name == i or name.startswith(f"{i}.")]
    return max(fitting, key=len, default=None)


def files(place):
    within = sorted(place.rglob("*")) if place.is_dir() else [place]
    return [p for p in within if p.is_file() and p.suffix.lower() in FILES]


def copy(path, target, which):
    if path.suffix.lower() == ".mha":
        import tifffile

        array = read_mha(path)
        tifffile.imwrite(target / f"{which}.tif", array, photometric="minisblack", metadata=None)
    elif path.suffix.lower() == ".zip":  # a track's folder
        from slidebox.scoring.predictions import unpack

        try:
            unpack(path, target / f"{which}_RES", LARGEST)
        except ValueError as bad:
            sys.exit(f"{path.name} of {which}: {bad}")
    else:
        shutil.copyfile(path, target / (which + path.suffix.lower()))


def read_mha(path):
    """Pixels of a MetaImage in one file, axes as in NumPy."""
    import numpy as np

    data = path.read_bytes()
    head, at = {}, 0
    while "ElementDataFile" not in head:
        line, _, _ = data[at : at + 4096].partition(b"\n")
        at += len(line) + 1
        name, equals, value = line.decode("latin-1").partition("=")
        if not equals:
            sys.exit(f"{path.name} is no MetaImage")
        head[name.strip()] = value.strip()
    kind = TYPES.get(head.get("ElementType", ""))
    if kind is None or head["ElementDataFile"] != "LOCAL":
        sys.exit(f"{path.name}: {head.get('ElementType')} in {head['ElementDataFile']} isn't read")
    if int(head.get("ElementNumberOfChannels", "1")) != 1:
        sys.exit(f"{path.name} has several channels; a label image has one")
    shape = [int(n) for n in head["DimSize"].split()][::-1]
    pixels = data[at:]
    dtype = np.dtype(kind).newbyteorder(
        ">"
        if head.get("BinaryDataByteOrderMSB", head.get("ElementByteOrderMSB")) == "True"
        else "<"
    )
    size = int(np.prod(shape)) * dtype.itemsize
    if head.get("CompressedData") == "True":
        pixels = zlib.decompressobj().decompress(pixels, size)
    if len(pixels) < size:
        sys.exit(f"{path.name} is cut off: {len(pixels)} of {size} bytes")
    return np.frombuffer(pixels[:size], dtype).reshape(shape).astype(kind)


def main(given, out, truth):
    prepare()
    told = jobs(given)
    if told is None:
        source = predictions(given)
    else:
        from slidebox.scoring import open_release

        split = json.loads((truth / "split.json").read_text())["split"]
        rows = open_release(truth / "release").rows
        source = collected(told, given, [r["id"] for r in rows if r["split"] == split])
    values = measured(source, truth)
    out.mkdir(parents=True, exist_ok=True)
    # Nothing of single images: what the host shows with a result, participants see
    keys = json.loads((HERE / "columns.json").read_text("utf-8"))
    told = {"results": [], "aggregates": {keys[name]: value for name, value in values.items()}}
    (out / "metrics.json").write_text(json.dumps(told))


if __name__ == "__main__":
    # The host's folders; others for a try on one's own machine
    places = ("/input", "/output", "/opt/ml/input/data/ground_truth")
    main(*(Path(sys.argv[n] if len(sys.argv) > n else p) for n, p in enumerate(places, 1)))
