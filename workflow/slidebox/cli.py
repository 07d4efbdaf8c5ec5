"""The command ``slidebox``: each subcommand is a few lines around one library call.

Exit codes: 0 fine, 1 findings, 2 can't run. Libraries are imported when a subcommand needs them, so
that ``--help`` and ``score`` start at once.
"""

from __future__ import annotations

import argparse
import atexit
import json
import sys
from collections.abc import Callable
from pathlib import Path

from slidebox import __version__

FINE, FINDINGS, CANNOT = 0, 1, 2


class CannotRun(Exception):
    """Wrong use or missing input: said in one line, exit 2."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help()
        return CANNOT
    try:
        return arguments.run(arguments)
    except CannotRun as error:
        print(f"slidebox: {error}", file=sys.stderr)
        return CANNOT
    except BrokenPipeError:
        sys.stderr.close()
        return FINE
    except KeyboardInterrupt:
        print("slidebox: stopped", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """All subcommands with their help."""
    parser = argparse.ArgumentParser(
        prog="slidebox",
        description="An archive for biological images, and the benchmarks made from it.",
        epilog="exit codes: 0 fine, 1 findings, 2 cannot run",
    )
    parser.add_argument("--version", action="version", version=f"slidebox {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable, help: str, examples: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            help=help,
            description=help[0].upper() + help[1:] + ".",
            epilog="examples:\n" + "\n".join(f"  {line}" for line in examples.splitlines()),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub

    c = command("init", _init, "write a submission folder to fill in", "slidebox init my-study")
    c.add_argument("folder", type=Path, metavar="DIR")
    c.add_argument("--accession", help="the accession that the archive gave you")

    c = command(
        "validate",
        _validate,
        "check a submission and say everything that is wrong",
        "slidebox validate my-study\nslidebox validate my-study --deep --html report.html",
    )
    c.add_argument("folder", type=Path, metavar="DIR")
    _validation_options(c)

    c = command(
        "submit",
        _submit,
        "validate a submission, then write .ready, which lets the archive take it in",
        "slidebox submit inbox/SB-1",
    )
    c.add_argument("folder", type=Path, metavar="DIR")
    _validation_options(c)

    c = command(
        "convert",
        _convert,
        "derive a verified OME-Zarr from one image",
        "slidebox convert cells.czi cells.ome.zarr\n"
        "slidebox convert plate.lif well.ome.zarr --series 3 --memory 1GB --threads 4",
    )
    c.add_argument("image", type=Path, metavar="IMAGE")
    c.add_argument("out", type=Path, metavar="OUT.ome.zarr")
    c.add_argument("--series", type=int, default=0, metavar="N", help="from 0 (default: 0)")
    c.add_argument("--memory", default="512MB", help="memory it may take (default: 512MB)")
    c.add_argument("--threads", type=int, default=1, metavar="N")

    c = command(
        "verify",
        _verify,
        "compare every pixel of an OME-Zarr with its source",
        "slidebox verify cells.ome.zarr cells.czi",
    )
    c.add_argument("zarr", type=Path, metavar="IMAGE.ome.zarr")
    c.add_argument("source", type=Path, metavar="SOURCE")
    c.add_argument("--series", type=int, default=0, metavar="N", help="from 0 (default: 0)")

    c = command(
        "restore",
        _restore,
        "get the originals back, exactly as submitted",
        "slidebox restore SB-1 ./SB-1\nslidebox restore SB-1 ./old --version 1 --select '*.czi'",
    )
    c.add_argument("accession", metavar="ACCESSION")
    c.add_argument("dest", type=Path, metavar="DEST")
    c.add_argument("--version", type=int, metavar="N", dest="number", help="default: the newest")
    c.add_argument("--select", metavar="PATTERN", help="only paths that match, e.g. 'raw/*.nd2'")
    _vault_option(c)

    c = command(
        "audit",
        _audit,
        "re-read the vault, longest unread first, and name what is damaged",
        "slidebox audit --budget 2h\nslidebox audit --all",
    )
    c.add_argument("--all", action="store_true", help="every object, whatever it takes")
    c.add_argument("--budget", help="time (2h, 30m) or bytes (500GB) to spend")
    _vault_option(c)

    c = command(
        "status",
        _status,
        "say where every submission stands",
        "slidebox status\nslidebox status SB-1\nslidebox status --json",
    )
    c.add_argument("accession", nargs="?", metavar="ACC")
    c.add_argument("--json", action="store_true", help="for scripts")
    _config_options(c)

    c = command(
        "serve",
        _serve,
        "show the site on this machine, with byte ranges and CORS",
        "slidebox serve\nslidebox serve demo/public --vault demo/vault --port 8080",
    )
    c.add_argument("public", nargs="?", type=Path, metavar="PUBLIC")
    c.add_argument("--host", default="127.0.0.1")
    c.add_argument("--port", type=int, default=8000)
    c.add_argument("--vault", type=Path, help="where originals are served from")
    _config_options(c)

    _challenge_commands(command)
    return parser


def _validation_options(c: argparse.ArgumentParser) -> None:
    c.add_argument("--deep", action="store_true", help="decode every plane of every image")
    c.add_argument("--json", type=Path, metavar="FILE", help="write the findings as JSON")
    c.add_argument("--html", type=Path, metavar="FILE", help="write the report as a page")
    c.add_argument("--threads", type=int, default=2, metavar="N", help="default: 2")


def _vault_option(c: argparse.ArgumentParser) -> None:
    c.add_argument("--vault", type=Path, help="the vault (default: from config/config.yaml)")
    _config_options(c)


def _config_options(c: argparse.ArgumentParser) -> None:
    c.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        help="where the archive is: the folder that holds config/ (default: here)",
    )


def _config(arguments: argparse.Namespace):
    """The configuration of the archive in --directory, its paths made absolute."""
    import yaml

    from slidebox import config

    base = arguments.directory
    file = base / "config" / "config.yaml"
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        loaded = config.load(values or {})
    except (config.ConfigError, yaml.YAMLError) as error:
        raise CannotRun(f"{file}: {error}") from None
    paths = {
        name: base / value
        for name, value in loaded
        if isinstance(value, Path) and not value.is_absolute()
    }
    return loaded.model_copy(update=paths)


def _init(a) -> int:
    from slidebox import record

    written = record.init(a.folder, accession=a.accession)
    for path in written:
        print(f"wrote {path}")
    print(f"Fill them in, then run: slidebox validate {a.folder}")
    return FINE


def _validate(a) -> int:
    return _report(a)[0]


def _report(a):
    from rich.console import Console

    from slidebox import validate
    from slidebox.validate import report

    if not a.folder.is_dir():
        raise CannotRun(f"{a.folder} is not a folder")
    result = validate.validate(
        a.folder, deep=a.deep, threads=a.threads, progress=_progress("checking")
    )
    report.print_terminal(result, Console())
    if a.json:
        _write_json(a.json, result.to_json())
    if a.html:
        report.write_html(result, a.html)
    if result.record is None:
        return CANNOT, result
    return (FINE if result.status == "accepted" else FINDINGS), result


def _submit(a) -> int:
    from slidebox import deposit

    code, result = _report(a)
    if code != FINE:
        print("Not submitted: mend the errors above, then submit again.", file=sys.stderr)
        return code
    accession = result.record.accession
    if problem := deposit.check_accession(accession or ""):
        raise CannotRun(f"study.yaml: accession {accession!r}: {problem}")
    ready = deposit.write_ready(a.folder, accession)
    print(f"Submitted {accession}: {ready.count} files, {ready.bytes:,} bytes.")
    return FINE


def _convert(a) -> int:
    from slidebox import images
    from slidebox.config import parse_bytes

    if a.out.exists():
        raise CannotRun(f"{a.out} exists; choose another name or remove it")
    try:
        memory = parse_bytes(a.memory)
    except ValueError as error:
        raise CannotRun(f"--memory: {error}") from None
    try:
        derived = images.convert(
            a.image,
            a.out,
            series=a.series,
            memory=memory,
            threads=a.threads,
            progress=_progress("converting"),
        )
    except FileNotFoundError as error:
        raise CannotRun(f"{error.filename or a.image}: no such file") from None
    except images.Busy:
        raise CannotRun(f"{a.out} is being written by another process") from None
    except images.UnreadableImage as error:
        print(f"slidebox: {error}", file=sys.stderr)
        return FINDINGS
    facts = derived.to_json()
    print(f"{a.out}: {facts['axes']} {facts['shape']} {facts['dtype']}, every plane verified")
    return FINE


def _verify(a) -> int:
    from slidebox import images

    findings = images.verify(a.zarr, a.source, a.series)
    _print_findings(findings)
    if not findings:
        print(f"{a.zarr} holds the pixels of {a.source}")
    return FINDINGS if findings else FINE


def _restore(a) -> int:
    from slidebox.vault import Vault, VaultError

    try:
        restored = Vault(a.vault or _config(a).vault).restore(
            a.accession, a.dest, a.number, select=a.select, progress=_progress("restoring")
        )
    except VaultError as error:
        return _vault_error(error)
    _print_findings(restored.findings)
    print(
        f"{a.accession} version {restored.version}: {restored.files} files, "
        f"{restored.bytes:,} bytes restored to {a.dest}, every digest verified"
    )
    return FINDINGS if restored.findings else FINE


def _vault_error(error) -> int:
    findings = getattr(error, "findings", [])
    if not findings:
        raise CannotRun(str(error))
    _print_findings(findings)
    return FINDINGS


def _audit(a) -> int:
    from slidebox.vault import Vault, VaultError

    try:
        result = Vault(a.vault or _config(a).vault).audit(all=a.all, budget=a.budget)
    except VaultError as error:
        return _vault_error(error)
    _print_findings(result.findings)
    print(f"{result.objects} objects, {result.files} files, {result.bytes:,} bytes re-read")
    return FINDINGS if result.findings else FINE


def _status(a) -> int:
    from slidebox.ingest import status

    config = _config(a)
    rows = status.rows(config, a.accession)
    if a.accession and not rows:
        raise CannotRun(f"{a.accession}: no such submission in {config.inbox} or the archive")
    if a.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
    else:
        status.print_terminal(rows, detail=a.accession is not None)
    return FINE


def _serve(a) -> int:
    from slidebox import catalogue

    config = _config(a)
    public = a.public or config.public
    if not public.is_dir():
        raise CannotRun(f"{public} is not a folder; run snakemake first, or name one")
    vault = a.vault or (public.parent / "vault" if a.public else config.vault)
    print(f"Serving {public} at http://{a.host}:{a.port}/ (Ctrl-C ends it)")
    catalogue.serve(public, vault if vault.is_dir() else None, host=a.host, port=a.port)
    return FINE


def _challenge_commands(command: Callable[..., argparse.ArgumentParser]) -> None:
    c = command(
        "score",
        _score,
        "check predictions, then score them with the organiser's code",
        "slidebox score public/challenges/nuclei/1.0.0 predictions --split train\n"
        "slidebox score RELEASE predictions --check",
    )
    c.add_argument("release", type=Path, metavar="RELEASE", help="folder of a released challenge")
    c.add_argument(
        "predictions", type=Path, metavar="PREDICTIONS", help="folder, ZIP, COCO JSON or CSV"
    )
    c.add_argument("--split", help="which split (default: the one most predictions belong to)")
    c.add_argument("--check", action="store_true", help="only check, score nothing")
    c.add_argument("--out", type=Path, metavar="DIR", help="where scores and report go")
    c.add_argument("--private", type=Path, metavar="DIR", help="organisers: the hidden labels")
    c.add_argument("--json", type=Path, metavar="FILE", help="write findings and scores as JSON")
    c.add_argument("--threads", type=int, default=1, metavar="N")


def _score(a) -> int:
    from slidebox.scoring import cli

    options = {"split": a.split, "check": a.check, "out": a.out, "private": a.private}
    return cli.run(a.release, a.predictions, **options, json_path=a.json, threads=a.threads)


def _print_findings(findings) -> None:
    for f in findings:
        where = ":".join(str(p) for p in (f.file, f.line) if p is not None)
        print(f"{f.severity}: {f.code}: {where + ': ' if where else ''}{f.message}")
        if f.mend:
            print(f"    {f.mend}")


def _write_json(path: Path, data) -> None:
    from slidebox import atomic

    atomic.write_json(path, data)


def _progress(what: str):
    """A progress bar on a terminal, None when piped.

    The result is called with (done, total) or (stage, done, total).
    """
    if not sys.stderr.isatty():
        return None
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    bar.start()
    atexit.register(bar.stop)

    def show(*news) -> None:
        *stage, done, total = news
        bar.update(task, completed=done, total=total, description=str((*stage, what)[0]))

    return show


if __name__ == "__main__":
    sys.exit(main())
