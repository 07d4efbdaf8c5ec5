"""Numbers of releases: which one a change needs, what is told of it, and what can't be talked away.

Permuted numbers of a label image, another order of points and another integer type are other truth:
what is compared is the decoded values as they stand.
"""

from __future__ import annotations

import copy
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from archives import Bench, challenge_folder, discs, nuclei, tiff

from slidebox import challenge
from slidebox.challenge import changes, pixels
from slidebox.challenge.commitment import truth_digest
from slidebox.challenge.versions import needed
from slidebox.vault import Vault

FIXED = {"train": {"groups": ["A", "D", "F"]}, "validation": {"groups": ["B"]},
         "test": {"annotations": "Nuclei, test"}}  # fmt: skip


def folder_of(root: Path, version: str = "1.0.0", **more) -> Path:
    """A challenge with fixed groups and without the search for leakage."""

    def change(text: str) -> str:
        data = yaml.safe_load(text)
        data["splits"]["rules"] = FIXED
        data["leakage"] = {"check": False}
        for key, value in more.items():
            data[key] = data[key] | value if isinstance(value, dict) else value
        return yaml.safe_dump(data)

    return challenge_folder(root, version, change=change)


def release(bench: Bench, folder: Path, **more):
    return challenge.release(
        folder, public=bench.public, vault=bench.vault, private=bench.private, **more
    )


def errors(result) -> list[tuple[str, str]]:
    return [(f.code, f.message) for f in result.findings if f.severity == "error"]


def codes(result) -> set[str]:
    return {code for code, _ in errors(result)}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def log(result) -> list[str]:
    """Lines of the newest part of CHANGELOG.md."""
    newest = (result.folder / "CHANGELOG.md").read_text().split("\n## ")[1]
    return [line[2:] for line in newest.splitlines() if line.startswith("- ")]


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Bench:
    root = tmp_path_factory.mktemp("first")
    bench = nuclei(root, each=1)
    result = release(bench, folder_of(root))
    assert result.ok, result.findings
    return bench


@pytest.fixture
def bench(first, tmp_path) -> Bench:
    """An archive with 1.0.0 that may be spoilt."""
    shutil.copytree(first.root, tmp_path / "b", symlinks=True)
    return Bench(tmp_path / "b")


@pytest.fixture(scope="module")
def state(first) -> changes.State:
    return changes.of_release(out(first), secret(first))


def out(bench: Bench, version: str = "1.0.0") -> Path:
    return bench.public / "challenges" / "nuclei" / version


def secret(bench: Bench, version: str = "1.0.0") -> Path:
    return bench.private / "challenges" / "nuclei" / version


def deposit(bench: Bench, change, record=None) -> None:
    """A new version of the study: `change` gets its files (path -> bytes)."""
    files = {f.path: Path(f.content).read_bytes() for f in Vault(bench.vault).files("SB-NUCLEI")}
    change(files)
    rows = []
    for path in files:
        specimen = path.rpartition("/")[2][2]
        if path.startswith("images/"):
            rows.append({"path": path, "part": "Fields of view", "specimen": specimen})
        else:
            rows.append(
                {"path": path, "role": "labels", "specimen": specimen,
                 "part": "Nuclei, test" if specimen in "CE" else "Nuclei, training",
                 "source_image": "images/" + path[7:].replace("_lab", "")}
            )  # fmt: skip
    bench.add_study("SB-NUCLEI", files, rows, ("Nuclei, test",), record)


def edit(bench: Bench, files: dict, path: str, change) -> None:
    scratch = tiff(bench.root / "scratch.tif", np.zeros((2, 2), np.uint8))
    scratch.write_bytes(files[path])
    array = tifffile.imread(scratch)
    files[path] = tiff(scratch, change(array)).read_bytes()


