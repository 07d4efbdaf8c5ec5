"""Every array of numbers in a file, whatever its format and whatever its name says it is."""

from __future__ import annotations

import math
import pickle
import re
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ..images import UnreadableImage, can_read, open_image
from . import containers, pixels

CODECS = {".jxl", ".qoi", ".webp", ".pgm", ".ppm"}
# Those in .npz are found unpacked
NUMPY = {".npy", ".npz", ".pkl", ".pickle", ".p"}
HDF5 = {".h5", ".hdf5", ".hdf", ".he5", ".ilp", ".ims", ".nxs", ".emd", ".loom", ".h5ad"}
LISTS = NUMPY | HDF5 | {".mat"}  # what may have lists of places
LARGEST_PICKLE = 1 << 30
LARGEST_SPARSE = 1 << 26  # pixels of a sparse matrix
MOST, LONGEST = 64, 1 << 20  # lists of numbers beside each other; numbers of one
BROKEN = (
    UnreadableImage, OSError, ValueError, KeyError, TypeError, IndexError, RuntimeError, EOFError,
    MemoryError, pickle.UnpicklingError, zlib.error, AttributeError, ImportError, SyntaxError,
    OverflowError, RecursionError,
)  # fmt: skip


def arrays(path: Path) -> Iterator[pixels.Source]:
    """The images of a file; none when it has none or can't be read."""
    if path.name in containers.ZARR:
        yield from _zarr(path)
        return
    suffix = path.suffix.lower()
    with path.open("rb") as handle:
        head = handle.read(4096)
    sniffed = containers.ending(head)
    if any(head[at : at + 8] == b"\x89HDF\r\n\x1a\n" for at in (512, 1024, 2048)):
        sniffed = ".h5"  # MATLAB's, with a header of its own
    try:
        if sniffed == ".h5":
            yield from _hdf5(path)
        elif sniffed == ".mat":
            yield from _mat(path)
        elif sniffed == ".nrrd":
            yield from _nrrd(path)
        elif sniffed == ".zip" and suffix == ".npz":
            yield from map(plain, _npz(path))
        elif sniffed in (".npy", ".pkl") or (suffix in NUMPY and sniffed != ".zip"):
            yield from map(plain, _numpy(path, sniffed))
        elif sniffed in CODECS:
            import imagecodecs

            yield _coloured(imagecodecs.imread(path))
        elif sniffed not in (".bin", ".roi", ".zip") or can_read(path) not in (None, "bioformats"):
            with _named(path, suffix, sniffed) as named:
                yield from _opened(named)
    except BROKEN:
        return


@contextmanager
def _named(path: Path, suffix: str, sniffed: str) -> Iterator[Path]:
    """The file under a name that its format goes by."""
    if sniffed == ".bin" or can_read(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="slidebox-named-") as folder:
        link = Path(folder, f"file{sniffed}")
        link.symlink_to(path.resolve())
        yield link


def _opened(path: Path) -> Iterator[pixels.Source]:
    with open_image(path) as file:
        count = len(file.series)
    for number in range(count):
        with pixels.opened(path, number) as source:
            yield source


def _zarr(path: Path) -> Iterator[pixels.Source]:
    import zarr

    try:
        array = zarr.open_array(path.parent, mode="r")
    except (KeyError, ValueError, OSError, TypeError):
        return  # a group
    if array.ndim >= 2 and array.dtype.kind in "uibf":
        yield plain(array)


def _numpy(path: Path, sniffed: str) -> Iterator[np.ndarray]:
    if path.stat().st_size > LARGEST_PICKLE and sniffed == ".pkl":
        return
    if sniffed == ".pkl":
        with path.open("rb") as handle:
            yield from _inside(_Numbers(handle).load())
        return
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
    except ValueError:
        with path.open("rb") as handle:  # objects, as Cellpose's _seg.npy
            np.lib.format.read_magic(handle)
            np.lib.format.read_array_header_1_0(handle)
            yield from _inside(_Numbers(handle).load())
        return
    yield from _inside(loaded)


