"""What was submitted comes back: bytes, names, times, empty folders."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from vault_helpers import OLD, contents, deposit, judge, listing, put

from slidebox.vault import Refused, Vault, VaultError, disk
from slidebox.vault.names import ContentPaths, problem_with

HARD = {
    "new\nline": b"1",
    "tab\tand\\back\r": b"2",
    unicodedata.normalize("NFC", "é.tif"): b"3",
    unicodedata.normalize("NFD", "é.tif"): b"4",
    "100%.tif": b"5",
    "new%0Aline": b"6",
    "Case.tif": b"7",
    "case.tif": b"8",
    "CASE.TIF/x": b"9",
    ".hidden": b"10",
    "..double": b"11",
    "...": b"12",
    "-rf": b"13",
    "n" * 255: b"14",
    "界" * 85: b"15",
    " spaces ": b"16",
    "con": b"17",
    "aux.tif": b"18",
    "x\u2028y\x85z": b"19",
    "deep/" * 60 + "file": b"20",
    '"quotes"/\'"': b"21",
    "~": b"22",
    "~/x": b"23",
    "\x7f\x01": b"24",
    "*?[a]": b"25",
    ".slidebox-restore": b"26",
    "emoji 🔬/µm.tif": b"27",
}
HARD.pop("~")


def restored(vault, tmp_path, accession="S-1", **more):
    vault.restore(accession, tmp_path / "out", **more)
    return {
        path: (tmp_path / "out" / path).read_bytes()
        for path, _, _ in listing(tmp_path / "out")
        if not path.endswith("/")
    }


def test_names_that_others_break_on(tmp_path):
    vault = Vault(tmp_path / "vault")
    rows = deposit(tmp_path / "in", HARD, empty=("empty\nfolder", "a/b/c"))
    put(vault, "S-1", tmp_path / "in", HARD, empty=("empty\nfolder", "a/b/c"))
    judge(tmp_path / "vault")
    assert contents(vault, "S-1") == HARD
    assert restored(vault, tmp_path) == HARD
    assert listing(tmp_path / "out") == sorted(rows)  # sizes, times, empty folders
    for place in (tmp_path / "vault").rglob("*"):
        name = place.name
        assert name.isascii() and name.isprintable() and len(name) <= 200


part = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40)
paths = st.lists(part, min_size=1, max_size=4).map("/".join).filter(lambda p: not problem_with(p))


def compatible(chosen: list[str]) -> bool:
    """No file is also a folder."""
    folders = {p[:i] for p in chosen for i, c in enumerate(p) if c == "/"}
    return not folders & set(chosen)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(paths, min_size=1, max_size=8, unique=True).filter(compatible))
@example(["A/x", "a/y", "a/X", "%41", "A~"])
@example(["e\u0301", "\u00e9", "%C3%A9"])
def test_any_names_come_back(tmp_path_factory, chosen):
    tmp_path = tmp_path_factory.mktemp("names")
    files = {path: str(number).encode() for number, path in enumerate(chosen)}
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", files)
    judge(tmp_path / "vault")
    assert restored(vault, tmp_path) == files


@given(st.lists(paths, unique=True, max_size=50).filter(compatible))
def test_content_paths_never_collide_without_case(chosen):
    places = ContentPaths()
    made = [places.of(f"data/{path}") for path in chosen]
    assert len({path.casefold() for path in made}) == len(chosen)
    folders = {p[:i].casefold() for p in made for i, c in enumerate(p) if c == "/"}
    assert not folders & {path.casefold() for path in made}
    for path in made:
        assert path.isascii() and len(path) < 1000
        assert not any(part.startswith(".") or part.endswith(".") for part in path.split("/"))


def test_versions_and_selection(tmp_path):
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", {"a/1.tif": b"1", "a/2.txt": b"2", "b/3.tif": b"3"})
    put(vault, "S-1", tmp_path / "in2", {"a/1.tif": b"new"}, mode="add")
    vault.restore("S-1", tmp_path / "v1", version=1, select="*.tif")
    assert [p for p, *_ in listing(tmp_path / "v1")] == ["a/1.tif", "b/3.tif"]
    assert (tmp_path / "v1/a/1.tif").read_bytes() == b"1"
    vault.restore("S-1", tmp_path / "v2", select=["a"])
    assert [p for p, *_ in listing(tmp_path / "v2")] == ["a/1.tif", "a/2.txt"]
    assert (tmp_path / "v2/a/1.tif").read_bytes() == b"new"
    with pytest.raises(Refused, match="matches 'nope'"):
        vault.restore("S-1", tmp_path / "v3", select="nope")
    with pytest.raises(VaultError, match="no version 3"):
        vault.restore("S-1", tmp_path / "v3", version=3)
    assert not (tmp_path / "v3").exists()


def test_nothing_is_overwritten(tmp_path):
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", {"a": b"a"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/b").write_bytes(b"mine")
    with pytest.raises(Refused, match="not empty"):
        vault.restore("S-1", tmp_path / "out")
    with pytest.raises(Refused, match="no folder"):
        vault.restore("S-1", tmp_path / "out/b")
    assert listing(tmp_path / "out")[0][0] == "b" and len(listing(tmp_path / "out")) == 1


class Stop(Exception):
    pass


def test_an_interrupted_restore_goes_on(tmp_path):
    vault = Vault(tmp_path / "vault")
    files = {f"d/{i}": os.urandom(100) for i in range(10)}
    put(vault, "S-1", tmp_path / "in", files, empty=("e",))
    calls = []
    disk.watch(lambda op, path: calls.append(op))
    vault.restore("S-1", tmp_path / "whole", threads=1)
    disk.watch(None)
    for stop in range(1, len(calls)):
        out = tmp_path / f"out{stop}"
        left = stop

        def hook(op, path):
            nonlocal left
            left -= 1
            if left == 0:
                raise Stop

        disk.watch(hook)
        try:
            with pytest.raises(Stop):
                vault.restore("S-1", out, threads=1)
        finally:
            disk.watch(None)
        done = vault.restore("S-1", out)
        assert done.files == 10
        assert listing(out) == listing(tmp_path / "whole")
        assert {p: (out / p).read_bytes() for p in files} == files
    assert done.kept == 10


def test_an_unfinished_restore_of_something_else_is_not_taken_for_this(tmp_path):
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", {"a": b"a"})
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.slidebox-restore").write_text('{"accession": "S-2"}')
    with pytest.raises(Refused, match="unfinished restore of something else"):
        vault.restore("S-1", tmp_path / "out")


def test_damaged_bytes_are_never_given_out(tmp_path):
    vault = Vault(tmp_path / "vault")
    files = {"a": b"aaaa", "b": b"bbbb", "c": b"cccc"}
    put(vault, "S-1", tmp_path / "in", files)
    bad = vault.file("S-1", "b").content
    bad.chmod(0o644)
    bad.write_bytes(b"bbbX")
    vault.file("S-1", "c").content.unlink()
    done = vault.restore("S-1", tmp_path / "out")
    assert [(f.code, f.file) for f in done.findings] == [
        ("CONTENT_DAMAGED", "b"),
        ("CONTENT_MISSING", "c"),
    ]
    assert sorted(os.listdir(tmp_path / "out")) == [".slidebox-restore", "a"]
    bad.write_bytes(b"bbbb")
    bad.with_name("c").write_bytes(b"cccc")
    assert vault.restore("S-1", tmp_path / "out").findings == []
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b", "c"]
    assert os.stat(tmp_path / "out/b").st_mtime_ns == OLD


def test_view_has_the_true_names(tmp_path):
    vault = Vault(tmp_path / "vault")
    put(vault, "S-1", tmp_path / "in", HARD)
    vault.view("S-1", ["new\nline", "emoji 🔬/µm.tif"], tmp_path / "view")
    vault.view("S-1", ["new\nline", "emoji 🔬/µm.tif"], tmp_path / "view")
    assert (tmp_path / "view/new\nline").read_bytes() == b"1"
    assert (tmp_path / "view/emoji 🔬/µm.tif").read_bytes() == b"27"
    (tmp_path / "view/Case.tif").write_bytes(b"")
    with pytest.raises(Refused, match="something else"):
        vault.view("S-1", ["Case.tif"], tmp_path / "view")
    with pytest.raises(VaultError, match="no 'nope'"):
        vault.view("S-1", ["nope"], tmp_path / "view")
