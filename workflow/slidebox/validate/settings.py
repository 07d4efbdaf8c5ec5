"""What an archive may set about validation: severities, ignored files, limits."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..record.codes import CODES
from ..record.patterns import fits


class Override(BaseModel):
    """Another severity for a code, or none at all, and why."""

    model_config = ConfigDict(extra="forbid")

    severity: Literal["error", "warning", "info", "ignore"]
    reason: str = Field(min_length=3, description="Why; it is kept with the findings.")
    path: str | None = Field(None, description="Only for files that match this pattern.")


class Settings(BaseModel):
    """Keys of ``validation:`` in the configuration."""

    model_config = ConfigDict(extra="forbid")

    codes: dict[str, Override] = Field(
        default_factory=dict, description="Severity by finding code, each with a reason."
    )
    ignored_files: list[str] = Field(
        default=["**/.DS_Store", "**/Thumbs.db", "**/desktop.ini", "**/._*"],
        description="Patterns of files that need not be listed.",
    )
    licences: list[str] = Field(
        default=["CC0-1.0", "CC-BY-4.0"], description="SPDX ids that the archive takes."
    )
    memory: int = Field(2 << 30, gt=0, description="Bytes of memory for opening one image.")
    seconds: float = Field(120, gt=0, description="Seconds for opening one image.")
    deep_seconds_per_gb: float = Field(
        300, gt=0, description="Further seconds a GB of file when every plane is read."
    )
    inflation: int = Field(
        10_000, gt=0, description="Bytes of pixels that one byte of a file may stand for."
    )
    scope: bool = Field(True, description="Check that the study is no medical imaging.")

    @model_validator(mode="after")
    def _known_codes(self) -> Settings:
        unknown = sorted(set(self.codes) - set(CODES))
        if unknown:
            raise ValueError(f"no finding has the code {', '.join(unknown)}")
        return self

    @classmethod
    def of(cls, config: Any) -> Settings:
        """From None, Settings, a mapping, or a configuration with an attribute ``validation``."""
        if isinstance(config, cls):
            return config
        inner = getattr(config, "validation", None)
        if inner is not None:
            return cls.of(inner)
        if isinstance(config, BaseModel) and hasattr(config, "codes"):
            return cls.model_validate(config.model_dump())
        return cls.model_validate(config) if isinstance(config, dict) else cls()


def matches(path: str | None, patterns: list[str] | tuple[str, ...]) -> bool:
    """Whether a path fits one of the patterns (``*`` within a name, ``**/`` over folders)."""
    return path is not None and any(fits(path, p) for p in patterns)
