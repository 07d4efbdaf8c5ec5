"""For everyone with an image: convert, verify."""

from __future__ import annotations

import sys
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    print_findings,
    progress,
    size,
)


def register(command: Command) -> None:
    c = command(
        "convert",
        convert,
        "derive a verified OME-Zarr from one image",
        "slidebox convert cells.czi cells.ome.zarr\n"
        "slidebox convert slide.lif well.ome.zarr --series 3 --memory 1GB --threads 4\n"
        "slidebox convert cells.czi cells.ome.zarr --ngff 0.4\n"
        "slidebox convert embryo.ims embryo.ome.zarr --chunks volume\n"
        "slidebox convert Measurement/Images/Index.idx.xml plate.ome.zarr\n"
        "slidebox convert 'img_T<01-10>_C<DAPI,GFP>_Z<>.tif' img.ome.zarr",
    )
    c.add_argument("image", type=Path, metavar="IMAGE")
    c.add_argument("out", type=Path, metavar="OUT.ome.zarr")
    c.add_argument(
        "--series", type=int, metavar="N", help="from 0 (default: 0; of a plate, all fields)"
    )
    c.add_argument("--memory", default="512MB", help="memory it may take (default: 512MB)")
    c.add_argument("--threads", type=int, default=1, metavar="N")
    c.add_argument(
        "--ngff",
        choices=("0.5", "0.4"),
        default="0.5",
        help="version of OME-Zarr; 0.4 (Zarr 2, a file a chunk) is for older readers",
    )
    c.add_argument(
        "--chunks",
        choices=("planes", "volume"),
        default="planes",
        help="planes, for looking; volume (64 x 64 x 64), for cuts along any axis and for training",
    )
    c = command(
        "verify",
        verify,
        "compare every pixel of an OME-Zarr with its source; all the rest with its checksums",
        "slidebox verify cells.ome.zarr cells.czi\nslidebox verify cells.ome.zarr",
    )
    c.add_argument("zarr", type=Path, metavar="IMAGE.ome.zarr")
    c.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        nargs="?",
        help="the image that it was made from; without it, pixels too are held to their digest",
    )
    c.add_argument(
        "--series", type=int, metavar="N", help="from 0 (default: 0; of a plate, all fields)"
    )


def convert(a) -> int:
    from slidebox import images

    if not a.image.exists() and "<" not in a.image.name:  # a pattern of names has some
        raise CannotRun(f"{a.image}: no such file")
    if a.out.exists():
        raise CannotRun(f"{a.out} exists; choose another name or remove it")
    options = {
        "memory": size(a.memory),
        "threads": a.threads,
        "recipe": images.Recipe(ngff=a.ngff, chunks=a.chunks),
        "progress": progress("converting"),
    }
    try:
        with images.open_image(a.image) as file:
            if a.series is None and images.is_plate(file):
                return _plates(a, file, options)
            derived = images.convert(file, a.out, series=a.series or 0, **options)
            doubts = images.second_opinion(file, series=a.series or 0)
    except images.Busy:
        raise CannotRun(f"{a.out} is being written by another process") from None
    except images.UnreadableImage as error:
        print(f"slidebox: {error}", file=sys.stderr)
        return FINDINGS
    shape = " x ".join(map(str, derived.shape))
    print(f"{a.out}: {derived.axes} {shape} {derived.dtype}, every plane verified")
    for label in derived.left_out:
        print(f"slidebox: label image {label['name']}: {label['reason']}", file=sys.stderr)
    print_findings(doubts)
    if a.series is None:
        _say_others(file, [s for s in file.series[1:] if s.role == "image"])
    return FINDINGS if derived.left_out or doubts else FINE


def _plates(a, file, options: dict) -> int:
    """A store a plate; a field that can't be read is a finding, the others are there.

    Where there are several (stacks and their projections), the later ones get names of their own.
    """
    from slidebox import images

    problems = []
    names = images.plates(file)
    for name in names:
        out = a.out
        if name != names[0]:
            suffix = next((e for e in (".ome.zarr", ".zarr") if a.out.name.endswith(e)), "")
            stem = a.out.name.removesuffix(suffix)
            extra = name.removeprefix(names[0]).strip().replace(" ", "-") or str(names.index(name))
            out = a.out.with_name(f"{stem}-{extra}{suffix}")
        plate = images.convert_plate(file, out, plate=name, **options)
        there = [f for f in plate.fields if f.derived]
        wells = len({f.well.name for f in there})
        print(f"{out}: plate {name}, {wells} wells, {len(there)} fields, every plane verified")
        problems += plate.problems
    _say_others(file, [s for s in file.series if s.role == "image" and s.well is None])
    for problem in problems:
        print(f"slidebox: {problem}", file=sys.stderr)
    return FINDINGS if problems else FINE


def _say_others(file, others: list) -> None:
    """Which images of a file were not asked for, so that nobody takes a part for the whole."""
    if others:
        names = ", ".join(f"{s.index} ({s.name})" for s in others[:5])
        names += f" and {len(others) - 5} more" if len(others) > 5 else ""
        print(f"slidebox: not converted, of {file.path}: series {names}", file=sys.stderr)


def verify(a) -> int:
    from slidebox import images
    from slidebox.catalogue import evicted

    if not a.zarr.exists() and (mark := evicted.mark_of(a.zarr)):
        study = a.zarr.absolute().parent.parent.name
        raise CannotRun(
            f"{a.zarr} was evicted to {mark['address']}; slidebox publish --bring-back {study} "
            "verifies it on its way back"
        )
    for path in (a.zarr, a.source):
        if path is not None and not path.exists() and "<" not in path.name:
            raise CannotRun(f"{path}: no such file")
    if a.source is None:
        findings = images.verify_plate(a.zarr) if _is_plate(a.zarr) else images.verify(a.zarr)
        print_findings(findings)
        if not findings:
            print(f"{a.zarr} is as it was written")
        return FINDINGS if findings else FINE
    try:
        with images.open_image(a.source) as file:
            if a.series is None and images.is_plate(file):
                findings = images.verify_plate(a.zarr, file)
            else:
                findings = images.verify(a.zarr, file, a.series or 0)
    except images.UnreadableImage as error:
        raise CannotRun(str(error)) from None
    print_findings(findings)
    if not findings:
        print(f"{a.zarr} holds the pixels of {a.source}")
    return FINDINGS if findings else FINE


def _is_plate(zarr: Path) -> bool:
    """Whether a store's root says that it is a plate."""
    from slidebox.images import nodes

    try:
        return "plate" in nodes.read_group(zarr)[1].get("ome", {})
    except (OSError, ValueError):
        return False
