"""slidebox serve: ranges, CORS, originals only when listed, nothing outside the folder."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import os
import subprocess
import sys
import threading

import made
import pytest

from slidebox.catalogue import CannotFetch, StudyInput, build_study, fetch
from slidebox.catalogue.server import RangeNotSatisfiable, make_server, parse_range
from slidebox.vault import Vault

BODY = bytes(range(256)) * 8
NAMES = ["a.html", "odd/it's 100%#?.bin", "hidden truth.tif"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A site with a real vault behind it; one archived file isn't in the public list."""
    base = tmp_path_factory.mktemp("serve")
    source = base / "inbox"
    for name in NAMES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(BODY)
    listed = [
        (n, (source / n).stat().st_size, (source / n).stat().st_mtime_ns) for n in sorted(NAMES)
    ]
    vault = Vault(base / "vault")
    vault.commit("SB-MADE1", source, listed, meta={}, message="first", user=("t", "mailto:t@e.org"))
    digest = hashlib.sha256(BODY).hexdigest()
    rows = [
        {"path": n, "size": len(BODY), "sha256": digest, "version": 1, "part": "P"}
        for n in sorted(NAMES[:2])
    ]
    public = base / "public"
    build_study(StudyInput("SB-MADE1", 1, made.record(), [], rows), public)
    (public / "data.bin").write_bytes(BODY)
    (public / ".secret").write_text("secret")
    (public / "old.ome.zarr").mkdir()
    (public / "old.ome.zarr" / ".zattrs").write_text("{}")
    (base / "outside.txt").write_text("secret")
    os.symlink(base / "outside.txt", public / "link.txt")
    with make_server(public, vault, port=0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running.server_address[1]
        running.shutdown()


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, 2047),
        ("bytes=-20", 2028, 2047),
        ("bytes=5-9999", 5, 2047),
    ],
)
def test_ranges(server, header, first, last):
    status, headers, body = ask(server, "/data.bin", Range=header)
    assert (status, body) == (206, BODY[first : last + 1])
    assert headers["Content-Range"] == f"bytes {first}-{last}/2048"


@pytest.mark.parametrize("header", ["bytes=2048-", "bytes=-0", "bytes=9999-10000"])
def test_ranges_outside(server, header):
    status, headers, _ = ask(server, "/data.bin", Range=header)
    assert status == 416 and headers["Content-Range"] == "bytes */2048"


@pytest.mark.parametrize("header", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-1", "bytes=a-b"])
def test_ranges_not_understood_give_everything(server, header):
    assert ask(server, "/data.bin", Range=header)[0::2] == (200, BODY)


def test_parse_range_of_an_empty_file():
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=-5", 0)
    assert parse_range(None, 0) is None


def test_head_options_cors_and_caching(server):
    status, headers, body = ask(server, "/data.bin", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "2048")
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    assert ask(server, "/data.bin", If_None_Match=headers["ETag"])[0] == 304
    assert ask(server, "/data.bin", Range="bytes=0-0", If_Range='"other"')[0] == 200
    status, headers, body = ask(server, "/data.bin", "OPTIONS", Origin="https://e.org")
    assert (status, body) == (204, b"") and "Range" in headers["Access-Control-Allow-Headers"]
    assert ask(server, "/data.bin", "POST")[0] == 501


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/..%2foutside.txt",
        "/SB-MADE1/../../outside.txt",
        "/.secret",
        "/%2esecret",
        "/link.txt",
        "/data.bin%00.html",
        "/SB-MADE1/files/v1/../../../outside.txt",
        "/SB-MADE1/files/v1/%2e%2e/%2e%2e/outside.txt",
        "/SB-MADE1/files/v1/hidden%20truth.tif",
        "/SB-MADE1/files/v2/a.html",
        "/SB-MADE1/files/v1/",
        "/SB-NONE/files/v1/a.html",
        "/none.html",
    ],
)
def test_nothing_outside(server, path):
    status, _, body = ask(server, path)
    assert status == 404 and b"secret" not in body and BODY not in body


def test_metadata_of_ome_zarr_0_4_is_no_hidden_file(server):
    status, headers, body = ask(server, "/old.ome.zarr/.zattrs")
    assert (status, headers["Content-Type"], body) == (200, "application/json", b"{}")


def test_a_folder_without_slash_redirects_within_the_site(server):
    status, headers, _ = ask(server, "/SB-MADE1")
    assert (status, headers["Location"]) == (301, "/SB-MADE1/")
    assert ask(server, "//SB-MADE1")[1].get("Location", "/SB-MADE1/") == "/SB-MADE1/"


