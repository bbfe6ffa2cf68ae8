# SPDX-License-Identifier: GPL-3.0-only
"""Starts several raylets on this machine, kills hosts and nodes, and looks for what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from modeld_ray.deploying.serve_config import VARIABLES

# Before Ray is imported: each process reads its switches then, and children get them from here.
# The one proxy of these tests sends requests to all ingresses, as that of each node does where its
# own ingress is lost.
os.environ.update(
    VARIABLES, RAY_AUTH_MODE="disabled", RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING="0"
)

import httpx
import ray
from modeld_ray.routing.placement import Wish
from ray import serve
from ray.cluster_utils import Cluster as Raylets

ROOT = Path(__file__).parents[5]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
KEY = "key-of-the-tests"
LIMIT_S = 90.0
STORE_BYTES = 100 << 20
HOSTS = 2
INGRESSES = 2
BUDGET_MB = 1500


class Cluster:
    """A head and a node with room for an ingress each, and two with room for one host each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nodes: list[Any] = []
        self.pids: set[int] = set()
        self.port = 8723
        self._config = folder / "cluster.json"

    def __enter__(self) -> Self:
        keys = self._folder / "keys"
        keys.write_text(f"{KEY}\n")
        keys.chmod(0o600)
        # All that the cluster begins inherits it, so that what is left of it is found.
        os.environ["MODELD_TEST_CLUSTER"] = str(self._folder)
        # Else Ray writes this cluster's address down where everybody's `ray` looks for one.
        os.environ["RAY_TMPDIR"] = str(self._folder)
        # Every host finds the model that takes no processor, which figures are measured with.
        paced = str(Path(__file__).parent / "paced")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [paced, os.getenv("PYTHONPATH")]))
        self._raylets = Raylets(
            initialize_head=True,
            head_node_args={
                "num_cpus": 2,
                "resources": {"door": 1},
                **_NODE,
            },
        )
        self.add_door()
        for _ in range(HOSTS):
            self.add_node()
        ray.init(address=self._raylets.address, log_to_driver=False, namespace="serve")
        serve.start(
            http_options={"host": "127.0.0.1", "port": self.port}, proxy_location="HeadOnly"
        )
        self.settings: dict[str, Any] = {
            "models_dir": str(ROOT / "models"),
            "memory_budget_mb": BUDGET_MB,
            "share_machine": True,
            "warm_workers": 0,
            "api_key_file": str(keys),
            "readiness": "accepting",
            "models": {MODEL: {"slots": 4, "threads": 1}},
            "ray": {
                "hosts": HOSTS,
                "most_hosts": HOSTS + 1,
                "requests_per_host": 20,
                "add_after_s": 1,
                "ingresses": INGRESSES,
                "slot_resource": "slot",
                "ingress_resource": "door",
            },
        }
        self.write_settings()
        self.command("up", "--config", str(self._config))
        self.wait_for(lambda: len(self.hosts()) == HOSTS, "two hosts")
        return self

    def __exit__(self, *_exc: object) -> None:
        self.command("down")
        serve.shutdown()
        ray.shutdown()
        self._raylets.shutdown()

    def command(self, verb: str, *arguments: str) -> str:
        """Return what ``modeld ray VERB`` prints."""
        words = [sys.executable, "-m", "modeld", "ray", verb, *arguments]
        words += ["--address", self._raylets.address]
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def write_settings(self, **others: Any) -> None:
        """Write the file that all hosts and ingresses read again where they are told to."""
        self.settings.update(others)
        self._config.write_text(json.dumps(self.settings))

    def client(self) -> httpx.AsyncClient:
        """Return a client that has the key."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=LIMIT_S,
            limits=httpx.Limits(max_connections=None),
        )

    def get(self, path: str) -> Any:
        """Return the document at a path."""
        found = httpx.get(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=LIMIT_S,
        )
        found.raise_for_status()
        return found.json() if "json" in found.headers["content-type"] else found.text

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Return the response to a request."""
        return httpx.post(
            f"http://127.0.0.1:{self.port}{path}",
            json=body,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=LIMIT_S,
        )

    def status(self) -> Any:
        """Return ``/status``, and remember the workers in it."""
        status = self.get("/status")
        self.pids |= {each["pid"] for each in status["instances"] if each.get("pid")}
        return status

    def hosts(self) -> dict[str, Any]:
        """Return the hosts that are well."""
        return {each["host"]: each for each in self.status()["hosts"] if not each.get("error")}

    def handle(self) -> Any:
        """Return a handle to the hosts."""
        return serve.get_deployment_handle("host", "modeld")

    def load_on_all(self, model: str) -> None:
        """Load a model on every host, and return when all ingresses know of it."""
        for host in self.hosts():
            handle = self.handle().options(
                method_name="ask", multiplexed_model_id=host, stream=True
            )
            *_, outcome = handle.remote("load", model, wish=Wish(model=model, only=host))
            assert outcome.error is None
        self.wait_for(lambda: len(self.status()["instances"]) >= HOSTS, "the model on all hosts")

    def pid_of(self, host: str) -> int:
        """Return the process of a host that has a model loaded: the parent of its worker."""
        (pid, *_) = [
            each["pid"]
            for each in self.status()["instances"]
            if each["host"] == host and each.get("pid")
        ]
        return _parent(pid)

    def kill_host(self, host: str) -> None:
        """Kill the process of a host, as the kernel does where memory runs out."""
        os.kill(self.pid_of(host), signal.SIGKILL)

    def kill_node_of(self, host: str) -> None:
        """Kill a node with all that runs on it."""
        raylet = _parent(self.pid_of(host))
        (node,) = [each for each in self._nodes if _raylet_of(each) == raylet]
        self._nodes.remove(node)
        self._raylets.remove_node(node, allow_graceful=False)

    def add_node(self) -> None:
        """Start a node with room for one host."""
        self._nodes.append(self._raylets.add_node(num_cpus=1, resources={"slot": 1}, **_NODE))

    def ingress_pids(self) -> list[int]:
        """Return the processes of the ingresses."""
        raylets = {_raylet_of(each) for each in (self._raylets.head_node, self._door)}
        title = b"ServeReplica:modeld:ingress"
        found = [int(name) for name, _, words in _processes() if title in words]
        return [pid for pid in found if _state(pid) not in {"", "Z"} and _parent(pid) in raylets]

    def kill_door(self) -> None:
        """Kill the node of one of the ingresses, which is not that of the proxy."""
        self._raylets.remove_node(self._door, allow_graceful=False)

    def add_door(self) -> None:
        """Start a node with room for one ingress."""
        self._door = self._raylets.add_node(num_cpus=1, resources={"door": 1}, **_NODE)

    def wait_for(self, holds: Callable[[], object], what: str) -> None:
        """Return when it holds.

        Raises:
            AssertionError: it does not for too long.
        """
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            try:
                if holds():
                    return
            except (httpx.HTTPError, ValueError):
                pass
            time.sleep(0.2)
        raise AssertionError(f"{what} did not come within {LIMIT_S:g} s")


_NODE = {"object_store_memory": STORE_BYTES, "include_dashboard": False}


def lines_of(text: str) -> list[Any]:
    """Return the documents of a stream."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def orphans(folder: Path) -> set[str]:
    """Return the processes that the cluster in this folder has begun and that are there still."""
    mark = f"MODELD_TEST_CLUSTER={folder}".encode()
    found = set()
    for name, environ, words in _processes():
        if (mark in environ or str(folder).encode() in words) and int(name) != os.getpid():
            found.add(f"{name}: {words.replace(bytes(1), b' ')[:120].decode(errors='replace')}")
    return found


def alive(pids: set[int]) -> set[int]:
    """Return those of these processes that are there, zombies not counted."""
    return {pid for pid in pids if _state(pid) not in {"", "Z"}}


def _processes() -> Iterator[tuple[str, bytes, bytes]]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            yield entry.name, (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
        except OSError:
            continue


def _fields(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> str:
    return (_fields(pid) or [""])[0]


def _parent(pid: int) -> int:
    return int(_fields(pid)[1])


def _raylet_of(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)
