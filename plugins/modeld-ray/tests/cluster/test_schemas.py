# SPDX-License-Identifier: GPL-3.0-only
"""The files in deploy/ray are what Ray reads. No cluster is needed for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from modeld_ray.app import build
from ray.serve.schema import ServeDeploySchema

DEPLOY = Path(__file__).parents[4] / "deploy" / "ray"


def test_the_file_for_serve_deploy_is_what_ray_reads():
    found = ServeDeploySchema.model_validate(yaml.safe_load((DEPLOY / "serve.yaml").read_text()))
    assert found.applications[0].import_path == "modeld_ray.app:build"


def test_the_rayservices_configuration_is_what_ray_reads():
    spec = yaml.safe_load((DEPLOY / "rayservice.yaml").read_text())["spec"]
    ServeDeploySchema.model_validate(yaml.safe_load(spec["serveConfigV2"]))


def test_a_misspelt_key_would_be_found():
    config = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    config["applications"][0]["deployments"][0]["num_replica"] = 1
    with pytest.raises(ValueError, match="num_replica"):
        ServeDeploySchema.model_validate(config)


def test_the_deployments_that_are_named_are_those_that_are_built():
    config = yaml.safe_load((DEPLOY / "serve.yaml").read_text())
    (application,) = config["applications"]
    ingress = build(application["args"])
    named = {each["name"] for each in application["deployments"]}
    assert named == {"host", ingress._bound_deployment.name}
