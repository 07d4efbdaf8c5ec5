"""What the workflow says of a challenge that is refused."""

from __future__ import annotations

import pytest

from slidebox import config
from slidebox.ingest import benchmarks


def test_a_refused_challenge_is_told_with_its_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "challenges" / "nuclei"
    folder.mkdir(parents=True)
    (folder / "challenge.yaml").write_text("slug: nuclei\ntask: segmentation\nhidden: test\n")
    with pytest.raises(SystemExit) as ended:
        benchmarks.release(config.load({}), "nuclei", tmp_path / "mark")
    said = str(ended.value)
    assert "challenge.yaml:2 task: " in said and "challenge.yaml:3 hidden: " in said
    assert not (tmp_path / "mark").exists()
