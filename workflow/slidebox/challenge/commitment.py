"""The commitment to hidden truth: digests of its pixels, and keys that only the organiser holds."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from . import pixels


def challenge_key(folder: Path, version: str) -> bytes:
    """Key of a version, derived from the challenge's secret, which is made on first use."""
    path = folder / "secret.key"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as handle:
            handle.write(secrets.token_hex(32) + "\n")
    master = bytes.fromhex(path.read_text().strip())
    return hmac.digest(master, f"slidebox release {version}".encode(), "sha256")


def commitment(key: bytes, slug: str, version: str, row: dict[str, str]) -> str:
    message = f"{slug}\n{version}\n{row['id']}\n{row['sha256']}"
    return hmac.digest(key, message.encode(), "sha256").hex()


def truth_digest(path: Path) -> str:
    """The digest of a truth that truth.csv has: of pixels, of points, or of frames and tracks."""
    if path.suffix == ".csv":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if path.is_dir():
        total = hashlib.sha256()
        for frame in sorted((path / "TRA").glob("man_track*.tif")):
            total.update(_pixels(frame).encode())
        text = (path / "TRA" / "man_track.txt").read_text("ascii")
        return hashlib.sha256((total.hexdigest() + text).encode()).hexdigest()
    return _pixels(path)


def _pixels(path: Path) -> str:
    with pixels.opened(path) as source:
        tally = pixels.Tally(source.shape, source.dtype)
        for _ in tally.pass_on(source.planes()):
            pass
        return tally.hexdigest()
