"""The library's imports go one way: no module needs itself, no part one that builds upon it."""

from __future__ import annotations

import ast
import functools
import graphlib
import itertools
from pathlib import Path

import pytest

import slidebox

LIBRARY = Path(slidebox.__file__).parent
ROOMS = {"atomic", "faults", "findings", "resources"}  # of use to every part
# docs/architecture.md: each part and those that it may be built upon
UPON = {
    "record": set(),
    "images": {"record"},
    "validate": {"record", "images", "deposit"},
    "vault": set(),
    "scoring": set(),
    "catalogue": {"record", "images", "validate", "vault"},
    "challenge": {"record", "images", "vault", "catalogue", "scoring"},
    "ingest": {"record", "images", "validate", "vault", "catalogue", "challenge", "config",
               "deposit"},
    "publish": {"record", "images", "vault", "catalogue", "ingest", "config"},
}  # fmt: skip


def imports(package: Path) -> dict[str, dict[str, str]]:
    """Module -> the package's modules that it imports, anywhere in it, and where: ``file:line``."""
    paths = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found: dict[str, dict[str, str]] = {}
    for module, path in sorted(paths.items()):
        found[module] = {}
        home = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _imported(node, home):
                # `from .a import b`: b may be a module or something in a
                target = name if name in paths else name.rpartition(".")[0]
                if target in paths and target != module:
                    where = f"{path.relative_to(package)}:{node.lineno}"
                    found[module].setdefault(target, where)
    return found


def _imported(node: ast.AST, home: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
        whole = ".".join([*base, *([node.module] if node.module else [])])
        return [f"{whole}.{alias.name}" for alias in node.names]
    return []


def circle(found: dict[str, dict[str, str]]) -> str:
    """A circle of imports in words; empty when there is none."""
    try:
        graphlib.TopologicalSorter(found).prepare()
    except graphlib.CycleError as error:
        way = error.args[1][::-1]  # each imports the next
        steps = [f"{a} -> {b} ({found[a][b]})" for a, b in itertools.pairwise(way)]
        return "\n".join(steps)
    return ""


@functools.cache
def of_the_library() -> dict[str, dict[str, str]]:
    return imports(LIBRARY)


def test_modules_import_one_way():
    assert circle(of_the_library()) == "", "a circle: move what both need to a module below them"


@pytest.mark.parametrize(
    "back",
    [
        "from .above import Over\n",
        "def f():\n    from . import above\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import home.part.above\n",
    ],
)
def test_a_circle_is_found_and_named(tmp_path, back):
    part = tmp_path / "home" / "part"
    part.mkdir(parents=True)
    for folder in (part.parent, part):
        (folder / "__init__.py").write_text("")
    (part / "above.py").write_text("from home.part.between import x\nclass Over: ...\n")
    (part / "between.py").write_text("from .below import y as x\n")
    (part / "below.py").write_text("y = 1\n")
    assert circle(imports(part.parent)) == ""
    (part / "below.py").write_text(f"y = 1\n{back}")
    said = circle(imports(part.parent))
    assert "home.part.above -> home.part.between (part/above.py:1)" in said
    assert "home.part.between -> home.part.below (part/between.py:1)" in said
    assert "home.part.below -> home.part.above (part/below.py:" in said


def test_parts_are_built_upon_those_below():
    """What reads microscopes knows nothing of deposits, and the scorer nothing of the archive."""
    wrong = []
    for module, needs in of_the_library().items():
        part = module.split(".")[1] if "." in module else ""
        for target, where in needs.items():
            other = target.split(".")[1] if "." in target else ""
            allowed = {"", part} | ROOMS | UPON.get(part, {other})
            if other not in allowed:
                wrong.append(f"{where}: {part} isn't built upon {other}")
    assert wrong == []
    assert UPON.keys() <= {m.split(".")[1] for m in of_the_library() if "." in m}
