"""For archive staff, day to day: status, serve, retry, withdraw, rebuild."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from slidebox.commands.common import (
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    progress,
    user,
)


def register(command: Command) -> None:
    c = command(
        "status",
        status,
        "say where every submission stands",
        "slidebox status\nslidebox status SB-1\nslidebox status --json",
    )
    c.add_argument("accession", nargs="?", metavar="ACC")
    c.add_argument("--json", action="store_true", help="for scripts")
    directory_option(c)
    c = command(
        "retry",
        retry,
        "forget a submission's receipt, so that the next run takes it in again",
        "slidebox retry SB-1 && snakemake --cores 2",
    )
    c.add_argument("accession", metavar="ACC")
    directory_option(c)
    c = command(
        "withdraw",
        withdraw,
        "take a study's public copy away and leave a tombstone; the vault keeps the bytes",
        "slidebox withdraw SB-1 --reason 'superseded by SB-2' --contact help@example.org",
    )
    c.add_argument("accession", metavar="ACC")
    c.add_argument("--reason", required=True)
    c.add_argument("--contact", required=True, help="whom to ask: e-mail address or URL")
    directory_option(c)
    c = command(
        "rebuild",
        rebuild,
        "make receipts, images, pages and index again from the vault alone",
        "slidebox rebuild\nslidebox rebuild SB-1",
    )
    c.add_argument("accessions", nargs="*", metavar="ACC", help="only these (default: all)")
    c.add_argument("--threads", type=int, default=2, metavar="N")
    directory_option(c)
    c = command(
        "serve",
        serve,
        "show the site on this machine, with byte ranges and CORS",
        "slidebox serve\nslidebox serve demo/public --port 8080",
    )
    c.add_argument("public", nargs="?", type=Path, metavar="PUBLIC")
    c.add_argument("--host", default="127.0.0.1")
    c.add_argument("--port", type=int, default=8000)
    c.add_argument("--vault", type=Path, help="where originals are (default: beside PUBLIC)")
    directory_option(c)


def status(a) -> int:
    from slidebox.ingest import status as room

    config = load_config(a)
    rows = room.rows(config, a.accession)
    if a.accession and not rows:
        raise CannotRun(f"{a.accession}: no such submission in {config.inbox} or the archive")
    if a.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
    else:
        room.print_terminal(rows, detail=a.accession is not None)
    return FINE


def retry(a) -> int:
    from slidebox.ingest import queue

    gone = queue.forget(load_config(a), a.accession)
    if not gone:
        raise CannotRun(f"{a.accession}: nothing in the inbox has a receipt to forget")
    print(f"{a.accession} is pending again; run snakemake")
    return FINE


def withdraw(a) -> int:
    from slidebox.ingest import withdrawal
    from slidebox.vault import VaultError

    try:
        entry = withdrawal.withdraw(
            load_config(a), a.accession, reason=a.reason, contact=a.contact, user=user()
        )
    except VaultError as error:
        raise CannotRun(str(error)) from None
    print(f"{a.accession} is withdrawn since {entry['date']}; the vault keeps every byte")
    return FINE


def rebuild(a) -> int:
    from slidebox.ingest import rebuild as room
    from slidebox.vault import VaultError

    try:
        made = room.rebuild(
            load_config(a), a.accessions or None, threads=a.threads, progress=progress("rebuilding")
        )
    except VaultError as error:
        raise CannotRun(str(error)) from None
    print(f"{made} versions rebuilt from the vault")
    return FINE


def serve(a) -> int:
    from slidebox import catalogue
    from slidebox.vault import Vault

    config = load_config(a)
    public = a.public or config.public
    if not public.is_dir():
        raise CannotRun(f"{public} is not a folder; run snakemake first, or name one")
    vault = a.vault or (public.parent / "vault" if a.public else config.vault)
    try:
        catalogue.serve(
            public,
            Vault(vault) if vault.is_dir() else None,
            host=a.host,
            port=a.port,
            ready=lambda at: print(f"Serving {public} at {at} (Ctrl-C ends it)", flush=True),
        )
    except OSError as error:
        raise CannotRun(f"{a.host}:{a.port}: {error.strerror}; try --port 0") from None
    return FINE
