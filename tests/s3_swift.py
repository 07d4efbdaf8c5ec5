"""Serves OpenStack Swift with its S3 API on loopback: what tests/s3_server.py starts.

Run by the Python of ``.venv-swift`` as ``python s3_swift.py FOLDER KEY SECRET``. Proxy, account,
container and object server run in this one process, each with a socket of its own that the kernel
gave a free port; rings, configuration and data lie in FOLDER. One line of JSON on standard output
says ``{"port": n}`` or ``{"cannot": why}``. It ends when its standard input does, so that nothing
outlives the tests, however they end.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import uuid
from pathlib import Path

import eventlet
import xattr
from swift.common import utils, wsgi
from swift.common.ring import RingBuilder

BACKENDS = ("account", "container", "object")

# One loaded machine does everything: what Swift gives up after a second would leave listings
# without an object that is there, since nothing here catches up with them later.
COMMON = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
recon_cache_path = {folder}/cache
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
conn_timeout = 20
node_timeout = 60
recoverable_node_timeout = 60
container_update_timeout = 60
"""

BACKEND = """
[pipeline:main]
pipeline = server

[app:server]
use = egg:swift#{kind}
"""

PROXY = """
cors_allow_origin = *

[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo dlo symlink proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
error_suppression_limit = 1000000

[filter:tempauth]
use = egg:swift#tempauth
user_{account}_{user} = {secret} .admin
"""


def listen() -> socket.socket:
    return eventlet.listen(("127.0.0.1", 0), backlog=256)


def ring(folder: Path, kind: str, port: int) -> None:
    """A ring of one device, at ``port``."""
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    place = {"ip": "127.0.0.1", "port": port, "device": "disk"}
    again = {"replication_ip": "127.0.0.1", "replication_port": port}
    builder.add_dev({"region": 1, "zone": 1, "weight": 1.0, "meta": "", **place, **again})
    builder.rebalance()
    builder.get_ring().save(str(folder / f"{kind}.ring.gz"))


def configuration(key: str, secret: str) -> str:
    account, user = key.split(":")
    text = PROXY.format(account=account, user=user, secret=secret)
    for name in ("catch_errors", "gatekeeper", "listing_formats", "s3api", "copy", "slo", "dlo"):
        text += f"\n[filter:{name}]\nuse = egg:swift#{name}\n"
    return text + "\n[filter:symlink]\nuse = egg:swift#symlink\n"


def serve(conf: Path, text: str, sock: socket.socket) -> None:
    conf.write_text(COMMON.format(folder=conf.parent) + text, encoding="utf-8")
    app = wsgi.loadapp(str(conf))
    eventlet.spawn(
        eventlet.wsgi.server,
        sock,
        app,
        wsgi.NullLogger(),
        protocol=wsgi.SwiftHttpProtocol,
        capitalize_response_headers=False,  # S3 clients want "ETag", not "Etag"
        custom_pool=eventlet.GreenPool(256),
    )


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def main(folder: Path, key: str, secret: str) -> None:
    disk = folder / "devices" / "disk"
    disk.mkdir(parents=True)
    (folder / "cache").mkdir()
    try:
        xattr.setxattr(str(disk), "user.swift", b"x")
    except OSError as reason:
        say(cannot=f"the disk of temporary files keeps no extended attributes ({reason})")
        return
    utils.monkey_patch()
    # Standard error instead of the machine's syslog.
    utils.logs.ThreadSafeSysLogHandler = lambda **_: logging.StreamHandler(sys.stderr)
    suffix = uuid.uuid4()
    (folder / "swift.conf").write_text(f"[swift-hash]\nswift_hash_path_suffix = {suffix}\n")
    utils.set_swift_dir(str(folder))
    for kind in BACKENDS:
        sock = listen()
        ring(folder, kind, sock.getsockname()[1])
        serve(folder / f"{kind}.conf", BACKEND.format(kind=kind), sock)
    sock = listen()
    serve(folder / "proxy.conf", configuration(key, secret), sock)
    say(port=sock.getsockname()[1])
    eventlet.hubs.trampoline(0, read=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
