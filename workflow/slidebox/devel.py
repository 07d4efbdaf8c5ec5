"""For developers: writes what is generated from the code. ``python -m slidebox.devel WHAT``.

schemas      workflow/schemas/*.schema.json and config/README.md, from the models
formats      the table in docs/reference/formats.md, from images/formats.tsv
environment  environment.yml, from pyproject.toml and the lock
picture      docs/picture.png, from demo/public in Chromium (make demo first)
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

from pydantic import BaseModel

from slidebox import atomic, config

ROOT = Path(__file__).resolve().parents[2]

# Known on the conda channels below; the others come from PyPI, with pip.
CONDA = """
botocore google-crc32c h5py hdf5plugin imagecodecs imageio jinja2 mrcfile nd2 numpy olefile
ome-types ome-zarr packaging pandas pyarrow pydantic pytest pyyaml rich s3fs scikit-image scipy
snakemake tifffile zarr
"""


def schemas() -> dict[str, dict]:
    """File name -> JSON Schema of everything that people write, and of what is published."""
    from slidebox.catalogue import schema as published
    from slidebox.challenge import model as challenge
    from slidebox.record import schema as study

    return {
        "config.schema.json": config.json_schema(),
        "study.schema.json": study.json_schema(),
        "challenge.schema.json": challenge.json_schema(),
        "study-json.schema.json": published.study_schema(),
        "tables.schema.json": published.tables_schema(),
    }


def lock(name: str) -> dict[str, str]:
    """Package -> version, as requirements/<name>.txt pins them (for Linux)."""
    pins = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+) *(;.*?)?\\?$", line)
        if match and not re.search(r"darwin'$|== '(win32|darwin|emscripten)'", match[3] or ""):
            pins.setdefault(match[1], match[2])
    return pins


def direct() -> list[str]:
    """Names of what the workflow and its tests need directly, sorted."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *extras["readers"],
        *extras["challenges"],
        *extras["s3"],
        *extras["site"],
        *extras["workflow"],
    ]
    names = {re.match(r"[A-Za-z0-9._-]+", spec)[0].lower() for spec in wanted}
    return sorted((names | {"pytest"}) - {"slidebox"})


def environment() -> str:
    """Text of environment.yml: the lock's versions for conda users."""
    pins, conda_names = lock("dev"), CONDA.split()
    conda = [f"  - {name}=={pins[name]}" for name in direct() if name in conda_names]
    pip = [f"      - {name}=={pins[name]}" for name in direct() if name not in conda_names]
    return "\n".join(
        [
            "# The lock's versions for conda users; `make lock` writes it, a test holds it.",
            "#   conda env create -f environment.yml && conda activate slidebox",
            "#   pip install --no-deps --editable .",
            "name: slidebox",
            "channels:",
            "  - conda-forge",
            "  - bioconda",
            "dependencies:",
            "  - python==3.13.*",
            "  - pip",
            *conda,
            "  - pip:",
            *pip,
            "",
        ]
    )


def config_readme() -> str:
    """Text of config/README.md: each key, its default and what it means."""
    from slidebox.validate.settings import Settings

    lines = [
        "# Configuration",
        "",
        "`config.yaml` in this folder; `--config key=value` on Snakemake's command line goes",
        "over it. An unknown key or a wrong type is said before anything runs. This page is made",
        "from the code (`make schemas`); `workflow/schemas/config.schema.json` is the same for",
        "machines.",
        "",
        "| key | default | meaning |",
        "|---|---|---|",
        *_keys(config.Config, ""),
        *_keys(Settings, "validation."),
        "",
        "An empty file means all defaults.",
        "",
        "Sizes are bytes, or texts such as `512MB` (10^6) and `2GiB` (2^30).",
        "",
    ]
    return "\n".join(lines)


def _keys(model: type[BaseModel], prefix: str):
    for name, field in model.model_fields.items():
        kind = field.annotation
        if f"{prefix}{name}" == "validation":
            continue  # its keys come last, from their own model
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
        elif field.default_factory is not None:
            yield f"| `{prefix}{name}` |  | {field.description} |"
        else:
            default = "" if field.default is None else f"`{_as_yaml(field.default)}`"
            yield f"| `{prefix}{name}` | {default} | {field.description} |"


def _as_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def picture(public: Path, out: Path) -> None:
    """A study, an image in the viewer and a leaderboard of the demo, side by side in one PNG."""
    import threading

    from playwright.sync_api import sync_playwright

    from slidebox.catalogue.server import make_server

    server = make_server(public, None, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = f"http://127.0.0.1:{server.server_address[1]}"
    study = json.loads((public / "SB-LAPSE" / "study.json").read_text(encoding="utf-8"))
    viewer = f"{site}/SB-LAPSE/image/{study['images'][0]['id']}.html"
    options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader"]
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=[*options, "--ignore-gpu-blocklist", "--enable-unsafe-swiftshader"],
        )
        shots = []
        for address in (f"{site}/index.html", viewer):
            page = browser.new_page(viewport={"width": 1180, "height": 760})
            page.goto(address)
            if address == viewer:
                page.get_by_role("checkbox", name="nuclei").check()
            page.wait_for_timeout(4000)
            shots.append(page.screenshot())
        browser.close()
    server.shutdown()
    import imageio.v3 as iio
    import numpy as np

    arrays = [iio.imread(shot)[..., :3] for shot in shots]
    gap = np.full((arrays[0].shape[0], 24, 3), 255, np.uint8)
    iio.imwrite(out, np.hstack([arrays[0], gap, arrays[1]])[::1, ::1], compress_level=9)


def main(what: str) -> None:
    if what == "schemas":
        for name, schema in schemas().items():
            atomic.write_json(ROOT / "workflow" / "schemas" / name, schema)
        atomic.write_text(ROOT / "config" / "README.md", config_readme())
    elif what == "formats":
        from slidebox.images import registry

        registry.write_table(ROOT / "docs" / "reference" / "formats.md")
    elif what == "environment":
        atomic.write_text(ROOT / "environment.yml", environment())
    elif what == "picture":
        picture(ROOT / "demo" / "public", ROOT / "docs" / "picture.png")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
