"""Is a file that does not open damaged, or only of a kind that its reader does not know?

Two other libraries look at its structure: micro-reader, which names cut-off files, and openreadout,
whose ``check`` follows the chunks of a format to their ends.
"""

from __future__ import annotations

import warnings
from pathlib import Path


def damage(path: Path | str) -> str | None:
    """What is broken in the file, as the library that found it says; None: nothing known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _micro(Path(path)) or _readout(Path(path))


def _micro(path: Path) -> str | None:
    try:
        import micro_reader
    except ImportError:
        return None
    try:
        with micro_reader.open(path):
            return None
    except micro_reader.CorruptFileError as error:
        return str(error).replace(str(path), path.name)
    except Exception:  # it knows as little of the file as the first reader
        return None


def _readout(path: Path) -> str | None:
    try:
        import openreadout
    except ImportError:
        return None
    try:
        with openreadout.open(path) as file:
            report = file.check()
    except openreadout.CorruptFileError as error:
        return str(error).partition(" (hint:")[0].replace(str(path), path.name)
    except Exception:
        return None
    errors = [found for found in report["findings"] if found["severity"] == "error"]
    return str(errors[0]["message"]) if errors else None
