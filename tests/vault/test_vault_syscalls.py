"""Nothing changes the disk behind `slidebox.vault.disk`: the kernel's own count says so.

strace shows every system call of a commit that changes a disk. Each is killed once by strace itself
in a process of its own: the fault injection of the other tests, by other hands.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from test_vault_faults import FIRST, SECOND, check_create, check_update, template
from vault_helpers import deposit

STRACE = shutil.which("strace")
CHANGES = (
    "mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,symlink,symlinkat,link,linkat,"
    "write,pwrite64,writev,ftruncate,fsync,fdatasync,utimensat,fallocate,copy_file_range,sendfile"
)

pytestmark = [
    pytest.mark.skipif(STRACE is None, reason="strace isn't installed"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]

SCRIPT = """
import os, sys
from pathlib import Path
from slidebox.vault import Vault, disk
root, source, mark = map(Path, sys.argv[1:4])
rows = []
for top, folders, files in os.walk(source):
    for name in files:
        info = os.lstat(os.path.join(top, name))
        path = os.path.relpath(os.path.join(top, name), source)
        rows.append((path, info.st_size, info.st_mtime_ns))
    if not folders and not files:
        rows.append((os.path.relpath(top, source) + "/", 0, os.lstat(top).st_mtime_ns))
vault = Vault(root, wait=1)
seen = []
disk.watch(lambda op, path: seen.append(op))
os.access(mark, os.F_OK)  # seen in the trace: what comes before is Python's own start
vault.commit("S-1", source, sorted(rows), meta={"record.json": b'{"title": "x"}'}, message="m",
             user=("n", "mailto:a@example.org"), threads=1)
os.access(mark, os.F_OK)
print(len(seen), ",".join(seen))
"""


def run(root, source, *options):
    return subprocess.run(
        [STRACE, "-f", "-y", "-qq", *options, "--", sys.executable, "-B", "-c", SCRIPT, root,
         source, "/mark"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def changes(trace: str, folder) -> list[str]:
    """Calls between the marks that change something below a folder, as strace saw them."""
    middle = trace.split('"/mark"')[1]
    lines = [line for line in middle.splitlines() if str(folder) in line]
    names = [re.sub(r"^(\[pid +\d+\] |\d+ +)", "", line).split("(")[0] for line in lines]
    opened = [line for line in lines if "O_CREAT" in line and "EEXIST" not in line]
    return [n for n in names if n in CHANGES.split(",")] + ["create"] * len(opened)


@pytest.mark.parametrize("kind", ["create", "update"])
def test_every_change_of_the_disk_goes_through_one_module(tmp_path, kind):
    if kind == "update":
        root = template(tmp_path)
        deposit(tmp_path / "in", {**SECOND, "big": b"big" * 10_000}, empty=("e",))
    else:
        root = tmp_path / "vault"
        deposit(tmp_path / "in", FIRST, empty=("e",))
    out = tmp_path / "trace"
    done = run(root, tmp_path / "in", "-o", out, "-e", f"trace={CHANGES},openat,access,faccessat2")
    assert done.returncode == 0, done.stderr
    counted = done.stdout.split(" ", 1)[1].strip().split(",")
    seen = changes(out.read_text(), tmp_path)
    # The heartbeat and the emptying of the lock file are the two changes that go by themselves.
    extra = [name for name in seen if name in ("ftruncate", "utimensat")]
    assert len(seen) - len(extra) == len(counted)
    for ours, theirs in (("fsync", ("fsync",)), ("create", ("create",)), ("write", ("write",)),
                         ("rename", ("rename", "renameat2"))):  # fmt: skip
        assert counted.count(ours) == sum(name in theirs for name in seen), ours


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["create", "update"])
def test_killed_by_the_kernel_at_every_change(tmp_path, kind):
    before = template(tmp_path) if kind == "update" else None
    files = FIRST if kind == "create" else {**SECOND, "big": b"big" * 1000}
    source = tmp_path / ("in1" if kind == "create" else "in2")
    deposit(source, files, empty=("e",))
    struck = 0
    for call in CHANGES.split(","):
        for number in range(1, 60):  # strace counts each call of each thread by itself
            root = tmp_path / f"vault-{call}-{number}"
            if before is not None:
                shutil.copytree(before, root)
            done = run(root, source, "-o", "/dev/null", "-e", f"trace={call}",
                       "-e", f"inject={call}:signal=KILL:when={number}")  # fmt: skip
            if done.returncode == 0:
                break
            struck += 1
            (check_create if kind == "create" else check_update)(root, tmp_path)
            shutil.rmtree(root)
    assert struck > 40
