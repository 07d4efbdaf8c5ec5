"""An empty configuration, or one of comments alone, is the defaults: for commands and workflow."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("text", ["", "# all as it comes\n---\n"])
def test_an_empty_configuration_means_the_defaults(archive, text):
    config = archive.folder / "config/config.yaml"
    config.write_text(text, encoding="utf-8")
    assert "Nothing to be done" not in archive.snakemake("--dry-run").stderr  # the index is due
    archive.slidebox("status", "--directory", str(archive.folder))


def test_no_configuration_at_all_is_said(archive):
    """A wrong --directory must not begin a new archive."""
    (archive.folder / "config/config.yaml").unlink()
    done = archive.snakemake("--dry-run", check=False)
    assert done.returncode == 1
    assert "config/config.yaml" in done.stdout + done.stderr
