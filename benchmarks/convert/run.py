"""Conversion to OME-Zarr: Slidebox beside its floor, and beside its peers.

    python benchmarks/convert/run.py FOLDER [--small] [--peers FOLDER] [--repeat 2]

Makes the two sources in FOLDER when they aren't there, then prints a table. CPU seconds are user
and
system time of the work itself, without importing; the floor is the sum of its parts, each done
alone:
read the planes, halve them, compress all levels, write and fsync, and (for the proof) decompress
level 0. Ratios under 1.25 to the floor are what this project asks of itself. The workflow also
computes the MD5 of every file (DANDI's tree checksum), which the floor hasn't: the last row has it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


# ---------------------------------------------------------------- what is measured


def floor(source: Path, out: Path, work) -> dict:
    """The parts of a conversion, each alone, with the chunks that Slidebox uses."""
    import numpy as np
    import tifffile

    from slidebox import images
    from slidebox.images.allocator import keep_pages
    from slidebox.images.plan import Recipe, make_plan
    from slidebox.images.reduce import Mean
    from slidebox.images.shards import Codec

    parts = dict.fromkeys(("read", "halve", "compress", "write", "decompress"), 0.0)

    def timed(name, function, *args):
        began = time.process_time()
        result = function(*args)
        parts[name] += time.process_time() - began
        return result

    keep_pages()
    recipe = Recipe()
    with images.open_image(source) as file:
        series = file.series[0]
        plan, codec = make_plan(series, recipe, 512 << 20), Codec(series.dtype, recipe)
        mean = Mean(series.dtype)
    with tifffile.TiffFile(source) as tiff, out.open("wb") as target:
        pages = tiff.series[0].pages
        for number in range(len(pages)):
            plane = timed("read", lambda n=number: pages[n].asarray(maxworkers=1))
            for level in plan.levels:
                if level.index:
                    plane = timed("halve", mean.plane, plane[None], True, True)[0]
                tall, wide = level.chunk[3:]
                for y in range(0, plane.shape[0], tall):
                    for x in range(0, plane.shape[1], wide):
                        part = plane[y : y + tall, x : x + wide]
                        if not part.any():
                            continue
                        padded = np.zeros((tall, wide), plane.dtype)
                        padded[: part.shape[0], : part.shape[1]] = part
                        data = timed("compress", codec.encode, padded)
                        timed("write", target.write, data)
                        if level.index == 0:
                            timed("decompress", codec.decode_bytes, data, padded.nbytes)
        timed("write", lambda: (target.flush(), os.fsync(target.fileno())))
    size = out.stat().st_size
    out.unlink()
    return {"cpu": sum(parts.values()), "parts": parts, "mb_out": size / 1e6}


def slidebox(
    source: Path, out: Path, work, threads: int = 1, prove: bool = True, checksum: bool = False
) -> dict:
    import ome_types  # noqa: F401
    import ome_zarr.axes  # noqa: F401
    import ome_zarr_models.v05.image  # noqa: F401

    from slidebox import images
    from slidebox.images.readers import tiff  # noqa: F401

    return work(
        lambda: images.convert(source, out, threads=threads, prove=prove, checksum=checksum)
    )


# Peers, at the settings of Slidebox where they have them: ``wanted`` has axes, chunk and shard of
# level 0, the number of levels, and Blosc's compressor, level and shuffle.


def eubi(source: Path, out: Path, work, wanted: dict) -> dict:
    from eubi_bridge import ebridge

    ebridge._ensure_heavy_imports()  # importing isn't measured
    names = {"t": "time", "c": "channel", "z": "z", "y": "y", "x": "x"}
    options: dict = {"zarr_format": 3, "auto_chunk": False, "downscale_method": "mean"}
    options |= {"n_layers": wanted["levels"], "z_scale_factor": 1, "use_threading": True}
    options["compressor"] = "blosc"
    options["compressor_params"] = {
        "cname": wanted["compressor"],
        "clevel": wanted["level"],
        "shuffle": wanted["shuffle"],
    }
    for axis, chunk, shard in zip(wanted["axes"], wanted["chunk"], wanted["shard"], strict=True):
        options[f"{names[axis]}_chunk"] = chunk
        options[f"{names[axis]}_shard_coef"] = shard // chunk
    bridge = ebridge.EuBIBridge()
    return work(lambda: bridge.to_zarr(str(source), str(out), **options))


def bioio(source: Path, out: Path, work, wanted: dict) -> dict:
    from bioio_conversion.converters import OmeZarrConverter
    from zarr.codecs import BloscCodec

    codec = BloscCodec(
        cname=wanted["compressor"], clevel=wanted["level"], shuffle=wanted["shuffle"]
    )

    def convert() -> None:
        OmeZarrConverter(
            source=str(source),
            destination=str(out),
            zarr_format=3,
            num_levels=wanted["levels"],
            compressor=codec,
        ).convert()

    return work(convert)


def ome_zarr_py(source: Path, out: Path, work, wanted: dict) -> dict:
    import dask.array as da
    import tifffile
    import zarr
    from ome_zarr.scale import Methods
    from ome_zarr.writer import write_image
    from zarr.codecs import BloscCodec

    codec = BloscCodec(
        cname=wanted["compressor"], clevel=wanted["level"], shuffle=wanted["shuffle"]
    )

    def convert() -> None:
        data = da.from_zarr(tifffile.imread(source, aszarr=True))
        write_image(
            data,
            zarr.open_group(str(out), mode="w"),
            axes=wanted["axes"],
            scale_factors=[2**n for n in range(1, wanted["levels"])],
            method=Methods.LOCAL_MEAN,
            storage_options={"chunks": tuple(wanted["chunk"]), "compressors": codec},
        )

    return work(convert)


def ngff_zarr(source: Path, out: Path, work, wanted: dict) -> dict:
    import dask.array as da
    import ngff_zarr as nz
    import tifffile

    def convert() -> None:
        data = da.from_zarr(tifffile.imread(source, aszarr=True))
        image = nz.to_ngff_image(data, dims=list(wanted["axes"]))
        space = [axis for axis in wanted["axes"] if axis in "zyx"]
        scales = [
            {axis: 1 if axis == "z" else 2**n for axis in space} for n in range(1, wanted["levels"])
        ]
        chunks = dict(zip(wanted["axes"], wanted["chunk"], strict=True))
        pyramid = nz.to_multiscales(image, scale_factors=scales, chunks=chunks)
        nz.to_ngff_zarr(str(out), pyramid, version="0.5")

    return work(convert)


MEASURES = {
    "floor": (floor, {}),
    "slidebox, 1 thread, no proof": (slidebox, {"prove": False}),
    "slidebox, 1 thread": (slidebox, {}),
    "slidebox, 2 threads": (slidebox, {"threads": 2}),
    "slidebox, 2 threads, tree checksum": (slidebox, {"threads": 2, "checksum": True}),
}
PEERS = {
    "eubi-bridge-lite": eubi,
    "bioio-conversion": bioio,
    "ome-zarr": ome_zarr_py,
    "ngff-zarr": ngff_zarr,
}
# What each is installed with, in an environment of its own.
REQUIREMENTS = {
    "eubi-bridge-lite": ["eubi-bridge-lite==0.3.2"],
    "bioio-conversion": ["bioio-conversion==3.0.0", "bioio-ome-tiff", "bioio-tifffile"],
    "ome-zarr": ["ome-zarr==0.21.0", "tifffile", "imagecodecs"],
    "ngff-zarr": ["ngff-zarr[cli]==0.50.0", "tifffile", "imagecodecs", "zarr"],
}


def peer_python(name: str, folder: Path) -> str | None:
    """The Python of a peer's environment below a folder, made when it isn't there; None: can't."""
    python = folder / name / "bin" / "python"
    if not python.exists():
        commands = [
            [
                sys.executable,
                "-m",
                "uv",
                "venv",
                "-q",
                "--python",
                sys.executable,
                str(folder / name),
            ],
            [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", str(python)]
            + REQUIREMENTS[name],
        ]
        for command in commands:
            if subprocess.run(command, capture_output=True, check=False).returncode:
                shutil.rmtree(folder / name, ignore_errors=True)
                return None
    return str(python)


def settings(source: Path) -> dict:
    """How Slidebox lays this file out, for the peers."""
    from slidebox import images
    from slidebox.images.plan import Recipe, make_plan

    recipe = Recipe()
    with images.open_image(source) as file:
        series = file.series[0]
        levels = make_plan(series, recipe, 512 << 20).levels
    keep = ["tczyx".index(axis) for axis in series.axes]
    return {
        "axes": series.axes,
        "chunk": [levels[0].chunk[k] for k in keep],
        "shard": [levels[0].shard[k] for k in keep],
        "levels": len(levels),
        "compressor": recipe.compressor,
        "level": recipe.level,
        "shuffle": recipe.shuffle,
    }


# ---------------------------------------------------------------- one measurement a process


def one(name: str, source: Path, out: Path, wanted: dict) -> dict:
    """Run in a process of its own, so that the peak of its memory is its own."""
    if name in PEERS:
        function, options = PEERS[name], {"wanted": wanted}
    else:
        function, options = MEASURES[name]

    def work(task) -> dict:
        before = _cpu()
        began = time.perf_counter()
        task()
        return {"cpu": _cpu() - before, "wall": time.perf_counter() - began}

    facts = function(source, out, work, **options)
    # not ru_maxrss: that begins with what the process was forked from
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    facts["peak_mb"] = int(status.split("VmHWM:")[1].split()[0]) / 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    if name in PEERS:  # some work in a child: the larger of the two
        facts["peak_mb"] = max(facts["peak_mb"], children)
    if out.is_dir():
        files = [p for p in out.rglob("*") if p.is_file()]
        facts["mb_out"] = sum(p.stat().st_size for p in files) / 1e6
        facts["files"] = len(files)
    return facts


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def command(name: str, source: Path, out: Path, python: str, wanted: dict) -> list[str]:
    run = [python, str(HERE / "run.py"), "--one", name, str(source), str(out)]
    return [*run, json.dumps(wanted)]


def measure(
    name: str, source: Path, folder: Path, python: str, repeat: int, wanted: dict
) -> dict | str:
    out = folder / "out.ome.zarr"
    best: dict | None = None
    for _ in range(repeat):
        shutil.rmtree(out, ignore_errors=True)
        this = command(name, source, out, python, wanted)
        done = subprocess.run(this, capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["failed"])[-1][:100]
        facts = json.loads(done.stdout.strip().splitlines()[-1])
        if best is None or facts["cpu"] < best["cpu"]:
            best = facts
    shutil.rmtree(out, ignore_errors=True)
    if best is None or best.get("mb_out", 1) < 1:
        return "wrote nothing"
    return best


def side_by_side(name: str, source: Path, folder: Path, wanted: dict) -> float | None:
    """Wall seconds of two conversions in two processes at once: all that two cores can give."""
    outs = [folder / f"out-{n}.ome.zarr" for n in range(2)]
    both = [
        subprocess.Popen(command(name, source, out, sys.executable, wanted), stdout=-1, text=True)
        for out in outs
    ]
    told = [one.communicate()[0] for one in both]
    for out in outs:
        shutil.rmtree(out, ignore_errors=True)
    if any(one.returncode for one in both):
        return None
    return max(json.loads(text.strip().splitlines()[-1])["wall"] for text in told)


def report(source: Path, folder: Path, peers: Path | None, repeat: int) -> None:
    """The table of one source, and what follows from it."""
    print(f"\n{source.name}\n")
    print("| what | CPU s | to floor | wall s | peak MB | MB out | files |")
    print("|---|---|---|---|---|---|---|")
    wanted = settings(source)
    floors: dict[bool, float] = {}
    seen: dict[str, dict] = {}
    for name in [*MEASURES, *(PEERS if peers else {})]:
        python: str | None = sys.executable
        if name in PEERS and peers is not None:
            python = peer_python(name, peers)
        if python is None:
            print(f"| {name} | absent: it could not be installed | | | | | |")
            continue
        facts = measure(name, source, folder, python, 1 if name in PEERS else repeat, wanted)
        if isinstance(facts, str):
            print(f"| {name} | failed: {facts} | | | | | |", flush=True)
            continue
        seen[name] = facts
        if name == "floor":
            proof = facts["parts"]["decompress"]
            floors = {True: facts["cpu"], False: facts["cpu"] - proof}
            text = ", ".join(f"{k} {v:.2f}" for k, v in facts["parts"].items())
            print(f"| floor ({text}) | {facts['cpu']:.2f} | 1.00 | | | {facts['mb_out']:.0f} | |")
            continue
        ratio = facts["cpu"] / floors["no proof" not in name]
        print(
            f"| {name} | {facts['cpu']:.2f} | {ratio:.2f} | {facts['wall']:.1f} | "
            f"{facts['peak_mb']:.0f} | {facts.get('mb_out', 0):.0f} | "
            f"{facts.get('files', 0)} |",
            flush=True,
        )
    one, two = (seen.get(f"slidebox, {n}") for n in ("1 thread", "2 threads"))
    if one and two:
        print(f"\nTwo threads: {one['wall'] / two['wall']:.2f} times one.", end=" ")
        if both := side_by_side("slidebox, 1 thread", source, folder, wanted):
            print(f"Two processes side by side: {2 * one['wall'] / both:.2f} times one.", end="")
        print()
    there = [name for name in PEERS if name in seen]
    best = min(there, key=lambda name: seen[name]["cpu"], default=None)
    for name in ("slidebox, 1 thread, no proof", "slidebox, 2 threads"):
        if name in seen and best:  # the peers prove nothing: the first line is like with like
            cpu = seen[name]["cpu"] / seen[best]["cpu"]
            peak = seen[name]["peak_mb"] / seen[best]["peak_mb"]
            print(f"{name}, to {best}: {cpu:.2f} of its CPU, {peak:.2f} of its memory.")
    missing = [name for name in PEERS if name not in seen]
    if missing:
        print(f"Not compared: {', '.join(missing)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true", help="a sixteenth of the size")
    parser.add_argument(
        "--peers",
        type=Path,
        metavar="FOLDER",
        help="compare with peers, each in an environment of its own below this folder; those that "
        "aren't there are made (with uv)",
    )
    parser.add_argument("--repeat", type=int, default=2, help="take the best of so many runs")
    args = parser.parse_args()
    make = [sys.executable, str(HERE / "make_sources.py"), str(args.folder)]
    subprocess.run([*make, *(["--small"] if args.small else [])], check=True)
    for source in (args.folder / "5d.ome.tif", args.folder / "2d.tif"):
        report(source, args.folder, args.peers, args.repeat)


if __name__ == "__main__":
    if len(sys.argv) == 6 and sys.argv[1] == "--one":
        wanted = json.loads(sys.argv[5])
        print(json.dumps(one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), wanted)))
    else:
        main()
