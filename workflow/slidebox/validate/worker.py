"""The child that opens images: started by :mod:`slidebox.validate.opening`, never by people.

Run as a file, so that it loads nothing but what reads images. It gives up the network and all files
but the submission's, then reads one JSON request a line and answers with one JSON line. Limits of
memory are set once its libraries are in, limits of CPU time for each file.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from typing import Any

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fence
import headers

sys.path.pop(0)  # the room's other names would hide libraries'

BAND = 32 << 20
_PLANES = 3
_OPEN_FORMATS = {
    "tiff",
    "ome-tiff",
    "png",
    "jpeg",
    "jpeg2000",
    "bmp",
    "gif",
    "webp",
    "netpbm",
    "mrc",
}


def _confine(folder: str) -> tuple[str, str]:
    """Take away what opening an image doesn't need; say what keeps network and files away.

    Before anything is loaded: both hold for threads that begin later, not for earlier ones.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    few = 512 if allowed == resource.RLIM_INFINITY else min(512, allowed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, few))
    try:
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
        network = "cut off by a namespace"
    except (OSError, AttributeError):  # not allowed here: at least Python opens no connection
        _no_sockets()
        network = "closed in Python only"
    return network, fence.fence(folder)


def _limit_memory(memory: int) -> None:
    """So much more than the libraries take: those are not the file's fault."""
    with open("/proc/self/statm") as statm:
        size = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + memory, size + memory))


def _no_sockets() -> None:
    import socket

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("images are opened without the network")

    socket.socket = refuse  # type: ignore[misc,assignment]
    socket.create_connection = refuse  # type: ignore[assignment]


def _cpu(seconds: float) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))


def inspect(
    path: str, deep: bool, inflation: int, stored: int, pattern: str | None = None
) -> dict[str, Any]:
    """Open an image, describe its series, read sampled (or all) planes.

    ``stored`` is the size of all files of the image, of which ``path`` may be one of a ``pattern``;
    of these each one's header is compared with the first's. Returns ``{"format", "reader",
    "reader_version", "series": [...], "problems": [[code, text]], "scope": {...}}``.
    """
    from slidebox import images
    from slidebox.faults import storage_fault

    problems: list[list[str]] = []
    try:
        with images.open_image(pattern or path) as file:
            series = [_describe(s) for s in file.series]
            answer = {
                "format": file.format,
                "reader": file.reader,
                "reader_version": file.reader_version,
                "series": series,
                "problems": problems,
                "scope": _scope(path, getattr(file, "metadata", None)),
            }
            problems += headers.threats(path, getattr(file, "metadata", None))
            said = sum(s.nbytes for s in file.series)
            if said > max(inflation * max(stored, 1), 256 << 20):
                problems.append(
                    ["IMAGE_BOMB", f"says it holds {said:,} bytes of pixels in {stored:,} bytes"]
                )
                return answer
            if wrong := images.misshapen(file):
                problems += [["IMAGE_UNREADABLE", said] for said in wrong]
                return answer
            for one, told in zip(file.series, series, strict=True):
                _read(one, told, deep, problems)
            return answer
    except images.UnreadableImage as error:
        cause = error.__cause__
        if isinstance(cause, MemoryError):
            raise cause from None
        if storage_fault(error):
            raise
        fmt = images.can_read(path)
        problems += _threats(path)
        code, reason = _blame(error, fmt), error.reason
        if code == "IMAGE_NOT_OPENED" and fmt and (broken := images.damage(path)):
            code, reason = "IMAGE_UNREADABLE", f"damaged or cut off: {broken}"
        problems.append([code, reason])
        return {"format": fmt, "series": [], "problems": problems, "scope": _scope(path)}


def _blame(error: Any, fmt: str | None) -> str:
    """Whose fault it is that an image doesn't open: the file's or the reader's.

    Readers of open formats are taken at their word; of a vendor's format none knows every variant.
    """
    cause = error.__cause__
    if isinstance(cause, ImportError | NotImplementedError) or "upported" in error.reason:
        return "IMAGE_NOT_OPENED"
    if fmt in _OPEN_FORMATS or "empty" in error.reason or error.plane:
        return "IMAGE_UNREADABLE"
    return "IMAGE_NOT_OPENED"


