"""What the vault costs, as ratios to a floor measured in the same run.

    python benchmarks/vault/vault.py                    2 GiB: one file of 1 GiB, 2,000 of 0.5 MiB
    python benchmarks/vault/vault.py --small            100,000 files of 2 KiB, and the memory
    python benchmarks/vault/vault.py --update           a version that adds one file to 2 GiB

The floor of writing is the least that does the job: one read, copied, sha512 and sha256, fsync of
every file, in two threads. That of verifying is hashlib's sha512 in two threads. bagit and ocfl-py
run beside, where they are installed. Medians over --rounds, everything in the page cache.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 1 << 20


def fill(path: Path, size: int, seed: int) -> None:
    """A file of bytes that no other file has."""
    block = hashlib.shake_256(seed.to_bytes(8, "little")).digest(min(size, BLOCK) or 1)
    with path.open("wb") as out:
        for number in range(0, size, BLOCK):
            piece = block[: min(BLOCK, size - number)]
            out.write(number.to_bytes(8, "little") + piece[8:] if number else piece)


def make(folder: Path, sizes: list[int]) -> list[tuple[str, int, int]]:
    """A submission of files of these sizes, 100 a folder; its list."""
    rows = []
    for number, size in enumerate(sizes):
        path = folder / f"{number // 100:04d}" / f"{number:06d}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        fill(path, size, number)
        rows.append((str(path.relative_to(folder)), size, path.stat().st_mtime_ns))
    return rows


def floor_write(source: Path, rows: list, target: Path) -> None:
    """Copy, sha512 and sha256, fsync: one read, two threads."""
    for parent in sorted({str(Path(path).parent) for path, *_ in rows}):
        (target / parent).mkdir(parents=True)

    def one(row: tuple) -> tuple[str, str]:
        long, short = hashlib.sha512(), hashlib.sha256()
        buffer = memoryview(bytearray(BLOCK))
        with (source / row[0]).open("rb", 0) as read, (target / row[0]).open("xb", 0) as write:
            while count := read.readinto(buffer):
                long.update(buffer[:count])
                short.update(buffer[:count])
                write.write(buffer[:count])
            os.fsync(write.fileno())
        return long.hexdigest(), short.hexdigest()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, rows))


def floor_verify(source: Path, rows: list) -> None:
    """sha512 of every file, two threads."""

    def one(row: tuple) -> str:
        digest = hashlib.sha512()
        buffer = memoryview(bytearray(BLOCK))
        with (source / row[0]).open("rb", 0) as read:
            while count := read.readinto(buffer):
                digest.update(buffer[:count])
        return digest.hexdigest()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, rows))


def slidebox_write(source: Path, rows: list, target: Path) -> None:
    from slidebox.vault import Vault

    Vault(target).commit(
        "S-1", source, rows, meta={"record.json": b"{}"}, message="benchmark",
        user=("Benchmark", "mailto:benchmark@example.org"),
    )  # fmt: skip


def slidebox_verify(vault: Path) -> None:
    from slidebox.vault import Vault

    report = Vault(vault).audit(everything=True)
    assert not report.findings, report.findings


def ocfl_write(source: Path, target: Path) -> None:
    import ocfl

    ocfl.Object(identifier="urn:x:1", fixity=["sha256"]).create(
        srcdir=str(source), metadata=ocfl.VersionMetadata(message="m", name="n", address="m:a"),
        objdir=str(target),
    )  # fmt: skip


def ocfl_verify(target: Path) -> None:
    from ocfl.validator import Validator

    assert Validator().validate_object(str(target))


def bagit_write(source: Path, target: Path) -> None:
    import bagit

    shutil.copytree(source, target)
    bagit.make_bag(str(target), checksums=["sha512", "sha256"], processes=2)


def bagit_verify(target: Path) -> None:
    import bagit

    bagit.Bag(str(target)).validate(processes=2)


def timed(job: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of a job."""
    os.sync()
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    job()
    return time.perf_counter() - wall, sum(os.times()[:4]) - cpu


