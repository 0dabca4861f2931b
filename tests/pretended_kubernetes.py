"""The few calls of Kubernetes that Snakemake makes, answered on loopback.

A "pod" is its command, run by a shell in a folder of its own that holds nothing: what a job was
not given through the source archive or object storage is not there. Images, volumes and limits
are not looked at.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Fields = dict[str, Any]


@dataclass
class Pod:
    """A job that was asked for, and the process that runs it."""

    asked: Fields
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def container(self) -> Fields:
        container: Fields = self.asked["spec"]["template"]["spec"]["containers"][0]
        return container

    @property
    def log(self) -> str:
        return (self.folder.parent / f"{self.folder.name}.log").read_text(encoding="utf-8")

    def status(self) -> Fields:
        code = self.process.poll()
        if code is None:
            return {"active": 1}
        return {"failed": 1} if code else {"succeeded": 1}


@dataclass
class Cluster:
    """What was asked of the server.

    Args:
        root: folder of the pods' folders.
        environment: variables of every pod besides ``PATH`` and those from secrets.
    """

    root: Path
    environment: dict[str, str]
    secrets: dict[str, Fields] = field(default_factory=dict)
    pods: dict[str, Pod] = field(default_factory=dict)

    def start(self, asked: Fields) -> None:
        name = asked["metadata"]["name"]
        folder = self.root / name
        folder.mkdir()
        container = asked["spec"]["template"]["spec"]["containers"][0]
        with (self.root / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=folder,
                env=self.environment | self._from_secrets(container),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pods[name] = Pod(asked, folder, process)

    def stop(self) -> None:
        for pod in self.pods.values():
            if pod.process.poll() is None:
                pod.process.kill()
            pod.process.wait()

    def _from_secrets(self, container: Fields) -> dict[str, str]:
        found = {}
        for variable in container.get("env", ()):
            where = variable["valueFrom"]["secretKeyRef"]
            text = self.secrets[where["name"]][where["key"]]
            found[variable["name"]] = base64.b64decode(text).decode()
        return found


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/secrets"):
                cluster.secrets[asked["metadata"]["name"]] = asked["data"]
            else:
                cluster.start(asked)
            self._answer(asked, 201)

        def do_GET(self) -> None:
            if found := re.search(r"/jobs/([^/]+)/status$", self.path):
                pod = cluster.pods[found[1]]
                self._answer(pod.asked | {"status": pod.status()})
            elif self.path.endswith("/log") or "/log?" in self.path:
                name = self.path.split("/log")[0].rpartition("/")[2]
                self._answer(cluster.pods[name].log)
            else:
                self._answer({"items": self._failed()})

        def do_DELETE(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._answer({})

        def _failed(self) -> list[Fields]:
            """The pod that a list is asked of, once it has failed: for its log."""
            name = self.path.rpartition("job-name%3D")[2].partition("&")[0]
            pod = cluster.pods[name]
            code = pod.process.poll()
            if not code:
                return []
            state = {"terminated": {"exitCode": code}}
            image = {"image": "", "imageID": "", "ready": False, "restartCount": 0}
            status = {"containerStatuses": [{"name": "snakemake", "state": state, **image}]}
            return [{"metadata": {"name": name}, "status": status}]

        def _answer(self, body: Fields | str, status: int = 200) -> None:
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the test's output is enough."""

    return Handler


@contextmanager
def pretended_kubernetes(root: Path) -> Iterator[tuple[Cluster, Path]]:
    """A server with its ``kubeconfig``; pods find this Python, and a ``pip`` that does nothing."""
    tools = root / "bin"
    tools.mkdir(parents=True)
    # Each pod first installs the storage plugin, which this Python has.
    (tools / "pip").write_text("#!/bin/sh\n", encoding="utf-8")
    (tools / "pip").chmod(0o755)
    path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(root), "OMP_NUM_THREADS": "1"}
    cluster = Cluster(root / "pods", environment)
    cluster.root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield cluster, _kubeconfig(root / "kubeconfig", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        cluster.stop()


def _kubeconfig(path: Path, port: int) -> Path:
    named = {"cluster": "loopback", "user": "nobody"}
    configuration = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "loopback", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "nobody", "user": {"token": "none"}}],
        "contexts": [{"name": "loopback", "context": named}],
        "current-context": "loopback",
    }
    path.write_text(json.dumps(configuration), encoding="utf-8")
    return path
