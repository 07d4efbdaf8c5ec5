"""What a release is made from, and one digest of it all."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ..scoring.release import sha256_file
from . import wheel
from .reading import Invalid, load


def release_key(folder: Path | str, public: Path | str) -> str:
    """Digest of all that a release is made from: when it's the same, there is nothing to do.

    The challenge's folder, the scorer, and the version and file table of each study that
    challenge.yaml selects. A challenge that can't be read still has a key: that of its bytes.
    """
    folder, public = Path(folder), Path(public)
    total = hashlib.sha256(wheel.build())
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(f"{path.relative_to(folder).as_posix()} {sha256_file(path)}\n".encode())
    try:
        sources = load(folder).data.sources
    except Invalid:
        return total.hexdigest()[:16]
    wanted = {s.accession for s in sources if s.accession}
    everything = any(s.query for s in sources)
    for study in sorted(public.glob("*/study.json")):
        if everything or study.parent.name in wanted:
            for path in (study, study.parent / "files.tsv"):
                if path.is_file():
                    total.update(f"{study.parent.name} {sha256_file(path)}\n".encode())
    return total.hexdigest()[:16]


def release_inputs(folder: Path | str, public: Path | str) -> list[Path]:
    """Files that `release_key` reads and a rule may list as its inputs."""
    folder, public = Path(folder), Path(public)
    found = sorted(p for p in folder.rglob("*") if p.is_file())
    try:
        sources = load(folder).data.sources
    except Invalid:
        return found
    names = {s.accession for s in sources if s.accession}
    if any(s.query for s in sources):
        names |= {p.parent.name for p in public.glob("*/study.json")}
    return found + [p for n in sorted(names) if (p := public / n / "study.json").is_file()]