def test_originals_are_saved_never_shown(server):
    status, headers, body = ask(server, "/SB-MADE1/files/v1/a.html")
    assert (status, body) == (200, BODY)
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    odd = "/SB-MADE1/files/v1/odd/it's%20100%25%23%3F.bin"
    assert ask(server, odd, Range="bytes=-1")[0::2] == (206, BODY[-1:])


def test_fetch_resumes_verifies_and_selects(server, tmp_path):
    url = f"http://127.0.0.1:{server}/SB-MADE1/"
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / ".it's 100%#?.bin.part").write_bytes(BODY[:100])
    seen = []
    result = fetch(url, tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert (result.fetched, result.findings) == (2, [])
    assert seen[-1] == (4096, 4096)
    for name in NAMES[:2]:
        assert (tmp_path / name).read_bytes() == BODY
    assert not list(tmp_path.rglob(".*"))
    (tmp_path / "a.html").write_bytes(BODY[:-1] + b"x")
    again = fetch(url + "v1/index.html", tmp_path)
    assert (again.fetched, again.present) == (1, 1)
    other = tmp_path / "other"
    assert fetch(url, other, select=["*.html"]).fetched == 1
    assert [f.code for f in fetch(url, other, select=["none"]).findings] == [
        "FETCH_NOTHING_SELECTED"
    ]


def test_fetch_resumes_from_a_broken_start_with_the_wrong_bytes(server, tmp_path):
    (tmp_path / ".a.html.part").write_bytes(b"wrong" * 20)
    result = fetch(f"http://127.0.0.1:{server}/SB-MADE1/", tmp_path, select=["a.html"])
    assert "sha256" in result.findings[0].message
    assert not (tmp_path / "a.html").exists()
    again = fetch(f"http://127.0.0.1:{server}/SB-MADE1/", tmp_path, select=["a.html"])
    assert again.fetched == 1


def test_fetch_of_files_that_are_called_as_its_own(tmp_path):
    """A submission's own files.tsv, and names like those of unfinished downloads, hide nothing."""
    contents = {f"tables/well_{i:04d}.csv": b"%d\n" % i for i in range(400)}
    contents["files.tsv"] = b"path\tpart\n" + b"".join(n.encode() + b"\tP\n" for n in contents)
    contents |= {".files.tsv.part": b"mine", "a.tif": BODY, ".a.tif.part": b"mine too"}
    source = tmp_path / "inbox"
    rows = []
    for name, data in sorted(contents.items()):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        rows.append({"path": name, "size": len(data), "sha256": digest, "version": 1, "part": "P"})
    listed = [(r["path"], r["size"], (source / r["path"]).stat().st_mtime_ns) for r in rows]
    vault = Vault(tmp_path / "vault")
    vault.commit("SB-OWN", source, listed, meta={}, message="one", user=("t", "mailto:t@e.org"))
    build_study(StudyInput("SB-OWN", 1, made.record("SB-OWN"), [], rows), tmp_path / "public")
    out = tmp_path / "out"
    with make_server(tmp_path / "public", vault, port=0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        result = fetch(f"http://127.0.0.1:{running.server_address[1]}/SB-OWN/", out)
        running.shutdown()
    assert (result.fetched, result.findings) == (len(contents), [])
    there = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert there == contents


def test_fetch_says_when_the_list_came_in_part(tmp_path):
    class Short(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "500")
            self.end_headers()
            self.wfile.write(b"path\tsize\tsha256\tversion\n")

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Short) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        with pytest.raises(CannotFetch, match="instead of 500"):
            fetch(f"http://127.0.0.1:{running.server_address[1]}/SB-1/", tmp_path / "out")
        running.shutdown()


@pytest.mark.parametrize("path", ["../out.txt", "/etc/x", "a/../../x"])
def test_fetch_refuses_to_leave_its_folder(tmp_path, path):
    from slidebox.catalogue.download import _Refused, safe_target

    with pytest.raises(_Refused):
        safe_target(tmp_path, path)


def test_fetch_and_serve_need_neither_jinja_nor_arrow():
    """The light installation of participants has none of the extra "site"."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['jinja2', 'pyarrow', 'markupsafe']));"
        "from slidebox import catalogue; catalogue.fetch; catalogue.serve; catalogue.CannotFetch"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
