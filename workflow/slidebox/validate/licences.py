"""Licences as SPDX ids, however they were written."""

from __future__ import annotations

import re

SPDX = {
    "CC0-1.0": "Creative Commons Zero v1.0 Universal",
    "CC-BY-4.0": "Creative Commons Attribution 4.0 International",
    "CC-BY-3.0": "Creative Commons Attribution 3.0",
    "CC-BY-SA-4.0": "Creative Commons Attribution Share Alike 4.0",
    "CC-BY-SA-3.0": "Creative Commons Attribution Share Alike 3.0",
    "CC-BY-NC-4.0": "Creative Commons Attribution Non Commercial 4.0",
    "CC-BY-NC-SA-4.0": "Creative Commons Attribution Non Commercial Share Alike 4.0",
    "CC-BY-NC-SA-3.0": "Creative Commons Attribution Non Commercial Share Alike 3.0",
    "CC-BY-NC-ND-4.0": "Creative Commons Attribution Non Commercial No Derivatives 4.0",
    "CC-BY-ND-4.0": "Creative Commons Attribution No Derivatives 4.0",
}
_URL = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/"
    r"(?:licenses/(?P<by>[a-z-]+)/(?P<version>\d\.\d)|publicdomain/zero/(?P<zero>1\.0))",
    re.I,
)
_OFFICIAL = {"CC0": "CC0-1.0", "CC BY 4.0": "CC-BY-4.0"}


def spdx(text: str) -> tuple[str | None, bool]:
    """(SPDX id or None, whether the text needs no mending).

    The id itself, the licence's own address and the two names of the BioImage Archive's list
    ("CC0", "CC BY 4.0") are fine as they are.
    """
    text = text.strip()
    if text in SPDX:
        return text, True
    if text in _OFFICIAL:
        return _OFFICIAL[text], True
    if found := _URL.match(text):
        if found["zero"]:
            return "CC0-1.0", True
        name = f"CC-{found['by'].upper()}-{found['version']}"
        return (name, True) if name in SPDX else (None, False)
    plain = (
        re.sub(r"[^a-z0-9.]", "", text.casefold()).removesuffix("license").removesuffix("licence")
    )
    for name, title in SPDX.items():
        forms = {name, title, name.replace("CC-", "Creative Commons ")}
        if plain in {re.sub(r"[^a-z0-9.]", "", f.casefold()) for f in forms}:
            return name, False
    named = {
        "cc0": "CC0-1.0",
        "cczero": "CC0-1.0",
        "creativecommonszero": "CC0-1.0",
        "cc01.0universal": "CC0-1.0",
        "creativecommonsattribution4.0internationalpublic": "CC-BY-4.0",
        "creativecommonsattribution4.0": "CC-BY-4.0",
        "ccby4": "CC-BY-4.0",
        "ccbysa4": "CC-BY-SA-4.0",
    }
    return named.get(plain), False
