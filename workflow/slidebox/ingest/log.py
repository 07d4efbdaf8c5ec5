"""What a job says goes into its log file: library messages, warnings, a traceback at the end."""

from __future__ import annotations

import faulthandler
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slidebox.ingest import stopping

log = logging.getLogger("slidebox")


@contextmanager
def logged(path: str) -> Iterator[None]:
    """Send the library's log to a file; an error is written there in full, then raised again."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    stopping.catch_in_job()
    faulthandler.enable(handler.stream)
    try:
        yield
    except BaseException:
        handler.stream.write(traceback.format_exc())
        raise
    finally:
        faulthandler.disable()
        root.removeHandler(handler)
        handler.close()
