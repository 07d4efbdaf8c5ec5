"""The commitment to hidden truth: digests of its pixels, and keys that only the organiser holds."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from ..atomic import fsync_dir, owner
from ..images import UnreadableImage
from . import pixels

BYTES = 32  # of the challenge's secret


class KeyDamaged(ValueError):
    """The file of the challenge's secret doesn't hold one."""


def challenge_key(folder: Path, version: str) -> bytes:
    """Key of a version, derived from the challenge's secret, which is made on first use.

    Raises
    ------
    KeyDamaged
        The secret was cut short or changed: whoever guesses an empty one could find the truth.
    """
    path = folder / "secret.key"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, and never readable for others
        made = folder / f".secret.key.{owner()}.tmp"
        made.unlink(missing_ok=True)
        fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as handle:
            handle.write(secrets.token_hex(BYTES) + "\n")
            handle.flush()
            os.fsync(handle.fileno())
        made.rename(path)
        fsync_dir(folder)
    try:
        master = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        master = b""
    if len(master) != BYTES:
        raise KeyDamaged(f"doesn't hold the challenge's secret ({2 * BYTES} hexadecimal digits)")
    return hmac.digest(master, f"slidebox release {version}".encode(), "sha256")


def commitment(key: bytes, slug: str, version: str, row: dict[str, str]) -> str:
    message = f"{slug}\n{version}\n{row['id']}\n{row['sha256']}"
    return hmac.digest(key, message.encode(), "sha256").hex()


def truth_digest(path: Path) -> str:
    """The digest of a truth that truth.csv has: of pixels, of points, or of frames and tracks.

    That of tracking has masks twice, for tracks and for segments: when they differ, or when a file
    can't be read, it's that of nothing ("").
    """
    try:
        if path.suffix == ".csv":
            return hashlib.sha256(path.read_bytes()).hexdigest()
        if not path.is_dir():
            return _pixels(path)
        frames = [_pixels(p) for p in sorted((path / "TRA").glob("man_track*.tif"))]
        if frames != [_pixels(p) for p in sorted((path / "SEG").glob("man_seg*.tif"))]:
            return ""
        total = hashlib.sha256("".join(frames).encode()).hexdigest()
        text = (path / "TRA" / "man_track.txt").read_text("ascii")
        return hashlib.sha256((total + text).encode()).hexdigest()
    except (OSError, ValueError, UnreadableImage):
        return ""


def _pixels(path: Path) -> str:
    with pixels.opened(path) as source:
        tally = pixels.Tally(source.shape, source.dtype)
        for _ in tally.pass_on(source.planes()):
            pass
        return tally.hexdigest()
