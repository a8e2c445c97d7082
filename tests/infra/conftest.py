"""The template, synthesized once a session from packages that hold the product's own code only."""

from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Template

from infra import app, bundle

Resources = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages without libraries: all that synth looks at is where they lie and what is in them."""
    folder = tmp_path_factory.mktemp("packages")
    bundle.build(folder, libraries=False)
    return folder


@pytest.fixture(scope="session")
def document(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The CloudFormation template; a finding of cdk-nag that nobody accepted fails here."""
    assembly = app.create(packages, out=tmp_path_factory.mktemp("assembly"), lint=False).synth()
    found: dict[str, Any] = assembly.get_stack_by_name("MiniRag").template
    return found


@pytest.fixture(scope="session")
def template(document: dict[str, Any]) -> Template:
    return Template.from_json(document)


@pytest.fixture(scope="session")
def resources(document: dict[str, Any]) -> Resources:
    """Logical id → resource."""
    found: Resources = document["Resources"]
    return found
