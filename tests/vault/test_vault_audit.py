"""Damage is found, named, and healed from the copy that is whole; budgets reach everything."""

from __future__ import annotations

import json
import os
import random
import re

import pytest
from vault_helpers import contents, judge, put

from slidebox.vault import FolderStore, Mirror, Vault, inventory, structure, validate_object

FILES = {f"d{i}/f{i}.bin": bytes([i]) * (50 + i) for i in range(12)}


@pytest.fixture
def vault(tmp_path):
    vault = Vault(tmp_path / "vault")
    for number, accession in enumerate(("S-1", "S-2", "S-3")):
        files = {path: data + bytes([number]) for path, data in FILES.items()}
        put(vault, accession, tmp_path / "in" / accession, files)
    put(vault, "S-1", tmp_path / "in" / "more", {"d0/f0.bin": b"new"}, mode="add")
    return vault


@pytest.fixture
def mirror(vault, tmp_path):
    mirror = Mirror(FolderStore(tmp_path / "mirror"))
    assert vault.mirror(mirror).findings == []
    return mirror


def overwrite(path, data):
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path, generator):
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    overwrite(path, bytes(data))


def test_a_whole_vault_has_no_findings(vault):
    report = vault.audit()
    assert report.findings == [] and report.damage == []
    assert report.complete and report.objects == 3
    assert report.bytes == sum(
        p.stat().st_size for p in vault.root.path.rglob("content/**/*") if p.is_file()
    )
    json.dumps(report.to_json())


def test_damage_is_named_by_accession_version_and_path(vault):
    changed, gone = vault.file("S-1", "d3/f3.bin").content, vault.file("S-2", "d5/f5.bin").content
    overwrite(changed, b"x")
    gone.unlink()
    old = vault.file("S-1", "d0/f0.bin", 1).content  # only version 1 still has it
    overwrite(old, b"y")
    report = vault.audit()
    assert {(d.accession, d.version, d.path, d.problem) for d in report.damage} == {
        ("S-1", 1, "data/d3/f3.bin", "damaged"),
        ("S-1", 1, "data/d0/f0.bin", "damaged"),
        ("S-2", 1, "data/d5/f5.bin", "missing"),
    }
    named = [f for f in report.findings if f.code in ("CONTENT_DAMAGED", "CONTENT_MISSING")]
    assert any("S-1, versions 1 to 2, 'data/d3/f3.bin'" in f.message for f in named)
    assert vault.damaged() == ["S-1", "S-2"]


def test_a_budget_reads_what_waited_longest_and_in_the_end_everything(vault):
    total = vault.audit().files
    ledgers = sorted(vault.root.ledger.iterdir())
    for number, path in enumerate(ledgers):  # as if read on three different days, long ago
        text = re.sub(r"^\d{10}", str(1_500_000_000 + number * 10 * 86_400), path.read_text(),
                      flags=re.MULTILINE)  # fmt: skip
        head = {**json.loads(text.split("\n")[0]), "oldest": 1_500_000_000 + number * 10 * 86_400}
        path.write_text("\n".join([json.dumps(head), *text.split("\n")[1:]]))
    seen = 0
    order = []
    for _ in range(100):
        report = vault.audit(size=300, threads=1)
        seen += report.files
        order.append([json.loads(p.read_text().split("\n")[0])["oldest"] for p in ledgers])
        if report.complete or min(order[-1]) > 1_700_000_000:
            break
        assert any(f.code == "AUDIT_BEHIND" for f in report.findings)
    assert seen == total  # nothing was read twice before all was read once
    first_done = [
        next(i for i, row in enumerate(order) if row[n] > 1_700_000_000) for n in range(3)
    ]
    assert first_done == sorted(first_done)


def test_time_is_a_budget_too(vault):
    report = vault.audit(seconds=0)
    assert (report.files, report.complete) == (0, False)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 20))]
)
def test_random_bit_flips_anywhere_are_found_and_healed(vault, mirror, seed):
    generator = random.Random(seed)
    before = {acc: {v.number: contents(vault, acc, v.number) for v in vault.versions(acc)}
              for acc in vault.accessions()}  # fmt: skip
    objects = [vault.root.object(acc) for acc in vault.accessions()]
    every = sorted(p for o in objects for p in o.rglob("*") if p.is_file())
    struck = generator.sample(every, 5)
    for path in struck:
        flip(path, generator)
    report = vault.audit(mirror=mirror)
    found = [f for f in report.findings if f.severity == "error"]
    text = "\n".join(f.message + str(f.file) for f in found)
    for path in struck:
        folder = next(o for o in objects if path.is_relative_to(o))
        inside = str(path.relative_to(folder))
        blind = any(f.code == "INVENTORY_DAMAGED" and folder.name in str(f.file) for f in found)
        named = inside in text if "content" in inside else folder.name in text
        assert named or blind, inside  # with no whole inventory its content can't be judged
    for accession in vault.accessions():
        done = vault.repair(accession, mirror)
        assert done.findings == []
    judge(vault.root.path)
    assert vault.audit(mirror=mirror).findings == []
    for accession, versions in before.items():
        for number, files in versions.items():
            assert contents(vault, accession, number) == files


