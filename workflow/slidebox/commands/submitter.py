"""For submitters: init, validate, submit."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from slidebox.commands.common import CANNOT, FINDINGS, FINE, CannotRun, Command, progress


def register(command: Command) -> None:
    c = command(
        "init",
        init,
        "write a submission folder to fill in",
        "slidebox init my-study\nslidebox init my-study --accession SB-12",
    )
    c.add_argument("folder", type=Path, metavar="DIR")
    c.add_argument("--accession", help="the accession that the archive gave you")
    c = command(
        "validate",
        validate,
        "check a submission and say everything that is wrong",
        "slidebox validate my-study\nslidebox validate my-study --deep --html report.html",
    )
    _options(c)
    c = command(
        "submit",
        submit,
        "validate a submission, then write .ready, which lets the archive take it in",
        "slidebox submit inbox/SB-1",
    )
    _options(c)


def _options(c: argparse.ArgumentParser) -> None:
    c.add_argument("folder", type=Path, metavar="DIR")
    c.add_argument("--deep", action="store_true", help="decode every plane of every image")
    c.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    c.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    c.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")


def init(a) -> int:
    from slidebox import record
    from slidebox.record import InitRefused
    from slidebox.validate import describe

    try:
        written = record.init(a.folder, accession=a.accession, describe=describe)
    except InitRefused as error:
        raise CannotRun(str(error)) from None
    for path in written:
        print(f"wrote {path}")
    print(f"Fill them in, then run: slidebox validate {a.folder}")
    return FINE


def validate(a) -> int:
    return _report(a)[0]


def _report(a):
    from rich.console import Console

    from slidebox import atomic, deposit
    from slidebox import validate as room
    from slidebox.record import NoSubmission
    from slidebox.validate import report

    if not a.folder.is_dir():
        raise CannotRun(f"{a.folder} is not a folder")
    try:
        result = room.validate(
            a.folder, deep=a.deep, threads=a.threads, progress=progress("checking")
        )
    except NoSubmission as error:
        raise CannotRun(str(error)) from None
    try:
        deposit.read_deposit(a.folder)
    except deposit.DepositError as error:
        result.findings.extend(error.findings)
    # A finding is one line where programs read it.
    report.print_terminal(result, Console(width=None if sys.stdout.isatty() else 10_000))
    if a.json:
        atomic.write_json(a.json, result.to_json())
    if a.html:
        report.write_html(result, a.html)
    if not result.is_submission:
        return CANNOT, result
    return (FINE if result.status == "accepted" else FINDINGS), result


def submit(a) -> int:
    from slidebox import deposit

    code, result = _report(a)
    if code != FINE:
        print("Not submitted: mend the errors above, then submit again.", file=sys.stderr)
        return code
    # A record without one gets that of the folder, which the archive's staff named by it.
    accession = result.record.accession or a.folder.resolve().name
    if problem := deposit.check_accession(accession):
        raise CannotRun(
            f"{accession!r}: {problem}; put the archive's accession into the record, "
            "or name the folder by it"
        )
    ready = deposit.write_ready(a.folder, accession)
    print(f"Submitted {ready.accession}: {ready.count} files, {ready.bytes:,} bytes.")
    if a.folder.resolve().name != ready.accession:
        print(f"The archive takes it in as inbox/{ready.accession}: name the folder so there.")
    return FINE
