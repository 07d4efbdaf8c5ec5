"""Entries: what teams hand in, read with distrust."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..findings import Finding
from ..scoring.release import sha256_file

LARGEST_YAML = 64 << 10
DEEPEST = 20
MARKUP = re.compile(r"<[A-Za-z/!?]|&#?\w+;")
# In names of teams and entries: what pages, tables and shells would take for something else
UNFIT = set('<>"`|;$\\*?') | {"\x7f"}


class Entry(BaseModel):
    """entry.yaml: who made predictions, how and when."""

    model_config = ConfigDict(extra="forbid")
    method: str = Field(min_length=1, max_length=200)
    authors: list[str] = Field(min_length=1, max_length=50)
    date: datetime = Field(description="when it was handed in; a day is its beginning, UTC")
    description: str = Field("", max_length=5000)
    code: str | None = Field(None, pattern=r"^https?://\S+$", max_length=500)
    paper: str | None = Field(None, pattern=r"^(https?://\S+|10\.\S+)$", max_length=500)
    version: str | None = Field(
        None, max_length=40, description="of the challenge; default: the newest release"
    )

    @field_validator("method", "authors", "description")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if MARKUP.search(text):
                raise ValueError("has markup: write plain text")
            if unfit := unfit_characters(text.replace("\n", " ").replace("\t", " ")):
                raise ValueError(f"has invisible characters: {unfit}")
        return value

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, value: Any) -> Any:
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day, tzinfo=UTC)
        return value

    @field_validator("date")
    @classmethod
    def _utc(cls, value: datetime) -> datetime:
        try:
            return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        except OverflowError:
            raise ValueError("is no day of the calendar in UTC") from None


def unfit_characters(text: str) -> str:
    """Control and format characters in a text (they hide or turn what follows), by their codes."""
    found = sorted({c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl")})
    return ", ".join(f"U+{ord(c):04X}" for c in found)


def unfit_name(name: str) -> str | None:
    """Why a folder's name can't be that of a team or an entry."""
    if bad := sorted(set(name) & UNFIT):
        return f"has {' '.join(bad)}"
    if hidden := unfit_characters(name):
        return f"has invisible characters: {hidden}"
    if name[:1] in ("=", "+", "-", "@", " ") or len(name) > 80:
        return "begins with a character that spreadsheets run, or is too long"
    return None


class TooLarge(ValueError):
    """An entry has more bytes than predictions can have; its argument is how many."""


@dataclass
class Given:
    """One entry's folder, read or not."""

    team: str
    name: str
    folder: Path
    entry: Entry | None = None
    predictions: Path | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def key(self) -> str:
        return f"{self.team}/{self.name}"


def read_all(folder: Path) -> Iterator[Given]:
    """Every ``<team>/<entry>/`` under a challenge's entries, sorted; broken ones with findings."""
    if not folder.is_dir():
        return
    for team in sorted(folder.iterdir()):
        if not team.is_dir() or team.is_symlink() or team.name.startswith("."):
            continue
        for entry in sorted(team.iterdir()):
            if entry.is_dir() and not entry.is_symlink() and not entry.name.startswith("."):
                yield _read(team.name, entry)


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


def _read(team: str, folder: Path) -> Given:
    # A name of bytes that are no UTF-8 is refused below, and listed by their codes
    given = Given(_text(team), _text(folder.name), folder)
    path = folder / "entry.yaml"

    def refuse(code: str, message: str, field: str | None = None, mend: str | None = None) -> None:
        given.findings.append(Finding(code, "error", message, "entry.yaml", None, field, mend))

    for what, name in (("team", team), ("entry", folder.name)):
        if problem := unfit_name(name):
            refuse("ENTRY_NAME", f"the {what}'s name {problem}", what,
                   "letters, digits, spaces, - _ . are fine; up to 80 characters")  # fmt: skip
    if path.is_symlink() or not path.is_file():
        refuse(
            "ENTRY_MISSING", "there is no entry.yaml", None, "say method, authors and date in it"
        )
    elif path.stat().st_size > LARGEST_YAML:
        refuse("ENTRY_TOO_LARGE", f"entry.yaml has {path.stat().st_size} bytes")
    else:
        try:
            text = path.read_text("utf-8")
            plain(text)
            given.entry = Entry.model_validate(yaml.safe_load(text))
        except Exception as bad:  # hostile files fail in every way there is
            if isinstance(bad, ValidationError):
                for problem in bad.errors():
                    where = ".".join(map(str, problem["loc"]))
                    refuse("ENTRY_FIELD", problem["msg"], where)
            else:
                refuse("ENTRY_YAML", f"is no YAML: {str(bad)[:200]}")
    given.predictions = _predictions(folder)
    if given.predictions is None:
        given.findings.append(
            Finding("PREDICTIONS_MISSING", "error", "there are no predictions",
                    mend="put predictions/, predictions.zip or one table beside entry.yaml")
        )  # fmt: skip
    return given


def plain(text: str) -> None:
    """Refuse YAML that costs more than it has bytes: an alias can grow without bound, and the time
    of reading grows with the square of the depth.

    Raises
    ------
    yaml.YAMLError
        It has an alias, is nested deeper than 20, or is no YAML.
    """
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError("aliases aren't allowed")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.YAMLError("nested too deeply")


def _predictions(folder: Path) -> Path | None:
    if (folder / "predictions").is_dir() and not (folder / "predictions").is_symlink():
        return folder / "predictions"
    found = [
        p for p in sorted(folder.iterdir())
        if p.is_file() and not p.is_symlink() and p.suffix.lower() in (".zip", ".json", ".csv")
    ]  # fmt: skip
    return found[0] if len(found) == 1 else None


def files(given: Given) -> Iterator[Path]:
    """Plain files of an entry, sorted by folder; links are not followed."""
    for parent, folders, names in os.walk(given.folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink():
                yield path


def digest(given: Given, most: int) -> str:
    """sha256 over the names and bytes of an entry.

    Raises
    ------
    TooLarge
        It has more than `most` bytes, which nobody reads: a sparse file claims any number for free.
    """
    size = sum(path.stat().st_size for path in files(given))
    if size > most:
        raise TooLarge(size)
    total = hashlib.sha256()
    for path in files(given):
        where = os.path.relpath(path, given.folder)
        try:
            about = sha256_file(path)
        except OSError as bad:  # it's in the digest that the file can't be read
            about = f"errno {bad.errno}"
        total.update(f"{about}  {where}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()
