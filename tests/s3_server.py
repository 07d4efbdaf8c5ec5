"""A real S3 server for the tests: OpenStack Swift with its S3 API, on loopback.

It is installed once, from its own hashed lock, into ``.venv-swift/``: nothing of it is a dependency
of Slidebox. ``SLIDEBOX_TEST_S3`` (``http://key:secret@host:port/bucket``) names another server,
which is then used instead. The fixture ``s3_server`` hands the server to tests.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "swift.txt"
VENV = ROOT / ".venv-swift"
LAUNCHER = Path(__file__).with_name("s3_swift.py")
INSTALL = 300  # seconds; takes 10
START = 60  # seconds; takes 2


class CannotServe(Exception):
    """This machine can't have the server, through no fault of Slidebox; the message says why."""


@dataclass(frozen=True)
class S3Server:
    """Where the server is and who may write there; ``bucket`` is one that tests may fill."""

    endpoint: str
    key: str
    secret: str
    bucket: str = "slidebox-tests"
    region: str | None = None

    def options(self) -> dict[str, Any]:
        """What s3fs takes, and so ``slidebox.vault.store_at``."""
        client = {"endpoint_url": self.endpoint}
        if self.region:
            client["region_name"] = self.region
        return {"key": self.key, "secret": self.secret, "client_kwargs": client}


def named(url: str) -> S3Server:
    """The server of ``http://key:secret@host:port/bucket``."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    if not (parts.scheme in ("http", "https") and place and parts.username and parts.password):
        raise ValueError("SLIDEBOX_TEST_S3 is not like http://key:secret@host:port/bucket")
    return S3Server(
        f"{parts.scheme}://{place}",
        unquote(parts.username),
        unquote(parts.password),
        parts.path.strip("/") or S3Server.bucket,
    )


def installed() -> Path:
    """The Python of ``.venv-swift``, made from the lock when it isn't yet."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    stamp = VENV / f"{digest}-{version}.stamp"
    python = VENV / "bin" / "python"
    with LOCK.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once make it once
        if stamp.exists() and python.exists():
            return python
        beside = Path(sys.executable).with_name("uv")
        uv = str(beside) if beside.exists() else shutil.which("uv")
        if not uv:
            raise CannotServe("uv, which installs Swift, is not there (make setup-dev brings it)")
        _uv(uv, "venv", "--clear", "--python", sys.executable, str(VENV))
        _uv(uv, "pip", "install", "--python", str(python), "--only-binary", ":all:",
            "--compile-bytecode", "--require-hashes", "-r", str(LOCK))  # fmt: skip
        stamp.touch()
    return python


def _uv(uv: str, *arguments: str) -> None:
    what = "Swift, the S3 server of the tests, could not be installed"
    command = [uv, "--quiet", "--color", "never", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL)
    except subprocess.TimeoutExpired:
        raise CannotServe(f"{what} within {INSTALL} seconds") from None
    if done.returncode:
        said = f"{what}: {' '.join(done.stderr.split())}"
        raise RuntimeError(said) if "Hash mismatch" in said else CannotServe(said)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """Swift with its data in ``folder``, an empty one, until the block ends."""
    key, secret = "test:tester", "testing"
    log = folder / "swift.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [installed(), "-I", "-W", "ignore", LAUNCHER, folder, key, secret],
            stdin=subprocess.PIPE,  # the server ends when this does, even if we are killed
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            start_new_session=True,
        )
    stop = functools.partial(_stop, process)
    atexit.register(stop)
    try:
        ready, _, _ = select.select([process.stdout], [], [], START)
        said = json.loads(process.stdout.readline() or "{}") if ready else {}
        if "cannot" in said:
            raise CannotServe(f"Swift cannot run here: {said['cannot']}")
        if "port" not in said:
            tail = log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"Swift did not start within {START} seconds:\n{tail}")
        yield S3Server(f"http://127.0.0.1:{said['port']}", key, secret, region="us-east-1")
    finally:
        stop()
        atexit.unregister(stop)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()
