"""Curation: what curators say of a study, as a layer over what was submitted.

``curation/<accession>.yaml`` is a list of entries, each with date, name and reason, that set a
field, waive a finding or decide. It is written by ``slidebox curate`` or by hand. The submitted
record is never changed; :func:`apply` gives the curated one.
"""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..atomic import write_text
from ..findings import Finding
from .codes import CODES, finding
from .model import Record
from .patterns import fits
from .positions import field_name
from .study_yaml import load_plain

Decision = Literal["accept", "hold", "return"]


class CurationError(ValueError):
    """The curation, or a change to it, can't be used; the text says why."""


class SetField(BaseModel):
    """A field's curated value, and the value it had when that was decided."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="Such as license or authors[0].email")
    value: Any = Field(description="The new value")
    was: Any = Field(None, description="The submitted value; the change waits when it differs")


class Waiver(BaseModel):
    """A finding that is accepted as it is."""

    model_config = ConfigDict(extra="forbid")

    code: str
    path: str | None = Field(None, description="Only for files that fit this pattern")


class Entry(BaseModel):
    """One thing a curator did."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    date: Annotated[str, BeforeValidator(str)]
    name: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    set_: SetField | None = Field(None, alias="set")
    waive: Waiver | None = None
    decide: Decision | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Entry:
        said = [self.set_, self.waive, self.decide]
        if sum(s is not None for s in said) != 1:
            raise ValueError("an entry has exactly one of set, waive and decide")
        if self.waive and self.waive.code not in CODES:
            raise ValueError(f"no finding has the code {self.waive.code}")
        return self


class Curation(BaseModel):
    """All that curators said of a study, the oldest first."""

    model_config = ConfigDict(extra="forbid")

    accession: str
    entries: list[Entry] = Field(default_factory=list)

    @property
    def decision(self) -> Decision | None:
        """The last decision."""
        return next((e.decide for e in reversed(self.entries) if e.decide), None)


HEAD = """\
# Curation of {accession}: a layer over what was submitted. Written by `slidebox curate`; may be
# edited by hand. Each entry has date, name and reason, and one of: set, waive, decide.
"""


def path_of(folder: Path, accession: str) -> Path:
    """Where the curation of an accession stands."""
    return folder / f"{accession}.yaml"


def read(folder: Path, accession: str) -> Curation:
    """The curation of a study; an empty one when there is no file.

    Raises
    ------
    CurationError : the file is there but can't be used; the text names line and field.
    """
    path = path_of(folder, accession)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Curation(accession=accession)
    data, where, findings = load_plain(text, str(path), typed=True)
    if findings:
        raise CurationError("; ".join(f"{f.file}:{f.line or 1}: {f.message}" for f in findings))
    try:
        curation = Curation.model_validate(data)
    except ValidationError as error:
        said = []
        for problem in error.errors(include_url=False):
            name = field_name([p for p in problem["loc"] if p != "set_"])
            message = problem["msg"].removeprefix("Value error, ")
            said.append(f"{path}:{where.line(name) or 1}: {name}: {message}")
        raise CurationError("; ".join(said)) from None
    if curation.accession != accession:
        raise CurationError(
            f"{path}:{where.line('accession')}: accession is {curation.accession}, not {accession}"
        )
    return curation


def write(folder: Path, curation: Curation) -> Path:
    """Write the file atomically."""
    data = curation.model_dump(mode="json", by_alias=True, exclude_none=True)
    for entry, model in zip(data.get("entries", []), curation.entries, strict=True):
        if model.set_ is not None:  # an empty value is a value here
            entry["set"] = {
                "field": model.set_.field,
                "value": model.set_.value,
                "was": model.set_.was,
            }
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    path = path_of(folder, curation.accession)
    write_text(path, HEAD.format(accession=curation.accession) + body)
    return path


