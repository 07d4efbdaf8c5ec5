"""What an organiser writes: challenge.yaml; `workflow/schemas` has its schema, made from this."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..findings import Finding
from ..scoring.settings import Settings, Task

# Identifiers of one licence or several: CC-BY-4.0, MIT OR Apache-2.0
SPDX = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*$")
SLUG = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Person(_Part):
    """Someone who answers for the challenge."""

    name: str
    email: str | None = None
    orcid: str | None = Field(None, pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")
    organisation: str | None = None


class Selection(_Part):
    """Which images of a study; all of the conditions must hold."""

    parts: list[str] | None = Field(None, description="names of study components; default: all")
    paths: list[str] | None = Field(None, description="globs over paths, e.g. 'plate1/*.tif'")
    where: dict[str, str | list[str]] = Field(
        default_factory=dict,
        description="a field (column of the file list, biosample, ...) and its allowed values",
    )


class Source(_Part):
    """A study of the archive, or every study that a query finds."""

    accession: str | None = None
    version: int | None = Field(None, ge=1, description="default: the newest; a release pins it")
    query: dict[str, str] | None = Field(
        None,
        description="instead of an accession: text that fields of the record must contain, "
        "e.g. {organism: Homo sapiens, imaging_method: confocal, any: nuclei}",
    )
    images: Selection = Field(default_factory=Selection)
    annotations: list[str] | None = Field(
        None, description="names of annotation sets that hold the truth; default: all"
    )

    @model_validator(mode="after")
    def _one(self) -> Source:
        if (self.accession is None) == (self.query is None):
            raise ValueError("give either accession or query")
        return self


class Tiles(_Part):
    """Cut every image into tiles, row by row; the last ones move inwards to keep their size."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="height and width in pixels; an image that is smaller stays whole"
    )


class Crop(_Part):
    """Keep one box of every image, at its pixels as they are."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="height and width in pixels; an image that is smaller stays whole"
    )
    origin: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = Field(
        None, alias="from", description="y and x of the corner; default: the middle"
    )
    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)


class Data(_Part):
    """Which images and truth, and how they are released."""

    sources: list[Source] = Field(min_length=1)
    channels: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, min_length=1, description="channels to keep, counted from 0; default: all"
    )
    columns: dict[Literal["z", "y", "x"], str] | None = Field(
        None, description="points: the column of each axis in the tables of truth, by its name"
    )
    tiles: Tiles | None = None
    crop: Crop | None = None
    images: Literal["tiff", "ome-zarr"] = Field(
        "tiff",
        description="how images are released; truth is TIFF (tracking: Cell Tracking Challenge)",
    )


class Rule(_Part):
    """How a split gets its images: a share of what is free, or a fixed choice."""

    share: float | None = Field(None, gt=0, le=1, description="share of the groups left over")
    annotations: str | None = Field(None, description="all images with this annotation set")
    groups: list[str] | None = Field(None, description="these values of group_by")
    images: list[str] | None = Field(None, description="globs over the ids or paths of images")

    @model_validator(mode="after")
    def _one(self) -> Rule:
        given = [self.share, self.annotations, self.groups, self.images]
        if sum(v is not None for v in given) != 1:
            raise ValueError("give one of share, annotations, groups, images")
        return self


class Splits(_Part):
    """How images are divided. Groups are never cut."""

    group_by: list[str] = Field(
        default=["study", "image"],
        description="fields whose combination is a group: specimen, study, biosample, a column "
        "...; 'donor | image' is the first of them that an image has",
    )
    stratify_by: list[str] = Field(
        default_factory=list, description="fields whose values every split should have alike"
    )
    seed: int = 0
    rules: dict[str, Rule] = Field(description="e.g. {train: {share: 0.8}, test: {share: 0.2}}")
    folds: int = Field(0, ge=0, le=100, description="k folds over the train split, in splits.csv")

    @field_validator("group_by", "stratify_by", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("rules")
    @classmethod
    def _names(cls, value: dict[str, Rule]) -> dict[str, Rule]:
        for name in value:
            if not NAME.match(name):
                raise ValueError(f"{name!r} is no name for a split: letters, digits, - and _")
        if not value:
            raise ValueError("name at least one split")
        total = sum(rule.share or 0 for rule in value.values())
        if total > 1 + 1e-9:
            raise ValueError(f"shares add up to {total:g}, more than 1")
        return value


class Waiver(_Part):
    """A pair of images that may stand on both sides of a split, and why. It is published."""

    images: tuple[str, str] = Field(description="ids of the two images, or globs over ids")
    reason: str = Field(min_length=10)
    by: str | None = None
    on: date | None = None

    def covers(self, a: str, b: str) -> bool:
        """Whether it is about these two images, in either order."""
        one, two = self.images
        return any(fnmatchcase(p, one) and fnmatchcase(q, two) for p, q in ((a, b), (b, a)))


class Leakage(_Part):
    """The search for images that are nearly the same in two splits."""

    check: bool = True
    waivers: list[Waiver] = Field(default_factory=list)


class Phase(_Part):
    """A time in which entries are taken."""

    name: str = Field(pattern=NAME.pattern)
    begin: datetime | None = None
    end: datetime | None = None
    quota: int | None = Field(None, ge=1, description="entries a team may make in this phase")

    @field_validator("begin", "end")
    @classmethod
    def _utc(cls, value: datetime | None) -> datetime | None:
        # A date without a zone is UTC, so that a phase ends at one moment for everybody
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Board(_Part):
    """The leaderboard: phases, and which groups of the test set are shown while it runs."""

    phases: list[Phase] = Field(default_factory=list)
    public_share: float = Field(
        1.0, gt=0, le=1, description="share of the test groups that the public board is made from"
    )
    reveal_all: bool = Field(False, description="show the board of all groups (at the end)")
    memory_gb: float = Field(8, gt=0, description="memory that scoring an entry may take")
    minutes: float = Field(60, gt=0, description="time that scoring an entry may take")


class Inconsistent(ValueError):
    """Settings that are fine each by itself and don't go together; `problems` are (field, what)."""

    def __init__(self, problems: list[tuple[tuple[str, ...], str]]) -> None:
        super().__init__("; ".join(f"{'.'.join(field)}: {what}" for field, what in problems))
        self.problems = problems


