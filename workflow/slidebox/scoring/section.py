"""Sections of challenge.yaml, of which all that is wrong is told at once.

pydantic looks at what goes between keys only when each of them is fine by itself. A section looks
at as much of it as can be told.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

Key = tuple[str | int, ...]
SHOWN = 4  # keys in a message


class Section(BaseModel):
    """Keys with values, and no other keys than the model's.

    Its errors have the type that pydantic gives them or ``between``, and under ``ctx`` a ``mend``
    where there is more to say than the message does.
    """

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def between(cls, given: dict[str, Any], wrong: set[Key]) -> Iterator[tuple[Key, str, str]]:
        """(key, what is wrong, how to mend) of what doesn't go together.

        Parameters
        ----------
        given : keys and values as they were written: any may be missing, or of another type.
        wrong : keys that are wrong by themselves.
        """
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def _at_once(cls, given: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        told = []
        try:
            made = handler(given)
            given = made.model_dump()
        except ValidationError as bad:
            told = [cls._told(problem) for problem in bad.errors()]
        if isinstance(given, dict):
            wrong = {problem["loc"] for problem in told}
            told += [_problem(*found) for found in cls.between(given, wrong)]
        if told:
            raise ValidationError.from_exception_data(cls.__name__, told)
        return made

    @classmethod
    def _told(cls, problem: Any) -> InitErrorDetails:
        """A problem that pydantic, or a section below, has found."""
        loc, what, kind = problem["loc"], problem["msg"], problem["type"]
        mend = problem.get("ctx", {}).get("mend")
        keys = [f.alias or name for name, f in cls.model_fields.items()]
        if kind == "extra_forbidden" and len(loc) == 1:
            what = "there is no such key"
            near = difflib.get_close_matches(str(loc[0]), keys, 1)
            mend = f"did you mean {near[0]}?" if near else f"there are {', '.join(keys)}"
        elif not loc:
            some = ", ".join(keys[:SHOWN]) + (", ..." if len(keys) > SHOWN else "")
            what, mend = "has no keys with values", f"write {some} below it"
        elif kind == "missing":
            what = "is missing"
        return _problem(loc, what.removeprefix("Value error, "), mend, problem["input"], kind)


def _problem(
    loc: Key, what: str, mend: str | None, given: Any = None, kind: str = "between"
) -> InitErrorDetails:
    error = PydanticCustomError(kind, what, {"mend": mend} if mend else None)
    return InitErrorDetails(type=error, loc=loc, input=given)
