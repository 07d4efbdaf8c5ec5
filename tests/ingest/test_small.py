"""Small submissions: all stages in one process, and what a killed one leaves to do."""

from __future__ import annotations

from importlib import metadata

from slidebox import config as configuration
from slidebox.demo import inbox
from slidebox.ingest import archive, queue, stages, validation
from slidebox.ingest.paths import Stages, read_json


def test_a_small_submission_goes_on_where_it_was_left(tmp_path):
    """Stages that are done stay; what comes after one that is done again is made again too."""
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    config = configuration.load({}).model_copy(update={name: tmp_path / name for name in names})
    inbox.make(config.inbox, only=["SB-CELLS"])
    (item,) = queue.scan(config)
    at, logs = (config, "SB-CELLS", item.key), tmp_path / "logs"
    own = Stages(*at)
    validation.validate(*at)
    archive.archive(*at)
    before = own.archived.stat().st_mtime_ns
    stages.ingest(*at, logs)
    assert own.archived.stat().st_mtime_ns == before
    assert sorted(path.name for path in logs.iterdir()) == [
        "images.1of1.log",
        "seal.log",
        "study.log",
    ]
    assert read_json(own.receipt)["status"] == "accepted"
    own.filesets.unlink()
    sealed = own.receipt.stat().st_mtime_ns
    stages.ingest(*at, logs)
    assert own.archived.stat().st_mtime_ns > before
    assert own.receipt.stat().st_mtime_ns > sealed
    # The receipt says with what and how: versions, the whole environment, and settings.
    receipt = read_json(own.receipt)
    assert receipt["software"].items() >= {"numpy": metadata.version("numpy")}.items()
    assert {"slidebox", "python", "system", "zarr", "ome-zarr"} <= set(receipt["software"])
    listed = read_json(config.results / "environments" / f"{receipt['environment']}.json")
    assert listed.items() >= receipt["software"].items()
    assert listed["pydantic-core"] == metadata.version("pydantic-core")
    assert {"images", "slice_size", "acceptance", "validation"} == set(receipt["settings"])
