"""An S3 server on loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NEEDED = ("moto", "boto3", "snakemake_storage_plugin_s3", "snakemake_executor_plugin_kubernetes")
KEYS = {"ACCESS_KEY": "nobody", "SECRET_KEY": "nothing"}


def require_object_storage() -> None:
    """Skip the test, or under LUNGAUG_REQUIRE_ALL=1 fail it, without what it needs."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    missing += [] if shutil.which("git") else ["git"]
    if missing:
        reason = f"not installed: {', '.join(missing)}"
        if os.environ.get("LUNGAUG_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def s3_server(log: Path) -> Iterator[str]:
    """Moto's server in a process of its own; its address. Nothing is kept after it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the S3 server did not start")


def stored_keys(address: str, bucket: str) -> set[str]:
    """What lies in a bucket."""
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=KEYS["ACCESS_KEY"],
        aws_secret_access_key=KEYS["SECRET_KEY"],
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {entry["Key"] for page in pages for entry in page.get("Contents", ())}
