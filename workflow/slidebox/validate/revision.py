"""A revision: the record changes (a curator's decision, a release date), the files do not.

Nothing is opened again: what validation found in the files still holds, only the record is checked
anew with the curation over it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..findings import Finding
from ..record import read
from ..record.curation import Curation, apply, apply_waivers
from . import series as series_checks
from .collect import Collector
from .fields import check_record
from .licences import spdx
from .run import Validation
from .settings import Settings
from .severity import apply_settings


def revise(
    folder: Path,
    earlier: dict[str, Any],
    filesets: list[dict[str, Any]],
    curation: Curation,
    config: Any = None,
) -> Validation:
    """Validate a record anew over files that were validated before.

    Parameters
    ----------
    folder : holds the record's files as they were submitted (nothing else is read).
    earlier : validation.json of the version that is revised.
    filesets : its filesets; their access follows the record.
    """
    settings = Settings.of(config)
    out = Collector()
    reading = read(folder)
    out.extend(reading.findings)
    record, history = reading.record, []
    if record is not None:
        record, stale, history = apply(curation, record)
        out.extend(stale)
        check_record(record, reading.where, out, settings)
        record.license = spdx(record.license)[0] or record.license
        record.image_data = series_checks.image_data(filesets)
        parts = record.parts()
        for fileset in filesets:
            part = parts.get(fileset["part"])
            if part is not None:
                fileset["access"] = part.access
    own = {*reading.record_files, f"{earlier['accession']}.yaml"}  # the latter is the curation
    fields = Finding.__dataclass_fields__
    before = [*earlier["findings"], *earlier.get("waived", [])]
    out.extend(
        Finding(**{k: one[k] for k in fields})
        for one in before
        if one["file"] and one["file"] not in own
    )
    findings, waived = apply_settings(out.all(), settings)
    findings, more = apply_waivers(curation, findings)
    return Validation(
        earlier["accession"],
        findings,
        record,
        earlier["images"],
        filesets,
        earlier["files"],
        earlier["bytes"],
        waived + more,
        earlier.get("software", {}),
        history,
        curation.decision,
    )
