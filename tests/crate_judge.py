"""roc-validator without a network, for every crate that is written."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest


def judge(folder: Path, cache: Path, profile: str, crate_version: str) -> list[str]:
    """Issues that roc-validator has with a crate, offline; the context is given the terms that the
    crate uses."""
    pytest.importorskip("rocrate_validator")
    import requests_cache
    import urllib3
    from requests.adapters import HTTPAdapter
    from rocrate_validator import models, services

    crate = json.loads((folder / "ro-crate-metadata.json").read_text("utf-8"))
    terms = {k for e in crate["@graph"] for k in e if not k.startswith("@")}
    for entity in crate["@graph"]:
        kinds = entity["@type"]
        terms |= set(kinds) if isinstance(kinds, list) else {kinds}
    context = {t: f"http://schema.org/{t}" for t in sorted(terms)}
    context |= {
        "File": "http://schema.org/MediaObject",
        "conformsTo": "http://purl.org/dc/terms/conformsTo",
        "ComputationalWorkflow": "https://bioschemas.org/ComputationalWorkflow",
    }
    if crate_version == "1.1":
        context.pop("sha256", None)  # a term since 1.2
    body = json.dumps({"@context": context}).encode()

    class Local(HTTPAdapter):
        def send(self, request, **kwargs):
            raw = urllib3.HTTPResponse(
                io.BytesIO(body),
                status=200,
                headers={"Content-Type": "application/ld+json"},
                preload_content=False,
                request_url=request.url,
                request_method="GET",
            )
            return self.build_response(request, raw)

    session = requests_cache.CachedSession(str(cache), expire_after=-1)
    session.mount("https://", Local())
    session.get(f"https://w3id.org/ro/crate/{crate_version}/context")
    session.close()
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED,
        offline=True,
        cache_path=cache,
    )
    result = services.validate(settings)
    return [f"{i.check.identifier}: {i.message}" for i in result.get_issues()]
