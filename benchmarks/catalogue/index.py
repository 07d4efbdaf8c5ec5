"""What the archive's index costs: N studies with M images each.

    python benchmarks/catalogue/index.py --studies 2000 --images 100

Writes the studies' cards and table parts (what each study's own job does) to a temporary folder,
then measures ``build_index`` in a process of its own: CPU seconds, peak memory, and the floor,
which is to read the cards and the parts once. Then again for one more study, some times over, with
the bytes that a publication to a bucket would have to send beside the study's own.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [
    "mitosis",
    "actin",
    "tubulin",
    "membrane",
    "nucleus",
    "spindle",
    "cortex",
    "retina",
    "kidney",
    "embryo",
]
ORGANISMS = ["Homo sapiens", "Mus musculus", "Danio rerio", "Drosophila melanogaster"]


def make(root: Path, studies: int, images: int) -> None:
    """A few real parts, then copies of them under other names with cards of their own."""
    from slidebox.catalogue import tables
    from slidebox.catalogue.listing import write_lists
    from slidebox.catalogue.search import write_card

    parts = root / "parts"
    for number in range(studies):
        accession = f"SB-{number:06d}"
        folder = root / "site" / accession
        folder.mkdir(parents=True)
        study = {
            "accession": accession,
            "version": 1,
            "release_date": f"20{10 + number % 17}-01-{1 + number % 28:02d}",
            "record": {
                "title": f"{WORDS[number % 10]} and {WORDS[number // 10 % 10]} {number}",
                "description": " ".join(f"{w}{number % 997}" for w in WORDS * 8),
                "license": "CC0-1.0",
                "keywords": [WORDS[number % 10]],
                "authors": [{"name": f"Author {number % 3000}"}],
                "biosamples": [{"name": "b", "organism": [{"name": ORGANISMS[number % 4]}]}],
            },
            "images": [
                {
                    "id": f"{number}-{i}",
                    "path": f"images/{WORDS[i % 10]}_{i:05d}.tif",
                    "zarr": f"images/{number}-{i}.ome.zarr",
                    "thumbnail": f"images/{number}-{i}.png",
                    "axes": "czyx",
                    "shape": [3, 10, 1024, 1024],
                    "channels": [{"name": "DAPI"}, {"name": "GFP"}],
                    "labels": [{"name": "nuclei"}] if number % 3 else [],
                }
                for i in range(images)
            ],
            "files": {"count": images, "bytes": images * 10**7},
        }
        (folder / "study.json").write_text("{}")
        write_card(study, folder)
        if number == 0:
            files = (
                {"path": i["path"], "size": 1, "sha256": "0" * 64, "version": 1}
                for i in study["images"]
            )
            write_lists(parts, files)
            tables.write_parts(study, parts / "files.tsv", parts / "tables")
        retell(parts / "tables", folder / "tables", accession)


def retell(source: Path, target: Path, accession: str) -> None:
    """The tables of a study under another name, with digests of its own."""
    import pyarrow as pa

    target.mkdir()
    for path in sorted(source.glob("*.arrow")):
        with pa.OSFile(str(path)) as file:
            table = pa.ipc.open_file(file).read_all()
        values = {"accession": [accession] * table.num_rows}
        for column in {"id", "image", "sha256", "zarr", "thumbnail"} & set(table.column_names):
            digest = hashlib.sha256(f"{accession} {column}".encode())
            own = []
            for value in table[column].to_pylist():
                digest.update(b"next")
                held = digest.hexdigest()
                own.append(held if column == "sha256" else f"{accession}/{held[:8]}/{value}")
            values[column] = own
        for column, own in values.items():
            field = table.schema.field(column)
            at = table.schema.get_field_index(column)
            table = table.set_column(at, field, pa.array(own, field.type))
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        file = str(target / path.name)
        with pa.OSFile(file, "wb") as to, pa.ipc.new_file(to, table.schema, options=options) as out:
            out.write_table(table)


def add(site: Path, number: int) -> None:
    """One more study: the copy of another, under a name of its own, the newest."""
    import json

    name = f"SB-NEW{number}"
    shutil.copytree(site / "SB-000000", site / name)
    shutil.rmtree(site / name / "tables")
    retell(site / "SB-000000" / "tables", site / name / "tables", name)
    card = json.loads((site / name / "card.json").read_text())
    card |= {"accession": name, "date": "2027-01-01", "state": name}
    (site / name / "card.json").write_text(json.dumps(card))


def published(site: Path) -> dict[str, tuple]:
    """What is public of the index: a digest, the size, and of what it is made, by address."""
    from slidebox.catalogue import pieces

    files = [p for p in (*site.iterdir(), *site.glob("catalogue/**/*")) if p.is_file()]
    found = {}
    for path in files:
        name = str(path.relative_to(site))
        if not any(part.startswith(".") for part in path.relative_to(site).parts):
            with path.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            found[name] = (digest, path.stat().st_size, pieces.read(path))
    return found


def to_send(before: dict[str, tuple], after: dict[str, tuple]) -> int:
    """Bytes that a bucket lacks."""
    from slidebox.publish import compose

    count = 0
    for name, (digest, size, made_of) in after.items():
        was = before.get(name)
        if was and was[0] == digest:
            continue
        large = was and was[2] and made_of and size > compose.LEAST
        parts = compose.plan(was[2], made_of, size) if large else None
        count += sum(part.size for part in parts if part.source is None) if parts else size
    return count


MEASURE = """
import resource, sys, time
from pathlib import Path
from slidebox.catalogue import build_index
site = Path(sys.argv[1])
build_index(sorted(site.glob("*/study.json")), [], site)
use = resource.getrusage(resource.RUSAGE_SELF)
print(use.ru_utime + use.ru_stime, use.ru_maxrss / 1024)
"""

IMPORTS = """
import resource
from slidebox.catalogue import build_index
use = resource.getrusage(resource.RUSAGE_SELF)
print(use.ru_utime + use.ru_stime, use.ru_maxrss / 1024)
"""

FLOOR = """
import json, resource, sys
from pathlib import Path
import pyarrow as pa
site = Path(sys.argv[1])
for folder in sorted(site.iterdir()):
    if (folder / "card.json").exists():
        json.loads((folder / "card.json").read_text())
        for part in (folder / "tables").glob("*.arrow"):
            pa.ipc.open_file(str(part)).read_all()