def _npz(path: Path) -> Iterator[np.ndarray]:
    """What lies in several members together: a sparse matrix of SciPy, y and x kept apart."""
    with np.load(path, allow_pickle=False) as file:
        if "indptr" in file.files:
            yield from _inside(scipy.sparse.load_npz(path))
            return
        if path.stat().st_size <= LONGEST:
            yield from _columns([file[name] for name in file.files])


class _Nothing:
    """What stands for a class of which a pickle has something: it is never made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __call__(self, *_: Any, **__: Any) -> _Nothing:
        return self

    def append(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass


class _Kind:
    """A dtype of a pickle: NumPy's own would trust whatever state a pickle gives it."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]

    def dtype(self) -> np.dtype | None:
        """Of numbers; None for objects, text and records."""
        if not isinstance(self.code, str) or not re.fullmatch(r"[uif][1248]|b1", self.code):
            return None
        return np.dtype(("<" if self.order == "|" else self.order) + self.code)


class _Array:
    """An array of a pickle: of numbers, or a list of objects."""

    def __init__(self, *_: Any) -> None:
        self.inside: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, by_columns, data = state
        self.inside = _made(data, kind, shape, "F" if by_columns else "C")


def _made(data: Any, kind: Any, shape: Any, order: str) -> Any:
    if isinstance(data, list):
        return data
    dtype = kind.dtype() if isinstance(kind, _Kind) else None
    if dtype is None:
        return None
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _frombuffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    array = _Array()
    array.inside = _made(data, kind, shape, "F" if order == "F" else "C")
    return array


def _encode(text: str, *_: Any) -> bytes:
    """How older pickles write bytes."""
    return text.encode("latin-1")


class _Numbers(pickle.Unpickler):
    """Loads arrays and plain containers of a pickle; what it calls is defined here, or a set."""

    def find_class(self, module: str, name: str) -> Any:
        own = {"_reconstruct": _Array, "ndarray": _Array, "dtype": _Kind,
               "_frombuffer": _frombuffer}  # fmt: skip
        if module.split(".")[0] == "numpy":
            return own.get(name, _Nothing)
        return {("collections", "OrderedDict"): OrderedDict, ("builtins", "set"): set,
                ("_codecs", "encode"): _encode}.get((module, name), _Nothing)  # fmt: skip


def _inside(thing: Any, depth: int = 0, seen: dict[int, Any] | None = None) -> Iterator[np.ndarray]:
    """Arrays anywhere in nested containers, each once."""
    seen = {} if seen is None else seen
    if isinstance(thing, dict | list | tuple | _Array | _Nothing):
        if id(thing) in seen:
            return
        seen[id(thing)] = thing  # kept, so that nothing else gets its id
    if isinstance(thing, _Array):
        thing = thing.inside
    if isinstance(thing, np.ndarray):
        if thing.dtype == object:
            thing = thing.ravel().tolist()
        elif thing.dtype.names:
            yield from _columns([thing[name].ravel() for name in thing.dtype.names])
            return
        elif thing.ndim:
            yield thing
            return
    if scipy.sparse.issparse(thing) and math.prod(thing.shape) <= LARGEST_SPARSE:
        yield thing.toarray()
        return
    if isinstance(thing, _Nothing):
        thing = getattr(thing, "state", None)
    if isinstance(thing, dict):
        yield from _columns([v for v in thing.values() if isinstance(v, np.ndarray)])
    if (
        isinstance(thing, list | tuple)
        and len(
            outlines := [
                a
                for a in thing
                if isinstance(a, np.ndarray)
                and a.dtype.kind in "uif"
                and a.ndim == 2
                and a.shape[1] == 2
                and len(a)
            ]
        )
        > 2
    ):  # the box of each
        yield np.array([[*a.min(0), *a.max(0)] for a in outlines], float)
    if depth < 8 and isinstance(thing, dict | list | tuple):
        for value in thing.values() if isinstance(thing, dict) else thing:
            yield from _inside(value, depth + 1, seen)


