"""Where a conversion stood, so that one that was killed goes on instead of beginning again.

A journal is one file in the partial folder: rows that wait for their chunk to fill, sums that
wait for
the next plane, the indexes of open shards, and what was learned of the pixels. It is written now
and
then, atomically, after the shards that it speaks of are on disk. It is plain arrays and JSON.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import replacing

NAME = ".journal"
FORM = 4
"""Raised when a state is written otherwise: an older one is not gone on from."""
EVERY = 10.0
"""Seconds between two journals; shorter conversions never write one."""
PACE = 20.0
"""Or so many times what the last one took: a deep volume's is large."""


def save(folder: Path, key: dict[str, Any], state: Any) -> None:
    """Keep a state; ``key`` says what it is the state of."""
    arrays: list[np.ndarray] = []
    text = json.dumps({"key": key, "state": _pack(state, arrays)})
    with replacing(folder / NAME, "wb") as handle, zipfile.ZipFile(handle, "w") as packed:
        packed.writestr("state.json", text)
        for number, array in enumerate(arrays):
            with packed.open(f"{number}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)


def load(folder: Path, key: dict[str, Any]) -> Any | None:
    """The state that was kept for this very conversion; None when there is none, or it is
    damaged.
    """
    try:
        with zipfile.ZipFile(folder / NAME) as packed:
            data = json.loads(packed.read("state.json"))
            if data["key"] != json.loads(json.dumps(key)):
                return None
            arrays = [
                np.lib.format.read_array(io.BytesIO(packed.read(f"{n}.npy")), allow_pickle=False)
                for n in range(len(packed.namelist()) - 1)
            ]
        return _unpack(data["state"], arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _pack(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, dict):
        return {"dict": [[_pack(k, arrays), _pack(v, arrays)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_pack(v, arrays) for v in value]}
    if isinstance(value, list):
        return [_pack(v, arrays) for v in value]
    return value


def _unpack(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, list):
        return [_unpack(v, arrays) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "array":
        return arrays[inside]
    if kind == "bytes":
        return bytes.fromhex(inside)
    if kind == "dict":
        return {_unpack(k, arrays): _unpack(v, arrays) for k, v in inside}
    return tuple(_unpack(v, arrays) for v in inside)
