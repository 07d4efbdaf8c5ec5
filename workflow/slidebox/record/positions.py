"""Where in a file a value was said, so that a finding can name the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


def field_name(path: Sequence[str | int]) -> str:
    """``("authors", 0, "email")`` as people read it: ``authors[0].email``."""
    name = ""
    for step in path:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else str(step)
    return name


@dataclass
class Positions:
    """Lines of fields in one file.

    ``lines`` maps a field's name as :func:`field_name` gives it to a line (1 is the first).
    """

    file: str | None = None
    lines: dict[str, int] = field(default_factory=dict)

    def line(self, name: str | None) -> int | None:
        """Line of a field, of the nearest thing around it, or of the record; None when unknown."""
        while name:
            if name in self.lines:
                return self.lines[name]
            cut = max(name.rfind("."), name.rfind("["))
            name = name[:cut] if cut > 0 else ""
        return self.lines.get("")
