"""Publication to a bucket of a real S3 server; what is there is read as its users read it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from publish_archive import WHO, Archive, broken, expected

from slidebox import publish
from slidebox.catalogue import pieces
from slidebox.ingest import withdrawal
from slidebox.publish import bucket, evict
from slidebox.publish.headers import headers_of
from slidebox.publish.target import Conflict, If

pytestmark = pytest.mark.slow
KILLED = Path(__file__).with_name("publish_killed.py")


@pytest.fixture
def archive(tmp_path, place, s3_server) -> Archive:
    made = Archive(tmp_path / "archive", place, endpoint=s3_server.endpoint)
    made.study("S-1", {"a b.tif": b"one", "ünder/#q?.tif": os.urandom(17 << 20)})
    made.front()
    return made


def once(archive: Archive, **options) -> publish.Outcome:
    (outcome,) = publish.publish(archive.config, **options)
    return outcome


def target_of(archive: Archive) -> bucket.BucketTarget:
    return publish.target_of(archive.config, archive.config.publish.to[0])


def tree(target: bucket.BucketTarget) -> dict[str, bytes]:
    keys = [h.key for h in target.list("") if not h.key.startswith(".slidebox")]
    return {key: target.get(key) for key in keys if key != "published.json"}


def test_a_bucket_holds_the_site_with_its_headers(archive):
    outcome = once(archive)
    assert outcome.findings == []
    target = target_of(archive)
    assert tree(target) == expected(archive)
    for key in tree(target):
        assert target.head(key)[1] == headers_of(key)
    assert once(archive).nothing_new
    archive.study("S-2", {"x.tif": b"three"}, images=0)
    archive.front()
    sent = once(archive)
    assert 0 < sent.sent < 40 and tree(target) == expected(archive)
    # The ledger is lost: everything is found again, the large original too.
    publish.ledger_of(archive.config, archive.config.publish.to[0]).unlink()
    assert once(archive).sent == 0
    assert tree(target) == expected(archive)
    # Somebody empties the bucket: the next run sees it.
    for held in list(target.list("")):
        target.delete(held.key)
    assert once(archive).findings == []
    assert tree(target) == expected(archive)


@pytest.mark.parametrize("count", [3, 20])
def test_killed_half_way_a_bucket_ends_as_if_not(archive, count):
    settings = json.dumps(archive.settings)
    whole = set(expected(archive))
    target = target_of(archive)
    for died, after in ((-9, "after"), (None, "before")):
        command = [sys.executable, KILLED, settings, str(count), after]
        killed = subprocess.run(command, check=False, capture_output=True, text=True)
        assert killed.returncode in (-9, died or 0), killed.stderr
        have = tree(target)
        assert broken(set(have), whole, lambda key, have=have: have[key].decode()) == []
    found = once(archive).findings
    if {f.code for f in found} == {"PUBLISH_CONFLICT"}:  # the killed run's last write came late
        found = once(archive).findings
    assert found == []
    assert tree(target) == expected(archive)


def test_a_large_upload_goes_on_where_it_was_killed(place, s3_server, tmp_path):
    target = bucket.BucketTarget(place, endpoint=s3_server.endpoint, part=5 << 20)
    data = os.urandom(21 << 20)
    path = tmp_path / "big"
    path.write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    sending, sent = target._send, []

    def failing(key, upload, number, *rest):
        if number == 4:
            raise OSError("the line is cut")
        sent.append(number)
        return sending(key, upload, number, *rest)

    target._send = failing
    with path.open("rb") as file, pytest.raises(OSError, match="cut"):
        target.put_file("big", file, len(data), headers_of("big"), If(), sha256)
    assert target.head("big") is None
    first = set(sent)
    sent.clear()
    target._send = lambda key, upload, number, *r: (
        sent.append(number) or sending(key, upload, number, *r)
    )
    with path.open("rb") as file:
        done = target.put_file("big", file, len(data), headers_of("big"), If(), sha256)
    assert set(sent) == {1, 2, 3, 4, 5} - first
    assert done.sha256 == sha256 and b"".join(target.read("big")) == data
    with path.open("rb") as file:
        assert target.etag_of(file, len(data)) == done.etag
    with path.open("rb") as file, pytest.raises(publish.target.Damaged):
        target.put_file("other", file, len(data), headers_of("other"), If(), "0" * 64)
    assert target.head("other") is None and target._uploads("") == []


def test_conditional_writes_are_used_where_the_server_knows_them_else_said(archive):
    outcome = once(archive)
    target = target_of(archive)
    can = json.loads(target.learn(None))
    with pytest.raises(Conflict):
        target.put("index.html", b"x", headers_of("index.html"), If())
    assert can["create"]
    if not can["replace"]:
        assert any("If-Match" in note for note in outcome.notes)
    # An object that somebody else put where a new one goes is respected once, and said.
    target.put("S-2/files.tsv", b"foreign", headers_of("x"), None)
    archive.study("S-2", {"x.tif": b"three"}, images=0)
    found = [f.code for f in once(archive).findings]
    assert found == ["PUBLISH_CONFLICT"] and target.get("S-2/files.tsv") == b"foreign"
    assert once(archive).findings == []
    assert tree(target) == expected(archive)


def test_a_withdrawn_study_loses_its_originals_too(archive):
    once(archive)
    withdrawal.withdraw(archive.config, "S-1", reason="wrong", contact="c@d.org", user=WHO)
    assert once(archive).taken_down == ["study/S-1"]
    left = {key for key in tree(target_of(archive)) if key.startswith("S-1/")}
    assert left == {"S-1/index.html", "S-1/tombstone.json"}


def test_evicted_images_are_read_back_the_same(archive):
    archive.study("S-2", {"x.tif": b"three"}, images=2)
    once(archive)
    before = expected(archive)
    done = evict.evict(archive.config)
    assert done.images == 3 and done.findings == []
    assert once(archive, delete=True).deleted == 0
    assert evict.bring_back(archive.config, "S-2").images == 2
    assert {k: v for k, v in expected(archive).items() if k[:4] == "S-2/"} == {
        k: v for k, v in before.items() if k[:4] == "S-2/"
    }


def test_readers_need_no_key(archive, open_to_all):
    once(archive)
    readable = open_to_all()
    with urllib.request.urlopen(f"{readable}/S-1/index.html") as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Content-Security-Policy" in page
    link = re.search(r'href="(files/v1/[^"]+\.tif)"', page)[1]
    ranged = urllib.request.Request(f"{readable}/S-1/{link}", headers={"Range": "bytes=1-2"})
    with urllib.request.urlopen(ranged) as answer:
        assert answer.status == 206 and answer.read() == b"ne"
        assert answer.headers["Content-Disposition"].startswith("attachment;")
        assert answer.headers["Content-Type"] == "application/octet-stream"
    fetched = archive.folder / "fetched"
    from slidebox import catalogue

    done = catalogue.fetch(f"{readable}/S-1/", fetched, select=["a b.tif"])
    assert done.findings == [] and done.fetched == 1
    assert (fetched / "a b.tif").read_bytes() == b"one"


def test_of_a_large_table_only_what_changed_is_sent(archive, monkeypatch):
    """The rest the server copies from the object that it has."""
    table = archive.public / "catalogue" / "images.parquet"
    table.parent.mkdir(exist_ok=True)
    blocks = {name: os.urandom(size << 10) for name, size in PIECES.items()}

    def written(*names: str) -> int:
        made = b"".join(blocks[name] for name in names) + os.urandom(1000)
        table.write_bytes(made)
        pieces.write(table, [(name, len(blocks[name])) for name in names])
        sent = once(archive)
        target = target_of(archive)
        assert sent.findings == [] and target.get("catalogue/images.parquet") == made
        assert target.head("catalogue/images.parquet")[1] == headers_of("catalogue/images.parquet")
        return sent.bytes

    least, whole = 5 << 20, 20 << 20
    assert written("old", "middle", "late", "new-1") > whole
    assert written("old", "middle", "late", "new-2") < 100_000
    assert written("old", "middle", "late", "new-1", "new-2") < 200_000
    # A piece in the middle: parts but the last have 5 MiB.
    assert written("old", "changed", "late", "new-1", "new-2") < 2 * least
    assert written("old", "late", "new-1") < 200_000
    # What a killed run had sent and not written down is known again by its digest.
    (ledger,) = (archive.config.results / "publish").rglob("*.sqlite")
    before = ledger.read_bytes()
    assert written("old", "late", "new-2") < 200_000
    ledger.write_bytes(before)
    assert once(archive).bytes < 200_000
    assert once(archive, check=True).bytes < 200_000
    # A server whose copies are other bytes is not believed.
    monkeypatch.setattr(bucket.BucketTarget, "_copied", lambda *a: False)
    assert written("old", "late", "new-1") > 2 * least


PIECES = {"old": 9000, "middle": 100, "changed": 101, "late": 11_000, "new-1": 50, "new-2": 51}
