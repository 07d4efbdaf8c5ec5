"""The scorer as a wheel and a script, made by the library from its own files: always the same."""

from __future__ import annotations

import base64
import hashlib
import io
import sys
import zipfile
from functools import cache
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import slidebox

NAME = "slidebox-scoring"
# What scoring imports; everything they need is pinned too.
DEPENDENCIES = (
    "imagecodecs", "numpy", "pydantic", "pyyaml", "rich", "scipy", "tifffile", "zarr",
)  # fmt: skip
EPOCH = (2020, 1, 1, 0, 0, 0)


def wheel_name(version: str | None = None) -> str:
    return f"slidebox_scoring-{version or slidebox.__version__}-py3-none-any.whl"


def sources() -> dict[str, bytes]:
    """Files of the scorer: name in the wheel and bytes."""
    package = Path(slidebox.__file__).parent
    found = {
        "slidebox/__init__.py": (package / "__init__.py").read_bytes(),
        "slidebox/findings.py": (package / "findings.py").read_bytes(),
        "slidebox/atomic.py": (package / "atomic.py").read_bytes(),
    }
    for path in sorted((package / "scoring").rglob("*.py")):
        found[f"slidebox/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    return found


def build() -> bytes:
    """The wheel `slidebox_scoring-<version>-py3-none-any.whl`, byte-identical for equal sources."""
    version = slidebox.__version__
    info = f"slidebox_scoring-{version}.dist-info"
    files = sources()
    files[f"{info}/METADATA"] = "\n".join(
        [
            "Metadata-Version: 2.1", f"Name: {NAME}", f"Version: {version}",
            "Summary: The scorer of a Slidebox challenge", "License: Apache-2.0",
            "Requires-Python: >=3.12", *(f"Requires-Dist: {name}" for name in DEPENDENCIES), "",
        ]
    ).encode()  # fmt: skip
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: slidebox\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{info}/entry_points.txt"] = (
        b"[console_scripts]\nslidebox-score = slidebox.scoring.cli:main\n"
    )
    record = [f"{name},sha256={_b64(data)},{len(data)}" for name, data in files.items()]
    files[f"{info}/RECORD"] = ("\n".join([*record, f"{info}/RECORD,,"]) + "\n").encode()
    buffer = io.BytesIO()
    # Stored, not deflated: zlib's output differs between its builds
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return buffer.getvalue()


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


@cache
def pins(more: tuple[str, ...] = ()) -> list[str]:
    """Exact versions of all that the scorer (and `more`) needs, as they are installed here."""
    found: dict[str, str] = {}
    queue = [*DEPENDENCIES, *more]
    while queue:
        name = canonicalize_name(queue.pop())
        if name in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                queue.append(requirement.name)
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _header(*more: str) -> str:
    """Inline dependencies (PEP 723): exact pins, and the wheel beside the script.

    The pins are wheels of this Python and may have none for a later one.
    """
    lines = [f"{NAME}=={slidebox.__version__}", *pins(more)]
    listed = "\n".join(f'#   "{line}",' for line in lines)
    return f'''# /// script
# requires-python = ">=3.12,<3.{sys.version_info.minor + 1}"
# dependencies = [
{listed}
# ]
#
# [tool.uv.sources]
# {NAME} = {{ path = "{wheel_name()}" }}
# ///
'''


def baseline() -> str:
    """baseline.py: this library's own file, with inline dependencies."""
    return _header("scikit-image") + (Path(__file__).parent / "baseline.py").read_text("utf-8")


def script() -> str:
    """score.py: `uv run score.py predictions/` works with nothing installed but uv."""
    return (
        _header()
        + f'''"""Check and score predictions: `uv run score.py predictions/` (see README.md).

Without uv: `pip install {wheel_name()}`, then `python score.py predictions/`.
"""

import sys
from pathlib import Path

from slidebox.scoring.cli import main

if __name__ == "__main__":
    sys.exit(main(release=Path(__file__).resolve().parent))
'''
    )
