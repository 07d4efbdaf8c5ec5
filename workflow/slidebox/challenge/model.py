"""What an organiser writes: challenge.yaml; `workflow/schemas` has its schema, made from this."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError, WrapValidator, field_validator
from pydantic_core import PydanticCustomError

from ..scoring.section import Key, Section
from ..scoring.settings import Settings, Task

# Identifiers of one licence or several: CC-BY-4.0, MIT OR Apache-2.0
SPDX = r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*$"
SLUG = re.compile(r"^[a-z0-9][a-z0-9-]{0,63}$")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")


Problems = Iterator[tuple[Key, str, str]]  # key, what is wrong, how to mend


class Person(Section):
    """Someone who answers for the challenge."""

    name: str
    email: str | None = None
    orcid: str | None = Field(None, pattern=r"^\d{4}-\d{4}-\d{4}-\d{3}[\dX]$")
    organisation: str | None = None


def _texts(value: Any, handler: Callable[[Any], Any]) -> Any:
    """A text or a list of them, told as one problem and not as one of each."""
    try:
        return handler(value)
    except ValidationError:
        raise PydanticCustomError("text_type", "should be a text or a list of texts") from None


class Selection(Section):
    """Which images of a study; all of the conditions must hold."""

    parts: list[str] | None = Field(None, description="names of study components; default: all")
    paths: list[str] | None = Field(None, description="globs over paths, e.g. 'plate1/*.tif'")
    where: dict[str, Annotated[str | list[str], WrapValidator(_texts)]] = Field(
        default_factory=dict,
        description="a field (column of the file list, biosample, ...) and its allowed values",
    )


class Source(Section):
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

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Problems:
        if (given.get("accession") is None) == (given.get("query") is None):
            yield (), "has to have either an accession or a query", "give one of the two"


class Tiles(Section):
    """Cut every image into tiles, row by row; the last ones move inwards to keep their size."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="height and width in pixels; an image that is smaller stays whole"
    )


class Crop(Section):
    """Keep one box of every image, at its pixels as they are."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(
        description="height and width in pixels; an image that is smaller stays whole"
    )
    origin: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = Field(
        None, alias="from", description="y and x of the corner; default: the middle"
    )
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)


class Data(Section):
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

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Problems:
        channels = given.get("channels")
        if isinstance(channels, list):
            for at, channel in enumerate(channels):
                if channel in channels[:at]:
                    yield ("channels", at), f"channel {channel} is named twice", "name it once"
        if given.get("tiles") and given.get("crop"):
            yield ("crop",), "can't be used with tiles", "give tiles or crop"


class Rule(Section):
    """How a split gets its images: a share of what is free, or a fixed choice."""

    share: float | None = Field(None, gt=0, le=1, description="share of the groups left over")
    annotations: str | None = Field(None, description="all images with this annotation set")
    groups: list[str] | None = Field(None, description="these values of group_by")
    images: list[str] | None = Field(None, description="globs over the ids or paths of images")

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Problems:
        ways = [key for key in cls.model_fields if given.get(key) is not None]
        if len(ways) != 1:
            there = f"has {', '.join(ways) or 'no rule'}"
            yield (), there, f"give one of {', '.join(cls.model_fields)}"


class Splits(Section):
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

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Problems:
        rules = given.get("rules")
        if not isinstance(rules, dict):
            return
        if not rules:
            yield ("rules",), "is empty", "name at least one split"
        for name in rules:
            if not NAME.match(str(name)):
                yield (
                    ("rules", name),
                    f"{name!r} is no name for a split",
                    "letters, digits, - and _",
                )
        shares = [rule.get("share") for rule in rules.values() if isinstance(rule, dict)]
        total = sum(s for s in shares if isinstance(s, int | float) and 0 < s <= 1)
        if total > 1 + 1e-9:
            yield ("rules",), f"shares add up to {total:g}, more than 1", "make them smaller"


class Waiver(Section):
    """A pair of images that may stand on both sides of a split, and why. It is published."""

    images: tuple[str, str] = Field(description="ids of the two images, or globs over ids")
    reason: str = Field(min_length=10)
    by: str | None = None
    on: date | None = None

    def covers(self, a: str, b: str) -> bool:
        """Whether it is about these two images, in either order."""
        one, two = self.images
        return any(fnmatchcase(p, one) and fnmatchcase(q, two) for p, q in ((a, b), (b, a)))


class Leakage(Section):
    """The search for images that are nearly the same in two splits."""

    check: bool = True
    waivers: list[Waiver] = Field(default_factory=list)


class Phase(Section):
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


class Board(Section):
    """The leaderboard: phases, and which groups of the test set are shown while it runs."""

    phases: list[Phase] = Field(default_factory=list)
    public_share: float = Field(
        1.0, gt=0, le=1, description="share of the test groups that the public board is made from"
    )
    reveal_all: bool = Field(False, description="show the board of all groups (at the end)")
    memory_gb: float = Field(8, gt=0, description="memory that scoring an entry may take")
    minutes: float = Field(60, gt=0, description="time that scoring an entry may take")


class Challenge(Section):
    """A benchmark made from the archive."""

    slug: str = Field(pattern=SLUG.pattern, description="short name; that of the folder")
    version: str = Field(
        pattern=r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$",
        description="MAJOR.MINOR.PATCH: test set or primary metric, more data or metrics, words",
    )
    title: str
    description: str
    organisers: list[Person] = Field(min_length=1)
    license: str = Field(pattern=SPDX, description="SPDX identifier of the release, e.g. CC-BY-4.0")
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

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Problems:
        def part(key: str) -> dict[str, Any]:
            return found if isinstance(found := given.get(key), dict) else {}

        rules = part("splits").get("rules")
        hidden = given.get("hidden")
        if isinstance(rules, dict) and isinstance(hidden, list):
            for at, name in enumerate(hidden):
                if isinstance(name, str) and name not in rules:
                    there = f"there are {', '.join(map(str, rules))}"
                    yield ("hidden", at), f"{name!r} is no split", there
        task = given.get("task")
        if "task" not in given or ("task",) in wrong:
            return
        for key, of in (("tiles", task != "tracking"), ("crop", task != "tracking"),
                        ("columns", task == "points")):  # fmt: skip
            if part("data").get(key) and not of:
                yield ("data", key), f"can't be used with {task}", "leave it out"
        if ("scoring",) in wrong:
            return
        unknown = {key[1] for key in wrong if key[:1] == ("scoring",)}
        fine = {key: value for key, value in part("scoring").items() if key not in unknown}
        for key, what, mend in Settings.model_validate(fine).unmet(task, unknown):
            yield ("scoring", key), what, mend


def json_schema() -> dict[str, Any]:
    """JSON Schema of challenge.yaml."""
    made = Challenge.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://slidebox.invalid/schemas/challenge.schema.json",
        **made,
    }
