"""What a process of a challenge's own metric runs: one evaluation, or a server that forks for each.

A script that needs NumPy alone::

    python -I -B custom_process.py METRIC.py FOLDER   evaluate what is in the folder
    python -I -B custom_process.py METRIC.py          folders as JSON, a line each, on stdin; how
                                                      each ended ("late", exit code) on stdout

The server loads the libraries that the metric imports, but never the metric: each fork starts like
a new process, only sooner, and what it does to itself is gone with it. Linux only.

A folder holds ``job.json`` (function, info, memory in bytes), ``truth.npy`` and ``pred.npy``; the
metric's number comes into ``value``, what it wrote to stderr into ``stderr``.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import gc
import importlib.util
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

PDEATHSIG, SUBREAPER = 1, 36  # of prctl(2)


def main() -> None:
    path = sys.argv[1]
    if len(sys.argv) > 2:
        evaluate(path, sys.argv[2])
    elif folder := serve(path):
        evaluate(path, folder)
        _leave()


def evaluate(path: str, folder: str) -> None:
    """Call the metric within its limit of memory and write its number."""
    import numpy as np

    me = os.getpid()
    os.chdir(folder)
    job = json.loads(Path("job.json").read_text("utf-8"))
    _limit(job["memory"])
    truth, pred = (np.load(f"{name}.npy", allow_pickle=False) for name in ("truth", "pred"))
    spec = importlib.util.spec_from_file_location("custom_metric", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    value = getattr(module, job["function"])(truth, pred, job["info"])
    if value is None:
        raise ValueError(f"{job['function']} returns nothing; it should return a number")
    value = float(value)
    if os.getpid() == me:  # a fork that the metric made comes here too
        Path("value").write_text(repr(value), "ascii")


def _limit(memory: int) -> None:
    """Bytes that this process may have beyond what it has."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError):
        pass  # no Linux: without a limit of memory


def serve(path: str) -> str | None:
    """Fork for each line; returns a folder in each fork, nothing in the server when all is done."""
    asked, answers = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1):  # what is loaded may print
        os.dup2(null, target)
    os.close(null)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # for sigtimedwait
    _prctl(SUBREAPER, 1)  # forks of a fork that has ended become the server's, which ends them
    load(path)
    gc.collect()
    gc.freeze()  # else a fork that collects copies all that was loaded
    server = os.getpid()
    with open(asked, encoding="utf-8") as lines:
        for line in lines:
            job = json.loads(line)
            child = os.fork()
            if not child:
                os.close(answers)
                _be_new(server, job["folder"])
                return job["folder"]
            os.write(answers, f"{_wait(child, job['seconds'], asked)}\n".encode())
    return None


def load(path: str) -> None:
    """Import what the metric will: its imports at the top, and those of NumPy and SciPy anywhere.

    Others may change what the metric sees before it asks for them. What fails here fails in the
    fork as well, which tells it.
    """
    body = ast.parse("import numpy").body
    with contextlib.suppress(Exception):
        tree = ast.parse(Path(path).read_bytes())
        body += [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        body += [n for n in ast.walk(tree) if _tops(n) and _tops(n) <= {"numpy", "scipy"}]
    for node in body:
        with contextlib.suppress(BaseException):
            exec(compile(ast.Module([node], []), path, "exec"), {})


def _tops(node: ast.AST) -> set[str]:
    """Top modules that a statement imports."""
    names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        names = [node.module or "."]
    return {name.partition(".")[0] for name in names}


def _be_new(server: int, folder: str) -> None:
    """Make a fork what a process that has just been started is."""
    _prctl(PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)  # the server ended before this could be asked for
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    log = os.open(Path(folder, "stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 2)
    os.close(log)
    if "numpy.random" in sys.modules:  # else all would draw the same
        sys.modules["numpy.random"].seed()


def _leave() -> None:
    """End a fork: all that Python does at its end but taking down every module, which is slow."""
    threading._shutdown()
    atexit._run_exitfuncs()
    os._exit(0)


def _prctl(what: int, value: int) -> None:
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


def _wait(child: int, seconds: float, asked: int) -> str:
    """How a fork ended; it's ended when it's late or nobody waits for it any more."""
    import select

    gone = select.poll()
    gone.register(asked, select.POLLIN)  # while an answer is due only its end can be read
    end = time.monotonic() + seconds
    late = False
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        left = end - time.monotonic()
        if left <= 0 or gone.poll(0):
            late = True
            os.kill(child, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, max(0.01, min(left, 1.0)))
    _end_others()
    return "late" if late else str(os.waitstatus_to_exitcode(status))


def _end_others(seconds: float = 5.0) -> None:
    """End what a fork has left running."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            done, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not done:
            for child in _children():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            time.sleep(0.002)


def _children() -> list[int]:
    """Processes that are this one's."""
    found, me = [], os.getpid()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (name, which may hold anything) state parent ...
            if int(stat.read_text(errors="replace").rpartition(")")[2].split()[1]) == me:
                found.append(int(stat.parent.name))
    return found


if __name__ == "__main__":
    main()