def group(folder: str, paths: list[str]) -> dict[str, Any]:
    """Join files that are one image: ``{"groups": [[primary, [file, ...], format], ...]}``."""
    from slidebox import images

    def sibling(path: str) -> Any:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        return os.fdopen(os.open(os.path.join(folder, path), flags), "rb")

    groups = images.group_files(paths, sibling)
    return {
        "groups": [[p, files, images.can_read(os.path.join(folder, p))] for p, files in groups],
        "problems": [],
    }


def _describe(series: Any) -> dict[str, Any]:
    told = series.to_dict()
    told["nbytes"] = series.nbytes
    return told


def _threats(path: str) -> list[list[str]]:
    try:
        return headers.threats(path)
    except (OSError, ValueError):
        return []


def _scope(path: str, metadata: Any = None) -> dict[str, Any]:
    """What the header holds of persons; a header that can't be read tells nothing."""
    try:
        return headers.look(path, metadata)
    except (OSError, ValueError):
        return {}


def _planes(series: Any, deep: bool) -> list[tuple[int, int, int]]:
    """(t, group of c, z) to read: all, or the first, the middle and the last."""
    groups = max(series.size("c") // series.samples, 1)
    nt, nz = series.size("t"), series.size("z")
    n = nt * groups * nz
    chosen = range(n) if deep else sorted({0, n // 2, n - 1})
    return [(i // (groups * nz), i // nz % groups, i % nz) for i in chosen]


def _read(series: Any, told: dict, deep: bool, problems: list) -> None:
    from slidebox import images
    from slidebox.faults import storage_fault

    ny, nx = series.size("y"), series.size("x")
    line = max(nx * series.dtype.itemsize * series.samples, 1)
    step = series.rows or ny
    step = max(step, BAND // line // step * step) if step < ny else ny
    low = high = None
    fractions = False
    planes = _planes(series, deep)
    complete = len(planes) == len(_planes(series, True))
    for t, c, z in planes:
        bands = range(0, ny, step)
        if not deep and len(bands) > _PLANES:
            bands = sorted({bands[0], bands[len(bands) // 2], bands[-1]})
            complete = False
        for y0 in bands:
            try:
                data = series.read_samples(t, c, z, y0, min(y0 + step, ny))
            except images.UnreadableImage as error:
                if isinstance(error.__cause__, MemoryError):
                    raise MemoryError from None
                if storage_fault(error):
                    raise
                problems.append([_blame(error, "tiff"), _where(series, error)])
                return
            if data.size and data.dtype.kind in "iufb":
                small, large = float(data.min()), float(data.max())
                low = small if low is None else min(low, small)
                high = large if high is None else max(high, large)
                if data.dtype.kind == "f" and not fractions:
                    fractions = bool((data % 1 != 0).any())
    told["min"], told["max"] = (low, high) if low == low and high == high else (None, None)
    told["all_read"] = complete
    told["whole_numbers"] = not fractions


def _where(series: Any, error: Any) -> str:
    plane = " ".join(f"{k}={v}" for k, v in (error.plane or {}).items())
    return f"series {series.index}{', plane ' + plane if plane else ''}: {error.reason}"


def main() -> None:
    """Serve requests from stdin; answers go to the descriptor that the parent named."""
    answers = os.fdopen(int(sys.argv[1]), "w", encoding="utf-8")
    network, files = _confine(sys.argv[3])
    import slidebox.images  # noqa: F401
    from slidebox.faults import storage_fault

    _limit_memory(int(sys.argv[2]))
    answers.write(json.dumps({"ready": True, "network": network, "files": files}) + "\n")
    answers.flush()
    for line in sys.stdin:
        request = json.loads(line)
        _cpu(request["cpu"])
        try:
            if "paths" in request:
                answer = group(request["folder"], request["paths"])
            elif request.get("header"):
                answer = {"problems": _threats(request["path"]), "scope": _scope(request["path"])}
            else:
                answer = inspect(
                    request["path"],
                    request["deep"],
                    request["inflation"],
                    request["bytes"],
                    request.get("pattern"),
                )
        except MemoryError:
            answer = {"problems": [["IMAGE_MEMORY", "needs more memory than allowed"]]}
        except RecursionError:
            answer = {"problems": [["IMAGE_UNREADABLE", "its structure is nested without end"]]}
        except Exception as error:
            answer = {"problems": [["IMAGE_UNREADABLE", f"{type(error).__name__}: {error}"[:500]]]}
            if number := storage_fault(error):
                answer["machine"] = number
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