def test_every_image_that_changed_is_told_with_all_that_changed_of_it(bench):
    def change(files):
        edit(bench, files, "images/spC_0.tif", lambda a: a ^ (np.indices(a.shape).sum(0) == 0))
        edit(bench, files, "labels/spE_0_lab.tif", lambda a: np.where(a, a.max() + 1 - a, 0))
        edit(bench, files, "labels/spA_0_lab.tif", lambda a: np.where(a == 1, 0, a))
        del files["images/spD_0.tif"], files["labels/spD_0_lab.tif"]
        image, labels = discs(77)
        files["images/spD_1.tif"] = tiff(bench.root / "i.tif", image).read_bytes()
        files["labels/spD_1_lab.tif"] = tiff(bench.root / "l.tif", labels).read_bytes()

    before = tree(out(bench))
    deposit(bench, change, {"license": "CC0-1.0"})
    for version in ("1.0.1", "1.1.0"):
        found = errors(release(bench, folder_of(bench.root, version, title="Cells")))
        assert [code for code, _ in found] == ["VERSION_TOO_SMALL"]
        assert "spC_0: other pixels" in found[0][1] and "spE_0: other truth" in found[0][1]
        assert "spA_0" not in found[0][1]  # that alone is MINOR
    made = release(bench, folder_of(bench.root, "2.0.0", title="Cells"))
    assert made.ok, errors(made)
    assert log(made) == [
        "spA_0: other truth; another licence (MINOR)",
        "spB_0: another licence (PATCH)",
        "spC_0: other pixels; another licence (MAJOR)",
        "spD_0: removed from train (MINOR)",
        "spD_1: added to train (MINOR)",
        "spE_0: other truth; another licence (MAJOR)",
        "spF_0: another licence (PATCH)",
        "study SB-NUCLEI in version 2, was 1 (PATCH)",
        "title (PATCH)",
    ]
    assert tree(out(bench)) == before


def named(bench: Bench, names: list[str], only: str = "") -> None:
    """Two-channel images with these names of channels; of one image alone, or of all."""

    def change(files):
        for path in [p for p in files if p.startswith("images/") and only in p]:
            scratch = bench.root / "scratch.ome.tif"
            scratch.write_bytes(files.pop(path))
            array = tifffile.imread(scratch)
            array = array if array.ndim == 3 else np.stack([array, array[::-1]])
            meta = {"axes": "CYX", "Channel": {"Name": names}}
            files[path] = tiff(scratch, array, metadata=meta, ome=True).read_bytes()

    deposit(bench, change)


@pytest.mark.parametrize("image, need", [("spC", "MAJOR"), ("spA", "MINOR")])
def test_channel_names_belong_to_an_image(bench, image, need):
    shutil.rmtree(out(bench))
    shutil.rmtree(secret(bench).parent)
    named(bench, ["DAPI", "GFP"])
    assert release(bench, folder_of(bench.root)).ok
    named(bench, ["Hoechst", "GFP"], image)
    result = release(bench, folder_of(bench.root, "1.0.1"))
    ((code, message),) = errors(result)
    assert code == "VERSION_TOO_SMALL" and need in message
    assert f"{image}_0: other channel names, colours or time step" in message


def test_chosen_channels_keep_their_names_and_must_be_there(bench):
    named(bench, ["DAPI", "GFP"])
    source = {"sources": [{"accession": "SB-NUCLEI"}]}
    made = release(bench, folder_of(bench.root, "2.0.0", data=source | {"channels": [1, 0]}))
    assert made.ok, errors(made)
    with tifffile.TiffFile(made.folder / "test" / "images" / "spC_0.tif") as file:
        assert re.findall('Channel [^>]*Name="(.+?)"', file.ome_metadata) == ["GFP", "DAPI"]
    # All channels in their order, named or not, are the same images
    assert release(bench, folder_of(bench.root, "3.0.0")).ok
    made = release(bench, folder_of(bench.root, "3.0.1", data=source | {"channels": [0, 1]}))
    assert made.ok and log(made) == ["data.channels (PATCH)"]
    for channels, told in (([0, 2], "PAIR_UNFIT"), ([0, 0], "CHALLENGE_FIELD"),
                           ([], "CHALLENGE_FIELD"), ([-1], "CHALLENGE_FIELD")):  # fmt: skip
        again = release(bench, folder_of(bench.root, "3.0.2", data=source | {"channels": channels}))
        assert codes(again) == {told}, channels


def own(**more) -> dict:
    return {"name": "own", "file": "own.py", "function": "f", "direction": "higher",
            "range": [0, 1], "sha256": "1" * 64} | more  # fmt: skip


def scoring(state: changes.State, **more) -> changes.State:
    return replace(state, challenge=state.challenge | {"scoring": state.scoring | more})


