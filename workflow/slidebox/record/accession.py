"""The next accession of a prefix, safe against two who ask at once.

A reservation is a file of the accession's name that only one can create (``O_EXCL``, which holds
on network file systems too), so no lock is needed and none is left behind.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from ..atomic import fsync_dir

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,50}\Z")


class AccessionError(ValueError):
    """The prefix can't begin an accession."""


def allocate(
    reservations: Path,
    prefix: str,
    *,
    taken: Callable[[str], bool] = lambda accession: False,
    by: str = "",
) -> str:
    """Reserve and return the next accession, such as ``S-BOX12`` for the prefix ``S-BOX``.

    Parameters
    ----------
    reservations : folder that keeps one small file for each accession ever given out.
    prefix : letters, digits and hyphens; the number follows directly.
    taken : whether an accession is in use although it was not reserved here (inbox, vault).
    by : who asked; kept in the reservation.

    Raises
    ------
    AccessionError : the prefix has other characters.
    """
    if not _PREFIX.match(prefix):
        raise AccessionError(
            f"{prefix!r} can't begin an accession: use letters, digits and hyphens, "
            "the first no hyphen"
        )
    reservations.mkdir(parents=True, exist_ok=True)
    mine = re.compile(re.escape(prefix) + r"(\d{1,12})\Z", re.I)
    numbers = [int(m[1]) for name in os.listdir(reservations) if (m := mine.match(name))]
    number = max(numbers, default=0) + 1
    while True:
        accession = f"{prefix}{number}"
        number += 1
        if taken(accession):
            continue
        try:
            fd = os.open(reservations / accession, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
        with os.fdopen(fd, "w", encoding="utf-8") as handle:
            when = datetime.now(UTC).isoformat(timespec="seconds")
            json.dump({"accession": accession, "by": by, "date": when}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        fsync_dir(reservations)
        return accession