def compare(title: str, jobs: dict[str, Callable[[int], object]], rounds: int) -> dict[str, float]:
    """Run jobs in turn, so that a busy machine is busy for all; print ratios to the first."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for number in range(rounds):
        for name, job in jobs.items():
            figures[name].append(timed(lambda job=job, number=number: job(number)))
    print(f"\n{title} (medians of {rounds})")
    print(f"{'':24}{'wall s':>9}{'CPU s':>9}{'x floor':>9}")
    walls = {name: statistics.median(w for w, _ in rows) for name, rows in figures.items()}
    first = next(iter(walls.values()))
    for name, rows in figures.items():
        cpu = statistics.median(c for _, c in rows)
        print(f"{name:24}{walls[name]:9.2f}{cpu:9.2f}{walls[name] / first:9.2f}")
    return {name: wall / first for name, wall in walls.items()}


def have(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def throughput(work: Path, sizes: list[int], rounds: int, peers: bool) -> None:
    source = work / "in"
    rows = make(source, sizes)

    def fresh(name: str, number: int) -> Path:
        shutil.rmtree(work / name, ignore_errors=True)
        return work / name

    writers = {
        "floor": lambda n: floor_write(source, rows, fresh("floor", n)),
        "slidebox": lambda n: slidebox_write(source, rows, fresh("vault", n)),
    }
    checkers = {
        "floor (hashlib sha512)": lambda n: floor_verify(source, rows),
        "slidebox": lambda n: slidebox_verify(work / "vault"),
    }
    if peers and have("ocfl"):
        writers["ocfl-py"] = lambda n: ocfl_write(source, fresh("ocfl", n))
        checkers["ocfl-py"] = lambda n: ocfl_verify(work / "ocfl")
    if peers and have("bagit"):
        writers["cp + bagit"] = lambda n: bagit_write(source, fresh("bag", n))
        checkers["bagit"] = lambda n: bagit_verify(work / "bag")
    total = sum(sizes) / (1 << 30)
    compare(f"Ingest of {total:.2f} GiB in {len(sizes):,} files", writers, rounds)
    compare(f"Verify of {total:.2f} GiB in {len(sizes):,} files", checkers, rounds)


STEPS = {
    "commit": "v.commit('S-1', s, rows, meta={'r': b'{}'}, message='m', user=('n', 'm:a'))",
    "update": "v.commit('S-1', s, [rows[0]], meta={}, message='m', user=('n','m:a'), mode='add')",
    "files": "sum(f.size for f in v.files('S-1'))",
    "audit": "v.audit(everything=True)",
    "restore": "v.restore('S-1', s.parent / 'out')",
}


def memory(work: Path) -> None:
    """The peak of each command, in a process of its own, on what is in ``work``."""
    source = work / "in"
    shutil.rmtree(work / "vault", ignore_errors=True)
    print("\nMemory (peak of a process that does only this)")
    for name, step in STEPS.items():
        if name == "update":
            changed = next(source.rglob("*.bin"))
            changed.write_bytes(b"changed")
        code = (
            "import os\nfrom pathlib import Path\nfrom slidebox.vault import Vault\n"
            f"s = Path({str(source)!r}); v = Vault(s.parent / 'vault')\n"
            "rows = []\n"
            "for top, _, names in os.walk(s):\n"
            "    for n in names:\n"
            "        i = os.stat(os.path.join(top, n))\n"
            "        rows.append((os.path.relpath(os.path.join(top, n), s), i.st_size, "
            "i.st_mtime_ns))\n"
            f"rows.sort()\nif {name!r} not in ('commit', 'update'): rows = None\n"
            f"{step}\n"
            # not ru_maxrss: a child begins with its parent's
            "rows = [r for r in open('/proc/self/status') if r.startswith('VmHWM')]\n"
            "print(int(rows[0].split()[1]) >> 10)\n"
        )
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        if out.returncode:
            print(f"{name:24}failed: {out.stderr.strip().splitlines()[-1]}")
        else:
            print(f"{name:24}{out.stdout.strip():>6} MiB{time.perf_counter() - start:9.2f} s")


def update(work: Path, sizes: list[int]) -> None:
    """Bytes read and written for a new version that adds one file of 1 MiB."""
    from slidebox.vault import Vault

    source = work / "in"
    rows = make(source, sizes)
    vault = Vault(work / "vault")
    time.sleep(1.2)  # so that the files are older than the version, to the second
    meta = {"record.json": b"{}"}
    vault.commit("S-1", source, rows, meta=meta, message="m", user=("n", "m:a"))
    extra = source / "new.bin"
    fill(extra, 1 << 20, 10**6)
    rows.append(("new.bin", 1 << 20, extra.stat().st_mtime_ns))

    def moved() -> dict[str, int]:
        text = Path("/proc/self/io").read_text().split("\n")
        return {k: int(v) for k, v in (line.split(": ") for line in text if line)}

    before = moved()
    start = time.perf_counter()
    done = vault.commit("S-1", source, rows, meta=meta, message="m", user=("n", "m:a"))
    after = moved()
    assert done.version == 2
    print(f"\nVersion 2 adds 1 MiB to {sum(sizes) / (1 << 30):.2f} GiB in {len(sizes):,} files")
    print(f"read {(after['rchar'] - before['rchar']) / 1e6:.1f} MB (inventories in it), "
          f"written {(after['wchar'] - before['wchar']) / 1e6:.1f} MB, "
          f"{time.perf_counter() - start:.2f} s")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="100,000 small files, and the memory")
    parser.add_argument("--update", action="store_true", help="what a new version costs")
    parser.add_argument("--scale", type=float, default=1.0, help="a fraction of the size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="without bagit and ocfl-py")
    parser.add_argument("--work", type=Path, help="a folder on the disk to measure")
    given = parser.parse_args()
    logging.disable(logging.INFO)  # bagit has a line for every file
    count = round(2000 * given.scale)
    mixed = [round((1 << 30) * given.scale), *[1 << 19] * count]
    with tempfile.TemporaryDirectory(dir=given.work, prefix="vault-benchmark-") as folder:
        work = Path(folder)
        if given.update:
            update(work, mixed)
        elif given.small:
            sizes = [2048] * round(100_000 * given.scale)
            throughput(work, sizes, given.rounds, not given.no_peers)
            memory(work)
        else:
            throughput(work, mixed, given.rounds, not given.no_peers)
    print(f"\npeak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    main()
