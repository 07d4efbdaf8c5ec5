"""A real Slurm on this one machine, for tests: slurmctld, slurmd and munge of Debian.

Slurm reads /etc/slurm/slurm.conf (the jobs' own `srun` looks nowhere else), so this is for machines
that may be changed: containers and CI. A configuration that somebody else wrote is left alone.
The daemons are children of the tests with a munge of their own and free ports: they end with the
tests even when those are killed, and whatever an earlier run has left does not matter.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
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
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
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
    wait = ("-o", "DPkg::Lock::Timeout=600")  # somebody else may be installing
    for command in (
        ["apt-get", *wait, "update", "-qq"],
        ["apt-get", *wait, "install", "-y", "-qq", "--no-install-recommends", *PACKAGES],
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
    if CONF.exists() and not CONF.read_text(encoding="utf-8").startswith(MARK):
        raise CannotServe(f"{CONF} belongs to somebody else")
    host = socket.gethostname().split(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    CONF.parent.mkdir(exist_ok=True)
    facts = {"host": host, "folder": folder, "cpus": cpus, "memory": memory}
    text = TEMPLATE.format(mark=MARK, ports=_free_ports(2), **facts)
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
        self.daemons: dict[str, subprocess.Popen] = {}

    def start(self) -> None:
        munge = {name: self.folder / f"munge.{name}" for name in ("socket", "key", "pid", "seed")}
        munge["key"].write_bytes(os.urandom(128))
        munge["key"].chmod(0o600)
        # Slurm and the jobs are root's: that nobody else gets to the socket (--force) is no fault.
        self._begin(
            *("munged", "--foreground", "--force", f"--socket={munge['socket']}"),
            *(f"--key-file={munge['key']}", f"--pid-file={munge['pid']}"),
            f"--seed-file={munge['seed']}",
        )
        self._until(lambda: munge["socket"].exists(), "munged does not begin")
        self._begin("slurmctld", "-D")
        self.start_node()
        self._until(lambda: "idle" in self.sinfo(), "the node does not come up")

    def start_node(self) -> None:
        self._begin("slurmd", "-D", "-N", self.host)

    def _begin(self, name: str, *arguments: str) -> None:
        """Start a daemon in the foreground; the kernel ends it when the tests end."""
        with (self.folder / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", shutil.which(name), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _until(self, true: Callable[[], bool], otherwise: str, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            ended = [name for name, one in self.daemons.items() if one.poll() is not None]
            if ended or time.monotonic() > deadline:
                said = [path.read_text(errors="replace") for path in self.folder.glob("*.out")]
                raise CannotServe(f"{otherwise}: {''.join(said)[-1000:]}")
            time.sleep(0.2)

    def sinfo(self) -> str:
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        return done.stdout.strip()

    def lose_node(self) -> None:
        """As when the node's power goes: slurmd and all below its jobs die; Slurm finds it down.

        A node that is back at once would be believed to run on what began seconds before.
        """
        node = self.daemons.pop("slurmd")
        steps = _named("slurmstepd")
        for victim in [node.pid, *steps, *(child for step in steps for child in _below(step))]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        node.wait()
        self._until(lambda: "down" in self.sinfo(), "the lost node is not noticed", 600)

    def stop(self) -> None:
        """End the jobs, then the daemons, those first that need the others."""
        if {"slurmctld", "slurmd"} <= set(self.daemons):
            subprocess.run(["scancel", "--user", "root"], capture_output=True, timeout=60)
        for name in ("slurmd", "slurmctld", "munged"):
            daemon = self.daemons.pop(name, None)
            if daemon is None:
                continue
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


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
