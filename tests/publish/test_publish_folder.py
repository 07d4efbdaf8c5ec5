"""Publication to a folder: all of it, only what changed, killed anywhere, withdrawn, evicted."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from publish_archive import WHO, Archive, broken, expected, tree

from slidebox import config, publish
from slidebox.config import ConfigError
from slidebox.ingest import withdrawal
from slidebox.publish import evict
from slidebox.publish.headers import headers_of
from slidebox.publish.run import publish as run
from slidebox.publish.target import FolderTarget

KILLED = Path(__file__).with_name("publish_killed.py")


@pytest.fixture
def archive(tmp_path) -> Archive:
    made = Archive(tmp_path / "archive", str(tmp_path / "out"))
    made.study("S-1", {"a b.tif": b"one", "ünder/#q?.tif": b"two"}, images=2)
    made.study("S-2", {"x.tif": b"three"})
    made.front()
    return made


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "out"


def once(archive: Archive, **options) -> publish.Outcome:
    (outcome,) = publish.publish(archive.config, **options)
    return outcome


class Counting(FolderTarget):
    """A folder that remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked: list[tuple[str, str]] = []

    def head(self, key):
        self.asked.append(("head", key))
        return super().head(key)

    def list(self, prefix):
        self.asked.append(("list", prefix))
        return super().list(prefix)

    def put(self, key, *rest):
        self.asked.append(("put", key))
        return super().put(key, *rest)


def counted(archive: Archive, out: Path, **options) -> list[tuple[str, str]]:
    target = Counting(out)
    run(archive.config, target, publish.ledger_of(archive.config, str(out)), **options)
    return target.asked


def test_all_that_is_public_is_there_and_nothing_else(archive, out):
    (archive.public / ".secret").write_text("x")
    (archive.public / "NOT-SEALED").mkdir()
    (archive.public / "NOT-SEALED" / "index.html").write_text("x")
    archive.study("S-EMB", {"e.tif": b"embargoed"}, images=0, where="embargoed")
    outcome = once(archive)
    assert outcome.findings == []
    have = tree(out)
    want = expected(archive)
    del want["NOT-SEALED/index.html"]
    assert have == want
    assert have["S-1/files/v1/ünder/#q?.tif"] == b"two"
    assert not any("S-EMB" in key for key in have)
    mark = json.loads((out / "published.json").read_text())
    assert mark["objects"] == len(have)
    manifest = (out / ".slidebox/manifests/study/S-1.tsv").read_text().splitlines()
    listed = {line.split("\t")[0]: line.split("\t")[2] for line in manifest[1:]}
    assert listed == {k: hashlib.sha256(v).hexdigest() for k, v in have.items() if k[:4] == "S-1/"}


def test_nothing_new_costs_one_look_at_the_mark(archive, out):
    once(archive)
    assert counted(archive, out) == [("head", "published.json")]
    assert once(archive).nothing_new


def test_only_what_changed_is_sent_by_digest(archive, out):
    once(archive)
    archive.study("S-2", {"x.tif": b"three", "y.tif": b"four"})
    archive.front()
    asked = counted(archive, out)
    sent = {key for what, key in asked if what == "put"}
    assert {"S-2/files/v2/y.tif", "S-2/index.html", "index.html", "published.json"} <= sent
    assert not any(k.startswith(("S-1/", "assets/")) for k in sent)
    assert "S-2/files/v1/x.tif" not in sent
    assert not any(what == "list" for what, _ in asked)
    # Written anew, the same bytes: compared, not sent.
    page = archive.public / "S-1" / "study.json"
    page.write_bytes(page.read_bytes())
    archive.receipt("S-1")
    sent = {key for what, key in counted(archive, out) if what == "put"}
    assert sent == {"published.json"}


