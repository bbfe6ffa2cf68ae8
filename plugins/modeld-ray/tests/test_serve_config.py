# SPDX-License-Identifier: GPL-3.0-only
"""The file for ``serve deploy``, the command that writes it, and the manifests in deploy/ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from modeld_ray.deploying.configuration import BUDGET_LABEL, settings_from
from modeld_ray.deploying.serve_config import VARIABLES, address_of, as_yaml, serve_config

from modeld.cli.main import ExitCode, main
from modeld.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy" / "ray"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def config(document: dict[str, Any]) -> dict[str, Any]:
    return serve_config(document, settings_from(document))


def test_the_settings_are_the_argument_of_the_builder():
    document = {"default_model": "x", "ray": {"hosts": 3, "ingresses": 2}}
    (application,) = config(document)["applications"]
    assert application["args"] == {"settings": document}
    assert application["deployments"] == [
        {"name": "host", "num_replicas": 3},
        {"name": "ingress", "num_replicas": 2},
    ]


def test_hosts_are_added_under_load_where_there_may_be_more():
    (application,) = config({"ray": {"hosts": 1, "most_hosts": 5, "requests_per_host": 4}})[
        "applications"
    ]
    assert application["deployments"][0]["autoscaling_config"] == {
        "min_replicas": 1,
        "max_replicas": 5,
        "target_ongoing_requests": 4.0,
        "upscale_delay_s": 30.0,
        "downscale_delay_s": 600.0,
    }


@pytest.mark.parametrize(
    ("addr", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        (":8000", ("127.0.0.1", 8000)),
        ("[::1]:8000", ("::1", 8000)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_the_address_is_that_of_the_settings(addr, address):
    assert address_of(settings_from({"addr": addr})) == address


@pytest.mark.parametrize("addr", ["unix:/run/modeld", "8000", "host:port"])
def test_an_address_that_a_cluster_cannot_have_is_refused(addr):
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        address_of(settings_from({"addr": addr}))


def test_nobody_is_let_in_from_outside_without_a_key():
    with pytest.raises(ConfigurationError, match="api_key_file"):
        address_of(settings_from({"addr": "0.0.0.0:8000"}))
    assert address_of(settings_from({"addr": "0.0.0.0:8000", "insecure_no_auth": True}))


def test_the_command_writes_the_file(tmp_path, capsys):
    settings = tmp_path / "modeld.yaml"
    settings.write_text("ray: {hosts: 2}\n")
    assert main(["ray", "config", "--config", str(settings)]) == ExitCode.OK
    shown = capsys.readouterr().out
    out = tmp_path / "serve.yaml"
    assert main(["ray", "config", "--config", str(settings), "--output", str(out)]) == ExitCode.OK
    assert out.read_text() == shown == as_yaml(config({"ray": {"hosts": 2}}))


def test_a_file_that_cannot_be_written_is_one_line(tmp_path, capsys):
    assert main(["ray", "config", "--output", str(tmp_path / "no" / "x")]) == ExitCode.USAGE
    assert "cannot be written" in capsys.readouterr().err


def test_without_ray_the_command_says_how_it_comes(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for verb in ("up", "status", "down"):
        assert main(["ray", verb]) == ExitCode.USAGE
        assert "pip install modeld[ray]" in capsys.readouterr().err


def test_the_file_in_deploy_is_what_the_command_writes(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["ray", "config", "--config", "deploy/ray/modeld.yaml"]) == ExitCode.OK
    licence, *lines = (DEPLOY / "serve.yaml").read_text().splitlines(keepends=True)
    assert "SPDX" in licence
    assert capsys.readouterr().out == "".join(lines)


class TestRayService:
    spec = read("rayservice.yaml")["spec"]
    groups = (
        spec["rayClusterConfig"]["headGroupSpec"],
        *spec["rayClusterConfig"]["workerGroupSpecs"],
    )

    def test_it_serves_what_the_command_writes(self):
        assert yaml.safe_load(self.spec["serveConfigV2"]) == read("serve.yaml")

    def test_its_pods_are_what_kubernetes_expects(self):
        for number, group in enumerate(self.groups):
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"pod-{number}"},
                "spec": group["template"]["spec"],
            }
            kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)

    def test_every_pod_has_the_variables_that_rays_processes_read(self):
        for group in self.groups:
            (container,) = group["template"]["spec"]["containers"]
            found = {each["name"]: each["value"] for each in container["env"]}
            assert found == VARIABLES

    def test_the_settings_are_where_every_pod_finds_them(self):
        """A host that starts later, and a reload, read the file of the settings themselves."""
        path = read("modeld.yaml")["ray"]["settings_file"]
        for group in self.groups:
            (container,) = group["template"]["spec"]["containers"]
            folders = {each["mountPath"] for each in container["volumeMounts"]}
            assert str(Path(path).parent) in folders

    def test_its_image_has_the_version_of_ray_that_is_locked(self):
        version = self.spec["rayClusterConfig"]["rayVersion"]
        assert f"\nray=={version} \\\n" in (ROOT / "requirements" / "cluster.txt").read_text()
        assert f"ray[serve]=={version}" in (ROOT / "requirements" / "cluster.in").read_text()

    def test_the_label_is_the_one_that_hosts_read(self):
        (workers,) = self.spec["rayClusterConfig"]["workerGroupSpecs"]
        assert settings_from({"memory_budget_mb": int(workers["labels"][BUDGET_LABEL])})

    def test_there_are_as_many_pods_as_hosts(self):
        (workers,) = self.spec["rayClusterConfig"]["workerGroupSpecs"]
        own = read("modeld.yaml")["ray"]
        assert (workers["minReplicas"], workers["maxReplicas"]) == (own["hosts"], own["most_hosts"])
        grace_s = workers["template"]["spec"]["terminationGracePeriodSeconds"]
        assert grace_s >= own["drain_s"] + 30