def row(state: changes.State, which: str, **more) -> changes.State:
    return replace(state, rows=state.rows | {which: state.rows[which] | more})


TENTHS = ["0.5", "0.55", "0.6", "0.65", "0.7", "0.75", "0.8", "0.85", "0.9", "0.95"]
OWN = {"primary": "own", "metrics": ["own", "AP"]}
BESIDE = {"metrics": ["AP", "own"]}


@pytest.mark.parametrize(
    "before, after, need",
    [
        ({}, {"thresholds": ["0.50", "11/20", *TENTHS[:1:-1]]}, "PATCH"),  # the same numbers
        ({}, {"thresholds": TENTHS[1:]}, "MAJOR"),
        ({}, {"preset": "stardist"}, "PATCH"),  # what it stands for is in the other keys
        ({}, {"average": "dataset"}, "MAJOR"),
        ({"metrics": ["AP", "F1"]}, {"metrics": ["F1", "AP"]}, "PATCH"),
        ({"metrics": ["AP", "F1"]}, {"metrics": ["AP"]}, "MINOR"),
        ({}, {"bootstrap": {"resamples": 7}}, "MINOR"),
        (OWN | {"custom": [own()]}, {"custom": [own(file="mine.py")]}, "PATCH"),
        (OWN | {"custom": [own()]}, {"custom": [own(sha256="2" * 64)]}, "MAJOR"),
        (OWN | {"custom": [own()]}, {"custom": [own(function="g")]}, "MAJOR"),
        (OWN | {"custom": [own()]}, {"custom": [own(direction="lower")]}, "MAJOR"),
        (OWN | {"custom": [own()]}, {"custom": [own(range=[0, 2])]}, "MAJOR"),
        (BESIDE | {"custom": [own()]}, {"custom": [own(sha256="2" * 64)]}, "MINOR"),
        (
            {"metrics": ["AP", "own", "two"], "custom": [own(), own(name="two")]},
            {"custom": [own(name="two"), own()]},
            "PATCH",
        ),
    ],
)
def test_a_change_of_scoring_weighs_what_it_does_to_the_primary_metric(state, before, after, need):
    old = scoring(state, **before)
    found = changes.between(old, scoring(old, **after))
    assert needed(found) == need
    assert [c.text.replace("scoring: ", "scoring.").partition(":")[0] for c in found]


@pytest.mark.parametrize(
    "which, columns, text, need",
    [
        ("spC_0", {"pixel_size": "y=0.5 x=0.5"}, "another pixel size", "MAJOR"),
        ("spA_0", {"pixel_size": "y=0.5 x=0.5"}, "another pixel size", "MINOR"),
        ("spB_0", {"pixel_size": "y=0.5 x=0.5"}, "another pixel size", "MAJOR"),  # validation
        ("spC_0", {"group": "Z"}, "another group", "MINOR"),
        ("spA_0", {"fold": "2"}, "another fold", "MINOR"),
        ("spC_0", {"stratum": "x"}, "another stratum", "PATCH"),
        ("spC_0", {"attribution": "x"}, "other attribution", "PATCH"),
        ("spC_0", {"source": "x.tif"}, "another file of the archive", "PATCH"),
        (
            "spA_0",
            {"split": "validation", "pixels_sha256": "0", "fold": "1", "license": "x"},
            "moved from train to validation; other pixels; another fold; another licence",
            "MAJOR",
        ),
    ],
)
def test_a_change_of_an_image_weighs_by_its_split(state, which, columns, text, need):
    assert changes.between(state, row(state, which, **columns)) == [
        changes.Change(need, text, which)
    ]


def test_groups_and_hidden_splits_weigh_more(state):
    averaged = scoring(state, average="group")
    (found,) = changes.between(averaged, row(averaged, "spC_0", group="Z"))
    assert found.level == "MAJOR"
    # A hidden split called train is a test set
    named = replace(state, challenge=state.challenge | {"hidden": ["train"]})
    (found,) = changes.between(named, row(named, "spA_0", pixels_sha256="0"))
    assert found.level == "MAJOR"
    # Another name of a training set is none
    for split, need in (("training-set", "MINOR"), ("trial", "MAJOR")):
        old = row(state, "spA_0", split=split)
        assert needed(changes.between(old, row(old, "spA_0", axes="zyx"))) == need


