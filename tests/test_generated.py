"""What is generated from the code is what the code would generate now."""

from __future__ import annotations

import json

import pytest
import yaml

from slidebox import devel


@pytest.mark.parametrize(
    "name",
    [
        "config.schema.json",
        "study.schema.json",
        "challenge.schema.json",
        "study-json.schema.json",
        "tables.schema.json",
    ],
)
def test_schema_matches_the_model(name):
    shipped = json.loads((devel.ROOT / "workflow/schemas" / name).read_text(encoding="utf-8"))
    assert shipped == devel.schemas()[name], "run `make schemas`"


def test_config_readme_matches_the_model():
    shipped = (devel.ROOT / "config/README.md").read_text(encoding="utf-8")
    assert shipped == devel.config_readme(), "run `make schemas`"


def test_environment_yml_lists_the_versions_of_the_lock():
    """Each conda spec parses as conda itself reads it, and names the version that the lock pins."""
    rattler = pytest.importorskip("rattler")
    pins = devel.lock("dev")
    listed = yaml.safe_load((devel.ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = listed["dependencies"]
    seen = set()
    for spec in conda:
        match = rattler.MatchSpec(spec)
        name = match.name.normalized if hasattr(match.name, "normalized") else str(match.name)
        if name not in ("python", "pip"):
            assert str(match.version) == f"=={pins[name]}", spec
            seen.add(name)
    for spec in pip["pip"]:
        name, _, version = spec.partition("==")
        assert version == pins[name], spec
        seen.add(name)
    assert sorted(seen) == devel.direct()
