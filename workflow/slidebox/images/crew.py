"""The threads of a conversion: helpers, and the caller, who works too instead of waiting."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Task:
    """Something to be done once, by whoever comes first."""

    __slots__ = ("args", "claim", "done", "error", "function", "value")

    def __init__(self, function: Callable, args: tuple) -> None:
        self.function: Callable | None = function
        self.args = args
        self.claim, self.done = threading.Lock(), threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> bool:
        """Do it, unless somebody has begun to."""
        if not self.claim.acquire(blocking=False):
            return False
        try:
            if self.function is not None:
                self.value = self.function(*self.args)
        except BaseException as error:
            self.error = error
        finally:
            self.function, self.args = None, ()  # the queue may hold it for a while: not its pixels
            self.done.set()
        return True

    def result(self) -> Any:
        """What it gave, or raise what it raised."""
        self.run()
        self.done.wait()
        if self.error is not None:
            raise self.error
        return self.value

    def drop(self) -> None:
        """See to it that it isn't being done any more."""
        if self.claim.acquire(blocking=False):
            self.function, self.args = None, ()
            self.done.set()
        self.done.wait()


class Crew:
    """``threads`` in all. With one there are no helpers: a task is done where its result is asked
    for. ``disk`` only waits until files are durable.
    """

    def __init__(self, threads: int) -> None:
        self.helpers = threads - 1
        self.tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.threads = [
            threading.Thread(target=self._help, name=f"slidebox-{n}", daemon=True)
            for n in range(self.helpers)
        ]
        for thread in self.threads:
            thread.start()
        self.disk = ThreadPoolExecutor(1, "slidebox-disk")

    def start(self, function: Callable, *args) -> Task:
        task = Task(function, args)
        if self.helpers:
            self.tasks.put(task)
        return task

    def result(self, task: Task) -> Any:
        """What a task gave; until it is done, others are. Only for the one who owns the crew: a
        task that waits for another must not begin a third.
        """
        task.run()
        while not task.done.is_set():
            try:
                other = self.tasks.get_nowait()
            except queue.Empty:
                break
            if other is not None:
                other.run()
        return task.result()

    def close(self) -> None:
        for _ in self.threads:
            self.tasks.put(None)
        for thread in self.threads:
            thread.join()
        self.disk.shutdown(wait=True)

    def _help(self) -> None:
        while (task := self.tasks.get()) is not None:
            task.run()
