# SPDX-License-Identifier: GPL-3.0-only
"""The files in deploy/ray are what Ray reads. No cluster is needed for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from modeld_ray.app import build
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import DeploymentSchema, ServeApplicationSchema, ServeDeploySchema

DEPLOY = Path(__file__).parents[4] / "deploy" / "ray"


def test_the_file_for_serve_deploy_is_what_ray_reads():
    found = ServeDeploySchema.model_validate(yaml.safe_load((DEPLOY / "serve.yaml").read_text()))
    assert found.applications[0].import_path == "modeld_ray.app:build"


def test_the_rayservices_configuration_is_what_ray_reads():
    spec = yaml.safe_load((DEPLOY / "rayservice.yaml").read_text())["spec"]
    ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))


def unknown(config: dict[str, Any]) -> set[str]:
    """Return the keys that Ray has no field for; it passes over them without a word."""
    found = config.keys() - ServeDeploySchema.model_fields.keys()
    for application in config["applications"]:
        found |= application.keys() - ServeApplicationSchema.model_fields.keys()
        for deployment in application["deployments"]:
            found |= deployment.keys() - DeploymentSchema.model_fields.keys()
            scaling = deployment.get("autoscaling_config", {})
            found |= scaling.keys() - AutoscalingConfig.model_fields.keys()
    return found


def test_no_key_is_misspelt():
    config = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    assert not unknown(config)
    (host, *_) = config["applications"][0]["deployments"]
    host["num_replica"] = host["autoscaling_config"]["max_replica"] = 1
    assert unknown(config) == {"num_replica", "max_replica"}


def test_the_deployments_that_are_named_are_those_that_are_built():
    config = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    (application,) = config["applications"]
    ingress = build(application["args"])
    named = {each["name"] for each in application["deployments"]}
    assert named == {"host", ingress._bound_deployment.name}
