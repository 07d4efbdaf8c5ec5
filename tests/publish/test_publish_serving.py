"""The example configurations of nginx and Caddy, run over an archive, and the map of originals."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
from publish_archive import Archive

from slidebox.publish import maps

SERVING = Path(__file__).resolve().parents[2] / "docs" / "serving"
FILES = {
    "a b.html": b"<script>alert(1)</script>",
    "ünder/#q? $uri \"q' {x}.tif": b"0123456789",
    "back\\slash.tif": b"b",
}


@pytest.fixture
def archive(tmp_path) -> Archive:
    made = Archive(tmp_path / "archive", str(tmp_path / "out"))
    made.study("S-1", FILES, images=1)
    made.study("S-HID", {"truth.tif": b"hidden"}, images=0, where="embargoed")
    made.front()
    done = maps.write(made.config, tmp_path / "maps")
    assert (done.studies, done.files) == (1, len(FILES))
    for folder in (tmp_path, *tmp_path.parents[:3]):
        with contextlib.suppress(PermissionError):
            folder.chmod(folder.stat().st_mode | 0o055)
    return made


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(params=["nginx", "caddy"])
def site(request, archive, tmp_path):
    """Address of the archive behind a real web server."""
    program = shutil.which(request.param, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{request.param} is not installed (apt-get install {request.param})")
    port = free_port()
    name = {"nginx": "nginx.conf", "caddy": "Caddyfile"}[request.param]
    text = (SERVING / name).read_text(encoding="utf-8")
    for old, new in {
        "/srv/slidebox": str(archive.folder),
        "/etc/slidebox": str(tmp_path / "maps"),
        ":8080": f"http://127.0.0.1:{port}",
        "listen 8080": f"listen 127.0.0.1:{port}",
    }.items():
        text = text.replace(old, new)
    if request.param == "nginx":
        text = (
            f"user {'root' if os.geteuid() == 0 else os.environ.get('USER', 'nobody')};\n"
            f"daemon off;\npid {tmp_path}/pid;\nerror_log {tmp_path}/log;\nevents {{}}\n"
            f"http {{\naccess_log off;\nclient_body_temp_path {tmp_path}/body;\n{text}\n}}\n"
        )
        command = [program, "-p", str(tmp_path), "-e", f"{tmp_path}/log", "-c"]
    else:
        text = f"{{\n\tadmin off\n}}\n{text}"
        command = [program, "run", "--adapter", "caddyfile", "--config"]
    config = tmp_path / "server.conf"
    config.write_text(text, encoding="utf-8")
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)}
    environment["XDG_CONFIG_HOME"] = str(tmp_path)
    with (tmp_path / "said").open("w") as said:
        server = subprocess.Popen([*command, config], stdout=said, stderr=said, env=environment)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert server.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


def ask(url: str, method: str = "GET", **headers: str):
    asked = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(asked) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_a_web_server_shows_the_site_as_it_should(site, archive):
    status, headers, _ = ask(f"{site}/S-1/")
    assert status == 200 and headers["Content-Type"].lower() == "text/html; charset=utf-8"
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "public, max-age=60"
    kinds = {
        "S-1/files.tsv": "text/tab-separated-values; charset=utf-8",
        "S-1/study.json": "application/json",
        "catalogue/studies.parquet": "application/vnd.apache.parquet",
    }
    for path, kind in kinds.items():
        status, headers, _ = ask(f"{site}/{path}")
        assert (status, headers["Content-Type"].lower()) == (200, kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
    store = next(archive.public.glob("S-1/images/*.ome.zarr"))
    chunk = f"{site}/S-1/images/{store.name}/0/c/0/1"
    whole = (store / "0/c/0/1").read_bytes()
    status, headers, data = ask(chunk, Range="bytes=-7", Origin="https://viewer.example.org")
    assert (status, data) == (206, whole[-7:])
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Content-Range" in headers["Access-Control-Expose-Headers"]
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Cache-Control"].endswith("immutable")
    assert ask(chunk, Range="bytes=2-5")[2] == whole[2:6]
    status, headers, _ = ask(chunk, "OPTIONS", Origin="https://viewer.example.org")
    assert status == 204 and "Range" in headers["Access-Control-Allow-Headers"]
    assert ask(f"{site}/S-1/images/{store.name}/zarr.json")[1]["Content-Type"] == "application/json"
    (archive.public / "S-1" / ".secret").write_text("x")
    assert ask(f"{site}/S-1/.secret")[0] == 404
    assert ask(f"{site}/S-1/../../vault/0=ocfl_1.1")[0] in (400, 404)


def test_originals_come_from_the_vault_and_are_only_saved(site, archive):
    for path, data in FILES.items():
        url = f"{site}/S-1/files/v1/{quote(path)}"
        status, headers, got = ask(url)
        assert (status, got) == (200, data), path
        assert headers["Content-Type"] == "application/octet-stream"
        assert headers["Content-Disposition"].startswith("attachment")
        assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert ask(url, Range="bytes=0-0")[::2] == (206, data[:1])
    assert ask(f"{site}/S-HID/files/v1/truth.tif")[0] == 404
    assert ask(f"{site}/S-1/files/v1/none.tif")[0] == 404


def test_a_study_that_is_no_longer_public_loses_its_map(archive, tmp_path):
    archive.receipt("S-1", where="embargoed")
    assert maps.write(archive.config, tmp_path / "maps").studies == 0
    assert not list((tmp_path / "maps").rglob("*.map"))


def test_the_pages_of_the_site_allow_what_the_servers_policy_allows():
    pages = (SERVING.parents[1] / "workflow/site/templates/base.html").read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', pages)[1]
    for name in ("nginx.conf", "Caddyfile"):
        assert policy in (SERVING / name).read_text(encoding="utf-8"), name