def test_settings_that_decide_no_value_are_told_by_name(state):
    new = copy.deepcopy(state.challenge)
    new |= {"title": "Other", "license": "CC0-1.0"}
    new["leaderboard"] = {"phases": [{"name": "one", "quota": 3}]}
    new["splits"]["seed"] = 5
    found = changes.between(state, replace(state, challenge=new))
    assert {(c.level, c.text) for c in found} == {
        ("PATCH", "title"), ("PATCH", "license"), ("PATCH", "leaderboard.phases"),
        ("PATCH", "splits.seed"),
    }  # fmt: skip


def test_controls_that_count_otherwise_are_major_whatever_changed(state, tmp_path):
    values = {"test": {"shifted": {"AP": 0.5}}}
    old = replace(state, controls=values)
    new = replace(state, controls={"test": {"shifted": {"AP": 0.4}}})
    assert changes.between(old, new) == [
        changes.Change("MAJOR", "the same scorer counts otherwise (other values of AP)")
    ]
    # Other truth has other values by right
    other = replace(new, truth=new.truth | {"spC_0": "0"})
    assert [c.text for c in changes.between(old, other)] == ["other truth"]
    # The packages that the scorer is pinned to are part of it
    shutil.copytree(state.folder, tmp_path / "r")
    (tmp_path / "r" / "score.py").write_text("# other pins")
    pinned = replace(old, folder=tmp_path / "r")
    assert changes.between(old, pinned) == [
        changes.Change("MINOR", "other software that the scorer needs")
    ]


def test_a_release_that_is_gone_keeps_its_number_and_stops_the_next(bench):
    border = {"border": "ignore"}
    before = tree(out(bench))
    shutil.rmtree(out(bench))
    # It can't be left out of the comparison
    assert codes(release(bench, folder_of(bench.root, "1.0.1", scoring=border))) == {
        "RELEASE_DAMAGED"
    }
    assert codes(release(bench, folder_of(bench.root, scoring=border))) == {"RELEASE_IMMUTABLE"}
    again = release(bench, folder_of(bench.root))
    assert again.ok and tree(out(bench)) == before
    # Nor the newest; an older one may be written once more
    assert release(bench, folder_of(bench.root, "1.1.0", title="Cells")).ok
    shutil.rmtree(out(bench, "1.1.0"))
    shutil.rmtree(out(bench))
    assert codes(release(bench, folder_of(bench.root, "1.0.5"))) == {"VERSION_BACK"}
    assert codes(release(bench, folder_of(bench.root, "1.1.1"))) == {"RELEASE_DAMAGED"}
    assert release(bench, folder_of(bench.root)).ok and tree(out(bench)) == before
    # A folder without its list is a damaged release, not none
    (out(bench) / "SHA256SUMS").unlink()
    shutil.rmtree(secret(bench).parent)
    result = release(bench, folder_of(bench.root, "1.0.1"))
    assert errors(result)[0] == ("RELEASE_DAMAGED", "is missing")


def test_a_later_release_that_is_built_elsewhere_knows_the_earlier_ones(bench, tmp_path):
    folder = folder_of(bench.root, "1.0.1", title="Cells")
    made = release(bench, folder)
    again = release(bench, folder, out=tmp_path / "out")
    assert again.ok and tree(again.folder) == tree(made.folder)


def test_truth_that_private_has_no_more_cannot_be_compared(bench):
    shutil.rmtree(secret(bench))
    result = release(bench, folder_of(bench.root, "1.1.0"))
    ((code, message),) = errors(result)
    assert code == "VERSION_TOO_SMALL" and "spC_0: its truth can't be compared" in message
    (mend,) = (f.mend for f in result.findings if f.code == code)
    assert "make it 2.0.0; or" in mend and "release 1.0.0 once more as it was" in mend
    # The vault and the challenge's secret give it back
    assert release(bench, folder_of(bench.root)).ok
    made = release(bench, folder_of(bench.root, "1.0.1", title="Cells"))
    assert made.ok and log(made) == ["title (PATCH)"]
    shutil.rmtree(bench.private)
    result = release(bench, folder_of(bench.root, "1.0.1", title="Cells"))
    assert codes(result) == {"RELEASE_IMMUTABLE"} and "secret.key" in result.findings[-1].mend


