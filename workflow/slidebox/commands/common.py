"""What the subcommands share: exit codes, the archive's configuration, how findings are printed."""

from __future__ import annotations

import argparse
import atexit
import getpass
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

FINE, FINDINGS, CANNOT = 0, 1, 2
EXIT_CODES = "exit codes: 0 fine, 1 findings, 2 cannot run"


class CannotRun(Exception):
    """Wrong use or missing input: said in one line, exit 2."""


class Command(Protocol):
    """Adds a subcommand: its name, function, help and examples; returns its parser."""

    def __call__(
        self, name: str, run: Callable, help: str, examples: str
    ) -> argparse.ArgumentParser: ...


def subcommand(
    commands: Any, name: str, run: Callable | None, help: str, examples: str
) -> argparse.ArgumentParser:
    """Add one to argparse's subparsers: what it does, examples, and what its exit codes mean."""
    lines = ["examples:", *(f"  {line}" for line in examples.splitlines()), "", EXIT_CODES]
    sub = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sub.set_defaults(run=run)
    return sub


def directory_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(),
        help="where the archive is: the folder that holds config/ (default: here)",
    )


def load_config(arguments: argparse.Namespace):
    """The configuration of the archive in ``--directory``, its paths seen from here."""
    import yaml

    from slidebox import config

    base = arguments.directory
    if not base.is_dir():
        raise CannotRun(f"{base} is not a folder")
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


def user() -> tuple[str, str]:
    """Who runs this: a name and an address, for versions and decisions."""
    import os
    import socket

    name = os.environ.get("SLIDEBOX_USER") or getpass.getuser()
    return name, f"mailto:{getpass.getuser()}@{socket.gethostname()}"


def print_findings(findings: Iterable[Any]) -> None:
    """Findings as `slidebox.findings.lines` has them."""
    from slidebox.findings import lines

    for line in lines(findings):
        print(line)


def size(text: str | None) -> int | None:
    """Bytes from ``512MB`` or ``2GiB``."""
    from slidebox.config import parse_bytes

    try:
        return None if text is None else int(parse_bytes(text))
    except ValueError as error:
        raise CannotRun(str(error)) from None


def progress(what: str):
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
