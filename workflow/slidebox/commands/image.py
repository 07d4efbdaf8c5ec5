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
        "slidebox convert cells.czi cells.ome.zarr --ngff 0.4",
    )
    c.add_argument("image", type=Path, metavar="IMAGE")
    c.add_argument("out", type=Path, metavar="OUT.ome.zarr")
    c.add_argument("--series", type=int, default=0, metavar="N", help="from 0 (default: 0)")
    c.add_argument("--memory", default="512MB", help="memory it may take (default: 512MB)")
    c.add_argument("--threads", type=int, default=1, metavar="N")
    c.add_argument(
        "--ngff",
        choices=("0.5", "0.4"),
        default="0.5",
        help="version of OME-Zarr; 0.4 (Zarr 2, a file a chunk) is for older readers",
    )
    c = command(
        "verify",
        verify,
        "compare every pixel of an OME-Zarr with its source",
        "slidebox verify cells.ome.zarr cells.czi",
    )
    c.add_argument("zarr", type=Path, metavar="IMAGE.ome.zarr")
    c.add_argument("source", type=Path, metavar="SOURCE")
    c.add_argument("--series", type=int, default=0, metavar="N", help="from 0 (default: 0)")


def convert(a) -> int:
    from slidebox import images

    if not a.image.exists():
        raise CannotRun(f"{a.image}: no such file")
    if a.out.exists():
        raise CannotRun(f"{a.out} exists; choose another name or remove it")
    memory = size(a.memory)
    try:
        derived = images.convert(
            a.image,
            a.out,
            series=a.series,
            memory=memory,
            threads=a.threads,
            recipe=images.Recipe(ngff=a.ngff),
            progress=progress("converting"),
        )
    except images.Busy:
        raise CannotRun(f"{a.out} is being written by another process") from None
    except images.UnreadableImage as error:
        print(f"slidebox: {error}", file=sys.stderr)
        return FINDINGS
    shape = " x ".join(map(str, derived.shape))
    print(f"{a.out}: {derived.axes} {shape} {derived.dtype}, every plane verified")
    return FINE


def verify(a) -> int:
    from slidebox import images

    for path in (a.zarr, a.source):
        if not path.exists():
            raise CannotRun(f"{path}: no such file")
    try:
        findings = images.verify(a.zarr, a.source, a.series)
    except images.UnreadableImage as error:
        raise CannotRun(str(error)) from None
    print_findings(findings)
    if not findings:
        print(f"{a.zarr} holds the pixels of {a.source}")
    return FINDINGS if findings else FINE
