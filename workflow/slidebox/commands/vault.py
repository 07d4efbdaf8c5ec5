"""For archive staff, the originals: restore, audit, mirror, repair, purge."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    print_findings,
    progress,
    size,
    user,
)


def register(command: Command) -> None:
    c = command(
        "restore",
        restore,
        "get the originals back, exactly as submitted",
        "slidebox restore SB-1 ./SB-1\nslidebox restore SB-1 ./old --version 1 --select '*.czi'",
    )
    c.add_argument("accession", metavar="ACCESSION")
    c.add_argument("dest", type=Path, metavar="DEST")
    c.add_argument("--version", type=int, metavar="N", dest="number", help="default: the newest")
    c.add_argument(
        "--select",
        action="append",
        metavar="PATTERN",
        help="only paths that match, e.g. 'raw/*.nd2'; may be given again",
    )
    _vault(c)
    c = command(
        "audit",
        audit,
        "re-read the vault, longest unread first, and name what is damaged",
        "slidebox audit --budget 2h\nslidebox audit --all\n"
        "slidebox audit SB-1 --mirror /backup/vault",
    )
    c.add_argument("accessions", nargs="*", metavar="ACC", help="only these (default: all)")
    c.add_argument("--all", action="store_true", help="read everything, whatever it takes")
    c.add_argument("--budget", help="time (2h, 30m) or bytes (500GB) to spend")
    c.add_argument(
        "--period", type=float, metavar="DAYS", help="read all within (default: audit_days, 90)"
    )
    c.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    _mirror(c)
    _vault(c)
    c = command(
        "mirror",
        mirror,
        "bring the second copy of the vault up to date",
        "slidebox mirror --mirror /backup/vault\nslidebox mirror --mirror s3://bucket/vault",
    )
    c.add_argument("accessions", nargs="*", metavar="ACC", help="only these (default: all)")
    _mirror(c)
    _vault(c)
    c = command(
        "repair",
        repair,
        "put damaged files right from the good copy",
        "slidebox repair SB-1 --mirror /backup/vault\nslidebox repair --mirror /backup/vault",
    )
    c.add_argument("accessions", nargs="*", metavar="ACC", help="default: all that audit found")
    _mirror(c)
    _vault(c)
    c = command(
        "purge",
        purge,
        "delete bytes from the vault for good (a takedown); this can't be undone",
        "slidebox purge SB-1 --reason 'court order 12/26' --yes-delete SB-1\n"
        "slidebox purge SB-1 patient.tif --reason 'consent withdrawn' --yes-delete SB-1",
    )
    c.add_argument("accession", metavar="ACC")
    c.add_argument("paths", nargs="*", metavar="PATH", help="only these files, in all versions")
    c.add_argument("--reason", required=True)
    c.add_argument(
        "--yes-delete", required=True, metavar="ACC", help="the accession again, to be sure"
    )
    _mirror(c)
    _vault(c)


def _vault(c: argparse.ArgumentParser) -> None:
    c.add_argument("--vault", type=Path, help="the vault (default: from config/config.yaml)")
    directory_option(c)


def _mirror(c: argparse.ArgumentParser) -> None:
    c.add_argument(
        "--mirror", metavar="WHERE", help="second copy: a folder or s3://bucket/prefix (or config)"
    )


def _open(a):
    from slidebox.vault import Vault

    return Vault(a.vault or load_config(a).vault)


def _second(a, required: bool = False, create: bool = False):
    from slidebox.vault import Mirror, store_at

    where = a.mirror or (None if a.vault else load_config(a).mirror)
    if where is None:
        if required:
            raise CannotRun("there is no mirror: give --mirror or set `mirror` in the config")
        return None
    if not where.startswith("s3://"):
        folder, vault = Path(where), (a.vault or load_config(a).vault).resolve()
        if "://" in where:
            raise CannotRun(f"{where}: a mirror is a folder or s3://bucket/prefix")
        if folder.resolve() == vault or vault in folder.resolve().parents:
            raise CannotRun(f"{where} is the vault itself; a second copy lies elsewhere")
        if not folder.is_dir() and not (create and folder.parent.is_dir() and not folder.exists()):
            raise CannotRun(f"{where} is no folder; is the disk mounted?")
    return Mirror(store_at(where))


def _guarded(run):
    """Say what the vault refuses: findings when there is something to mend, else one line."""

    def guarded(a) -> int:
        from slidebox.vault import Damaged, VaultError

        try:
            return run(a)
        except Damaged as error:
            print_findings(error.findings)
            return FINDINGS
        except VaultError as error:
            lines = [f"{f.message}; {f.mend}" if f.mend else f.message for f in error.findings]
            raise CannotRun("\n".join(lines)) from None
        except ValueError as error:
            raise CannotRun(str(error)) from None

    return guarded


@_guarded
def restore(a) -> int:
    vault = (a.vault or load_config(a).vault).resolve()
    if vault == a.dest.resolve() or vault in a.dest.resolve().parents:
        raise CannotRun(f"{a.dest} lies in the vault; restore to a folder elsewhere")
    done = _open(a).restore(
        a.accession, a.dest, a.number, select=a.select, progress=progress("restoring")
    )
    print_findings(done.findings)
    whole = "some are damaged, see above" if done.findings else "every digest verified"
    print(
        f"{a.accession} version {done.version}: {done.files} files, {done.bytes:,} bytes restored "
        f"to {a.dest}, {whole}"
    )
    return FINDINGS if done.findings else FINE


def budget(text: str | None) -> dict[str, float | int]:
    """``2h`` or ``500GB`` as the vault wants it."""
    if text is None:
        return {}
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)", text.strip()):
        unit = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}[match[2]]
        return {"seconds": float(match[1]) * unit}
    spend = size(text)
    if not spend or spend < 0:
        raise CannotRun(f"--budget {text}: write a time (2h, 30m) or bytes (500GB)")
    return {"size": spend}


@_guarded
def audit(a) -> int:
    from slidebox import atomic

    report = _open(a).audit(
        a.accessions or None,
        everything=a.all,
        mirror=_second(a),
        period_days=a.period or load_config(a).audit_days,
        progress=progress("reading"),
        **budget(a.budget),
    )
    print_findings(report.findings)
    for item in report.damage:
        print(f"{item.where}: {item.accession} version {item.version}: {item.path}: {item.problem}")
    if a.json:
        atomic.write_json(a.json, report.to_json())
    print(f"{report.objects} objects, {report.files} files, {report.bytes:,} bytes read")
    return FINDINGS if report.damage or report.findings else FINE


@_guarded
def mirror(a) -> int:
    done = _open(a).mirror(
        _second(a, required=True, create=True), a.accessions or None, progress("copying")
    )
    print_findings(done.findings)
    print(f"{done.objects} objects, {done.files} files, {done.bytes:,} bytes copied")
    return FINDINGS if done.findings else FINE


@_guarded
def repair(a) -> int:
    vault, second = _open(a), _second(a)
    left = False
    for accession in a.accessions or vault.damaged():
        done = vault.repair(accession, second)
        for where, path in done.files:
            print(f"{accession}: {where}: {path} mended")
        print_findings(done.findings)
        left = left or bool(done.findings)
    return FINDINGS if left else FINE


@_guarded
def purge(a) -> int:
    if a.yes_delete != a.accession:
        raise CannotRun(f"--yes-delete says {a.yes_delete!r}, the accession is {a.accession!r}")
    done = _open(a).purge(
        a.accession, a.paths or None, reason=a.reason, by=user()[0], mirror=_second(a)
    )
    print(f"{a.accession}: {done.files} files, {done.bytes:,} bytes deleted for good")
    if not a.vault:
        from slidebox import publish
        from slidebox.ingest import withdrawal

        if done.whole:
            withdrawal.after_purge(load_config(a), a.accession)
        for line in publish.take_away(load_config(a), a.directory):
            print(line)
    return FINE
