"""Small conversions of values to what people read, and the checks that keep links harmless."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

_SAFE_SCHEMES = {"http", "https", "mailto"}


def safe_url(url: object) -> str | None:
    """The URL when a page may link to it (http, https, mailto), else None.

    Browsers drop control characters and leading blanks before they read a scheme; a URL that has
    any is refused rather than repaired. What no URI may hold (RFC 3986) is percent-encoded, as
    browsers do, so that it can also be a name in RDF.
    """
    if not isinstance(url, str) or not url or any(ord(c) <= 32 or ord(c) == 127 for c in url):
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme.lower() not in _SAFE_SCHEMES:
        return None
    if parts.scheme.lower() != "mailto" and not parts.netloc:
        return None
    return re.sub(r'[<>"{}|\\^`]', lambda m: quote(m[0]), url)


def bare_doi(doi: object) -> str | None:
    """``10.<registrant>/<suffix>`` of a DOI in any of its usual spellings, else None."""
    if not isinstance(doi, str):
        return None
    bare = doi.strip()
    for prefix in ("https://doi.org/", "http://doi.org/", "https://dx.doi.org/", "doi:", "DOI:"):
        bare = bare.removeprefix(prefix)
    return bare if bare.startswith("10.") and "/" in bare else None


def doi_url(doi: object) -> str | None:
    """https://doi.org/... for a DOI in any of its usual spellings, else None."""
    bare = bare_doi(doi)
    return "https://doi.org/" + quote(bare, safe="/:;().-_") if bare else None


def path_url(path: str) -> str:
    """A file's path as a relative URL: every byte that isn't plain is percent-encoded.

    The leading ``./`` keeps ``a:b`` from being read as a scheme.
    """
    encoded = quote(path, safe="/", errors="surrogateescape")
    return encoded if "/" in encoded else "./" + encoded


def file_url(path: str, version: int) -> str:
    """Address of an original, relative to its study's folder."""
    return f"files/v{version}/{quote(path, safe='/', errors='surrogateescape')}"


def human_bytes(n: object) -> str:
    """1536 -> '1.5 kB' (decimal units, as file managers and archives count)."""
    if not isinstance(n, int | float):
        return ""
    value = float(n)
    for unit in ("B", "kB", "MB", "GB", "TB", "PB"):
        if abs(value) < 1000 or unit == "PB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def human_count(n: object) -> str:
    """12345 -> '12 345' with narrow no-break spaces, which no locale reads wrongly."""
    return f"{n:,}".replace(",", "\u202f") if isinstance(n, int) else str(n or "")


def human_length(um: object) -> str:
    """A length in micrometres with the unit that suits it."""
    if not isinstance(um, int | float) or um <= 0:
        return ""
    for factor, unit in ((1e3, "nm"), (1.0, "µm"), (1e-3, "mm")):
        if um * factor < 1000 or unit == "mm":
            return f"{um * factor:.4g} {unit}"
    raise AssertionError("unreachable")


def plural(n: int, word: str, words: str | None = None) -> str:
    """'1 image', '12 images'."""
    return f"{human_count(n)} {word if n == 1 else (words or word + 's')}"


_LICENSES = {
    "CC0-1.0": ("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/"),
    "CC-BY-4.0": ("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/"),
    "CC-BY-3.0": ("CC BY 3.0", "https://creativecommons.org/licenses/by/3.0/"),
    "CC-BY-SA-4.0": ("CC BY-SA 4.0", "https://creativecommons.org/licenses/by-sa/4.0/"),
    "CC-BY-NC-4.0": ("CC BY-NC 4.0", "https://creativecommons.org/licenses/by-nc/4.0/"),
    "CC-BY-NC-SA-4.0": ("CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/"),
    "CC-BY-ND-4.0": ("CC BY-ND 4.0", "https://creativecommons.org/licenses/by-nd/4.0/"),
}


def license_url(spdx: object) -> str | None:
    """Address of a licence's text, from its SPDX identifier."""
    if not isinstance(spdx, str) or not spdx:
        return None
    if spdx in _LICENSES:
        return _LICENSES[spdx][1]
    if spdx.startswith("https://") or spdx.startswith("http://"):
        return safe_url(spdx)
    return f"https://spdx.org/licenses/{quote(spdx, safe='.-+')}.html"


def license_name(spdx: object) -> str:
    """'CC-BY-4.0' -> 'CC BY 4.0'; unknown ones as they are."""
    return _LICENSES[spdx][0] if spdx in _LICENSES else str(spdx or "")
