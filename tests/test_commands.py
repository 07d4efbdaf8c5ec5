"""The command line as its users meet it: help, exit codes, output that is piped on."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

import pytest

from slidebox import cli
from slidebox.demo import inbox


def _leaves(parser: argparse.ArgumentParser, name: str = "slidebox"):
    """(name, parser) of every subcommand that does something."""
    kinds = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not kinds:
        yield name, parser
    for action in kinds:
        for word, sub in action.choices.items():
            yield from _leaves(sub, f"{name} {word}")


LEAVES = dict(_leaves(cli.build_parser()))


@pytest.mark.parametrize("name", LEAVES)
def test_each_command_shows_examples_and_what_its_exit_codes_mean(name):
    text = LEAVES[name].format_help()
    example = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
    assert "exit codes: 0 fine, 1 findings, 2 cannot run" in text
    # The example is one that the command takes.
    words = re.split(r" && |    \(| > ", example)[0].split()[1:]
    if "'" not in example:
        cli.build_parser().parse_args(words)


def test_findings_that_are_piped_are_a_line_each(tmp_path):
    inbox.make(tmp_path, only=["SB-BROKEN"])
    done = subprocess.run(
        [sys.executable, "-m", "slidebox.cli", "validate", str(tmp_path / "SB-BROKEN")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) > 100
    for line in lines[:-1]:
        assert line.startswith(("error ", "warning ", "info ", "  ")), line
