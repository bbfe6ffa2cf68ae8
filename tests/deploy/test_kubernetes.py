# SPDX-License-Identifier: GPL-3.0-only
"""The manifests are what Kubernetes expects, and fit the server and its image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from modeld.httpapi.server.run import CLOSE_S
from modeld.settings import Settings, resolve

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
DOCKERFILE = KUBERNETES.parent / "docker" / "Dockerfile"
VERSIONS = ("1.30", kubernetes_validate.latest_version())
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def load(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((KUBERNETES / name).read_text())
    return loaded


def kustomization() -> dict[str, Any]:
    return load("kustomization.yaml")


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = load("deployment.yaml")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    assert isinstance(only, dict)
    return only


def settings() -> Settings:
    return resolve({}, {}, str(KUBERNETES / "modeld.yaml")).settings


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", kustomization()["resources"])
def test_a_manifest_is_what_kubernetes_expects(name: str, version: str) -> None:
    kubernetes_validate.validate(load(name), version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    manifest = load("service.yaml")
    manifest["spec"]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_every_file_is_part_of_what_is_applied() -> None:
    files = {path.name for path in KUBERNETES.iterdir()} - {"kustomization.yaml"}
    (generated,) = kustomization()["configMapGenerator"]
    assert files == {*kustomization()["resources"], *generated["files"]}


def test_the_settings_lie_where_the_image_looks_for_them() -> None:
    (generated,) = kustomization()["configMapGenerator"]
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    mounts = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}
    assert volumes["settings"]["configMap"]["name"] == generated["name"]
    assert f"{mounts['settings']}/{generated['files'][0]}" == "/etc/modeld/modeld.yaml"
    assert settings().models_dir == mounts["models"]
    assert settings().api_key_file == f"{mounts['api-keys']}/api-keys"
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == load("models.yaml")["metadata"]["name"]
    assert all(mount["readOnly"] for mount in container()["volumeMounts"])


def test_variables_of_a_service_are_not_taken_for_settings() -> None:
    name = load("service.yaml")["metadata"]["name"]
    variable = f"{name.upper()}_PORT"
    assert resolve({}, {variable: "tcp://10.0.0.1:8080"}).warnings
    assert pod()["enableServiceLinks"] is False


def test_everything_that_selects_the_pod_does() -> None:
    deployment = load("deployment.yaml")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert load("service.yaml")["spec"]["selector"] == labels
    assert load("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"] == labels


def test_every_port_is_the_one_that_modeld_listens_on() -> None:
    (port,) = container()["ports"]
    assert port["containerPort"] == int(settings().addr.rpartition(":")[2])
    probes = [container()[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")]
    named = [*probes, container()["readinessProbe"]["httpGet"]]
    assert {probe["port"] for probe in named} == {port["name"]}
    assert load("service.yaml")["spec"]["ports"][0]["targetPort"] == port["name"]
    assert load("networkpolicy.yaml")["spec"]["ingress"][0]["ports"] == [{"port": port["name"]}]


def test_a_pod_lives_by_healthz_and_serves_by_readyz() -> None:
    paths = {
        kind: container()[f"{kind}Probe"]["httpGet"]["path"]
        for kind in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert settings().readiness == "accepting"


def test_probes_ask_for_a_name_that_the_server_may_have() -> None:
    for kind in ("startup", "liveness", "readiness"):
        headers = container()[f"{kind}Probe"]["httpGet"]["httpHeaders"]
        assert headers == [{"name": "Host", "value": "localhost"}]


def test_the_pod_runs_as_the_user_of_the_image_and_may_read_its_keys() -> None:
    (user,) = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(), re.MULTILINE)
    context = pod()["securityContext"]
    assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user
    assert context["fsGroup"] == context["runAsGroup"]
    (keys,) = [volume["secret"] for volume in pod()["volumes"] if "secret" in volume]
    assert keys["defaultMode"] & 0o777 == 0o440


def test_two_pods_never_hold_the_memory_at_once() -> None:
    deployment = load("deployment.yaml")["spec"]
    assert (deployment["replicas"], deployment["strategy"]["type"]) == (1, "Recreate")


def test_kubernetes_waits_for_the_drain() -> None:
    assert settings().drain_timeout_s > Settings().drain_timeout_s
    assert pod()["terminationGracePeriodSeconds"] > settings().drain_timeout_s + 3 * CLOSE_S


def test_the_models_leave_memory_for_the_rest_of_the_pod() -> None:
    resources = container()["resources"]
    assert resources["limits"] == resources["requests"]
    limit_mb = int(resources["limits"]["memory"].removesuffix("Gi")) * 1024
    assert 0 < settings().memory_budget_mb <= 0.8 * limit_mb


def test_the_pod_passes_the_restricted_standard() -> None:
    assert container()["securityContext"] == RESTRICTED
    assert pod()["securityContext"]["runAsNonRoot"] is True
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False


def test_nothing_goes_out() -> None:
    policy = load("networkpolicy.yaml")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
