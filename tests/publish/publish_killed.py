"""Publishes, and dies by SIGKILL before or after the n-th write: python publish_killed.py ..."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys

from slidebox import config, publish
from slidebox.publish import bucket, target


def main(settings: str, count: int, after: bool) -> None:
    writes = itertools.count(1)  # its next() is one step, whichever thread takes it

    def dying(write):
        def wrapped(*arguments):
            last = next(writes) == count
            if last and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            done = write(*arguments)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return wrapped

    for kind in (target.FolderTarget, bucket.BucketTarget):
        for name in ("put", "put_file", "delete"):
            setattr(kind, name, dying(getattr(kind, name)))
    bucket.BucketTarget._send = dying(bucket.BucketTarget._send)
    publish.publish(config.load(json.loads(settings)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "after")
