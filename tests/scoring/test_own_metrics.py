"""A challenge's own metrics: apart from the scorer and from each other, forked or started anew."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from releases import random_labels, write_labels, write_release

from slidebox.scoring import custom, score
from slidebox.scoring.custom import OwnMetrics
from slidebox.scoring.opening import open_release
from slidebox.scoring.predictions import Refused
from slidebox.scoring.release import Item
from slidebox.scoring.task_tracking import Result
from slidebox.scoring.tracking import Track

forks = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture(params=[pytest.param(True, marks=forks, id="forked"),
                        pytest.param(False, marks=pytest.mark.slow, id="anew")])  # fmt: skip
def either(request, monkeypatch):
    """Both ways of running an evaluation: that of Linux and that of everywhere."""
    monkeypatch.setattr(custom, "FORKS", request.param)
    return request.param


def with_metric(folder, body, images=1, **item):
    """A release with a metric `own`; `body` is its file, which defines f."""
    rng = np.random.default_rng(7)
    truth = {f"i{k}": {"truth": random_labels(rng, (30, 40), 6)} | item for k in range(images)}
    release = write_release(
        folder / "r", "instance-segmentation", truth,
        custom=[{"name": "own", "file": "own.py", "function": "f", "direction": "higher",
                 "range": [0, 1e12]}],
    )  # fmt: skip
    (release / "metrics").mkdir()
    (release / "metrics" / "own.py").write_text(body)
    return release


def values(release):
    """The metric's value of each image, by one process or server after the other."""
    opened = open_release(release)
    array = np.zeros((30, 40), np.uint8)
    with OwnMetrics(opened) as own:
        return [own.measure(i, array, array)["custom:own"] for i in opened.items("train")]


def refused(release):
    with pytest.raises(Refused) as caught:
        values(release)
    [found] = caught.value.findings
    assert found.code == "METRIC_FAILED" and found.file == "metrics/own.py"
    assert found.message.endswith(" on i0")
    return found.message


