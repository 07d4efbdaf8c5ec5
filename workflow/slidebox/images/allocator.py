"""Pages that are kept between planes, where the C library would give each one back at once."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST, _KEPT = 16 << 20, 32 << 20


@cache
def keep_pages() -> None:
    """Let freed buffers of up to 16 MB be used again, and at most 32 MB stay; glibc only.

    Else each plane is mapped and zeroed anew: a tenth of a conversion's CPU time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)
