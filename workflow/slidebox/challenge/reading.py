"""Reads challenge.yaml; every mistake in it is a finding with its line, all of them at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..findings import Finding
from .model import Challenge

NAME = "challenge.yaml"
FORMS = {
    "version": "three numbers with points between them, such as 1.0.0",
    "slug": "a-z, 0-9 and -",
    "license": "an SPDX identifier such as CC-BY-4.0 or CC0-1.0 (spdx.org/licenses)",
    "organisers.orcid": "0000-0000-0000-0000",
    "phases.name": "letters, digits, - and _",
    "custom.name": "a letter, then letters, digits and _",
    "custom.file": "a Python file beside challenge.yaml, such as mine.py",
    "custom.function": "the name of a function in the file",
}
KINDS = {
    "string": "text", "list": "a list", "tuple": "a list", "bool": "true or false",
    "int": "a whole number", "float": "a number",
}  # fmt: skip
QUOTE = "put text that holds ': ' or ' #', or begins with * & ! % @, between quotes"
_SHOULD = re.compile(r"^[A-Z][a-z]+ should ")  # as pydantic begins


class Invalid(ValueError):
    """A challenge that can't be used; carries the findings."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(f"{f.field or f.file}: {f.message}" for f in findings))
        self.findings = findings


class _Loader(yaml.SafeLoader):
    """Keys are text, and so is what looks like a date or a number and is none: the model refuses
    it."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)


def _or_text(construct: Callable) -> Callable:
    def made(loader: _Loader, node: yaml.ScalarNode) -> Any:
        try:
            return construct(loader, node)
        except ValueError:
            return loader.construct_scalar(node)

    return made


for _kind in ("int", "float", "timestamp"):
    _tag = f"tag:yaml.org,2002:{_kind}"
    _Loader.add_constructor(_tag, _or_text(yaml.SafeLoader.yaml_constructors[_tag]))


def load(folder: Path | str) -> Challenge:
    """Read challenge.yaml of a folder.

    Raises
    ------
    Invalid
        With every wrong field at once.
    """
    folder = Path(folder)
    data, tree = _parse(folder / NAME)
    findings = list(_twice(tree))
    try:
        challenge = Challenge.model_validate(data)
    except ValidationError as bad:
        findings += _findings(bad, tree)
    slug, name = data.get("slug"), folder.resolve().name
    if isinstance(slug, str) and slug != name and not any(f.field == "slug" for f in findings):
        findings.append(
            Finding("CHALLENGE_SLUG", "error", f"slug {slug!r} isn't the folder's name {name!r}",
                    NAME, _find(tree, ("slug",))[0], "slug", "rename one of the two")
        )  # fmt: skip
    if findings:
        raise Invalid(sorted(findings, key=lambda f: f.line or 0))
    return challenge


def _parse(path: Path) -> tuple[dict[str, Any], yaml.Node]:
    """Values, and the nodes that they stand in.

    Raises
    ------
    Invalid
        The file isn't there, or isn't one of keys and values.
    """

    def refuse(what: str, mend: str, line: int | None = None) -> Invalid:
        return Invalid([Finding("CHALLENGE_YAML", "error", what, NAME, line, mend=mend)])

    if not path.is_file():
        raise Invalid([Finding("CHALLENGE_MISSING", "error", "there is no such file", str(path),
                               mend="start one with `slidebox challenge init`")])  # fmt: skip
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as bad:
        line = raw.count(b"\n", 0, bad.start) + 1
        raise refuse("isn't UTF-8", "save it as UTF-8", line) from None
    try:
        tree = yaml.compose(text, _Loader)
        data = yaml.load(text, _Loader)
    except yaml.reader.ReaderError as bad:
        line = text.count("\n", 0, bad.position) + 1
        what = f"has a character that YAML can't have, U+{bad.character:04X}"
        raise refuse(what, "remove it", line) from None
    except yaml.MarkedYAMLError as bad:
        mark = bad.problem_mark or bad.context_mark
        mend = f"look at the indentation; {QUOTE}"
        if "\\t" in (bad.problem or ""):
            mend = "indent with spaces"
        elif isinstance(bad, yaml.composer.ComposerError | yaml.constructor.ConstructorError):
            mend = f"keep to plain keys and values; {QUOTE}"
        raise refuse(f"is no YAML: {bad.problem}", mend, mark and mark.line + 1) from None
    except RecursionError:
        raise refuse("is nested too deeply", "no key needs this depth") from None
    if not isinstance(data, dict):
        raise refuse("has no keys with values", "start one with `slidebox challenge init`")
    return data, tree


def _findings(bad: ValidationError, tree: yaml.Node) -> Iterator[Finding]:
    """What the model says of each field, in the words and with the line of the file."""
    for problem in bad.errors():
        where = tuple(part for part in problem["loc"] if part != "[key]")
        line, node = _find(tree, where)
        kind, what = problem["type"], _SHOULD.sub("should ", problem["msg"])
        if kind.endswith(("_type", "_parsing")) and kind.partition("_")[0] in KINDS:
            what = f"should be {KINDS[kind.partition('_')[0]]}"
        mend = problem.get("ctx", {}).get("mend")
        if kind not in ("between", "missing", "extra_forbidden") and node is not None:
            what, mend = _of_value(kind, what, mend, where, node)
        field = ".".join(map(str, where)) or None
        yield Finding("CHALLENGE_FIELD", "error", what, NAME, line, field, mend)


def _of_value(
    kind: str, what: str, mend: str | None, where: tuple, node: yaml.Node
) -> tuple[str, str | None]:
    """What is wrong with a value as it stands in the file, and how to mend it."""
    form = FORMS.get(".".join([part for part in where if isinstance(part, str)][-2:]))
    if not isinstance(node, yaml.ScalarNode):
        return what, mend
    if node.tag == "tag:yaml.org,2002:null":
        return f"is empty, and {what}", mend or "write a value, or leave the key out"
    if form and (kind == "string_pattern_mismatch" or where == ("version",)):
        return f"can't be {node.value!r}", f"write {form}"
    if kind in ("string_type", "text_type"):
        mend = "put it between quotes"
    return f"{what}; it is {node.value!r}", mend


def _twice(tree: yaml.Node) -> Iterator[Finding]:
    """Keys that stand twice: YAML would take the last and say nothing."""
    waiting: list[tuple[yaml.Node, tuple[str, ...]]] = [(tree, ())]
    seen: set[int] = set()  # anchors make one node stand in many places
    while waiting:
        node, at = waiting.pop(0)
        if id(node) in seen or not isinstance(node, yaml.CollectionNode):
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, (*at, str(number))) for number, item in enumerate(node.value)]
            continue
        first: dict[str, int] = {}
        for key, value in node.value:
            where, line = (*at, str(key.value)), key.start_mark.line + 1
            if where[-1] in first:
                told = f"is given twice, first in line {first[where[-1]]}"
                yield Finding("CHALLENGE_FIELD", "error", told, "challenge.yaml", line,
                              ".".join(where), "keep one of them")  # fmt: skip
            first.setdefault(where[-1], line)
            waiting.append((value, where))


def _find(tree: yaml.Node, where: tuple[str | int, ...]) -> tuple[int, yaml.Node | None]:
    """The line of a field, or of the last of its parents that is there; its value if it is."""
    node, line = tree, tree.start_mark.line + 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            found = [kv for kv in node.value if kv[0].value == str(part)]
            if not found:
                return line, None
            key, node = found[-1]  # YAML takes the last
            line = key.start_mark.line + 1
        elif isinstance(node, yaml.SequenceNode) and part in range(len(node.value)):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line, None
    return line, node
