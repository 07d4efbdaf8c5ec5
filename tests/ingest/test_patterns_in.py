"""Images of one file a plane, declared in files.tsv by a pattern of their names."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from slidebox import config as configuration
from slidebox import deposit, images
from slidebox.demo import inbox
from slidebox.ingest import archive, queue, validation
from slidebox.ingest import images as derivation
from slidebox.ingest.paths import Stages, read_json

PATTERN = "planes/T<1-2>/cell C<DAPI,GFP>.tif"
MASKS = "masks/m_T<>.tif"


@pytest.fixture
def folder(tmp_path):
    inbox.make(tmp_path / "inbox", only=["SB-CELLS"])
    folder = tmp_path / "inbox" / "SB-CELLS"
    for t in (1, 2):
        (folder / f"planes/T{t}").mkdir(parents=True)
        for c, name in enumerate(("DAPI", "GFP")):
            plane = np.full((20, 24), 10 * t + c, np.uint16)
            plane[3, 5] = 100 * t
            tifffile.imwrite(folder / f"planes/T{t}/cell C{name}.tif", plane)
        (folder / "masks").mkdir(exist_ok=True)
        mask = np.zeros((20, 24), np.uint8)
        mask[2 * t : 2 * t + 5, 4:9] = t
        tifffile.imwrite(folder / f"masks/m_T{t}.tif", mask)
    rows = (folder / "files.tsv").read_text(encoding="utf-8").splitlines()
    columns = rows[0].split("\t")
    columns += [] if "source_image" in columns else ["source_image"]
    rows = ["\t".join(columns), *rows[1:]]
    for cells in (
        {"path": PATTERN, "part": "Cell"},
        {"path": MASKS, "part": "Masks", "source_image": PATTERN},
    ):
        rows.append("\t".join(cells.get(c, "") for c in columns))
    (folder / "files.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    study = folder / "study.yaml"
    text = study.read_text(encoding="utf-8")
    assert "annotation_sets" not in text
    text += (
        "annotation_sets:\n  - name: Masks\n    overview: Cells outlined by hand\n"
        "    types: [segmentation_mask]\n    methods: [by hand]\n"
        "    confidence_level: high\n    criteria: whole cells\n    coverage: all\n"
    )
    study.write_text(text, encoding="utf-8")
    return folder


def validated(folder):
    deposit.write_ready(folder, "SB-CELLS")
    names = ("inbox", "results", "curation", "vault", "public", "embargoed")
    config = configuration.load({}).model_copy(update={n: folder.parents[1] / n for n in names})
    (item,) = queue.scan(config)
    validation.validate(config, "SB-CELLS", item.key)
    return Stages(config, "SB-CELLS", item.key)


def test_a_pattern_is_one_image_and_its_masks_lie_over_it(folder):
    stages = validated(folder)
    found = read_json(stages.validation)
    assert found["status"] == "accepted", found["findings"]
    archive.archive(stages.config, "SB-CELLS", stages.key)
    derivation.derive(stages.config, "SB-CELLS", stages.key, 1)
    made = read_json(stages.images(1, queue.slices_of(stages.key)))["images"]
    (image,) = [i for i in made if i["path"].startswith("planes/")]
    assert (image["status"], image["name"], image["axes"]) == ("derived", "cell", "tcyx")
    assert len(image["files"]) == 4
    store = stages.config.public / "SB-CELLS" / image["zarr"]
    with images.open_image(store) as file:
        (series,) = file.series
        assert [c.name for c in series.channels] == ["DAPI", "GFP"]
        assert series.asarray()[:, :, 0, 0].tolist() == [[10, 11], [20, 21]]
        assert sorted(np.unique(series.labels[0].series.asarray())) == [0, 1, 2]


@pytest.mark.parametrize("name", ["cell CGFP.tif", "cell CDAPI.tif"])
def test_members_that_are_missing_or_of_another_shape_are_named(folder, name):
    odd = folder / "planes/T2" / name
    tifffile.imwrite(odd, np.zeros((20, 25), np.uint16))
    (said,) = [f for f in read_json(validated(folder).validation)["findings"]
               if f["code"] == "IMAGE_UNREADABLE"]  # fmt: skip
    assert name in said["message"]
    assert "(20, 25)" in said["message"]


def test_a_missing_member_is_named_with_the_line(folder):
    (folder / "planes/T2/cell CGFP.tif").unlink()
    found = read_json(validated(folder).validation)["findings"]
    (said,) = [f for f in found if f["code"] == "FILE_PATTERN"]
    assert "planes/T2/cell CGFP.tif" in said["message"]
    assert (said["file"], said["severity"]) == ("files.tsv", "error")
    assert said["line"]
