"""What is generated from the code is what the code would generate now."""

from __future__ import annotations

import json
import re
import tomllib

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


def test_each_dependency_has_one_line_that_says_what_it_is_for():
    project = tomllib.loads((devel.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    specs = [spec for one in lists for spec in one]
    wanted = {re.match(r"[A-Za-z0-9._-]+", spec)[0] for spec in specs} - {"slidebox"}
    page = (devel.ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][^|]*) \| ", page.partition("dependency is for")[2], re.MULTILINE)
    told = [
        name for row in rows for name in re.findall(r"[a-z0-9-]+", re.sub(r"\(.*?\) ?$", "", row))
    ]
    assert sorted(set(told)) == sorted(told)
    assert wanted - set(told) == set(), "of these the page says nothing"
