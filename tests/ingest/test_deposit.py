"""The door: .ready vouches for names, sizes and times, whatever the names are."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slidebox import deposit

NAMES = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=40
).filter(lambda n: n not in (".", "..") and len(n.encode()) <= 200 and n not in deposit.OURS)


@given(names=st.sets(NAMES, min_size=1, max_size=6), data=st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_name_is_listed_with_size_and_time(tmp_path_factory, names, data):
    folder = tmp_path_factory.mktemp("deposit")
    for name in names:
        (folder / "sub").mkdir(exist_ok=True)
        (folder / "sub" / name).write_bytes(data)
    written = deposit.write_ready(folder, "SB-1")
    ready = deposit.read_ready(folder)
    assert (ready.count, ready.bytes) == (len(names), len(names) * len(data))
    assert ready == written
    expected = {f"sub/{n}": (len(data), (folder / "sub" / n).stat().st_mtime_ns) for n in names}
    assert {path: (size, time) for path, size, time in ready.entries()} == expected


def test_writing_again_over_the_same_files_gives_the_same_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    deposit.write_ready(tmp_path, "SB-1")
    first = (tmp_path / ".ready").read_bytes()
    deposit.write_ready(tmp_path, "SB-1")
    assert (tmp_path / ".ready").read_bytes() == first
    assert [path for path, _, _ in deposit.read_ready(tmp_path).entries()] == ["a", "empty/"]


def test_links_are_listed_as_they_are_and_not_followed(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    folder = tmp_path / "deposit"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    assert [path for path, _ in deposit.walk(folder)] == ["link"]


@pytest.mark.parametrize(
    "text", ["", "hello\n", "{}\n", '{"slidebox_ready": 1}\n', "[1, 2]\n", "\xff\n"]
)
def test_a_file_that_is_no_ready_says_what_to_do(tmp_path, text):
    (tmp_path / ".ready").write_text(text, encoding="latin-1")
    with pytest.raises(deposit.DepositError) as refused:
        deposit.read_ready(tmp_path)
    (finding,) = refused.value.findings
    assert (finding.code, finding.file) == ("READY_INVALID", ".ready")
    assert "slidebox submit" in finding.mend


def test_a_list_that_was_changed_by_hand_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    deposit.write_ready(tmp_path, "SB-1")
    lines = (tmp_path / ".ready").read_text().splitlines(keepends=True)
    (tmp_path / ".ready").write_text(lines[0] + lines[1].replace('"a"', '"b"'))
    with pytest.raises(deposit.DepositError):
        list(deposit.read_ready(tmp_path).entries())


def test_deposit_yaml_says_every_wrong_field(tmp_path):
    (tmp_path / "deposit.yaml").write_text("mode: append\nbase: one\nbasis: 2\n")
    with pytest.raises(deposit.DepositError) as refused:
        deposit.read_deposit(tmp_path)
    assert {f.field for f in refused.value.findings} == {"mode", "base", "basis"}


def test_not_utf8_names_are_kept_for_the_validation_to_refuse(tmp_path):
    fd = os.open(os.fsencode(tmp_path) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY)
    os.close(fd)
    deposit.write_ready(tmp_path, "SB-1")
    (path,) = [path for path, _, _ in deposit.read_ready(tmp_path).entries()]
    assert os.fsencode(path) == b"\xff\xfe"


@pytest.mark.parametrize("name", ["", "-a", "a b", "a" * 65, "challenges", "Assets", "../x", "a/b"])
def test_what_can_not_be_an_accession(name):
    assert deposit.check_accession(name)


@pytest.mark.parametrize("name", ["S-BIAD1", "a", "0", "a" * 64])
def test_what_can_be_an_accession(name):
    assert deposit.check_accession(name) is None


def test_header_is_one_line_of_json(tmp_path):
    (tmp_path / "new\nline").write_bytes(b"")
    deposit.write_ready(tmp_path, "SB-1")
    lines = (tmp_path / ".ready").read_bytes().splitlines()
    assert [type(json.loads(line)) for line in lines] == [dict, list]


@pytest.mark.parametrize("name", [".ready", "deposit.yaml"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "link"])
def test_the_door_takes_plain_files_only(tmp_path, name, kind):
    """A pipe would wait for ever, a link lead outside: neither is opened, both are said."""
    outside = tmp_path / "outside.yaml"
    outside.write_text("secretkey: 1\n")
    folder = tmp_path / "deposit"
    folder.mkdir()
    path = folder / name
    make = {"pipe": os.mkfifo, "folder": os.mkdir, "link": lambda p: os.symlink(outside, p)}
    make[kind](path)
    if name == ".ready":
        assert deposit.read_header(folder)[1] is None
        read = deposit.read_ready
    else:
        assert b"secretkey" not in deposit.door_bytes(folder)
        read = deposit.read_deposit
    with pytest.raises(deposit.DepositError) as refused:
        read(folder)
    assert "secretkey" not in str(refused.value)