@pytest.mark.parametrize("lost", ["ledger", "ledger and manifests", "results"])
def test_a_lost_ledger_is_made_again_and_nothing_is_sent_twice(archive, out, lost):
    once(archive)
    publish.ledger_of(archive.config, str(out)).unlink()
    if lost == "ledger and manifests":
        shutil.rmtree(out / ".slidebox" / "manifests")
    if lost == "results":
        (out / "published.json").unlink()
    archive.study("S-3", {"n.tif": b"new"})
    sent = {key for what, key in counted(archive, out) if what == "put"}
    # Pages at the root can't be listed apart: at most they are offered again.
    assert all(k.startswith((".slidebox/", "S-3/")) or "/" not in k for k in sent)
    assert tree(out) == expected(archive)


SLOW = [pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 5, 9, 17, 44, 60, 71, 90)]


@pytest.mark.parametrize("count", [30, *SLOW])
def test_killed_anywhere_it_goes_on_and_no_page_lacks_its_data(archive, out, tmp_path, count):
    once(archive)
    archive.study("S-1", {"a b.tif": b"one", "ünder/#q?.tif": b"TWO"}, images=3)
    archive.study("S-3", {"n.tif": b"new", "big.bin": b"b" * (17 << 20)}, images=2)
    archive.front()
    whole = set(expected(archive)) | set(tree(out))
    when = "after" if count % 2 else "before"
    command = [sys.executable, KILLED, json.dumps(archive.settings), str(count), when]
    for _ in range(2):  # twice in a row
        killed = subprocess.run(command, check=False, capture_output=True, text=True)
        assert killed.returncode in (-9, 0), killed.stderr
        have = set(tree(out))
        assert broken(have, whole, lambda key: (out / key).read_text()) == []
    outcome = once(archive)
    assert outcome.findings == []
    have, want = tree(out), expected(archive)
    assert {k: v for k, v in have.items() if k in want} == want
    assert not list((out / ".slidebox" / "tmp").iterdir())
    assert once(archive).nothing_new


def test_a_withdrawn_study_leaves_its_tombstone_only(archive, out):
    once(archive)
    withdrawal.withdraw(archive.config, "S-1", reason="wrong", contact="c@d.org", user=WHO)
    order = []

    class Watching(Counting):
        def delete(self, key):
            order.append((key, (out / "S-1/tombstone.json").exists()))
            super().delete(key)

    run(archive.config, Watching(out), publish.ledger_of(archive.config, str(out)))
    assert order and all(stone for _, stone in order)
    left = {key for key in tree(out) if key.startswith("S-1/")}
    assert left == {"S-1/index.html", "S-1/tombstone.json"}
    assert "withdrawn" in (out / "S-1/index.html").read_text()
    assert "S-1/image" not in (out / "index.html").read_text()
    assert not (out / ".slidebox/manifests/study/S-1.tsv").exists()
    assert once(archive).nothing_new


def test_a_withdrawal_reaches_what_no_ledger_knows(archive, out):
    once(archive)
    publish.ledger_of(archive.config, str(out)).unlink()
    withdrawal.withdraw(archive.config, "S-1", reason="wrong", contact="c@d.org", user=WHO)
    (out / "S-1/left over.tif").write_bytes(b"x")
    (outcome,) = publish.publish(archive.config, takedowns=True)
    assert outcome.taken_down == ["study/S-1"]
    left = {key for key in tree(out) if key.startswith("S-1/")}
    assert left == {"S-1/index.html", "S-1/tombstone.json"}


def test_a_study_that_goes_back_under_embargo_is_taken_away(archive, out):
    once(archive)
    archive.receipt("S-2", where="embargoed")
    outcome = once(archive)
    assert outcome.taken_down == ["study/S-2"]
    assert not any(key.startswith("S-2/") for key in tree(out))


def test_files_deleted_for_good_go_from_the_target_too(archive, out):
    once(archive)
    archive.vault.purge("S-1", ["ünder/#q?.tif"], reason="r", by="b")
    outcome = once(archive)
    assert "PUBLISH_PURGED" in [f.code for f in outcome.findings]
    assert "S-1/files/v1/ünder/#q?.tif" not in tree(out)
    assert "S-1/files/v1/a b.tif" in tree(out)


