"""The page of metrics is what the code says."""

from pathlib import Path

from slidebox.scoring import catalog, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "metrics.md"


def test_the_page_matches_the_code():
    assert PAGE.read_text("utf-8") == reference.markdown(), (
        "run `python -m slidebox.scoring.reference > docs/reference/metrics.md`"
    )


def test_every_metric_has_its_place():
    text = reference.markdown()
    for (task, name), metric in catalog.METRICS.items():
        assert f"| {name} |" in text, (task, name)
        assert metric.worst != metric.best
