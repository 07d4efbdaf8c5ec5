"""The configuration: one model, from which the JSON Schema and the checks come.

``config/config.yaml`` is read by Snakemake, ``--config key=value`` goes over it, and
`load` turns the result into a checked `Config` before any job is planned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

_UNITS = {"": 1, "B": 1}
_UNITS |= {f"{p}B": 1000 ** (i + 1) for i, p in enumerate("KMGT")}
_UNITS |= {f"{p}iB": 1024 ** (i + 1) for i, p in enumerate("KMGT")}


def parse_bytes(value: Any) -> Any:
    """Bytes from a number or a text such as ``512MB`` (10**6) or ``2GiB`` (2**30)."""
    if not isinstance(value, str):
        return value
    text = value.strip().replace(" ", "")
    number = text.rstrip("KMGTiBkmgtb")
    unit = text[len(number) :]
    for known, factor in _UNITS.items():
        if unit.lower() == known.lower():
            try:
                return int(float(number) * factor)
            except ValueError:
                break
    raise ValueError(f"{value!r} is not a size; write it like 512MB or 2GiB")


Size = Annotated[int, BeforeValidator(parse_bytes), Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=True)


class Images(_Section):
    """How OME-Zarr is derived."""

    memory: Size = Field("512MB", description="Memory that one image may take.")
    ngff: Literal["0.5", "0.4"] = Field(
        "0.5",
        description="Version of OME-Zarr: 0.4 (Zarr 2, a file a chunk) is for older readers.",
    )
    chunks: Literal["planes", "volume"] = Field(
        "planes",
        description="Inner chunks: planes, for looking; volume (64 x 64 x 64), for cuts along any "
        "axis and for training.",
    )


def _listed(value: Any) -> Any:
    """A list of one for a single text, none for nothing."""
    return [value] if isinstance(value, str) else ([] if value is None else value)


class Site(_Section):
    """What the public pages say of the archive itself."""

    title: str = Field("Slidebox", description="Name of the archive, on every page.")
    base_url: str | None = Field(
        None, description="Address at which `public` is served; absolute links need it."
    )
    contact: str | None = Field(None, description="E-mail address or URL for questions.")


class Publish(_Section):
    """Where the public part of the archive goes. Credentials are never written here: they come
    from the environment or from an AWS profile."""

    to: Annotated[list[str], BeforeValidator(_listed)] = Field(
        [], description="`s3://bucket/prefix` or a folder, or a list of them."
    )
    endpoint: str | None = Field(
        None, description="Address of an S3 server other than Amazon's, `https://host:port`."
    )
    region: str | None = Field(None, description="The bucket's region.")
    profile: str | None = Field(
        None, description="AWS profile that holds the credentials (default: the environment's)."
    )
    acl: str | None = Field(
        None, description="Canned ACL of each object (`public-read`) where no bucket policy is."
    )
    url: str | None = Field(
        None, description="Address at which readers see what is published; for evicted images."
    )
    originals: bool = Field(
        True, description="Files as submitted too, at `/<accession>/files/vN/`, from the vault."
    )
    review: bool = Field(False, description="Reviewers' copies of embargoed studies too.")
    delete: bool = Field(
        False, description="Delete from the target what nothing refers to any more."
    )
    evict: bool = Field(
        False, description="Drop derived images from this disk once they are proven in the target."
    )
    threads: int = Field(8, ge=1, le=64, description="Requests at a time.")

    @field_validator("to")
    @classmethod
    def _no_secrets(cls, value: list[str]) -> list[str]:
        for place in value:
            if "://" in place and not place.startswith("s3://"):
                raise ValueError(f"{place} is neither s3://bucket/prefix nor a folder")
            if place.startswith("s3://") and ("@" in place or ":" in place[5:]):
                raise ValueError("an address holds no key and no host; see publish.endpoint")
        return value


class Config(_Section):
    """Keys of ``config/config.yaml``. Paths are relative to the working directory."""

    inbox: Path = Field(Path("inbox"), description="One folder a submission, named by accession.")
    vault: Path = Field(Path("vault"), description="OCFL storage root that keeps the originals.")
    public: Path = Field(Path("public"), description="What a web server may show to everyone.")
    embargoed: Path = Field(
        Path("embargoed"), description="Studies that wait for their release date; never serve it."
    )
    private: Path = Field(
        Path("private"), description="Hidden labels and scores of challenges; never serve it."
    )
    results: Path = Field(Path("results"), description="Reports of each stage, and the receipts.")
    curation: Path = Field(Path("curation"), description="Curators' changes, a file a study.")
    challenges: Path = Field(Path("challenges"), description="One folder a challenge.")
    entries: Path = Field(
        Path("entries"), description="Predictions: <challenge>/<team>/<entry>/ with entry.yaml."
    )
    mirror: str | None = Field(
        None, description="Second copy of the vault: a folder on another disk, or s3://bucket/path."
    )
    audit_days: float = Field(
        90, gt=0, description="Within how many days the whole vault should be read again."
    )
    only: str | None = Field(None, description="Take this accession only.")
    acceptance: Literal["auto", "curator"] = Field(
        "auto", description="auto: what has no error is published; curator: a person accepts it."
    )
    accession_prefix: str = Field("SB", description="What `slidebox accession new` begins with.")
    slice_size: Size = Field(
        "50GB", description="A submission is derived in as many jobs as it holds of these bytes."
    )
    validation: dict[str, Any] = Field(
        default_factory=dict,
        description="Severity by code with a reason, ignored files, licences, limits.",
    )
    images: Images = Field(default_factory=Images)
    site: Site = Field(default_factory=Site)
    publish: Publish = Field(default_factory=Publish)

    @field_validator("validation")
    @classmethod
    def _known_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value:  # late: the Snakefile parses quickly when nothing is set
            from slidebox.validate.settings import Settings

            Settings.model_validate(value)
        return value


class ConfigError(ValueError):
    """The configuration can't be used; the text has one line a problem."""


def says_nothing(file: str | Path) -> bool:
    """Whether a configuration is empty, or comments alone: all keys have their defaults."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False  # whoever reads it in earnest says why that can't be
    return not any(line.partition("#")[0].strip() not in ("", "---", "...") for line in lines)


def load(values: dict[str, Any]) -> Config:
    """Check a configuration; `ConfigError` says every wrong key at once."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _explain(error: Any) -> str:
    key = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        from difflib import get_close_matches

        fields = Config.model_fields
        if len(error["loc"]) == 2:
            fields = type(getattr(Config(), str(error["loc"][0]))).model_fields
        near = get_close_matches(str(error["loc"][-1]), list(fields), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(fields)}"
        return f"config: unknown key {key!r}; {hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"config: {key}: {message} (got {error['input']!r})"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the configuration, as shipped in ``schemas/config.schema.json``."""
    from slidebox.validate.settings import Settings

    schema = Config.model_json_schema()
    settings = Settings.model_json_schema(ref_template="#/$defs/{model}")
    schema["$defs"].update(settings.pop("$defs", {}))
    schema["properties"]["validation"] = settings
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://slidebox.invalid/schemas/config.schema.json",
        **schema,
        "title": "Slidebox configuration",
    }
