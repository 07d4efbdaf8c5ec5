"""What a job says goes into its log file: library messages, warnings, a traceback at the end."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slidebox.ingest import stopping

log = logging.getLogger("slidebox")


LOOKS = 2.0
"""Seconds between two looks for the mark of a cancelled submission."""


def _mark(path: Path) -> Path | None:
    """Where `slidebox cancel` marks the submission whose stage logs here, results/logs/ACC/KEY/."""
    if path.parents[2].name != "logs":
        return None
    key = path.parent.name.partition("-")[0]
    return path.parents[3] / "cancelled" / f"{path.parent.parent.name}~{key}"


def _watch(mark: Path, ended: threading.Event) -> None:
    """End this process when the mark appears: the operator may be on another machine."""
    while not mark.exists():
        if ended.wait(LOOKS):
            return
    log.error("cancelled by an operator")
    os.kill(os.getpid(), signal.SIGTERM)


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
    ended = threading.Event()
    if mark := _mark(Path(path).absolute()):
        threading.Thread(target=_watch, args=(mark, ended), daemon=True).start()
    try:
        yield
    except BaseException:
        handler.stream.write(traceback.format_exc())
        raise
    finally:
        ended.set()
        faulthandler.disable()
        root.removeHandler(handler)
        handler.close()
