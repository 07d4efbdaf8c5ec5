"""A mirror in a bucket of a real S3 server."""

from __future__ import annotations

import os
import uuid

import pytest
from vault_helpers import contents, judge, put

from slidebox.vault import Mirror, Vault, store_at

pytestmark = pytest.mark.slow
BLOCK = 5 << 20  # the smallest part of an upload in parts that S3 takes
BIG = os.urandom(2 * BLOCK + 1000)


@pytest.fixture
def mirror(s3_server):
    where = f"s3://{s3_server.bucket}/{uuid.uuid4()}"
    store = store_at(where, **s3_server.options(), default_block_size=BLOCK)
    if not store._fs.exists(s3_server.bucket):
        store._fs.mkdir(s3_server.bucket)
    return Mirror(store)


def test_a_bucket_mirrors_and_heals(mirror, tmp_path):
    vault = Vault(tmp_path / "vault")
    files = {"a/1.tif": b"1" * 1000, "new\nline": b"n", "empty": b"", "big": BIG}
    put(vault, "S-1", tmp_path / "in", files)
    put(vault, "S-2", tmp_path / "in2", {"x": b"x"})
    assert vault.mirror(mirror).findings == []
    assert vault.mirror(mirror).files == 0
    assert mirror.accessions() == ["S-1", "S-2"]
    assert vault.audit(mirror=mirror).findings == []
    content = vault.file("S-1", "big").content
    content.chmod(0o644)
    content.write_bytes(b"bad")
    key = f"{vault.root.object('S-2').name}/v1/content/data/x"
    with mirror.store.writing(key) as out:
        out.write(b"bad too")
    report = vault.audit(mirror=mirror)
    assert {(d.where, d.accession, d.path) for d in report.damage} == {
        ("vault", "S-1", "data/big"),
        ("mirror", "S-2", "data/x"),
    }
    for accession in ("S-1", "S-2"):
        assert vault.repair(accession, mirror).findings == []
    assert vault.audit(mirror=mirror).findings == []
    assert contents(vault, "S-1") == files
    vault.purge("S-2", reason="r", by="b", mirror=mirror)
    assert mirror.accessions() == ["S-1"]
    judge(vault.root.path)


def test_a_copy_that_turns_out_bad_is_not_kept(mirror):
    class Bad(Exception):
        pass

    for data in (b"small", BIG):
        with pytest.raises(Bad), mirror.store.writing("a/b") as out:
            out.write(data)
            raise Bad
    assert mirror.store.sizes("a") == {}
