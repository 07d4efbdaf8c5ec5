"""For readers: fetch the files of a study, search across studies."""

from __future__ import annotations

import itertools
import json
import shlex
import sys
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    print_findings,
    progress,
)


def register(command: Command) -> None:
    c = command(
        "fetch",
        fetch,
        "download the files of a study, verified, going on where it was interrupted",
        "slidebox fetch http://127.0.0.1:8000/SB-LAPSE/ SB-LAPSE\n"
        "slidebox fetch URL DEST --select '*.czi' --select Nuclei\n"
        "slidebox fetch URL DEST --manifest selection.txt",
    )
    c.add_argument(
        "url",
        metavar="URL",
        help="address of a study's page or of one version's; with a manifest of `slidebox search` "
        "the site's own",
    )
    c.add_argument("dest", type=Path, metavar="DEST")
    c.add_argument(
        "--select",
        action="append",
        default=[],
        metavar="PATTERN",
        help="paths that match, or the name of a part; may be given again",
    )
    c.add_argument("--manifest", type=Path, metavar="FILE", help="only what this sha256 list has")
    c.add_argument("--threads", type=int, default=4, metavar="N", help="default: 4")
    c = command(
        "search",
        search,
        "find images across studies; a manifest of their files on request",
        "slidebox search nuclei --annotated --licence CC0-1.0\n"
        "slidebox search mitosis --organism 'Homo sapiens' --catalogue URL --manifest files.txt\n"
        "slidebox fetch URL DEST --manifest files.txt",
    )
    c.add_argument("query", nargs="*", metavar="WORD", help="words of the image or its study")
    c.add_argument(
        "--catalogue", default="public", help="a site's folder or address (default: public)"
    )
    c.add_argument("--organism", help="part of a name, or human, mouse, zebrafish ...")
    c.add_argument("--method", help="imaging method, part of a name")
    c.add_argument("--licence", help="SPDX identifier, such as CC0-1.0")
    c.add_argument("--annotated", action="store_const", const=True, help="with label images")
    c.add_argument("--json", action="store_true", help="all that the catalogue says, for scripts")
    c.add_argument("--manifest", type=Path, metavar="FILE", help="write the files' sha256 list")
    c.add_argument("--csv", type=Path, metavar="FILE", help="write the images for a spreadsheet")


def fetch(a) -> int:
    from slidebox import catalogue

    try:
        done = catalogue.fetch(
            a.url,
            a.dest,
            select=a.select,
            manifest=a.manifest,
            threads=a.threads,
            progress=progress("downloading"),
        )
    except (catalogue.CannotFetch, OSError, ValueError) as error:
        raise CannotRun(str(error)) from None
    print_findings(done.findings)
    told = f"{done.fetched} files fetched, {done.present} were there, {done.bytes:,} bytes"
    print(f"{told}, every digest verified")
    return FINDINGS if done.findings else FINE


def search(a) -> int:
    from slidebox import atomic, catalogue
    from slidebox.catalogue.listing import manifest_line
    from slidebox.catalogue.sheet import write_csv
    from slidebox.catalogue.tables import SCHEMAS

    where = {"organism": a.organism, "method": a.method, "licence": a.licence}
    try:
        found = list(
            catalogue.find_images(a.catalogue, " ".join(a.query), annotated=a.annotated, **where)
        )
        files = list(catalogue.files_of(a.catalogue, found)) if a.manifest else []
    except OSError as error:
        raise CannotRun(f"{a.catalogue}: no catalogue can be read there ({error})") from None
    if a.json:
        json.dump(found, sys.stdout, indent=1, default=str)
        print()
    else:
        for accession, images in itertools.groupby(found, key=lambda row: row["accession"]):
            for row in images:
                print(f"{accession}\t{row['id']}\t{row['path']}")
    if a.csv:
        write_csv(a.csv, SCHEMAS["images"].names, found)
    if a.manifest:
        with atomic.replacing(a.manifest, "wb") as out:
            for row in files:
                line = manifest_line(f"{row['accession']}/{row['path']}", row["sha256"])
                out.write(line.encode("utf-8", "surrogateescape"))
        if a.catalogue.startswith(("http://", "https://")):
            said = f"slidebox fetch {shlex.quote(a.catalogue)} DEST --manifest "
            print(said + shlex.quote(str(a.manifest)), file=sys.stderr)
    print(f"{len(found)} images", file=sys.stderr)
    return FINE if found else FINDINGS
