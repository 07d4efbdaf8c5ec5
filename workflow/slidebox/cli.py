"""The command ``slidebox``: each subcommand is a few lines around one library call.

Exit codes: 0 fine, 1 findings, 2 can't run. Libraries are imported when a subcommand needs them, so
that ``--help`` and ``score`` start at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from slidebox import __version__
from slidebox.commands import (
    challenge,
    image,
    operation,
    outreach,
    publishing,
    reader,
    submitter,
    vault,
)
from slidebox.commands.common import CANNOT, EXIT_CODES, FINE, CannotRun, subcommand


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
    except ModuleNotFoundError as error:
        if os.environ.get("SLIDEBOX_DEBUG") or not error.name:
            raise
        extra = _extra_with(error.name)
        where = f'pip install ".[{extra}]" in its source, or `make setup` there, brings it'
        print(f"slidebox: this needs the package {error.name}; {where}", file=sys.stderr)
        return CANNOT
    except Exception as error:
        if os.environ.get("SLIDEBOX_DEBUG"):
            raise
        words = " ".join(str(error).split())[:500] or type(error).__name__
        print(f"slidebox: {words} (SLIDEBOX_DEBUG=1 shows where)", file=sys.stderr)
        return CANNOT


def _extra_with(module: str) -> str:
    """The smallest extra of the installation that brings a module."""
    import re
    from importlib.metadata import PackageNotFoundError, requires

    top = module.partition(".")[0]
    package = {"skimage": "scikit-image", "cv2": "opencv-python-headless", "ocfl": "ocfl-py"}
    name = package.get(top, top).replace("_", "-").lower()
    try:
        lines = requires("slidebox") or []
    except PackageNotFoundError:  # the library without its installation
        lines = []
    for line in lines:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        if (
            extra
            and extra[1] not in ("dev", "build")
            and re.match(rf"{name}(?![\w.-])", line, re.I)
        ):
            return extra[1]
    return "workflow"


def build_parser() -> argparse.ArgumentParser:
    """All subcommands with their help."""
    parser = argparse.ArgumentParser(
        prog="slidebox",
        description="An archive for biological images, and the benchmarks made from it.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"slidebox {__version__}")
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable, help: str, examples: str) -> argparse.ArgumentParser:
        return subcommand(commands, name, run, help, examples)

    for kind in (submitter, image, vault, operation, outreach, publishing, reader, challenge):
        kind.register(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
