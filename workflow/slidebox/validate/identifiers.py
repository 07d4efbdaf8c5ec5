"""Is this a DOI, a PubMed id, an ORCID iD, an address? Pure functions that answer with the reason.

Each returns None when the text is fine, else what is wrong with it in a few words.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from urllib.parse import urlsplit

_DOI = re.compile(r"10\.\d{4,9}(\.\d+)*/\S+\Z")
_DOI_PREFIX = re.compile(r"(?:https?://(?:dx\.|www\.)?doi\.org/|doi:\s?)", re.I)
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.\-\u0080-\uffff]+@"
    r"(?:[A-Za-z0-9\u0080-\uffff](?:[A-Za-z0-9\-\u0080-\uffff]{0,61}[A-Za-z0-9\u0080-\uffff])?\.)+"
    r"[A-Za-z\u0080-\uffff]{2,63}\Z"
)
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4})-?(\d{4})-?(\d{4})-?(\d{3}[\dX])\Z")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]\Z", re.I)


def invisible(text: str) -> str | None:
    """The first character that is not seen but counts (format and control characters)."""
    for char in text:
        if unicodedata.category(char) in ("Cf", "Cc", "Co", "Cn"):
            return f"U+{ord(char):04X}"
    return None


def bare_doi(text: str) -> str:
    """A DOI without the address in front of it."""
    return _DOI_PREFIX.sub("", text.strip(), count=1)


def doi(text: str) -> str | None:
    """10.<registrant>/<suffix>, alone or behind https://doi.org/ or doi:."""
    text = text.strip()
    bare = bare_doi(text)
    if hidden := invisible(text):
        return f"has the invisible character {hidden} in it"
    if _DOI.match(bare):
        return f"ends with {bare[-1]!r}" if bare[-1] in ".,;:" else None
    if re.search(r"\s", text):
        return "has a space in it" if re.search(r"10\.\d{4,9}/", text) else "is no DOI"
    if found := re.search(r"10\.\d{4,9}/\S+", text):
        return f"has more than the DOI {found[0]} in it"
    return "is no DOI"


def find_doi(text: str) -> str | None:
    """The DOI that a longer text holds, to propose as the mend."""
    found = re.search(r"10\.\d{4,9}(?:\.\d+)*/[^\s\"<>#?]+", text)
    if found:
        return found[0].rstrip(".,;)")
    if arxiv := re.search(r"arxiv[:/ ](?:abs/)?(\d{4}\.\d{4,5})(?:v\d+)?", text, re.I):
        return f"10.48550/arXiv.{arxiv[1]}"
    if biorxiv := re.fullmatch(r"\s*(\d{4}\.\d{2}\.\d{2}\.\d{6,})(?:v\d+)?\s*", text):
        return f"10.1101/{biorxiv[1]}"
    return None


def pubmed_id(text: str) -> str | None:
    """One to eight digits."""
    text = text.strip()
    if re.fullmatch(r"[1-9]\d{0,7}", text):
        return None
    return "is no number of up to 8 digits"


def orcid(text: str) -> str | None:
    """Sixteen digits with a check digit (ISO 7064 mod 11-2)."""
    found = _ORCID.match(text.strip())
    if not found:
        return "is no ORCID iD (0000-0002-1825-0097)"
    digits = "".join(found.groups())
    total = 0
    for digit in digits[:15]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    if digits[15] != ("X" if check == 10 else str(check)):
        return "has a wrong check digit"
    return None


def email(text: str) -> str | None:
    """name@host.tld, alone."""
    text = text.strip()
    if hidden := invisible(text):
        return f"has the invisible character {hidden} in it"
    if _EMAIL.match(text):
        return ".. stands in it" if ".." in text else None
    if text.count("@") > 1:
        return "has more than one @"
    if "@" not in text:
        return "has no @"
    if "<" in text or re.search(r"\s", text):
        return "has more in it than the address"
    return "is no address of the form name@host.tld"


def url(text: str) -> str | None:
    """http(s) or ftp with a host, and nothing that no address has."""
    text = text.strip()
    if re.search(r"\s", text):
        return "has a space in it"
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        return "is no web address"
    if not parts.scheme or (not parts.netloc and "/" in text and "." in text.split("/")[0]):
        return "has no https:// in front"
    if parts.scheme not in ("http", "https", "ftp", "ftps", "s3", "sftp"):
        return "is no web address"
    try:
        host = host.encode("idna").decode()
    except UnicodeError:
        return "has no valid host"
    if not _HOST.match(host) and not re.fullmatch(r"[\d.]+|[0-9a-f:]+", host):
        if parts.scheme == "s3" and host:
            return None
        return "has no valid host"
    return None


def day(text: str) -> str | None:
    """YYYY-MM-DD, a real day; a time behind it (T...) is let pass."""
    try:
        date.fromisoformat(text.strip()[:10])
    except ValueError:
        return "is no day of the form YYYY-MM-DD"
    rest = text.strip()[10:]
    if rest and not re.match(r"[T ]\d\d:\d\d", rest):
        return "is no day of the form YYYY-MM-DD"
    return None