def test_a_study_deleted_for_good_leaves_its_tombstone_only(archive, out):
    once(archive)
    archive.vault.purge("S-1", reason="court order", by="b")
    withdrawal.after_purge(archive.config, "S-1")
    assert publish.take_away(archive.config)
    left = {key for key in tree(out) if key.startswith("S-1/")}
    assert left == {"S-1/index.html", "S-1/tombstone.json"}
    assert "court order" in (out / "S-1/index.html").read_text()


def test_reviews_are_published_on_request_and_go_by_themselves(archive, out):
    archive.study("S-EMB", {"e.tif": b"embargoed"}, images=0, where="embargoed")
    token = "0123456789abcdef0123456789abcdef"
    pages = archive.public / "review" / token
    shutil.copytree(archive.folder / "embargoed" / "S-EMB", pages)
    given = archive.folder / "private" / "reviews" / f"{token}.json"
    given.parent.mkdir(parents=True)
    one = {"token": token, "accession": "S-EMB", "created": "2026-01-01T00:00:00Z", "until": None}
    given.write_text(json.dumps(one))
    once(archive)
    assert not any(key.startswith(("review/", "S-EMB/")) for key in tree(out))
    archive.settings["publish"]["review"] = True
    once(archive)
    have = tree(out)
    assert f"review/{token}/index.html" in have
    assert have[f"review/{token}/files/v1/e.tif"] == b"embargoed"
    assert headers_of(f"review/{token}/files/v1/e.html").content_disposition
    assert not any(
        token in data.decode(errors="replace") for k, data in have.items() if "/" not in k
    )
    given.write_text(json.dumps({**one, "ended": "2026-02-01T00:00:00Z", "why": "revoked"}))
    assert publish.take_away(archive.config)
    assert not any(key.startswith("review/") for key in tree(out))


def test_what_nothing_refers_to_goes_only_with_a_word(archive, out):
    once(archive)
    old = {key for key in tree(out) if "/images/" in key and key.startswith("S-2/")}
    archive.study("S-2", {"x.tif": b"changed"})
    shutil.rmtree(archive.public / "S-2" / "v1")
    outcome = once(archive)
    assert outcome.stale > len(old) and old <= set(tree(out))
    assert once(archive).stale == outcome.stale
    assert once(archive, delete=True).deleted == outcome.stale
    assert not old & set(tree(out))
    want = expected(archive)
    assert tree(out) == {key: want[key] for key in want if key not in old}


def test_a_lost_public_folder_deletes_nothing(archive, out):
    once(archive)
    before = tree(out)
    shutil.rmtree(archive.public)
    shutil.rmtree(archive.folder / "results")
    for _ in range(2):
        once(archive, delete=True)
    assert {k for k in before if k[:2] == "S-"} <= set(tree(out))


def test_damaged_originals_are_not_published_and_their_pages_wait(archive, out):
    once(archive)
    archive.study("S-3", {"n.tif": b"new"})
    content = archive.vault.file("S-3", "n.tif").content
    content.chmod(0o644)
    content.write_bytes(b"bad")
    archive.front()
    front = (out / "index.html").read_bytes()
    outcome = once(archive)
    assert [f.code for f in outcome.findings] == ["PUBLISH_DAMAGED"]
    have = tree(out)
    assert "S-3/files/v1/n.tif" not in have and "S-3/index.html" not in have
    assert have["index.html"] == front
    content.write_bytes(b"new")
    assert once(archive).findings == []
    assert tree(out) == expected(archive)


def test_evicted_images_stay_published_and_are_known(archive, out, tmp_path):
    archive.settings["publish"]["url"] = "https://images.example.org"
    once(archive)
    whole = tree(out)
    damaged = next(out.glob("S-2/images/*.ome.zarr/0/c/0/2"))
    damaged.write_bytes(b"z" * 300)
    done = evict.evict(archive.config)
    assert done.images == 2
    assert [f.code for f in done.findings] == ["EVICT_UNPROVEN"]
    assert not list(archive.public.glob("S-1/images/*.ome.zarr"))
    receipt = json.loads(next((archive.folder / "results/receipts").glob("S-1~*")).read_text())
    assert {i["address"] for i in receipt["images"]} == {
        f"{out}/S-1/{i['zarr']}" for i in receipt["images"]
    }
    assert once(archive).nothing_new
    archive.receipt("S-1", images=receipt["images"])
    assert once(archive, delete=True).deleted == 0
    assert not any(".evicted." in key for key in tree(out))
    # The ledger may be lost with them.
    publish.ledger_of(archive.config, str(out)).unlink()
    assert once(archive, delete=True).findings == []
    assert {k for k in whole if k.startswith("S-1/")} <= set(tree(out))
    back = evict.bring_back(archive.config, "S-1")
    assert back.images == 2
    assert {k: v for k, v in expected(archive).items() if k in whole and k[:4] == "S-1/"} == {
        k: v for k, v in whole.items() if k[:4] == "S-1/"
    }