def _columns(arrays: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Lists of as many numbers each, beside each other: y and x kept apart."""
    of: dict[int, list[np.ndarray]] = {}
    for array in arrays:
        if array.ndim == 1 and array.dtype.kind in "uibf":
            of.setdefault(array.size, []).append(array)
    yield from (np.stack(many, 1).astype(float) for many in of.values() if 1 < len(many) <= MOST)


def _hdf5(path: Path) -> Iterator[pixels.Source]:
    """Every dataset of numbers of an HDF5 file, be it named an image or not."""
    import h5py

    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if (
            isinstance(item, h5py.Dataset)
            and item.ndim
            and (item.dtype.kind in "uibf" or item.dtype.names)
        ):
            names.append(name)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        beside: dict[str, list[np.ndarray]] = {}
        for name in names:
            if file[name].dtype.names:
                yield from map(plain, _inside(file[name][()]))
                continue
            yield plain(file[name])
            if file[name].ndim == 1 and file[name].size <= LONGEST:
                beside.setdefault(name.rpartition("/")[0], []).append(file[name][()])
        for columns in beside.values():
            yield from map(plain, _columns(columns))


def _mat(path: Path) -> Iterator[pixels.Source]:
    import scipy.io

    for array in _inside(scipy.io.loadmat(path, simplify_cells=True)):
        if array.dtype.kind in "uibf":
            yield plain(array)


def _nrrd(path: Path) -> Iterator[pixels.Source]:
    """A NRRD file with its values in itself, raw or gzip."""
    data = path.read_bytes()
    text, _, values = data.partition(b"\n\n")
    about = dict(re.findall(rb"^([a-z ]+): *(.*?)\r?$", text, re.M | re.I))
    kinds = {
        b"uchar": "u1", b"uint8": "u1", b"unsigned char": "u1", b"int8": "i1", b"ushort": "u2",
        b"uint16": "u2", b"unsigned short": "u2", b"short": "i2", b"int16": "i2", b"uint": "u4",
        b"uint32": "u4", b"unsigned int": "u4", b"int": "i4", b"int32": "i4", b"float": "f4",
        b"double": "f8",
    }  # fmt: skip
    order = ">" if about.get(b"endian") == b"big" else "<"
    compressed = about.get(b"encoding", b"").startswith(b"gz")
    shape = [int(n) for n in about[b"sizes"].split()][::-1]
    kind, count = np.dtype(order + kinds[about[b"type"]]), math.prod(shape)
    if compressed:
        values = zlib.decompressobj(47).decompress(values, count * kind.itemsize)
    yield plain(np.frombuffer(values, kind, count).reshape(shape))


def plain(array: Any) -> pixels.Source:
    """An array without named axes: sizes of 1 aside, in order; a list of numbers as one row."""
    if array.ndim == 1:
        listed = array
        return pixels.Source("yx", (1, *array.shape), np.dtype(array.dtype), {}, False,
                             lambda _: np.asarray(listed[()])[None])  # fmt: skip
    axes = "tczyx"[-array.ndim :] if array.ndim <= 5 else "?" * (array.ndim - 2) + "yx"
    axes = axes.replace("c", "q")  # not known to be a channel
    if array.ndim == 3 and array.shape[-1] in (3, 4):  # colours
        return _coloured(array)
    return pixels.Source(
        axes, tuple(array.shape), np.dtype(array.dtype), {}, False,
        lambda index: np.asarray(array[index]),
    )  # fmt: skip


def _coloured(array: np.ndarray) -> pixels.Source:
    """A picture as decoders give it: (y, x) or (y, x, colour)."""
    if array.ndim == 2:
        return plain(array)
    return pixels.Source(
        "cyx", (array.shape[2], *array.shape[:2]), array.dtype, {}, array.shape[2] >= 3,
        lambda index: np.asarray(array[:, :, index[0]]),
    )  # fmt: skip
