"""study.yaml: the form for people. Read with line numbers, write so that it reads back equal.

Only plain YAML is taken: no tags, no aliases (so no bombs), no two values for one name. Words
stay words (``no`` is not false, ``2024-01-01`` is text), since every field knows its own type.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from ..faults import machines_fault
from ..findings import Finding
from .codes import finding
from .inside import open_inside
from .model import Record
from .positions import Positions, field_name

NAME = "study.yaml"
MAX_BYTES = 8 << 20
MAX_DEPTH = 40

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NULL = {"", "~", "null", "Null", "NULL"}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?\Z")


class _Refused(Exception):
    def __init__(self, code: str, message: str, line: int | None, mend: str) -> None:
        super().__init__(message)
        self.code, self.line, self.mend = code, line, mend


def _check_events(text: str) -> None:
    """Refuse what plain YAML does not need before anything is built from it."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Refused(
                "YAML_ALIAS",
                "the file uses a YAML anchor or alias (& or *)",
                line,
                "Write the value out; put text that begins with & or * between quotes.",
            )
        tag = getattr(event, "tag", None)
        if tag and tag != "!":
            raise _Refused(
                "YAML_TAG",
                f"the file uses the YAML tag {tag[:60]!r}",
                line,
                "Remove the tag; put text that begins with ! between quotes.",
            )
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Refused(
                    "RECORD_TOO_DEEP",
                    f"values are nested more than {MAX_DEPTH} deep",
                    line,
                    "Flatten the record; no field needs this depth.",
                )
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1


def _scalar(node: yaml.ScalarNode, typed: bool) -> Any:
    text = node.value
    if node.style:  # quoted or a block: text, whatever it looks like
        return text
    if text in _NULL:
        return None
    if typed:
        if text in ("true", "false"):
            return text == "true"
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
    return text


def _build(
    node: yaml.Node, path: tuple, positions: Positions, findings: list[Finding], typed: bool
) -> Any:
    positions.lines.setdefault(field_name(path), node.start_mark.line + 1)
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, typed)
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(child, (*path, i), positions, findings, typed)
            for i, child in enumerate(node.value)
        ]
    out: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            findings.append(
                Finding(
                    "YAML_SYNTAX",
                    "error",
                    "a name is not plain text",
                    positions.file,
                    line,
                    field_name(path) or None,
                    "Give each value a plain name.",
                )
            )
            continue
        name = key.value
        here = (*path, name)
        if name in out:
            findings.append(
                Finding(
                    "FIELD_TWICE",
                    "error",
                    f"{field_name(here)} is given twice, first in line "
                    f"{positions.lines.get(field_name(here))}",
                    positions.file,
                    line,
                    field_name(here),
                    "Keep one of the two.",
                )
            )
            continue
        positions.lines[field_name(here)] = line
        out[name] = _build(value, here, positions, findings, typed or name == "extra")
    return out


def load_plain(text: str, file: str, typed: bool = False) -> tuple[Any, Positions, list[Finding]]:
    """Parse YAML to plain values with their lines; what is wrong comes back as findings.

    Scalars are text unless ``typed`` (or under a key ``extra``), where numbers and true/false are
    what they look like.
    """
    positions, findings = Positions(file), []
    try:
        _check_events(text)
        node = yaml.compose(text, Loader=_LOADER)
    except _Refused as error:
        return (
            None,
            positions,
            [Finding(error.code, "error", str(error), file, error.line, None, error.mend)],
        )
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return (
            None,
            positions,
            [
                Finding(
                    "YAML_SYNTAX",
                    "error",
                    f"not readable as YAML: {error.problem or error.context}",
                    file,
                    mark.line + 1 if mark else None,
                    None,
                    "Check the indentation here; put text that holds ': ' or ' #' between quotes.",
                )
            ],
        )
    except yaml.YAMLError as error:
        return (
            None,
            positions,
            [
                Finding(
                    "YAML_SYNTAX",
                    "error",
                    f"not readable as YAML: {str(error)[:200]}",
                    file,
                    None,
                    None,
                    "Save the file as plain UTF-8 text without control characters.",
                )
            ],
        )
    if node is None:
        return None, positions, []
    data = _build(node, (), positions, findings, typed)
    return data, positions, findings


def _model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        if found := _model_of(inner):
            return found
    return None


def nearest(name: str, names: list[str] | tuple[str, ...]) -> str | None:
    """The name that was probably meant: equal but for case, space and dash, or close."""

    def plain(text: str) -> str:
        return re.sub(r"[\W_]+", "", text).casefold()

    for other in names:
        if plain(other) == plain(name):
            return other
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    return close[0] if close else None


