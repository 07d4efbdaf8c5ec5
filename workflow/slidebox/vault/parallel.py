"""A few threads over many items, without a queue of them all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

_END = object()


def each[T](threads: int, function: Callable[[T], object], items: Iterable[T]) -> None:
    """Call ``function`` with every item; the first exception ends the others and is raised."""
    left = iter(items)
    guard = threading.Lock()
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            with guard:
                item = next(left, _END)
            if item is _END:
                return
            try:
                function(item)
            except BaseException:
                stop.set()
                raise

    count = max(1, threads)
    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(run) for _ in range(count)]:
            future.result()
