"""For archive staff, day to day: status, serve, retry, withdraw, rebuild."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from datetime import date
from pathlib import Path

from slidebox.commands.common import (
    FINDINGS,
    FINE,
    CannotRun,
    Command,
    directory_option,
    load_config,
    progress,
    size,
    user,
)


def register(command: Command) -> None:
    c = command(
        "status",
        status,
        "say where every submission stands",
        "slidebox status\nslidebox status SB-1\nslidebox status --watch\nslidebox status --json",
    )
    c.add_argument("accession", nargs="?", metavar="ACC")
    c.add_argument("--json", action="store_true", help="for scripts: every submission, once")
    c.add_argument("--all", action="store_true", help="every submission, also of very many")
    c.add_argument(
        "--watch",
        nargs="?",
        type=float,
        const=5.0,
        metavar="SECONDS",
        help="look again every 5 seconds, or as said, until Ctrl-C",
    )
    directory_option(c)
    c = command(
        "retry",
        retry,
        "forget a submission's receipt, so that the next run takes it in again",
        "slidebox retry SB-1 && snakemake --cores 2\nslidebox retry SB-1 --memory 64GB",
    )
    c.add_argument("accession", metavar="ACC")
    c.add_argument(
        "--memory", metavar="SIZE", help="what its cluster jobs ask for at least, e.g. 64GB"
    )
    directory_option(c)
    c = command(
        "cancel",
        cancel,
        "take a submission from the queue: its running jobs end, the next runs pass it over",
        "slidebox cancel SB-1\nslidebox retry SB-1    (puts it back)",
    )
    c.add_argument("accession", metavar="ACC")
    directory_option(c)
    c = command(
        "plan",
        plan,
        "what the pending submissions will take: bytes, hours, memory and disk",
        "slidebox plan inbox\nslidebox plan inbox --cores 32 --json",
    )
    c.add_argument("inbox", nargs="?", type=Path, metavar="INBOX", help="default: the archive's")
    c.add_argument("--cores", type=int, metavar="N", help="default: this machine's")
    c.add_argument("--json", action="store_true", help="for scripts")
    directory_option(c)
    c = command(
        "curate",
        curate,
        "change a field of a study's record, waive a finding, accept, hold or return it",
        "slidebox curate SB-1 --set license=CC0-1.0 --reason 'as the authors wrote'\n"
        "slidebox curate SB-1 --waive PIXEL_SIZE_MISSING --path 'raw/*' --reason 'unknown'\n"
        "slidebox curate SB-1 --accept --reason checked",
    )
    c.add_argument("accession", metavar="ACC")
    what = c.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--set",
        action="append",
        metavar="FIELD=VALUE",
        help="e.g. authors[0].email=a@b.org; again for more fields",
    )
    what.add_argument(
        "--waive",
        action="append",
        metavar="CODE",
        help="accept findings of this code; again for more codes",
    )
    for word in ("accept", "hold", "return"):
        what.add_argument(f"--{word}", dest="decision", action="store_const", const=word)
    c.add_argument("--path", metavar="GLOB", help="with --waive: only for these files")
    c.add_argument("--reason", required=True)
    c.add_argument("--name", help="who decides (default: $SLIDEBOX_USER, else the login)")
    directory_option(c)
    c = command(
        "accession",
        accession,
        "reserve the next accession",
        "slidebox accession new\nslidebox accession new --prefix S-BOX",
    )
    c.add_argument("what", choices=["new"])
    c.add_argument("--prefix", help="default: accession_prefix of the configuration")
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
    c.add_argument(
        "public", nargs="?", type=Path, metavar="PUBLIC", help="default: the configuration's"
    )
    c.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0: other machines too (default: %(default)s)"
    )
    c.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    c.add_argument("--vault", type=Path, help="where originals are (default: beside PUBLIC)")
    directory_option(c)


def status(a) -> int:
    from slidebox.ingest import status as room

    config = load_config(a)
    rows = room.rows(config, a.accession)
    if a.accession and not rows:
        raise CannotRun(f"{a.accession}: no such submission in {config.inbox} or the archive")
    if a.watch is not None and not a.json:
        # Ctrl-C is how watching ends, no failure.
        with contextlib.suppress(KeyboardInterrupt):
            room.watch(lambda: room.rows(config, a.accession), a.accession is not None, a.watch)
        return FINE
    if a.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
    else:
        room.print_terminal(rows, detail=a.accession is not None, everything=a.all)
    return FINE


def retry(a) -> int:
    from slidebox.ingest import queue
    from slidebox.vault import NotFound, Vault

    config = load_config(a)
    vault = Vault(config.vault)
    with contextlib.suppress(NotFound):
        if vault.tombstone(a.accession) is not None:
            raise CannotRun(f"{a.accession} is withdrawn; it is not taken in again")
    memory = size(a.memory)
    back = queue.restore(config, a.accession)
    if not queue.forget(config, a.accession) and not back:
        raise CannotRun(f"{a.accession}: nothing in the inbox has a receipt to forget")
    if memory is not None:
        queue.request(config, a.accession, -(-memory // (1 << 20)))
        print(f"{a.accession}: its jobs will ask for at least {a.memory}")
    print(f"{a.accession} is pending again; run snakemake")
    return FINE


def cancel(a) -> int:
    from slidebox.ingest import queue, runlog, slurm

    config = load_config(a)
    running = runlog.jobs(config).get(a.accession, [])
    items = queue.cancel(config, a.accession)
    if not items:
        raise CannotRun(f"{a.accession}: nothing of that name is waiting or running")
    # A cluster job that small submissions share goes on: only this one's stages end in it.
    own = {job["slurm"] for job in running if job["slurm"]} - _shared(runlog.jobs(config), a)
    slurm.cancel(own)
    print(f"{a.accession} is cancelled: what runs of it ends, the next run passes it over")
    print(f"slidebox retry {a.accession} puts it back")
    return FINE


def _shared(jobs: dict, a) -> set[int]:
    """Slurm jobs that other submissions are in as well."""
    return {job["slurm"] for name, own in jobs.items() if name != a.accession for job in own}


def plan(a) -> int:
    from slidebox.ingest import capacity

    config = load_config(a)
    if a.inbox is not None:
        if not a.inbox.is_dir():
            raise CannotRun(f"{a.inbox} is not a folder")
        config = config.model_copy(update={"inbox": a.inbox})
    found = capacity.plan(config, a.cores or os.cpu_count() or 1)
    if a.json:
        json.dump(found, sys.stdout, indent=2)
        print()
    else:
        capacity.print_terminal(found)
    return FINE if all(row["fits"] for row in found["submissions"]) else FINDINGS


def curate(a) -> int:
    import yaml

    from slidebox.ingest import curating
    from slidebox.record.curation import CurationError

    config, name = load_config(a), a.name or user()[0]
    try:
        if a.set:
            if wrong := [text for text in a.set if "=" not in text]:
                raise CannotRun(f"--set {', '.join(map(repr, wrong))}: write FIELD=VALUE")
            parts = (text.partition("=") for text in a.set)
            values = [(field, _value(text)) for field, _, text in parts]
            path = curating.set_fields(config, a.accession, values, reason=a.reason, name=name)
        elif a.waive:
            path = curating.waive(config, a.accession, a.waive, a.path, reason=a.reason, name=name)
        else:
            path = curating.decide(config, a.accession, a.decision, reason=a.reason, name=name)
    except (CurationError, curating.NoStudy, yaml.YAMLError) as error:
        raise CannotRun(str(error)) from None
    print(f"wrote {path}; the next run of snakemake applies it")
    return FINE


def _value(text: str):
    """A value as YAML has it, but for days: the record's are text."""
    import yaml

    value = yaml.safe_load(text)
    return value.isoformat() if isinstance(value, date) else value


def accession(a) -> int:
    from slidebox.record.accession import AccessionError, allocate
    from slidebox.vault import Vault

    config = load_config(a)
    vault = Vault(config.vault)

    def taken(name: str) -> bool:
        return (config.inbox / name).exists() or vault.exists(name)

    try:
        print(
            allocate(
                config.results / "accessions",
                a.prefix or config.accession_prefix,
                taken=taken,
                by=user()[0],
            )
        )
    except AccessionError as error:
        raise CannotRun(str(error)) from None
    return FINE


def withdraw(a) -> int:
    from slidebox import publish
    from slidebox.ingest import withdrawal
    from slidebox.vault import VaultError

    config = load_config(a)
    try:
        entry = withdrawal.withdraw(
            config, a.accession, reason=a.reason, contact=a.contact, user=user()
        )
    except VaultError as error:
        raise CannotRun(str(error)) from None
    print(f"{a.accession} is withdrawn since {entry['date']}; the vault keeps every byte")
    for line in publish.take_away(config, a.directory):
        print(line)
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
