"""A real Slurm on this one machine, for tests: slurmctld, slurmd and munge of Debian.

Slurm reads /etc/slurm/slurm.conf (the jobs' own `srun` looks nowhere else), so this is for machines
that may be changed: containers and CI. A configuration that somebody else wrote is left alone.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
CONF = Path("/etc/slurm/slurm.conf")
MARK = "# written by Slidebox's tests"

TEMPLATE = """\
{mark}
ClusterName=slidebox
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
ReturnToService=2
MinJobAge=300
SlurmctldTimeout=30
SlurmdTimeout=30
InactiveLimit=0
KillWait=5
SchedulerParameters=sched_min_interval=100000,bf_interval=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
"""


class CannotServe(RuntimeError):
    """Why there is no Slurm here."""


def install() -> None:
    """Install Debian's packages when they are missing and this may be done."""
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return
    if os.getuid() or not shutil.which("apt-get"):
        raise CannotServe(f"Slurm is not installed (apt-get install {' '.join(PACKAGES)})")
    # The packages must not start services: there may be no init, and this is our own Slurm.
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
        if done.returncode:
            raise CannotServe(f"{' '.join(command[:2])} failed: {done.stderr.strip()[-300:]}")


@contextlib.contextmanager
def serving(folder: Path, cpus: int = 2, memory: int = 8000) -> Iterator[Slurm]:
    """Start the daemons with their state in `folder`; end them and wait for it."""
    install()
    if os.getuid():
        raise CannotServe("Slurm's daemons must be started by root")
    if CONF.exists():
        before = CONF.read_text(encoding="utf-8")
        if not before.startswith(MARK):
            raise CannotServe(f"{CONF} belongs to somebody else")
        # Tests that were killed left their daemons behind.
        Slurm(Path(re.search("StateSaveLocation=(.*)/state", before)[1]), "").stop()
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    CONF.parent.mkdir(exist_ok=True)
    text = TEMPLATE.format(mark=MARK, host=host, folder=folder, cpus=cpus, memory=memory)
    CONF.write_text(text, encoding="utf-8")
    server = Slurm(folder, host)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        CONF.unlink(missing_ok=True)


class Slurm:
    """The daemons of one cluster of one node."""

    def __init__(self, folder: Path, host: str):
        self.folder, self.host = folder, host
        self.munge = folder / "munge"

    def start(self) -> None:
        if not _named("munged"):
            subprocess.run(["install", "-d", "-o", "munge", "-m", "755", "/run/munge"], check=True)
            command = ["su", "-s", "/bin/sh", "munge", "-c", "/usr/sbin/munged"]
            subprocess.run(command, check=True)
        subprocess.run(["slurmctld"], check=True)
        self.start_node()
        deadline = time.monotonic() + 60
        while "idle" not in self.sinfo():
            if time.monotonic() > deadline:
                raise CannotServe(f"the node does not come up: {self.sinfo()}")
            time.sleep(0.5)

    def start_node(self) -> None:
        subprocess.run(["slurmd", "-N", self.host], check=True)

    def sinfo(self) -> str:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        return done.stdout.strip()

    def lose_node(self) -> None:
        """As when the node's power goes: slurmd and all that runs below its jobs die at once."""
        pid = int((self.folder / "slurmd.pid").read_text())
        steps = _named("slurmstepd")
        for victim in [pid, *steps, *(child for step in steps for child in _below(step))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        (self.folder / "slurmd.pid").unlink()

    def stop(self) -> None:
        subprocess.run(["scancel", "--user", "root"], capture_output=True, check=False)
        for name in ("slurmd.pid", "slurmctld.pid"):
            _end(self.folder / name)


def _named(name: str) -> list[int]:
    """Processes of this name."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == name:
                found.append(int(path.parent.name))
    return found


def _below(top: int) -> list[int]:
    """What a process started, and those."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == top:
                found += [int(path.parent.name), *_below(int(path.parent.name))]
    return found


def _end(pid_file: Path) -> None:
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError):
        return
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