@pytest.mark.parametrize("text", ["", "abcd\n", "no key\n"])
def test_a_secret_that_was_cut_short_is_no_key(bench, text):
    path = secret(bench).parent / "secret.key"
    path.write_text(text)
    result = release(bench, folder_of(bench.root))
    assert codes(result) == {"RELEASE_DAMAGED"} and str(path) in {f.file for f in result.findings}


KILLED = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from slidebox import challenge
    module = sys.modules["slidebox.challenge.release"]
    folder, public, vault, private, step = sys.argv[1:]
    steps = iter(range(1, 9))
    real = module._replace
    def replace(source, target):
        if next(steps) == int(step):
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
    def durable(folder, real=module._durable):
        if step == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        real(folder)
    module._replace, module._durable = replace, durable
    challenge.release(folder, public=public, vault=vault, private=private)
    """
)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_run_that_was_killed_leaves_nothing_and_can_be_run_again(bench, step):
    """While bytes are made durable, before the first name is given, and between the two."""
    names = [folder_of(bench.root, "1.0.1", title="Cells"), bench.public, bench.vault,
             bench.private, step]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, names)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out(bench, "1.0.1").exists()
    assert list(out(bench).parent.glob(".*"))
    made = release(bench, folder_of(bench.root, "1.0.1", title="Cells"))
    assert made.ok and made.new
    assert challenge.check_release(made.folder, bench.private)[0] == []
    left = [*out(bench).parent.glob(".*"), *secret(bench).parent.glob(".*")]
    assert [p.name for p in left] == [".lock"]


def test_releases_at_once_follow_on_each_other(bench):
    folders = []
    for version in ("1.0.1", "1.0.1", "1.0.2"):
        root = bench.root / str(len(folders))
        folders.append(folder_of(root, version, title=f"Cells {version}"))
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(lambda f: release(bench, f), folders))
    assert made[2].ok
    # Who comes after 1.0.2 is too late; nobody writes over another, nobody fails otherwise
    for result in made[:2]:
        assert result.ok or codes(result) == {"VERSION_BACK"}
    assert sum(r.new for r in made[:2]) == any(r.ok for r in made[:2])
    assert all(challenge.check_release(r.folder, bench.private)[0] == [] for r in made if r.ok)


def spoilt(path: Path):
    """A file without it, without its end, with one bit changed, with a byte more; as it was."""
    kept = path.read_bytes()
    middle = len(kept) // 2
    path.unlink()
    yield "removed"
    for how, data in (
        ("cut", kept[:-1]),
        ("flipped", bytes([*kept[:middle], kept[middle] ^ 1, *kept[middle + 1 :]])),
        ("no UTF-8", b"\xff" + kept[1:]),
        ("longer", kept + b"\n"),
    ):
        path.write_bytes(data)
        yield how
    path.write_bytes(kept)


def test_any_change_of_any_file_of_a_release_is_found(first):
    folder = out(first)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        for how in spoilt(path):
            found, said = challenge.check_release(folder)
            assert {f.code for f in found} == {"RELEASE_DAMAGED"}, (path, how)
            assert not any("as released" in line for line in said)
    for name in ("more.tif", ".hidden", "train/images/more.tif", "board/x"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        assert [f.file for f in challenge.check_release(folder)[0]] == [f"1.0.0/{name}"]
        (folder / name).unlink()
    (folder / "board").rmdir()
    assert challenge.check_release(folder, first.private)[0] == []


def test_any_change_of_revealed_truth_is_found(bench):
    challenge.reveal(out(bench), bench.private)
    folder = out(bench) / "revealed"
    assert challenge.check_release(out(bench))[0] == []
    for name in ("truth.csv", "commitment.key"):
        for how in spoilt(folder / name):
            if (name, how) not in (("commitment.key", "cut"), ("commitment.key", "longer"),
                                   ("truth.csv", "longer"), ("truth.csv", "cut")):  # fmt: skip
                found = challenge.check_release(out(bench))[0]
                assert {f.code for f in found} == {"COMMITMENT_BROKEN"}, (name, how)
    table = (folder / "truth.csv").read_text()
    one, two = table.splitlines()[1:]
    for text in (
        table + two + "\n",
        table.replace(one + "\n", ""),
        table.replace("labels/", "../revealed/labels/"),
        table.replace("labels/", "labels/\0"),
        table.replace("sha256", "digest"),
        table.replace("spC_0.tif", "spE_0.tif"),
    ):
        (folder / "truth.csv").write_text(text)
        assert {f.code for f in challenge.check_release(out(bench))[0]} == {"COMMITMENT_BROKEN"}
    (folder / "truth.csv").write_text(table)
    label = folder / "labels" / "spC_0.tif"
    kept = label.read_bytes()
    for change in (
        label.unlink,
        lambda: label.write_bytes(b""),
        lambda: label.write_bytes(kept[: len(kept) // 3]),
        lambda: shutil.copy(folder / "labels" / "spE_0.tif", label),
        lambda: (folder / "labels" / "more.tif").write_bytes(kept),
        lambda: (folder / "more.txt").write_bytes(b""),
    ):
        change()
        assert {f.code for f in challenge.check_release(out(bench))[0]} == {"COMMITMENT_BROKEN"}
        for extra in (folder / "labels" / "more.tif", folder / "more.txt"):
            extra.unlink(missing_ok=True)
        label.write_bytes(kept)
    assert challenge.check_release(out(bench))[0] == []
    # Digests alone are said to be digests alone
    shutil.rmtree(folder / "labels")
    found, said = challenge.check_release(out(bench))
    assert found == [] and "the revealed digests are what was committed to" in said


def test_a_downloaded_copy_is_held_to_what_it_says(first, tmp_path):
    """Its folder may have any name but another version's."""
    copied = shutil.copytree(out(first), tmp_path / "nuclei-data")
    assert challenge.check_release(copied, first.private)[0] == []
    (found,) = challenge.check_release(copied.rename(tmp_path / "1.2.0"))[0]
    assert "version 1.0.0" in found.message


