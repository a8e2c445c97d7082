"""The template as a whole: valid, narrow, and checked."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import app, bundle
from tests.infra.reading import Resources, of_type


def test_cfn_lint_finds_nothing(document: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text(json.dumps(document))
    # W3005: the CDK writes a dependency on a role beside each reference to it.
    command = [
        str(Path(sys.executable).with_name("cfn-lint")),
        "--regions",
        "us-east-1",
        "--ignore-checks",
        "W3005",
        "--",
        str(file),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_no_policy_names_every_resource_or_every_action(resources: Resources) -> None:
    statements = [
        statement
        for policy in of_type(resources, "AWS::IAM::Policy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert len(statements) > 0
    for statement in statements:
        for part in ("Resource", "Action"):
            named = statement[part] if isinstance(statement[part], list) else [statement[part]]
            assert not [one for one in named if isinstance(one, str) and one.endswith("*")], statement


def test_there_is_nothing_of_the_toolkits_own_making(resources: Resources) -> None:
    """No custom resource, whose function would have rights that nobody here wrote."""
    assert not [
        item["Type"] for item in resources.values() if item["Type"].startswith(("Custom::", "AWS::CloudFormation"))
    ]


def test_the_template_belongs_to_no_account_and_no_region(document: dict[str, Any]) -> None:
    assert "arn:aws:" not in json.dumps(document["Resources"])


def test_a_finding_of_cdk_nag_that_nobody_accepted_fails_the_synth(packages: Path, tmp_path: Path) -> None:
    application = app.create(packages, out=tmp_path, lint=False)
    s3.Bucket(cast("Construct", application.node.find_child("MiniRag")), "Careless")
    with pytest.raises(RuntimeError, match="AwsSolutions-S10"):
        application.synth()


def test_without_packages_the_synth_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(bundle.BundleError, match="make layers"):
        app.create(tmp_path)