@contextmanager
def editing(folder: Path, accession: str) -> Iterator[Curation]:
    """Read, let change, write; one at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{accession}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        curation = read(folder, accession)
        yield curation
        write(folder, curation)


def set_field(
    curation: Curation,
    record: Record,
    field: str,
    value: Any,
    *,
    reason: str,
    name: str,
    now: datetime | None = None,
) -> Entry:
    """Give a field of the record a new value.

    ``field`` is a path such as ``license``, ``authors[0].email``,
    ``study_components[Nuclei].access`` (by the part's name), or ``keywords[+]`` (one more at the
    end); ``value`` is plain data.

    Raises
    ------
    CurationError : no such field, or the value does not fit it.
    """
    current, _, _ = apply(curation, record)
    submitted = _get(record.model_dump(mode="json"), field)
    entry = _entry(name, reason, now, set={"field": field, "value": value, "was": submitted})
    _put(current, field, value)
    curation.entries.append(entry)
    return entry


def waive(
    curation: Curation,
    code: str,
    path: str | None = None,
    *,
    reason: str,
    name: str,
    now: datetime | None = None,
) -> Entry:
    """Accept findings of a code, of all files or of those that fit a pattern."""
    entry = _entry(name, reason, now, waive={"code": code, "path": path})
    curation.entries.append(entry)
    return entry


def decide(
    curation: Curation, decision: Decision, *, reason: str, name: str, now: datetime | None = None
) -> Entry:
    """Accept the study, hold it, or return it to the submitter."""
    entry = _entry(name, reason, now, decide=decision)
    curation.entries.append(entry)
    return entry


def _entry(name: str, reason: str, now: datetime | None, **what: Any) -> Entry:
    when = (now or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        return Entry.model_validate({"date": when, "name": name, "reason": reason, **what})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(p) for p in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise CurationError(f"{where}: {message}" if where else message) from None


def apply(curation: Curation, record: Record) -> tuple[Record, list[Finding], list[dict[str, Any]]]:
    """(curated record, findings, history).

    A change whose submitted value is no longer what it was is left out, with a finding: the
    submitter may have mended it another way. History has a dict for each entry, for pages.
    """
    submitted = record.model_dump(mode="json")
    curated = record.model_copy(deep=True)
    findings: list[Finding] = []
    history: list[dict[str, Any]] = []
    file = f"{curation.accession}.yaml"
    for i, entry in enumerate(curation.entries):
        told = entry.model_dump(mode="json", by_alias=True, exclude_none=True)
        history.append(told)
        if entry.set_ is None:
            continue
        change = entry.set_
        told["set"] = {"field": change.field, "value": change.value, "was": change.was}
        try:
            now = _get(submitted, change.field)
            if now != change.was and now != change.value:
                told["applied"] = False
                findings.append(
                    finding(
                        "CURATION_STALE",
                        f"{change.field} was {change.was!r:.80} when {entry.name} set it to "
                        f"{change.value!r:.80}; now {now!r:.80} is submitted, which stays",
                        file,
                        field=f"entries[{i}]",
                    )
                )
                continue
            curated = _put(curated, change.field, change.value)
            told["applied"] = True
        except CurationError as error:
            told["applied"] = False
            findings.append(finding("CURATION_INVALID", str(error), file, field=f"entries[{i}]"))
    return curated, findings, history


def apply_waivers(
    curation: Curation, findings: Iterable[Finding]
) -> tuple[list[Finding], list[dict[str, Any]]]:
    """(findings that stand, those that were waived with name, date and reason)."""
    waivers = [e for e in curation.entries if e.waive]
    kept, waived = [], []
    for one in findings:
        by = next((e for e in waivers if _fits(e.waive, one)), None)
        if by is None:
            kept.append(one)
        else:
            waived.append(
                {
                    **one.to_dict(),
                    "set_to": "waived",
                    "reason": by.reason,
                    "name": by.name,
                    "date": by.date,
                }
            )
    return kept, waived


def _fits(waiver: Waiver | None, one: Finding) -> bool:
    if waiver is None or waiver.code != one.code:
        return False
    if waiver.path is None:
        return True
    return one.file is not None and fits(one.file, waiver.path)


# --- paths into the record ------------------------------------------------------------------------

_STEP = re.compile(r"\.?([A-Za-z_][\w ()%-]*)|\[([^\[\]]*)\]")


def _steps(field: str) -> list[str | tuple[str]]:
    """Names as text, what stands in brackets as a tuple of one."""
    out: list[str | tuple[str]] = []
    at = 0
    while at < len(field):
        found = _STEP.match(field, at)
        if not found or (found[2] is not None and not out):
            raise CurationError(f"{field!r} is no field: write license or authors[0].email")
        out.append(found[1] if found[1] is not None else (found[2],))
        at = found.end()
    if not out:
        raise CurationError("the field is empty: write license or authors[0].email")
    return out


def _index(items: list, inside: str, field: str) -> int:
    if inside == "+":
        return len(items)
    if re.fullmatch(r"\d{1,6}", inside) and int(inside) < len(items):
        return int(inside)
    for i, item in enumerate(items):
        if isinstance(item, dict) and inside and item.get("name") == inside:
            return i
    names = [i.get("name") for i in items if isinstance(i, dict) and i.get("name")]
    known = f"; there are {', '.join(map(repr, names[:10]))}" if names else ""
    raise CurationError(f"{field}: there is no [{inside}] among {len(items)}{known}")


def _get(data: Any, field: str) -> Any:
    """Value of a field in plain data; None when there is nothing."""
    for step in _steps(field):
        if isinstance(step, tuple):
            if not isinstance(data, list):
                raise CurationError(f"{field}: [{step[0]}] is asked of something that is no list")
            try:
                i = _index(data, step[0], field)
            except CurationError:
                return None
            data = data[i] if i < len(data) else None
        elif isinstance(data, dict):
            data = data.get(step)
        elif data is None:
            return None
        else:
            raise CurationError(f"{field}: {step} is asked of something that has no fields")
    return data


def _put(record: Record, field: str, value: Any) -> Record:
    """The record with a field changed, checked by the model."""
    data = record.model_dump(mode="json")
    here: Any = data
    steps = _steps(field)
    for n, step in enumerate(steps):
        last = n == len(steps) - 1
        if isinstance(step, tuple):
            if not isinstance(here, list):
                raise CurationError(f"{field}: [{step[0]}] is asked of something that is no list")
            key: Any = _index(here, step[0], field)
            if key == len(here):
                here.append(value if last else {})
        else:
            if not isinstance(here, dict):
                raise CurationError(f"{field}: {step} is asked of something that has no fields")
            key = step
        if last:
            here[key] = value
        elif isinstance(key, str):
            if key not in here:
                raise CurationError(f"{field}: the record has no field {step}")
            here = here[key]
        else:
            here = here[key]
    try:
        return Record.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = field_name(tuple(first["loc"]))
        raise CurationError(f"{field}: {where}: {first['msg'].lower()}") from None