@pytest.mark.parametrize(
    "version", ["1.0.0-rc1", "1.0", "v1.0.1", "01.0.1", "1.0.1.0", " 1.0.1", "1.0.\u0661"]
)
def test_only_three_plain_numbers_are_a_version(tmp_path, version):
    folder = folder_of(tmp_path)
    path = folder / "challenge.yaml"
    data = yaml.safe_load(path.read_text()) | {"version": version}
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(challenge.Invalid) as bad:
        challenge.load(folder)
    assert [f.field for f in bad.value.findings] == ["version"]


@pytest.mark.parametrize("axes, shape", [("tyx", (3, 8, 9)), ("tczyx", (3, 1, 2, 8, 9))])
def test_a_time_lapse_has_one_digest_in_either_format(tmp_path, axes, shape):
    """Another format of the same frames is no other test set."""
    data = np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16)
    source = pixels.Source(axes, shape, data.dtype, {}, False, lambda i: data[i], ["c"])
    whole = pixels.write_zarr(tmp_path / "a.ome.zarr", source, "x", frames=True)
    assert whole != pixels.write_zarr(tmp_path / "b.ome.zarr", source, "x")
    frames = data[:, 0] if "c" in axes else data
    plain = replace(
        source, axes=axes.replace("c", ""), shape=frames.shape, read=lambda i: frames[i]
    )
    assert whole == pixels.write_frames(tmp_path / "f", "t{}.tif", plain, "x")


def test_both_copies_of_tracked_masks_are_held_to_the_commitment(tmp_path):
    """Segments are scored by SEG, tracks by TRA: neither may be another than the other."""
    data = np.random.default_rng(0).integers(0, 9, (2, 8, 9)).astype(np.uint16)
    source = pixels.Source("tyx", data.shape, data.dtype, {}, False, lambda i: data[i])
    folder = tmp_path / "m_GT"
    pixels.write_frames(folder / "TRA", "man_track{}.tif", source, "x/t")
    pixels.write_frames(folder / "SEG", "man_seg{}.tif", source, "x/s")
    (folder / "TRA" / "man_track.txt").write_text("1 0 1 0\n")
    assert truth_digest(folder)
    tifffile.imwrite(folder / "SEG" / "man_seg001.tif", data[1] + 1)
    assert not truth_digest(folder)
