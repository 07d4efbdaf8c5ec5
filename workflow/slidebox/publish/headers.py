"""What a host says with each object: its type, how long it may be kept, shown or only saved.

A bucket keeps the three headers below with an object. Others (nosniff, the content security policy)
it can't: pages carry their policy in a ``<meta>``, and a web server in front sends the rest
(docs/serving.md).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import quote

from slidebox.catalogue.media import BYTES, media_type

_ORIGINAL = re.compile(r"(review/)?[^/]+/files/v[1-9][0-9]*/.+", re.S)
# The digest of what an image was derived from stands in its name.
_IMAGE = re.compile(r"[^/]+/images/[^/]+\.[0-9a-f]{8}\.(ome\.zarr/.+|png|json)", re.S)
_FIXED = "public, max-age=31536000, immutable"
_DAY = "public, max-age=86400"
_SHORT = "public, max-age=60"


@dataclass(frozen=True, slots=True)
class Headers:
    """The headers that S3 keeps with an object."""

    content_type: str
    cache_control: str
    content_disposition: str | None = None

    @property
    def digest(self) -> str:
        """Eight hex digits that change when a header does."""
        text = "\0".join((self.content_type, self.cache_control, self.content_disposition or ""))
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def is_original(key: str) -> bool:
    """Whether an address is that of a file as submitted."""
    return bool(_ORIGINAL.fullmatch(key))


def headers_of(key: str) -> Headers:
    """Headers of an address of the site (relative to its root)."""
    if is_original(key):
        # What strangers sent is never shown by a browser, only saved.
        name = quote(key.rsplit("/", 1)[-1], safe="", errors="surrogateescape")
        return Headers(BYTES, _DAY, f"attachment; filename*=UTF-8''{name}")
    if _IMAGE.fullmatch(key):
        return Headers(media_type(key), _FIXED)
    return Headers(media_type(key), _SHORT)


# What other hosts' pages may read from a bucket: everything, by ranges, nothing else.
CORS_RULES = {
    "CORSRules": [
        {
            "AllowedOrigins": ["*"],
            "AllowedMethods": ["GET", "HEAD"],
            "AllowedHeaders": ["*"],
            "ExposeHeaders": [
                "Accept-Ranges",
                "Content-Length",
                "Content-Range",
                "Content-Type",
                "ETag",
                "Last-Modified",
            ],
            "MaxAgeSeconds": 86400,
        }
    ]
}