class Challenge(_Part):
    """A benchmark made from the archive."""

    slug: str = Field(pattern=SLUG.pattern, description="short name; that of the folder")
    version: str = Field(
        pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$",
        description="MAJOR.MINOR.PATCH: test set or primary metric, more data or metrics, words",
    )
    title: str
    description: str
    organisers: list[Person] = Field(min_length=1)
    license: str = Field(description="SPDX identifier of the release, e.g. CC-BY-4.0")
    citation: str | None = None
    released: date | None = Field(
        None, description="date that the release states; default: the newest of its studies'"
    )
    task: Task
    data: Data
    splits: Splits
    hidden: list[str] = Field(
        default_factory=list, description="splits whose truth stays with the organiser"
    )
    leakage: Leakage = Field(default_factory=Leakage)
    scoring: Settings = Field(default_factory=Settings)
    leaderboard: Board = Field(default_factory=Board)
    changes: str = Field(
        "", description="what is new in this version, a line or more; goes into CHANGELOG.md"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Challenge:
        problems: list[tuple[tuple[str, ...], str]] = []
        splits = ", ".join(self.splits.rules)
        for name in self.hidden:
            if name not in self.splits.rules:
                problems.append((("hidden",), f"{name!r} is no split; there are {splits}"))
        if len(set(self.data.channels or [])) < len(self.data.channels or []):
            problems.append((("data", "channels"), "names a channel twice"))
        for key in ("tiles", "crop"):
            if getattr(self.data, key) and self.task == "tracking":
                problems.append((("data", key), f"can't be used with {self.task}"))
        if self.data.columns and self.task != "points":
            problems.append((("data", "columns"), f"can't be used with {self.task}"))
        if self.data.tiles and self.data.crop:
            problems.append((("data",), "give tiles or crop, not both"))
        try:
            self.scoring.resolved(self.task)
        except ValueError as bad:
            problems.append((("scoring",), str(bad)))
        if problems:
            raise Inconsistent(problems)
        return self


class Invalid(ValueError):
    """A challenge that can't be used; carries the findings."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n".join(f"{f.field or f.file}: {f.message}" for f in findings))
        self.findings = findings


def load(folder: Path | str) -> Challenge:
    """Read challenge.yaml of a folder.

    Raises
    ------
    Invalid
        With every wrong field at once.
    """
    path = Path(folder) / "challenge.yaml"
    if not path.is_file():
        raise Invalid([Finding("CHALLENGE_MISSING", "error", f"{path} doesn't exist", str(path),
                               mend="start one with `slidebox challenge init`")])  # fmt: skip
    try:
        text = path.read_text("utf-8")
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as bad:  # ValueError: a day that no month has, no UTF-8
        mark = getattr(bad, "problem_mark", None)
        raise Invalid([
            Finding("CHALLENGE_YAML", "error", f"is no YAML: {getattr(bad, 'problem', bad)}",
                    "challenge.yaml", mark.line + 1 if mark else None)
        ]) from bad  # fmt: skip
    if not isinstance(data, dict):
        raise Invalid([Finding("CHALLENGE_YAML", "error", "holds no keys", "challenge.yaml")])
    tree = yaml.compose(text, yaml.SafeLoader)
    findings = list(_twice(tree))
    try:
        challenge = Challenge.model_validate(data)
    except ValidationError as bad:
        findings += [f for e in bad.errors() for f in _findings(e, tree)]
    if findings:
        raise Invalid(findings)
    if not SPDX.match(challenge.license):
        raise Invalid([
            Finding("CHALLENGE_FIELD", "error", f"{challenge.license!r} is no SPDX identifier",
                    "challenge.yaml", _line(tree, ("license",)), "license",
                    mend="write one such as CC-BY-4.0 or CC0-1.0 (spdx.org/licenses)")
        ])  # fmt: skip
    if challenge.slug != Path(folder).resolve().name:
        raise Invalid([
            Finding("CHALLENGE_SLUG", "error",
                    f"slug {challenge.slug!r} isn't the folder's name {Path(folder).name!r}",
                    "challenge.yaml", field="slug", mend="rename one of the two")
        ])  # fmt: skip
    return challenge


FORMS = {
    "version": "three numbers with points between them, such as 1.0.0",
    "slug": "a-z, 0-9 and -",
    "orcid": "0000-0000-0000-0000",
    "name": "letters, digits, - and _",
    "file": "a Python file beside challenge.yaml, such as mine.py",
}


MAPPINGS = {
    "tiles": "write {size: [256, 256]}",
    "crop": "write {size: [512, 512]}",
    "columns": "write {y: ..., x: ...}",
    "classes": "write {1: name, 2: name}",
}


def _findings(problem: Any, tree: yaml.Node) -> list[Finding]:
    """What pydantic says of a field, or `Inconsistent` of several, with the line of each."""
    loc, message, mend = problem["loc"], problem["msg"].removeprefix("Value error, "), None
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, Inconsistent):
        told = [((*loc, *field), what, None) for field, what in cause.problems]
    else:
        if problem["type"] == "extra_forbidden":
            message, mend = "there is no such key", "see workflow/schemas/challenge.schema.json"
        elif problem["type"] == "missing":
            message = "is missing"
        elif problem["type"] in ("model_type", "dict_type"):
            message = f"holds {problem['input']!r}, not keys"
            mend = (loc and MAPPINGS.get(str(loc[-1]))) or "write {key: value, ...}"
        elif not isinstance(problem["input"], dict | list):
            mend = FORMS.get(str(loc[-1])) if loc else None
            message = f"{message}; it is {problem['input']!r}"
            if mend and problem["type"] in ("string_pattern_mismatch", "string_type"):
                message, mend = f"can't be {problem['input']!r}", f"write {mend}"
        told = [(loc, message, mend)]
    return [
        Finding("CHALLENGE_FIELD", "error", what, "challenge.yaml", _line(tree, where),
                ".".join(map(str, where)), how)
        for where, what, how in told
    ]  # fmt: skip


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


def _line(node: yaml.Node, loc: tuple[str | int, ...]) -> int:
    """The line of a field, or of the last of its parents that is there."""
    line = node.start_mark.line + 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next((kv for kv in node.value if kv[0].value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def json_schema() -> dict[str, Any]:
    """JSON Schema of challenge.yaml."""
    made = Challenge.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://slidebox.invalid/schemas/challenge.schema.json",
        **made,
    }
