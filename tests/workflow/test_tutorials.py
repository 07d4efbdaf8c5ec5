"""The tutorials are followed to the letter: every command of a page, in one shell, in order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from archive_user import CHECKOUT

from slidebox.catalogue.server import make_server
from slidebox.vault import Vault

pytestmark = pytest.mark.slow
TUTORIALS = CHECKOUT / "docs" / "tutorials"


def script(page: Path) -> str:
    """The page's commands; each block is echoed, so that a failure says where it was."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks, page
    return "set -euo pipefail -x\n" + "\n".join(blocks)


def follow(text: str, home: Path, seconds: int = 600) -> None:
    """Run `text` in `home`, as a user who has the checkout's environment active."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-c", text],
        cwd=home,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    # What a page starts with & ends with the page, or its pipe would never close.
    timer = threading.Timer(seconds, os.killpg, (shell.pid, signal.SIGKILL))
    timer.start()
    lines = []
    watcher = threading.Thread(target=lambda: (shell.wait(), _end_group(shell.pid)))
    watcher.start()
    for line in shell.stdout:
        lines.append(line)
    watcher.join()
    timer.cancel()
    assert shell.returncode == 0, "".join(lines[-80:])


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGTERM)
    except ProcessLookupError:
        return


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A fresh checkout, as far as its users change it: the code is this one."""
    home = tmp_path / "slidebox"
    home.mkdir()
    for name in ("Snakefile", "rules", "scripts", "workflow", "profiles", "docs"):
        (home / name).symlink_to(CHECKOUT / name)
    (home / "config").mkdir()
    settings = (CHECKOUT / "config" / "config.yaml").read_text(encoding="utf-8")
    (home / "config" / "config.yaml").write_text(settings, encoding="utf-8")
    return home


@pytest.mark.parametrize("name", ["submitter", "staff", "organiser"])
def test_tutorial(name, checkout):
    follow(script(TUTORIALS / f"{name}.md"), checkout)


def test_reader(demo, tmp_path):
    server = make_server(demo.folder / "public", Vault(demo.folder / "vault"), port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        text = script(TUTORIALS / "reader.md").replace(":8000", f":{server.server_address[1]}")
        follow(text, tmp_path)
    finally:
        server.shutdown()


def test_links_of_the_docs_lead_somewhere():
    for page in [*(CHECKOUT / "docs").rglob("*.md"), *CHECKOUT.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page}: {target}"
