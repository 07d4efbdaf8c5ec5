"""Files are whole or absent, and what a killed process left can be told and swept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from slidebox import atomic


def test_an_error_leaves_the_old_file_and_no_debris(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_json(path, {"a": 1})

    def failing():
        with atomic.replacing(path) as handle:
            handle.write("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        failing()
    assert path.read_text() == '{\n  "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_a_killed_process_was_writing_is_swept_and_nothing_else(tmp_path):
    code = (
        "import sys, time; from slidebox import atomic\n"
        f"with atomic.replacing({str(tmp_path / 'a.json')!r}) as handle:\n"
        "    print('open', flush=True); time.sleep(60)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"open\n"
    (tmp_path / "keep.tmp").write_text("a user's own")
    atomic.sweep(tmp_path)
    assert len(os.listdir(tmp_path)) == 2  # the writer lives
    writer.send_signal(signal.SIGKILL)
    # Dead, but nobody has asked for its status yet: some machines' init takes its time.
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)
    atomic.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["keep.tmp"]
    writer.wait()


def test_folders_of_views_are_swept_too(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = atomic.owner().rpartition("-")[0]
    (tmp_path / f"view-{host}-{dead.pid}-abc").mkdir()
    (tmp_path / f"view-{atomic.owner()}-abc").mkdir()
    (tmp_path / f"view-elsewhere-{dead.pid}-abc").mkdir()
    (tmp_path / f".a.json.container-{os.getpid()}.abc.tmp").write_text("h")
    (tmp_path / f".b.json.container-{os.getpid()}.abc.tmp").write_text("h")
    # Another host's: nobody has written it for two days, in one case.
    before = time.time() - 2 * atomic.DAY
    for name in (f".a.json.container-{os.getpid()}.abc.tmp", f"view-elsewhere-{dead.pid}-abc"):
        os.utime(tmp_path / name, (before, before))
    atomic.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(
        [
            f"view-{atomic.owner()}-abc",
            f"view-elsewhere-{dead.pid}-abc",
            f".b.json.container-{os.getpid()}.abc.tmp",
        ]
    )


def test_the_umask_is_followed_and_never_set(tmp_path, monkeypatch):
    """It belongs to the process: whoever sets it to ask for it opens what other threads write."""
    before = os.umask(0o027)
    set_umask, calls = os.umask, []
    monkeypatch.setattr(os, "umask", lambda mask: calls.append(mask) or set_umask(mask))
    try:
        atomic.write_text(tmp_path / "a", "x")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
        assert calls == []
    finally:
        set_umask(before)


@pytest.mark.parametrize("late", [False, True], ids=["alone", "another was first"])
def test_what_moves_to_another_disk_is_copied_whole(tmp_path, late):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second disk (/dev/shm) on this machine")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        source, target = Path(other) / "a.ome.zarr", tmp_path / "a.ome.zarr"
        (source / "0" / "c").mkdir(parents=True)
        (source / "0" / "c" / "0").write_bytes(b"pixels")
        (source / "zarr.json").write_text("{}")
        if late:
            shutil.copytree(source, target)
        atomic.move(source, target)
        assert sorted(p.name for p in target.rglob("*")) == ["0", "0", "c", "zarr.json"]
        assert (target / "0" / "c" / "0").read_bytes() == b"pixels"
        assert os.listdir(tmp_path) == ["a.ome.zarr"] and not source.exists()
        with pytest.raises(FileNotFoundError):
            atomic.move(source, tmp_path / "b.ome.zarr")