def _keep_unknown(
    data: Any, model: type[BaseModel], path: tuple, where: Positions, findings: list[Finding]
) -> Any:
    """Move names that the model doesn't know into ``extra``, and say so."""
    if not isinstance(data, dict):
        return data
    out: dict[str, Any] = {}
    unknown: dict[str, Any] = {}
    for name, value in data.items():
        here = (*path, name)
        info = model.model_fields.get(name)
        if info is None:
            unknown[name] = value
            other = nearest(name, list(model.model_fields))
            findings.append(
                Finding(
                    "FIELD_UNKNOWN",
                    "warning",
                    f"{field_name(here)} is not a field of the record",
                    where.file,
                    where.line(field_name(here)),
                    field_name(here),
                    f"Did you mean {other}?"
                    if other
                    else "It is kept under extra; move it there to say that you mean it.",
                )
            )
            continue
        inner = _model_of(info.annotation)
        if inner and name != "extra":
            if isinstance(value, list):
                value = [
                    _keep_unknown(v, inner, (*here, i), where, findings)
                    for i, v in enumerate(value)
                ]
            elif isinstance(value, dict):
                value = _keep_unknown(value, inner, here, where, findings)
                value = [value]  # one thing where a list is meant
        out[name] = value
    if unknown:
        extra = out.get("extra")
        out["extra"] = {**unknown, **(extra if isinstance(extra, dict) else {})}
    if out.get("extra", ...) is None:
        del out["extra"]
    return out


def _drop_none(data: Any) -> Any:
    """``name:`` with nothing after it is the field's default."""
    if isinstance(data, dict):
        return {k: (v if k == "extra" else _drop_none(v)) for k, v in data.items() if v is not None}
    if isinstance(data, list):
        return [_drop_none(v) for v in data if v is not None]
    return data


def to_record(data: Any, where: Positions) -> tuple[Record | None, list[Finding]]:
    """Plain values to the model; wrong kinds of values come back as findings and are left out."""
    findings: list[Finding] = []
    if not isinstance(data, dict):
        return None, [
            Finding(
                "RECORD_EMPTY",
                "error",
                "the record is empty or no list of fields",
                where.file,
                1,
                None,
                "Write `title: ...` and so on; `slidebox init` gives a file to fill in.",
            )
        ]
    data = _drop_none(_keep_unknown(data, Record, (), where, findings))
    known: set[tuple] = set()
    for _ in range(1000):  # each round leaves out what one round of errors named
        try:
            return Record.model_validate(data), findings
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                loc = tuple(problem["loc"])
                if loc in known:
                    continue
                name = field_name(loc)
                findings.append(
                    Finding(
                        "FIELD_TYPE",
                        "error",
                        f"{name}: {problem['msg'].lower()}"
                        + (
                            f", not {problem['input']!r:.80}"
                            if isinstance(problem["input"], (str, int, float))
                            else ""
                        ),
                        where.file,
                        where.line(name),
                        name,
                        "Give the value in the form that docs/reference/study-yaml.md shows.",
                    )
                )
            locs = [tuple(e["loc"]) for e in error.errors()]
            removed = _remove(locs, data, known)
            known.update(locs)
            if not removed:
                return None, findings
    return None, findings


def _remove(locs: list[tuple], data: Any, known: set[tuple]) -> bool:
    """Take out the values at these places, the last first so that indices stay true.

    ``known`` are the places that were emptied before; what is in a list there goes altogether.
    """
    removed = False
    for loc in sorted(set(locs), key=lambda p: [(isinstance(s, int), str(s)) for s in p])[::-1]:
        here = data
        trail = []
        for step in loc:
            if (isinstance(here, dict) and step in here) or (
                isinstance(here, list) and isinstance(step, int) and step < len(here)
            ):
                trail.append((here, step))
                here = here[step]
            else:
                break
        if trail:
            holder, step = trail[-1]
            if isinstance(holder, list):
                if loc in known and holder[step] in ("", {}):
                    del holder[step]  # emptied, and still of the wrong kind
                else:
                    holder[step] = {} if isinstance(holder[step], dict) else ""
            else:
                del holder[step]
            removed = True
    return removed


def loads(text: str, file: str = NAME) -> tuple[Record | None, Positions, list[Finding]]:
    """Read the text of a study.yaml."""
    data, positions, findings = load_plain(text, file)
    if data is None and findings:
        return None, positions, findings
    record, more = to_record(data, positions)
    return record, positions, findings + more


def read_text(folder: Path, file: str, limit: int = MAX_BYTES) -> tuple[str | None, list[Finding]]:
    """The text of a record file of a submission: UTF-8, of a sane size."""
    try:
        with open_inside(folder, file) as handle:
            raw = handle.read(limit + 1)
    except OSError as error:
        if machines_fault(error):
            raise
        return None, [finding("FILE_UNREADABLE", f"can't be read: {error}", file)]
    if len(raw) > limit:
        return None, [finding("RECORD_TOO_LARGE", f"the file has more than {limit} bytes", file)]
    try:
        return raw.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return None, [finding("TEXT_NOT_UTF8", f"byte {error.start} is not UTF-8", file, line)]


def dumps(record: Record) -> str:
    """A study.yaml that reads back equal; fields that hold their default are left out."""
    data = record.model_dump(mode="json", exclude_defaults=True)
    return yaml.dump(data, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100)