use = resource.getrusage(resource.RUSAGE_SELF)
print(use.ru_utime + use.ru_stime, use.ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--more", type=int, default=9, help="studies that come one by one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make(root, given.studies, given.images)
        site = root / "site"

        def run(name: str, code: str) -> float:
            start = time.perf_counter()
            command = [sys.executable, "-c", code, str(site)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            cpu, memory = map(float, done.stdout.split())
            wall = time.perf_counter() - start
            print(f"{name:12} {cpu:8.2f} CPU s {wall:8.2f} s {memory:8.0f} MB")
            return cpu

        run("imports", IMPORTS)
        run("floor", FLOOR)
        run("build_index", MEASURE)
        sent, cpu = [], []
        held = published(site)
        for number in range(given.more):
            add(site, number)
            cpu.append(run("one more", MEASURE))
            before, held = held, published(site)
            sent.append(to_send(before, held))
        if sent:
            print(f"one more, {len(sent)} times: {sum(cpu) / len(cpu):.2f} CPU s, "
                  f"{sum(sent) / len(sent):,.0f} bytes to send, at most {max(sent):,}")  # fmt: skip
        search = root / "site" / "catalogue" / "search"
        sizes = sorted(p.stat().st_size for p in search.rglob("*") if p.is_file())
        print(f"search: {len(sizes)} files, {sum(sizes):,} bytes, largest {sizes[-1]:,}")


if __name__ == "__main__":
    main()
