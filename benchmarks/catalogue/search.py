"""How fast the front page's search answers in a real Chromium: N studies with M images each.

    python benchmarks/catalogue/search.py --studies 10000 --images 100

Makes an archive as ``index.py`` does, serves it with ``slidebox serve`` and types queries, a letter
at a time: from the key to the counts, facets and first results on the page (those of one round of
requests; the others follow), with nothing cached before each query. Beside the clock, which on a
busy machine says more of the machine, the CPU time of all of Chromium's processes for a key. Says
the CPU seconds and the memory of the index's making too.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import index

QUERIES = ["mitosis", "actin retina", "homo sapiens", "dapi", "nucleus 00042", "author 17", "tif"]
FLAGS = ["--no-sandbox", "--no-first-run", "--disable-background-networking"]
TYPE = """async (text) => {
  const q = document.getElementById("q"), list = document.getElementById("slides");
  const start = performance.now();
  const answered = new Promise((told) => {
    new MutationObserver((_, seen) => { seen.disconnect(); told(performance.now() - start); })
      .observe(list, { attributeFilter: ["data-turn"] });
  });
  q.value = text;
  q.dispatchEvent(new Event("input"));
  return answered;
}"""


def cpu_of(processes) -> float:
    """Milliseconds of CPU that the browser's processes have taken."""
    told = processes.send("SystemInfo.getProcessInfo")["processInfo"]
    return sum(1000 * process["cpuTime"] for process in told)


def main() -> None:
    from playwright.sync_api import sync_playwright

    from slidebox.catalogue import make_server

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--site", type=Path, help="one that was made before, with its index")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = given.site or Path(folder) / "site"
        if not given.site:
            index.make(site.parent, given.studies, given.images)
            command = [sys.executable, "-c", index.MEASURE, str(site)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            cpu, memory = map(float, done.stdout.split())
            print(f"index made in {cpu:.1f} CPU s, {memory:.0f} MB")
        server = make_server(site, port=0)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        every, burnt = [], []
        processes = browser.new_browser_cdp_session()
        for show in ("", "?show=images"):
            for query in QUERIES:
                page = browser.new_context().new_page()
                page.goto(url + show)
                page.wait_for_selector("#slides[data-turn]", timeout=90_000)
                times = []
                for n in range(1, len(query) + 1):
                    before = cpu_of(processes)
                    times.append(page.evaluate(TYPE, query[:n]))
                    burnt.append(cpu_of(processes) - before)
                found = page.locator("#result-count").inner_text()
                every += times
                middle, worst = statistics.median(times), max(times)
                key = query[: times.index(worst) + 1]
                print(f"{query:14} {middle:6.0f} ms, at most {worst:6.0f} ms at {key!r}: {found}")
                page.context.close()
        for name, all_keys in (("clock", every), ("CPU", burnt)):
            all_keys.sort()
            late = all_keys[int(len(all_keys) * 0.95)]
            print(
                f"all {len(all_keys)} keys, {name}: {statistics.median(all_keys):.0f} ms, "
                f"95 % within {late:.0f} ms, at most {all_keys[-1]:.0f} ms"
            )
        browser.close()
        server.shutdown()


if __name__ == "__main__":
    main()
