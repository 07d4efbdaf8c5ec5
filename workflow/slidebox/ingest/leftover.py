"""What a killed run has left on Slurm: its jobs outlive the process that looked after them.

The next run begins the same submissions anew. So what still waits is cancelled, and so are running
jobs that small submissions share, which lose seconds. A running stage of a larger submission may
have hours behind it: it goes on, and the new job waits for what it locks and finds it done.
"""

from __future__ import annotations

from pathlib import Path

from slidebox.config import Config
from slidebox.ingest import runlog, slurm


def sweep(config: Config, folder: Path) -> list[str]:
    """Cancel the leftovers of the last run if it did not end; lines that say what was found.

    `folder`: where runs of this archive are started. For the one run that is at work (`runlock`),
    before it writes its own log.
    """
    sent: dict[int, list[int]] = {}
    done = set()
    for line in runlog.last(config):
        if line["event"] == "ended":
            return []
        if line["event"] == "submitted":
            sent[line["slurm"]] = line["jobs"]
        elif line["event"] in ("finished", "failed"):
            done.add(line["job"])
    open_ones = [number for number, jobs in sent.items() if not done.issuperset(jobs)]
    states = slurm.unfinished(open_ones, folder)
    going = {n for n, state in states.items() if state != "PENDING" and len(sent[n]) == 1}
    slurm.cancel(set(states) - going)
    said = [f"Slurm job {n} of a run that was killed is cancelled" for n in set(states) - going]
    said += [f"Slurm job {n} of a run that was killed goes on; it is waited for" for n in going]
    return sorted(said)
