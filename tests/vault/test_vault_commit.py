"""Versions: what makes one, what it holds, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time

import ocfl
import pytest
from vault_helpers import OLD, USER, contents, deposit, judge, put

from slidebox.vault import Locked, NotFound, Refused, Vault
from slidebox.vault.lock import lock

FILES = {"a/one.tif": b"1" * 1000, "a/two.tif": b"2" * 1000, "study.yaml": b"title: x\n"}


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "vault")


def test_a_deposit_is_a_valid_object_that_holds_it(vault, tmp_path):
    done = put(vault, "S-1", tmp_path / "in", FILES, empty=("a/empty",))
    assert (done.version, done.new) == (1, True)
    assert contents(vault, "S-1") == FILES
    assert {f.path: f.sha256 for f in vault.files("S-1")} == {
        path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()
    }
    assert [(f.path, f.size, f.version) for f in done.files] == [
        ("a/one.tif", 1000, 1),
        ("a/two.tif", 1000, 1),
        ("study.yaml", 9, 1),
    ]
    assert vault.times("S-1")["a/empty/"] == OLD
    assert vault.read_meta("S-1", "record.json") == b"{}"
    judge(tmp_path / "vault")


def test_other_tools_find_the_object_by_its_id(vault, tmp_path):
    put(vault, "S-BIAD1", tmp_path / "in", FILES)
    root = ocfl.StorageRoot(root=str(tmp_path / "vault"))
    path = tmp_path / "vault" / root.object_path("urn:slidebox:S-BIAD1")
    inventory = json.loads((path / "inventory.json").read_text())
    assert inventory["id"] == "urn:slidebox:S-BIAD1"
    assert inventory["digestAlgorithm"] == "sha512"
    assert inventory["fixity"]["sha256"]
    block = inventory["versions"]["v1"]
    assert block["user"] == {"name": USER[0], "address": "mailto:" + USER[1]}
    assert (path / "v1/content/data/a/one.tif").read_bytes() == FILES["a/one.tif"]


def test_equal_content_makes_no_version_and_times_alone_neither(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES)
    again = put(vault, "S-1", tmp_path / "in", FILES)
    assert (again.version, again.new) == (1, False)
    rows = deposit(tmp_path / "in", FILES, mtime=OLD + 10**9)
    touched = vault.commit(
        "S-1", tmp_path / "in", rows, message="m", user=USER,
        meta={"record.json": b"{}", "validation.json": b"other"},
    )  # fmt: skip
    assert (touched.version, touched.new) == (1, False)
    judge(tmp_path / "vault")


def test_a_change_of_data_record_or_empty_folders_makes_a_version(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES)
    changed = {**FILES, "a/two.tif": b"3" * 1000}
    assert put(vault, "S-1", tmp_path / "in2", changed).version == 2
    assert put(vault, "S-1", tmp_path / "in3", changed, meta={"record.json": b"[]"}).version == 3
    assert (
        put(
            vault, "S-1", tmp_path / "in4", changed, meta={"record.json": b"[]"}, empty=("new",)
        ).version
        == 4
    )
    assert contents(vault, "S-1", 1) == FILES
    assert contents(vault, "S-1") == changed
    assert vault.file("S-1", "a/one.tif").version == 1
    assert vault.file("S-1", "a/two.tif").version == 2
    judge(tmp_path / "vault")


def test_add_keeps_what_was_there(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES, empty=("kept",))
    put(vault, "S-1", tmp_path / "more", {"b/labels.tif": b"L"}, mode="add",
        meta={"curation.yaml": b"c"})  # fmt: skip
    assert contents(vault, "S-1") == {**FILES, "b/labels.tif": b"L"}
    assert vault.meta("S-1") == ["curation.yaml", "record.json", "times.tsv"]
    assert "kept/" in vault.times("S-1")
    judge(tmp_path / "vault")


def test_a_revision_needs_no_files(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES)
    done = vault.commit(
        "S-1", None, [], meta={"curation.yaml": b"c"}, message="curated", user=USER, mode="add"
    )
    assert done.version == 2
    assert contents(vault, "S-1") == FILES
    judge(tmp_path / "vault")


def test_replace_leaves_out_what_is_not_listed(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES)
    put(vault, "S-1", tmp_path / "in2", {"study.yaml": FILES["study.yaml"]})
    assert set(contents(vault, "S-1")) == {"study.yaml"}
    assert contents(vault, "S-1", 1) == FILES
    judge(tmp_path / "vault")


def test_equal_files_are_stored_once_under_the_first_path(vault, tmp_path):
    big = os.urandom(5 << 20)  # larger than what is decided before it is written
    files = {"z/big": big, "m/big": big, "b": b"same", "a/deep/a": b"same", "e1": b"", "e2": b""}
    put(vault, "S-1", tmp_path / "in", files)
    assert contents(vault, "S-1") == files
    stored = [f for f in (tmp_path / "vault").rglob("v1/content/data/**/*") if f.is_file()]
    assert sorted(f.relative_to(tmp_path / "vault").parts[-1] for f in stored) == ["a", "big", "e1"]
    assert vault.file("S-1", "z/big").content.parts[-2:] == ("m", "big")
    renamed = {"renamed/big": big}
    done = put(vault, "S-1", tmp_path / "in2", renamed)
    assert done.bytes_written < 1000
    judge(tmp_path / "vault")


def test_all_that_changed_is_refused_by_name_at_once(vault, tmp_path):
    rows = deposit(tmp_path / "in", {**FILES, "c": b"c", "d": b"d"}, empty=("e",))
    (tmp_path / "in/a/one.tif").unlink()
    (tmp_path / "in/a/two.tif").write_bytes(b"longer than before" * 100)
    os.utime(tmp_path / "in/study.yaml")
    (tmp_path / "in/c").unlink()
    (tmp_path / "in/c").symlink_to(tmp_path / "in/d")
    (tmp_path / "in/d").unlink()
    os.mkfifo(tmp_path / "in/d")
    (tmp_path / "in/e/x").write_bytes(b"")
    with pytest.raises(Refused) as caught:
        vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER)
    assert {(f.code, f.file) for f in caught.value.findings} == {
        ("FILE_VANISHED", "a/one.tif"),
        ("FILE_CHANGED", "a/two.tif"),
        ("FILE_CHANGED", "study.yaml"),
        ("FILE_NOT_REGULAR", "c"),
        ("FILE_NOT_REGULAR", "d"),
        ("FILE_CHANGED", "e"),
    }
    assert vault.accessions() == []
    judge(tmp_path / "vault")


def test_a_link_on_the_way_is_not_followed(vault, tmp_path):
    rows = deposit(tmp_path / "in", {"a/x": b"x"})
    deposit(tmp_path / "elsewhere", {"x": b"x"})
    (tmp_path / "in/a/x").unlink()
    (tmp_path / "in/a").rmdir()
    (tmp_path / "in/a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="link"):
        vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER)


def test_a_file_that_changes_while_it_is_read_is_refused(vault, tmp_path, monkeypatch):
    rows = deposit(tmp_path / "in", {"a": b"a" * 100, "b": b"b" * (5 << 20)})
    real = os.readv

    def readv(fd, buffers):
        count = real(fd, buffers)
        path = os.readlink(f"/proc/self/fd/{fd}")
        if count and str(tmp_path / "in") in path:
            with open(path, "r+b") as handle:
                handle.write(b"X")
        return count

    monkeypatch.setattr(os, "readv", readv)
    with pytest.raises(Refused) as caught:
        vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER)
    assert [(f.code, f.file) for f in caught.value.findings] == [
        ("FILE_CHANGED", "a"),
        ("FILE_CHANGED", "b"),
    ]
    assert vault.accessions() == []
    judge(tmp_path / "vault")


def test_given_checksums_are_checked(vault, tmp_path):
    rows = deposit(tmp_path / "in", FILES)
    good = hashlib.sha256(FILES["a/one.tif"]).hexdigest()
    with pytest.raises(Refused) as caught:
        vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER,
                     given={"a/one.tif": good, "a/two.tif": good})  # fmt: skip
    assert [(f.code, f.file) for f in caught.value.findings] == [("CHECKSUM_WRONG", "a/two.tif")]
    with pytest.raises(Refused, match="isn't listed"):
        vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER,
                     given={"nope": good})  # fmt: skip
    vault.commit("S-1", tmp_path / "in", rows, meta={}, message="m", user=USER,
                 given={"a/one.tif": good.upper()})  # fmt: skip


@pytest.mark.parametrize("path", ["../x", "/x", "a//b", "a/./b", "a\0b", "", "\udcff", "n" * 256])
def test_paths_that_lead_elsewhere_are_refused(vault, tmp_path, path):
    deposit(tmp_path / "in", {"x": b"x"})
    with pytest.raises(Refused) as caught:
        vault.commit("S-1", tmp_path / "in", [(path, 1, 1)], meta={}, message="m", user=USER)
    assert caught.value.findings[0].code == "NAME_REFUSED"


def test_accessions_are_unique_without_case(vault, tmp_path):
    put(vault, "S-Biad1", tmp_path / "in", FILES)
    with pytest.raises(Refused, match="differs from the archived S-Biad1 in case"):
        put(vault, "s-biad1", tmp_path / "in", FILES)
    with pytest.raises(NotFound) as caught:
        vault.head("S-BIAD1")
    assert "S-Biad1" in caught.value.findings[0].mend


def test_two_writers_of_one_object(vault, tmp_path):
    put(vault, "S-1", tmp_path / "in", FILES)
    with lock(vault.root.locks, "s-1"):
        with pytest.raises(Locked) as caught:
            put(Vault(tmp_path / "vault", wait=0), "S-1", tmp_path / "in", {"x": b"x"})
        put(vault, "S-2", tmp_path / "in2", FILES)
        assert contents(vault, "S-1") == FILES  # readers don't wait
    message = caught.value.findings[0].message
    assert socket.gethostname() in message and str(os.getpid()) in message
    put(vault, "S-1", tmp_path / "in", {"x": b"x"})
    judge(tmp_path / "vault")


def test_unchanged_files_are_not_read_again(vault, tmp_path, monkeypatch):
    rows = deposit(tmp_path / "in", FILES)
    meta = {"record.json": b"{}"}
    time.sleep(1.2)  # versions say when they were made to the second
    vault.commit("S-1", tmp_path / "in", rows, meta=meta, message="m", user=USER)
    rows += deposit(tmp_path / "in", {"new.tif": b"n"})
    deposit(tmp_path / "in", {"a/two.tif": b"3" * 1000})  # same size, and the time set back
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda p, *a, **m: opened.append(str(p)) or real(p, *a, **m))
    done = vault.commit("S-1", tmp_path / "in", rows, meta=meta, message="m", user=USER)
    monkeypatch.undo()
    assert done.version == 2
    assert "new.tif" in opened and "two.tif" in opened and "one.tif" not in opened
    assert contents(vault, "S-1") == {**FILES, "a/two.tif": b"3" * 1000, "new.tif": b"n"}
    monkeypatch.setattr(os, "open", lambda p, *a, **m: opened.append(str(p)) or real(p, *a, **m))
    vault.commit("S-1", tmp_path / "in", rows, meta=meta, message="m", user=USER, reread=True)
    assert "one.tif" in opened


def test_a_folder_with_other_things_is_no_vault(tmp_path):
    (tmp_path / "thesis.doc").write_bytes(b"")
    with pytest.raises(Refused, match="neither empty nor a vault"):
        put(Vault(tmp_path), "S-1", tmp_path / "in", FILES)
    with pytest.raises(NotFound, match="no vault"):
        Vault(tmp_path / "nowhere").accessions()
