"""What a version changed, file by file, from the sorted lists of two versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slidebox import atomic
from slidebox.catalogue import listing

COLUMNS = ("change", "path", "size", "sha256")


def changes(before: Path, after: Path) -> Iterator[dict[str, Any]]:
    """Rows ``{"change": "added|changed|removed", "path", "size", "sha256"}`` in order of path.

    Both lists are read once, side by side. A removed file has the size and digest that it had.
    """
    old, new = listing.read_table(before), listing.read_table(after)
    was, now = next(old, None), next(new, None)
    while was or now:
        if now is None or (was and was["path"] < now["path"]):
            yield _row("removed", was)
            was = next(old, None)
        elif was is None or now["path"] < was["path"]:
            yield _row("added", now)
            now = next(new, None)
        else:
            if was["sha256"] != now["sha256"]:
                yield _row("changed", now)
            was, now = next(old, None), next(new, None)


def _row(change: str, file: dict[str, Any] | None) -> dict[str, Any]:
    assert file is not None
    return {"change": change, **{key: file[key] for key in COLUMNS[1:]}}


def write_changes(folder: Path, version: int) -> dict[str, int] | None:
    """Write ``folder/v<N>/changes.tsv`` against the version before; None when that isn't there.

    Returns how many files were added, changed and removed.
    """
    after = folder / f"v{version}"
    previous = [n for n in range(version - 1, 0, -1) if (folder / f"v{n}/files.tsv").is_file()]
    if not previous:
        (after / "changes.tsv").unlink(missing_ok=True)
        return None
    counts = {"added": 0, "changed": 0, "removed": 0}
    with atomic.replacing(after / "changes.tsv", "wb") as table:
        table.write(("\t".join(COLUMNS) + "\n").encode())
        for row in changes(folder / f"v{previous[0]}" / "files.tsv", after / "files.tsv"):
            counts[row["change"]] += 1
            line = "\t".join(listing.escape(row[c]) for c in COLUMNS) + "\n"
            table.write(line.encode("utf-8", "surrogateescape"))
    return counts
