"""File lists survive any name, and sha256sum takes the manifest."""

from __future__ import annotations

import hashlib
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slidebox.catalogue import listing

NAMES = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=40
)


@given(NAMES, st.binary(min_size=32, max_size=32))
def test_manifest_line_round_trip(name, digest):
    line = listing.manifest_line(name, digest.hex())
    assert line.count("\n") == 1
    assert listing.parse_manifest_line(line) == (name, digest.hex())


@given(st.text(max_size=60))
def test_cell_round_trip(value):
    cell = listing.escape(value)
    assert not set(cell) & set("\t\n\r")
    assert listing.unescape(cell) == value


@pytest.mark.parametrize(
    "name", ["plain.tif", "back\\slash", "new\nline", "cr\r", "*?[", "ü λ", " a"]
)
def test_coreutils_takes_the_manifest(tmp_path, name):
    if not shutil.which("sha256sum"):
        pytest.skip("no sha256sum here")
    (tmp_path / name).write_bytes(b"pixels")
    rows = [{"path": name, "size": 6, "sha256": hashlib.sha256(b"pixels").hexdigest()}]
    listing.write_lists(tmp_path, rows)
    command = ["sha256sum", "--strict", "-c", "manifest-sha256.txt"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("OK") == 1


def test_table_keeps_names_that_are_no_utf8(tmp_path):
    name = b"caf\xe9\t1.tif".decode("utf-8", "surrogateescape")
    rows = [{"path": name, "size": 3, "sha256": "0" * 64, "version": 2, "part": "=1+1"}]
    totals = listing.write_lists(tmp_path, rows)
    assert (totals.count, totals.bytes) == (1, 3)
    (row,) = listing.read_table(tmp_path / "files.tsv")
    assert (row["path"], row["version"], row["part"]) == (name, 2, "=1+1")