def test_the_server_says_where_an_evicted_image_is(archive, out):
    import threading

    from slidebox.catalogue.server import make_server

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    archive.settings["publish"]["url"] = "https://images.example.org/x"
    once(archive)
    evict.evict(archive.config)
    mark = next(archive.public.glob("S-1/images/*.evicted.json"))
    store = mark.name.replace(".evicted.json", ".ome.zarr")
    server = make_server(archive.public, archive.vault, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/S-1/images/{store}/0/c/0/1"
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.build_opener(Stay).open(url)
        assert error.value.code == 307
        place = error.value.headers["Location"]
        assert place == f"https://images.example.org/x/S-1/images/{store}/0/c/0/1"
        assert error.value.headers["Access-Control-Allow-Origin"] == "*"
    finally:
        server.shutdown()
        server.server_close()


def test_places_that_can_not_be_used_are_said(archive, tmp_path, monkeypatch):
    for bad in ("s3://key:secret@host/bucket", "https://bucket", "s3://bucket:9000"):
        archive.settings["publish"]["to"] = bad
        with pytest.raises(ConfigError):
            assert archive.config
    for inside in ("public/x", "vault", "."):
        archive.settings["publish"]["to"] = str(archive.folder / inside)
        with pytest.raises(publish.PublishError, match="in one another"):
            publish.publish(archive.config)
    archive.settings["publish"]["to"] = []
    with pytest.raises(publish.PublishError, match="nowhere to publish"):
        publish.publish(archive.config)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    archive.settings["publish"] = {"to": "s3://bucket/x", "endpoint": "http://127.0.0.1:9"}
    pytest.importorskip("botocore")
    with pytest.raises(publish.PublishError, match="credentials"):
        publish.publish(archive.config)


def test_what_a_host_says_with_each_file():
    image = "S-1/images/bc6127d2-ea95-5f0f-a321-f9a8f489fa0c.532d3361.ome.zarr"
    assert headers_of(f"{image}/0/c/0/0").content_type == "application/octet-stream"
    assert headers_of(f"{image}/zarr.json").content_type == "application/json"
    assert "immutable" in headers_of(f"{image}/0/c/0/0").cache_control
    assert headers_of("S-1/index.html").cache_control == "public, max-age=60"
    assert headers_of("S-1/index.html").content_type == "text/html; charset=utf-8"
    original = headers_of('S-1/files/v1/a/e vil".html')
    assert original.content_type == "application/octet-stream"
    assert original.content_disposition == "attachment; filename*=UTF-8''e%20vil%22.html"
    for name, kind in {"t.parquet": "vnd.apache.parquet", "f.tsv": "tab-separated"}.items():
        assert kind in headers_of(f"S-1/{name}").content_type


@pytest.mark.parametrize("to", ["vault", "curation/here", "entries", "challenges", ".", "copy/v"])
def test_a_target_that_holds_what_is_the_archives_own_is_refused(tmp_path, to):
    """What lies in the target and nothing refers to may be deleted there."""
    own = ("inbox", "vault", "public", "embargoed", "private", "results", "curation", "challenges",
           "entries")  # fmt: skip
    paths = {name: tmp_path / name for name in own} | {"mirror": str(tmp_path / "copy")}
    settings = config.load(paths)
    with pytest.raises(publish.PublishError, match="publish elsewhere"):
        publish.target_of(settings, str(tmp_path / to))
    assert publish.target_of(settings, str(tmp_path / "published"))
