"""The writer is killed, or its disk fails, at every change that it makes; nothing is lost.

Every change goes through `slidebox.vault.disk`, which lets these tests count them and strike at
number k, for every k.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal

import pytest
from ocfl.validator import Validator
from vault_helpers import USER, contents, deposit, judge

from slidebox.vault import Vault, VaultError, disk, intake

# The child of a fork only writes files, then ends; it takes none of the parent's locks.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

META = {"record.json": b'{"title": "x"}'}
FIRST = {"a/1.tif": b"1" * 500, "a/2.tif": b"2" * 500, "same": b"2" * 500, "gone": b"g"}
SECOND = {"a/1.tif": b"changed", "a/2.tif": b"2" * 500, "same": b"2" * 500, "b/new": b"n"}
BIG = b"big" * 1000


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    """Files of 3,000 bytes take the way of large files: decided on first, copied in pieces."""
    monkeypatch.setattr(intake, "SMALL", 1000)
    monkeypatch.setattr(intake, "BUFFER", 1024)


def write(root, folder, files, **more):
    rows = deposit(folder, files, empty=("e",))
    more.setdefault("meta", META)
    return Vault(root, wait=1).commit(
        "S-1", folder, rows, message="m", user=USER, threads=1, **more
    )


def update(root, folder):
    return write(root, folder, {**SECOND, "big": BIG})


def count(job) -> list[str]:
    """The changes that a job makes."""
    changes: list[str] = []
    disk.watch(lambda op, path: changes.append(op))
    try:
        job()
    finally:
        disk.watch(None)
    return changes


def killed(job, number: int, torn: bool = False) -> None:
    """Do a job in a process of its own that is killed before its change ``number`` (from 0).

    torn: the change is done by half first, when it is a write.
    """
    child = os.fork()
    if child == 0:
        seen = 0
        real = os.write

        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        def half(fd, data):
            real(fd, bytes(data[: len(data) // 2]))
            die()

        def hook(op, path):
            nonlocal seen
            if seen == number:
                if torn and op == "write":
                    os.write = half
                else:
                    die()
            seen += 1

        disk.watch(hook)
        try:
            job()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the job ended before it was killed"


def failing(job, number: int, code: int, lasting: bool) -> bool:
    """Do a job whose change ``number`` fails (or all from there on); whether it succeeded."""
    seen = 0

    def hook(op, path):
        nonlocal seen
        seen += 1
        needs_room = op in ("mkdir", "create", "write", "rename", "fsync")
        if seen == number + 1 or (lasting and seen > number and needs_room):
            raise OSError(code, os.strerror(code), path)

    disk.watch(hook)
    try:
        job()
    except VaultError as reason:
        assert all(f.code in ("VAULT_FULL", "VAULT_IO") and f.mend for f in reason.findings)
        return False
    finally:
        disk.watch(None)
    return True


def old_bytes(root) -> dict[str, bytes]:
    """Version 1 read with nothing but its own inventory: what anyone could restore by hand."""
    folder = root / "urn%3aslidebox%3aS-1"
    inventory = json.loads((folder / "v1/inventory.json").read_bytes())
    found = {}
    for digest, logical in inventory["versions"]["v1"]["state"].items():
        data = (folder / inventory["manifest"][digest][0]).read_bytes()
        assert hashlib.sha512(data).hexdigest() == digest
        found |= dict.fromkeys(logical, data)
    return {p.removeprefix("data/"): d for p, d in found.items() if p.startswith("data/")}


def template(tmp_path, name="before"):
    """A vault with version 1."""
    write(tmp_path / name, tmp_path / "in1", FIRST)
    return tmp_path / name


def copy(source, target):
    import shutil

    shutil.copytree(source, target, symlinks=True)
    return target


def check_create(root, tmp_path):
    """After a struck create: no object or a valid one; then any command; then it can be done."""
    folder = root / "urn%3aslidebox%3aS-1"
    if folder.exists():
        assert Validator().validate_object(str(folder))
    vault = Vault(root)
    if root.exists() and any(root.iterdir()):
        there = vault.accessions() if vault.root.exists() else []
        if there:
            assert contents(vault, "S-1") == FIRST
        if vault.root.exists():
            judge(root)
    done = write(root, tmp_path / "in1", FIRST)
    assert done.version == 1
    assert contents(vault, "S-1") == FIRST
    judge(root)


def check_update(root, tmp_path):
    """After a struck update: version 1 is there by hand; any command makes it whole, old or new."""
    assert old_bytes(root) == FIRST
    vault = Vault(root)
    head = vault.head("S-1")  # a command of any kind
    judge(root)
    assert contents(vault, "S-1", 1) == FIRST
    wanted = {**SECOND, "big": BIG}
    if head == 2:
        assert contents(vault, "S-1", 2) == wanted
    else:
        assert head == 1
    done = update(root, tmp_path / "in2")
    assert done.version == 2 and done.new == (head == 1)
    assert contents(vault, "S-1") == wanted
    assert contents(vault, "S-1", 1) == FIRST
    judge(root)
    return head


@pytest.mark.parametrize("torn", [False, True])
def test_killed_at_every_change_of_a_create(tmp_path, torn):
    changes = count(lambda: write(tmp_path / "whole", tmp_path / "in1", FIRST))
    assert len(changes) > 60
    for number, op in enumerate(changes):
        if torn and op != "write":
            continue
        root = tmp_path / f"vault{number}"
        killed(lambda root=root: write(root, tmp_path / "in1", FIRST), number, torn)
        check_create(root, tmp_path)


@pytest.mark.parametrize("torn", [False, True])
def test_killed_at_every_change_of_an_update(tmp_path, torn):
    before = template(tmp_path)
    whole = copy(before, tmp_path / "whole")
    changes = count(lambda: update(whole, tmp_path / "in2"))
    heads = []
    for number, op in enumerate(changes):
        if torn and op != "write":
            continue
        root = copy(before, tmp_path / f"vault{number}")
        killed(lambda root=root: update(root, tmp_path / "in2"), number, torn)
        heads.append(check_update(root, tmp_path))
    assert heads == sorted(heads)  # once decided, it stays decided
    assert {1, 2} <= set(heads) or torn


def test_killed_again_while_recovering(tmp_path):
    """The command that ends an update is itself killed, at each of its changes."""
    before = template(tmp_path)
    changes = count(lambda: update(copy(before, tmp_path / "whole"), tmp_path / "in2"))
    decided = len(changes) - changes[::-1].index("write")  # the journal's is the last write
    struck = copy(before, tmp_path / "struck")
    killed(lambda: update(struck, tmp_path / "in2"), decided + 3)
    assert list((struck / "extensions/slidebox-vault/journal").iterdir())
    ending = count(lambda: Vault(copy(struck, tmp_path / "ended")).accessions())
    assert len(ending) > 8
    for number in range(len(ending)):
        root = copy(struck, tmp_path / f"again{number}")
        killed(lambda root=root: Vault(root).accessions(), number)
        assert check_update(root, tmp_path) == 2


FAILURES = pytest.mark.parametrize(
    ("code", "lasting"),
    [
        (errno.ENOSPC, True),
        pytest.param(errno.EIO, False, marks=pytest.mark.slow),
        pytest.param(errno.ENOSPC, False, marks=pytest.mark.slow),
        pytest.param(errno.EIO, True, marks=pytest.mark.slow),
    ],
)


@FAILURES
def test_the_disk_fails_at_every_change_of_a_create(tmp_path, code, lasting):
    changes = count(lambda: write(tmp_path / "whole", tmp_path / "in1", FIRST))
    for number in range(len(changes)):
        root = tmp_path / f"vault{number}"
        failing(lambda root=root: write(root, tmp_path / "in1", FIRST), number, code, lasting)
        check_create(root, tmp_path)


@FAILURES
def test_the_disk_fails_at_every_change_of_an_update(tmp_path, code, lasting):
    before = template(tmp_path)
    changes = count(lambda: update(copy(before, tmp_path / "whole"), tmp_path / "in2"))
    for number in range(len(changes)):
        root = copy(before, tmp_path / f"vault{number}")
        failing(lambda root=root: update(root, tmp_path / "in2"), number, code, lasting)
        check_update(root, tmp_path)


def test_a_failed_write_leaves_nothing_behind_by_itself(tmp_path):
    """When the disk is only full, the staged copy goes at once: the room is needed."""
    before = template(tmp_path)
    changes = count(lambda: update(copy(before, tmp_path / "whole"), tmp_path / "in2"))
    number = len(changes) // 2
    failing(lambda: update(before, tmp_path / "in2"), number, errno.ENOSPC, True)
    judge(before)


def test_readers_of_an_unfinished_update_who_may_not_write(tmp_path, monkeypatch):
    """At every moment of publication a reader that can't recover gets a whole version."""
    before = template(tmp_path)
    changes = count(lambda: update(copy(before, tmp_path / "whole"), tmp_path / "in2"))
    for number in range(len(changes) - 30, len(changes)):
        root = copy(before, tmp_path / f"vault{number}")
        killed(lambda root=root: update(root, tmp_path / "in2"), number)
        vault = Vault(root)

        def refuse(*_, **__):
            raise OSError(errno.EROFS, "read-only")

        monkeypatch.setattr(vault.root, "recover", refuse)
        assert contents(vault, "S-1", 1) == FIRST
        assert contents(vault, "S-1") in (FIRST, {**SECOND, "big": BIG})