def test_the_mirror_is_healed_from_the_vault_and_never_the_other_way(vault, mirror, tmp_path):
    content = vault.file("S-1", "d3/f3.bin").content
    copy = tmp_path / "mirror" / content.relative_to(vault.root.path)
    overwrite(copy, b"bad")
    report = vault.audit(mirror=mirror)
    assert [(d.where, d.path, d.problem) for d in report.damage] == [
        ("mirror", "data/d3/f3.bin", "damaged")
    ]
    done = vault.repair("S-1", mirror)
    assert done.files == [("mirror", str(content.relative_to(vault.root.object("S-1"))))]
    assert copy.read_bytes() == content.read_bytes()
    judge_mirror(tmp_path / "mirror")


def judge_mirror(path):
    import ocfl

    storage = ocfl.StorageRoot(root=str(path))
    assert storage.validate(log_warnings=True), storage.log.status_str()
    assert storage.errors == []


def test_damaged_on_both_sides_is_said_and_nothing_is_made_worse(vault, mirror, tmp_path):
    content = vault.file("S-1", "d3/f3.bin").content
    copy = tmp_path / "mirror" / content.relative_to(vault.root.path)
    overwrite(content, b"bad1")
    overwrite(copy, b"bad2")
    done = vault.repair("S-1", mirror)
    assert [f.code for f in done.findings] == ["UNREPAIRABLE", *[f.code for f in done.findings[1:]]]
    assert (content.read_bytes(), copy.read_bytes()) == (b"bad1", b"bad2")
    assert any(d.where == "vault" for d in vault.audit(mirror=mirror).damage)


def test_a_damaged_file_is_not_mirrored(vault, mirror, tmp_path):
    put(vault, "S-4", tmp_path / "in4", {"a": b"a", "b": b"b"})
    overwrite(vault.file("S-4", "a").content, b"X")
    done = vault.mirror(mirror)
    assert [f.code for f in done.findings] == ["CONTENT_DAMAGED"]
    assert mirror.inventory("S-4") is None


def test_the_mirror_is_a_storage_root_and_grows_by_what_is_new(vault, mirror, tmp_path):
    judge_mirror(tmp_path / "mirror")
    assert vault.mirror(mirror).files == 0
    put(vault, "S-2", tmp_path / "in2", {"one/more": b"m"}, mode="add")
    behind = [f for f in vault.audit(mirror=mirror).findings if f.code == "MIRROR_BEHIND"]
    assert len(behind) == 1 and "S-2" in behind[0].message
    done = vault.mirror(mirror)
    assert (done.objects, done.files) == (1, 2)  # the file, and its times
    judge_mirror(tmp_path / "mirror")
    assert vault.audit(mirror=mirror).findings == []


def test_an_object_that_is_lost_comes_back_from_the_mirror(vault, mirror):
    import shutil

    before = contents(vault, "S-2")
    shutil.rmtree(vault.root.object("S-2"))
    assert vault.repair("S-2", mirror).findings == []
    assert contents(vault, "S-2") == before
    judge(vault.root.path)


def test_inventories_are_mended_from_their_own_copies(vault):
    folder = vault.root.object("S-1")
    overwrite(folder / "inventory.json", b"{}")
    (folder / "0=ocfl_object_1.1").unlink()
    assert contents(vault, "S-1")["d0/f0.bin"] == b"new"  # readers have the version's own
    assert any(f.severity == "error" for f in vault.audit().findings)
    assert vault.repair("S-1").findings == []
    judge(vault.root.path)


def test_objects_of_very_many_files_are_judged_alike(vault, monkeypatch):
    """The way that needs less memory sees what the usual one sees."""
    monkeypatch.setattr(structure, "_LARGE", 0)
    assert vault.audit().findings == []
    folder = vault.root.object("S-1")
    for name, code in (
        ("v1/inventory.json", "OCFL_E060"),
        ("inventory.json", "OCFL_E06"),
        ("v1/inventory.json.sha512", "OCFL_E06"),
    ):
        before = (folder / name).read_bytes()
        overwrite(folder / name, b"{" + before[2:])
        codes = {f.code for f in vault.audit(["S-1"]).findings}
        assert any(found.startswith(code) for found in codes), (name, codes)
        overwrite(folder / name, before)
    other = inventory.load(folder / "v1")
    (path,) = other.versions["v1"]["state"].popitem()[1][:1]
    for name in ("inventory.json", "inventory.json.sha512"):
        (folder / "v1" / name).unlink()
    other.write(folder / "v1")  # a whole inventory that tells another history
    assert path
    assert "OCFL_E066" in {f.code for f in vault.audit(["S-1"]).findings}


def test_links_and_strange_things_are_found(vault, tmp_path):
    content = vault.file("S-1", "d3/f3.bin").content
    data = content.read_bytes()
    (tmp_path / "elsewhere").write_bytes(data)
    content.unlink()
    content.symlink_to(tmp_path / "elsewhere")
    os.mkfifo(vault.root.object("S-2") / "v1/content/pipe")
    (vault.root.path / "notes.txt").write_text("x")
    codes = {f.code for f in vault.audit().findings}
    assert {"OCFL_E090", "ROOT_UNKNOWN"} <= codes


def test_the_official_fixtures_are_judged_without_a_wrong_verdict(shared_data):
    judged = 0
    for kind in ("good-objects", "warn-objects", "bad-objects"):
        for folder in sorted((shared_data / "ocfl_fixtures/1.1" / kind).iterdir()):
            findings = validate_object(folder)
            errors = [f for f in findings if f.severity == "error"]
            assert bool(errors) == (kind == "bad-objects"), (folder.name, findings)
            assert (kind == "warn-objects") <= bool(findings), folder.name
            judged += 1
    assert judged > 70
