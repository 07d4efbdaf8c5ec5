"""Writes all of a release that isn't pixels: settings, tables, scorer, README, commitment."""

from __future__ import annotations

import csv
import shutil
from io import StringIO
from pathlib import Path

import yaml

from ..atomic import write_json, write_text
from ..scoring.release import MANIFEST, sha256_file
from . import baseline, describe, strata, versions, wheel
from .commitment import challenge_key, commitment
from .integrity import released_files
from .writer import COLUMNS, Writer


def write(writer: Writer, secret: Path, earlier: Path, private: Path) -> None:
    """Write all that isn't pixels, but for what lists or describes files."""
    staging = writer.staging
    resolved = writer.resolved()
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=100)
    write_text(staging / "challenge.yaml", text)
    write_text(staging / "splits.csv", _csv(COLUMNS, writer.rows))
    for custom in writer.challenge.scoring.custom:
        (staging / "metrics").mkdir(exist_ok=True)
        shutil.copyfile(writer.folder / custom.file, staging / "metrics" / custom.file)
    (staging / wheel.wheel_name()).write_bytes(wheel.build())
    write_text(staging / "score.py", wheel.script())
    if writer.challenge.task in baseline.TASKS:
        write_text(staging / "baseline.py", wheel.baseline())
    _commit(writer, secret)
    write_text(staging / "CHANGELOG.md", versions.changelog(writer, earlier, private))
    spread = strata.spread(writer.challenge, writer.pairs, writer.split_of)
    write_text(staging / "splits.svg", strata.svg(spread))
    tables = strata.markdown(spread) + describe.SPLITS
    if folded := strata.folds(writer.challenge, writer.pairs, writer.fold_of):
        write_text(staging / "folds.svg", strata.svg(folded, "fold"))
        tables += describe.FOLDS + strata.markdown(folded)
    write_text(staging / "README.md", describe.readme(resolved, writer.rows, writer.folder, tables))


def seal(writer: Writer) -> None:
    """Describe every file for machines, the manifest last."""
    staging, resolved = writer.staging, writer.resolved()
    write_json(staging / "ro-crate-metadata.json", describe.ro_crate(resolved, writer))
    write_json(staging / "croissant.json", describe.croissant(resolved, writer))
    lines = [
        f"{sha256_file(p)}  {p.relative_to(staging).as_posix()}" for p in released_files(staging)
    ]
    write_text(staging / MANIFEST, "\n".join(lines) + "\n")
    # What the number stands for, should the public folder be removed
    for name in (MANIFEST, "challenge.yaml"):
        shutil.copyfile(staging / name, writer.hidden / name)


def _commit(writer: Writer, secret: Path) -> None:
    """Hidden truth's table, and a commitment to it that only the key's holder can check.

    The key is made once a challenge and kept, so that building again gives the same bytes.
    """
    write_text(
        writer.hidden / "truth.csv", _csv(["id", "split", "truth", "sha256"], writer.secrets)
    )
    if not writer.secrets:
        return
    key = challenge_key(secret.parent, writer.challenge.version)
    write_text(writer.hidden / "commitment.key", key.hex() + "\n")
    (writer.hidden / "commitment.key").chmod(0o600)
    made = {
        "what": "HMAC-SHA256 of each hidden truth's id and pixel digest. The key is published "
        "when the challenge ends; then anyone can check that no truth was changed.",
        "algorithm": "HMAC-SHA256",
        "message": "<slug>\\n<version>\\n<id>\\n<sha256 of the truth's pixels>",
        "truth": {
            row["id"]: commitment(key, writer.challenge.slug, writer.challenge.version, row)
            for row in writer.secrets
        },
    }
    write_json(writer.staging / "commitment.json", made)


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    buffer = StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
