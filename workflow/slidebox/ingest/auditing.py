"""Re-reading the vault on a schedule: what has waited longest first, with the second copy."""

from __future__ import annotations

import logging
import sys

from slidebox import atomic
from slidebox.config import Config
from slidebox.vault import Mirror, Vault, store_at

log = logging.getLogger(__name__)


def audit(config: Config, threads: int = 1) -> None:
    """Read every object, write results/audit.json; exit with a list when something is damaged."""
    mirror = Mirror(store_at(config.mirror)) if config.mirror else None
    report = Vault(config.vault).audit(
        mirror=mirror, threads=threads, period_days=config.audit_days
    )
    atomic.write_json(config.results / "audit.json", report.to_json())
    log.info("%d objects, %d files, %d bytes", report.objects, report.files, report.bytes)
    lines = [f"{d.where}: {d.accession} v{d.version} {d.path}: {d.problem}" for d in report.damage]
    lines += [f"{f.code}: {f.message}" for f in report.findings]
    for line in lines:
        log.error("%s", line)
    if lines:
        sys.exit("the vault needs care:\n  " + "\n  ".join(lines))
