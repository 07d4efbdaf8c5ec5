"""`pip install .` gives participants a light slidebox that needs nothing of the workflow."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tifffile
from archive_user import CHECKOUT

HEAVY = ("snakemake", "skimage", "jinja2", "pyarrow", "ocfl", "ome_types", "nd2", "ome_zarr_models")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (path,) = out.glob("*.whl")
    return path


def test_wheel_carries_templates_and_schemas(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "slidebox/_data/schemas/config.schema.json" in names
    assert "slidebox/_data/site/templates/base.html" in names
    assert not [name for name in names if "node_modules" in name]


@pytest.mark.parametrize("command", [["--help"], ["score", "--help"], ["validate", "--help"]])
def test_help_needs_nothing_heavy(wheel, tmp_path, command):
    """The command starts from the wheel alone, without importing what a light install lacks."""
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "from slidebox.cli import main\n"
        f"sys.exit(main({command!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout or command == ["--help"]


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        (["search", "--catalogue", "http://127.0.0.1:1"], "pyarrow", "site"),
        (["convert", "a.tif", "a.zarr"], "ome_zarr_models", "workflow"),
    ],
)
def test_what_a_light_install_lacks_is_named_with_its_extra(tmp_path, command, missing, extra):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    code = (
        "import sys\n"
        f"for name in {HEAVY!r}: sys.modules[name] = None\n"
        "from slidebox.cli import main\n"
        f"sys.exit(main({command!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"this needs the package {missing}" in done.stderr
    assert f'pip install ".[{extra}]"' in done.stderr
