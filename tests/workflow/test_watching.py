"""`slidebox status --watch` in a terminal, and `slidebox plan` as people read it."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time

from archive_user import minimal

from slidebox import deposit


def announced(archive, accession: str, size: int) -> None:
    """A submission whose header says so many bytes: what status and plan go by."""
    folder = archive.folder / "inbox" / accession
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text(minimal(accession), encoding="utf-8")
    deposit.write_ready(folder, accession)
    header, *rest = (folder / ".ready").read_text(encoding="utf-8").splitlines(keepends=True)
    header = json.dumps({**json.loads(header), "bytes": size}) + "\n"
    (folder / ".ready").write_text("".join([header, *rest]), encoding="utf-8")


def test_a_terminal_shows_news_until_ctrl_c(archive):
    announced(archive, "SB-FIRST", 10)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "slidebox.cli", "status", "--watch", "0.2"]
    env = {**os.environ, "COLUMNS": "160", "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(
        [*command, "--directory", str(archive.folder)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=env,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            _read_until(ours, "SB-FIRST")
            announced(archive, "SB-SECOND", 10)
            _read_until(ours, "SB-SECOND")
            process.send_signal(signal.SIGINT)
            said = _read_until(ours, None)
            assert process.wait(60) == 0
        finally:
            if process.poll() is None:
                process.kill()
            os.close(ours)
    assert "Traceback" not in said
    assert "\x1b[?25h" in said  # the cursor is back


def _read_until(terminal: int, word: str | None, seconds: float = 300) -> str:
    """What the terminal shows up to a word, or to its end."""
    said, end = "", time.monotonic() + seconds
    while word is None or word not in said:
        assert time.monotonic() < end, said
        try:
            read = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            read = b""
        if not read:
            assert word is None, said
            break
        said += read.decode(errors="replace")
    return said


def test_a_submission_that_is_not_there_is_not_watched(archive):
    here = ("--directory", str(archive.folder))
    done = archive.slidebox("status", "SB-NONE", "--watch", *here, check=False)
    assert done.returncode == 2
    assert "SB-NONE: no such submission" in done.stderr


def test_plan_says_what_fits_and_what_does_not(archive):
    here = ("--directory", str(archive.folder))
    announced(archive, "SB-FITS", 1000)
    done = archive.slidebox("plan", "--cores", "4", *here)
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("SB-FITS")]
    assert row.split()[-1] == "yes"
    assert "on 4 cores" in done.stdout
    announced(archive, "SB-HUGE", 10**16)
    done = archive.slidebox("plan", "--cores", "4", *here, check=False)
    assert done.returncode == 1
    assert "does not fit: SB-HUGE needs up to" in " ".join(done.stdout.split())


def test_cancel_and_retry_of_what_waits(archive):
    """Nothing runs: cancelled, said so, passed over, put back; what is unknown is refused."""
    here = ("--directory", str(archive.folder))
    announced(archive, "SB-FIRST", 10)

    def state() -> str:
        (row,) = json.loads(archive.slidebox("status", "--json", *here).stdout)
        return row["state"]

    archive.slidebox("cancel", "SB-FIRST", *here)
    assert state() == "cancelled"
    archive.slidebox("retry", "SB-FIRST", "--memory", "64GB", *here)
    assert state() == "pending"
    for words in (("cancel", "SB-NONE"), ("retry", "SB-NONE"), ("retry", "SB-FIRST", "--memory=x")):
        assert archive.slidebox(*words, *here, check=False).returncode == 2
