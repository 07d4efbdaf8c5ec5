"""Metrics of one's own, looked at before anything is built: is the file there, can it run where
participants are."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.utils import canonicalize_name

from ..findings import Finding
from . import wheel
from .model import Challenge


def problems(challenge: Challenge, folder: Path) -> Iterator[Finding]:
    """What is wrong with the files of `scoring.custom`, all of it."""
    for number, custom in enumerate(challenge.scoring.custom):
        where = f"scoring.custom.{number}"

        def wrong(what: str, mend: str, line: int | None = None, custom=custom) -> Finding:
            return Finding("METRIC_FAILED", "error", what, custom.file, line, mend=mend)

        path = folder / custom.file
        if not path.is_file():
            mend = f"write it, with {custom.function}(truth, prediction, info)"
            yield Finding("METRIC_FAILED", "error", f"there is no file {custom.file} beside it",
                          "challenge.yaml", field=f"{where}.file", mend=mend)  # fmt: skip
            continue
        try:
            tree = ast.parse(path.read_bytes(), custom.file)
        except (SyntaxError, ValueError) as bad:
            told = f"is no Python: {getattr(bad, 'msg', bad)}"
            yield wrong(told, "mend it", getattr(bad, "lineno", None))
            continue
        defined = [n.name for n in tree.body if isinstance(n, ast.FunctionDef)]
        if custom.function not in defined:
            has = ", ".join(defined) or "none"
            yield wrong(f"has no function {custom.function}; it has {has}",
                        f"name it so, or change {where}.function")  # fmt: skip
        for line, module in _imports(tree):
            if module not in _known():
                yield wrong(f"imports {module}, which a release's scorer doesn't bring along",
                            "participants have NumPy, SciPy and Python's own modules: write it "
                            "with these", line)  # fmt: skip


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, top module) of every import; those in a `try` may fail."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Try):
            continue
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # A relative import names no module that is there: the file runs by itself
            yield node.lineno, (node.module or ".").partition(".")[0] if not node.level else "."
        else:
            yield from _imports(node)


def _known() -> set[str]:
    """Top modules that stand where a release's scorer runs."""
    pinned = {canonicalize_name(pin.partition("==")[0]) for pin in wheel.pins()}
    brought = {
        module for module, names in metadata.packages_distributions().items()
        if pinned & {canonicalize_name(name) for name in names}
    }  # fmt: skip
    return set(sys.stdlib_module_names) | brought | {"slidebox"}
