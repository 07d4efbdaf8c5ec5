"""A tombstone keeps the bytes; a purge deletes them, on purpose and on record."""

from __future__ import annotations

import json

import pytest
from test_vault_faults import count, killed
from vault_helpers import USER, contents, judge, put

from slidebox.vault import FolderStore, Mirror, NotFound, Refused, Vault

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

FILES = {"a/secret.tif": b"patient", "a/copy.tif": b"patient", "b.tif": b"fine"}
WHY = {"reason": "consent was taken back", "by": "Dr. Director"}


@pytest.fixture
def vault(tmp_path):
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", FILES)
    put(vault, "S-1", tmp_path / "in2", {"c.tif": b"c"}, mode="add")
    return vault


def bytes_in(path):
    return b"".join(p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file())


def test_a_withdrawal_is_a_version_that_says_why(vault):
    assert vault.tombstone("S-1") is None
    entry = vault.withdraw("S-1", reason="wrong data", contact="help@example.org", user=USER)
    assert entry == vault.tombstone("S-1")
    assert set(entry) == {
        "accession", "status", "reason", "contact", "withdrawn_by", "date", "last_version",
    }  # fmt: skip
    assert (entry["status"], entry["last_version"], vault.head("S-1")) == ("withdrawn", 2, 3)
    assert contents(vault, "S-1") == {**FILES, "c.tif": b"c"}
    judge(vault.root.path)
    with pytest.raises(Refused, match="says why"):
        vault.withdraw("S-1", reason=" ", contact="x", user=USER)


def test_a_purge_of_a_study_leaves_its_record_only(vault, tmp_path):
    mirror = Mirror(FolderStore(tmp_path / "mirror"))
    vault.mirror(mirror)
    done = vault.purge("S-1", mirror=mirror, **WHY)
    assert done.whole and done.bytes > 0
    assert vault.accessions() == [] == mirror.accessions()
    for place in ("vault", "mirror"):
        assert b"patient" not in bytes_in(tmp_path / place)
    assert vault.tombstone("S-1")["status"] == "deleted"
    lines = (vault.root.log / "purges.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["begun", "done"]
    assert json.loads(lines[1])["by"] == "Dr. Director"
    judge(vault.root.path)
    with pytest.raises(Refused, match="not given out again"):
        put(vault, "s-1", tmp_path / "in3", {"x": b"x"})
    with pytest.raises(NotFound):
        vault.purge("S-1", **WHY)


def test_a_purge_of_files_takes_them_out_of_every_version(vault, tmp_path):
    mirror = Mirror(FolderStore(tmp_path / "mirror"))
    vault.mirror(mirror)
    with pytest.raises(Refused, match="same bytes"):
        vault.purge("S-1", ["a/secret.tif"], **WHY)
    with pytest.raises(NotFound, match="nope"):
        vault.purge("S-1", ["nope"], **WHY)
    vault.purge("S-1", ["a/secret.tif", "a/copy.tif"], mirror=mirror, **WHY)
    for place in ("vault", "mirror"):
        assert b"patient" not in bytes_in(tmp_path / place)
    assert contents(vault, "S-1") == {"b.tif": b"fine", "c.tif": b"c"}
    assert contents(vault, "S-1", 1) == {"b.tif": b"fine"}
    judge(vault.root.path)
    report = vault.audit(mirror=mirror)
    assert report.findings == []
    with pytest.raises(Refused):
        vault.purge("S-1", reason="", by="x")


@pytest.mark.slow
@pytest.mark.parametrize("paths", [None, ["a/secret.tif", "a/copy.tif"]])
def test_a_purge_that_is_killed_happened_or_did_not(tmp_path, paths):
    def fresh(name):
        vault = Vault(tmp_path / name)
        put(vault, "S-1", tmp_path / "in", FILES)
        put(vault, "S-1", tmp_path / "in2", {"c.tif": b"c"}, mode="add")
        return vault

    whole = fresh("whole")
    changes = count(lambda: whole.purge("S-1", paths, **WHY))
    outcomes = set()
    for number in range(len(changes)):
        vault = fresh(f"v{number}")
        killed(lambda vault=vault: vault.purge("S-1", paths, **WHY), number)
        there = vault.accessions()
        judge(vault.root.path)
        if not there:
            assert vault.tombstone("S-1")["status"] == "deleted"
            outcomes.add("gone")
        elif "a/secret.tif" in contents(vault, "S-1"):
            assert contents(vault, "S-1", 1) == FILES
            outcomes.add("kept")
        else:
            assert contents(vault, "S-1", 1) == {"b.tif": b"fine"}
            outcomes.add("gone")
        if "gone" in outcomes and not there:
            assert b"patient" not in bytes_in(vault.root.path)
    assert outcomes == {"kept", "gone"}
