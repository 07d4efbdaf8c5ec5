"""A run that is told to end does end, also where its interrupt is lost on the way."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

# What Snakemake's main thread does: it waits for a job in `schedule`. The interrupt comes while it
# is in something that swallows it, as the callback of a future does.
RUN = """
import signal, subprocess, sys, threading, time
from slidebox.ingest import stopping

stopping.PATIENCE, stopping.LAST = 1.0, float(sys.argv[2])
signal.signal(signal.SIGTERM, stopping.stop)
job = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])

def swallows():
    print("ready", flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("swallowed", flush=True)

def schedule():
    try:
        swallows()
        threading.Semaphore(0).acquire()
    except KeyboardInterrupt:
        cancel()

def cancel():
    print("cancelled", job.wait(), flush=True)

def deaf():
    while True:
        swallows()

if sys.argv[3] == "late":  # a job that is being started when the others are told to end
    stopping._below, below = lambda top: [], stopping._below
    stopping._kill(job.pid, signal.SIGKILL)
    def start():
        stopping.stopped.wait()
        stopping._below = below
        name = "/.snakemake/scripts/x"
        late = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", name])
        late.wait()
    starter = threading.Thread(target=start)
    starter.start()
    def cancel():
        starter.join()
        print("cancelled", job.wait(), flush=True)

{"schedule": schedule, "deaf": deaf}[sys.argv[1]]()
"""


def told(loop: str, last: float, jobs: str = "early") -> tuple[list[str], int]:
    """What a run says after SIGTERM, and how it ends; it fails when that takes too long."""
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, loop, str(last), jobs], stdout=subprocess.PIPE, text=True
    )
    try:
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.2)
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=60)
    finally:
        run.kill()
    return said.split("\n"), run.returncode


def test_an_interrupt_that_is_lost_comes_again():
    said, code = told("schedule", 30)
    assert said[:2] == ["swallowed", f"cancelled {-signal.SIGTERM}"]
    assert code == 0


def test_what_takes_no_interrupt_is_ended():
    said, code = told("deaf", 3)
    assert code == 1
    assert set(said) <= {"swallowed", "ready", ""}


@pytest.mark.skipif(sys.platform != "linux", reason="jobs are found in /proc")
def test_a_job_that_was_just_being_started_ends_too():
    """Else the main process would wait until it is done, which may take hours."""
    said, code = told("schedule", 60, "late")
    assert f"cancelled {-signal.SIGKILL}" in said
    assert code == 0