def is_gone(pid):
    """Whether a process has ended (or only its parent hasn't noticed yet)."""
    for _ in range(100):
        try:
            with open(f"/proc/{int(pid)}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    "line, told",
    [
        ("raise ValueError('no cell')", "failed (ValueError: no cell)"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("return None", "f returns nothing; it should return a number"),
        ("return -1", "gives -1, outside of its range 0 to 1e+12"),
        ("sys.exit('enough')", "failed (enough)"),
        ("os._exit(0)", "failed (ended with 0)"),
        ("os._exit(3)", "failed (ended with 3)"),
        ("open('value', 'w').write('much'); os._exit(0)", "failed (ended with 0)"),
        ("import shutil; shutil.rmtree(os.getcwd()); os._exit(1)", "failed (ended with 1)"),
        ("time.sleep(600)", "took more than 2 seconds"),
        ("import threading; threading.Thread(target=time.sleep, args=[600]).start(); return 1",
         "took more than 2 seconds"),
        pytest.param("os.kill(os.getpid(), 9)", "failed (ended with -9)", marks=forks),
        pytest.param("eaten = [bytearray(1 << 24) for _ in range(1 << 20)]", "256 MB of memory",
                     marks=forks),
        pytest.param("import ctypes; ctypes.string_at(0)", "ended with -11", marks=forks),
    ],
)  # fmt: skip
def test_whatever_a_metric_does_is_a_finding(tmp_path, monkeypatch, either, line, told):
    monkeypatch.setattr(custom, "SECONDS", 2)
    monkeypatch.setattr(custom, "MEMORY", 256 << 20)
    body = f"import os, sys, time\ndef f(truth, pred, info):\n    print('noise')\n    {line}\n"
    # A slow machine needs more than two seconds to load NumPy anew
    if "2 seconds" not in told:
        monkeypatch.setattr(custom, "SECONDS", 60)
    assert told in refused(with_metric(tmp_path, body))


@forks
@pytest.mark.parametrize(
    "line, told",
    [("os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)", "failed (ended with -9)"),
     ("os.kill(os.getppid(), signal.SIGSTOP); return 1", "took more than 1 seconds")],
)  # fmt: skip
def test_a_metric_that_stops_its_server_fails(tmp_path, monkeypatch, line, told):
    monkeypatch.setattr(custom, "SECONDS", 1)
    monkeypatch.setattr(custom, "LOADING", 3)
    pid = tmp_path / "pid"
    body = (
        "import os, signal, time\ndef f(truth, pred, info):\n"
        f"    open({str(pid)!r}, 'w').write(str(os.getpid()))\n    {line}\n"
    )
    assert told in refused(with_metric(tmp_path, body))
    assert is_gone(pid.read_text())


def test_an_evaluation_changes_nothing_for_the_next(tmp_path, either):
    body = """
import os, sys
import numpy as np
CALLS = []
def f(truth, pred, info):
    CALLS.append(1)
    np.calls = getattr(np, "calls", 0) + 1
    truth[:] = 1
    os.environ["CALLS"] = os.environ.get("CALLS", "") + "x"
    left = sorted(os.listdir())
    open("left", "w").write("x" * 1000)
    print("noise"); print("noise", file=sys.stderr)
    return len(CALLS) + np.calls + len(os.environ["CALLS"]) + truth.sum() + 1e6 * ("left" in left)
"""
    assert values(with_metric(tmp_path, body, images=3)) == [1203, 1203, 1203]


def test_no_two_evaluations_draw_the_same(tmp_path, either):
    body = "import numpy.random\ndef f(*_):\n    return numpy.random.randint(1 << 39)\n"
    assert len(set(values(with_metric(tmp_path, body, images=3)))) == 3


@forks
def test_libraries_are_loaded_once_and_the_metric_in_each_process(tmp_path):
    """One server for all images, in which what the metric imports is loaded, and it isn't."""
    body = """
import os, sys
LOADED = "scipy.ndimage" in sys.modules and "scipy.optimize" in sys.modules
import scipy.ndimage
os.environ["HERE"] = str(int(os.environ.get("HERE", "0")) + 1)
def f(truth, pred, info):
    from scipy import optimize
    assert LOADED and os.environ["HERE"] == "1" and "json.tool" not in sys.modules
    return os.getppid()
def unused():
    import json.tool
"""
    servers = values(with_metric(tmp_path, body, images=3))
    assert len(set(servers)) == 1 and servers[0] != os.getpid() and is_gone(servers[0])


@forks
def test_what_a_metric_leaves_running_is_ended(tmp_path):
    body = """
import os, subprocess
def f(truth, pred, info):
    left = subprocess.Popen(["sleep", "600"], start_new_session=True).pid
    if os.fork() == 0:
        return 7  # comes back too
    return left
"""
    left = values(with_metric(tmp_path, body, images=2))
    assert 7 not in left and len(set(left)) == 2 and all(is_gone(pid) for pid in left)


@pytest.fixture
def endless(tmp_path):
    """A release whose metric never ends, and where it writes its process and its server."""
    pids = tmp_path / "pids"
    body = (
        "import os, time\ndef f(truth, pred, info):\n"
        f"    open({str(pids)!r}, 'w').write('%d %d ' % (os.getpid(), os.getppid()))\n"
        "    time.sleep(600)\n"
    )
    write_labels(tmp_path / "p" / "i0.tif", np.ones((30, 40), np.uint16))
    return with_metric(tmp_path, body), pids


@forks
def test_a_scorer_that_is_killed_takes_its_metrics_along(tmp_path, endless):
    release, pids = endless
    code = "import sys; from slidebox.scoring import score; score(*sys.argv[1:], 'train')"
    scorer = subprocess.Popen(
        [sys.executable, "-c", code, str(release), str(tmp_path / "p")],
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    try:
        for _ in range(600):
            if pids.exists() and len(pids.read_text().split()) == 2:
                break
            time.sleep(0.1)
    finally:
        scorer.kill()
        scorer.wait()
    assert all(is_gone(each) for each in pids.read_text().split())


@forks
def test_an_entry_whose_time_is_up_takes_its_metrics_along(tmp_path, endless):
    from slidebox.scoring.apart import Apart

    release, pids = endless
    (tmp_path / "out").mkdir()
    with Apart(memory=1 << 30, seconds=6) as apart:
        findings, _ = apart.score(release, tmp_path / "p", "train", tmp_path / "out", None)
    assert [f.code for f in findings] == ["SCORING_TIME"]
    assert all(is_gone(each) for each in pids.read_text().split())


def test_images_side_by_side_have_the_values_of_one_after_the_other(tmp_path, either):
    body = "def f(truth, pred, info):\n    return float(truth.sum()) + float(pred.sum()) / 1e4\n"
    release = with_metric(tmp_path, body, images=8)
    for k in range(8):
        write_labels(tmp_path / "p" / f"i{k}.tif", np.full((30, 40), k + 1, np.uint16))
    rows = [score(release, tmp_path / "p", threads=n).rows for n in (1, 4)]
    assert [r["custom:own"] for r in rows[0]] == [r["custom:own"] for r in rows[1]]
    assert len({r["custom:own"] for r in rows[0]}) == 8


def test_a_metric_gets_all_tracks_however_many(tmp_path, either):
    """More than fit into a command line."""
    body = "def f(truth, pred, info):\n    return len(info['tracks']['prediction'])\n"
    release = open_release(with_metric(tmp_path, body))
    tracks = [Track(n, 0, 9, 0) for n in range(1, 20001)]
    item = Item("a", "train", "a", tmp_path, tmp_path, "tyx", (0, 4, 4))
    with OwnMetrics(release) as own:
        found = own.measure(item, Result(tracks=tracks[:1]), Result(tracks=tracks))
    assert found == {"custom:own": 20000}
