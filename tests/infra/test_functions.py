"""The functions: as their table says, reached through `live`, allowed what they need."""

from pathlib import Path
from typing import Any

import pytest
from aws_cdk.assertions import Match, Template

from infra import app
from infra.specs import EVERYWHERE, SPECS, Spec
from minirag.runtime import settings
from tests.infra.reading import (
    Resources,
    aliases_by_name,
    functions_by_name,
    of_type,
    properties,
    referred,
)

READS_ITS_SECRET = {"secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"}
WRITES_ITS_LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
CONSUMES = {
    "sqs:ReceiveMessage",
    "sqs:ChangeMessageVisibility",
    "sqs:GetQueueUrl",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
}
SENDS = {"sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"}
ALLOWED_BESIDES = {
    "ask": set(),
    "ingest": SENDS | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"},
    "ingest-router": CONSUMES | SENDS | {"s3:DeleteObject"},
    "ingest-sweeper": SENDS | {"s3:GetObject", "s3:ListBucket"},
    "ingest-worker": CONSUMES | SENDS | {"s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket"},
    "webhooks": set(),
    "admin": {"sqs:GetQueueAttributes"},
    "audit-sealer": set(),
}


def _function(resources: Resources, spec: Spec) -> dict[str, Any]:
    found: dict[str, Any] = resources[functions_by_name(resources)[spec.name]]["Properties"]
    return found


def test_there_is_one_function_for_each_row_of_the_table(template: Template, resources: Resources) -> None:
    template.resource_count_is("AWS::Lambda::Function", len(SPECS))
    assert set(functions_by_name(resources)) == {spec.name for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_function_runs_on_the_fixed_python_with_the_one_layer_and_its_own_log(
    spec: Spec, resources: Resources
) -> None:
    (layer,) = of_type(resources, "AWS::Lambda::LayerVersion")
    function = _function(resources, spec)
    assert (function["Handler"], function["MemorySize"], function["Timeout"]) == (
        spec.handler,
        spec.memory,
        spec.timeout,
    )
    assert (function["Runtime"], function["Architectures"]) == ("python3.13", ["arm64"])
    assert function["Layers"] == [{"Ref": layer}]
    log = resources[function["LoggingConfig"]["LogGroup"]["Ref"]]
    assert log["Properties"]["RetentionInDays"] == 30


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_functions_alias_live_follows_the_newest_version(spec: Spec, resources: Resources) -> None:
    alias = resources[aliases_by_name(resources)[spec.name]]["Properties"]
    assert alias["Name"] == "live"
    (version,) = referred(alias["FunctionVersion"])
    assert resources[version]["Properties"]["FunctionName"] == {"Ref": functions_by_name(resources)[spec.name]}


def test_a_change_of_the_layer_alone_makes_new_versions(packages: Path, resources: Resources, tmp_path: Path) -> None:
    marker = packages / "layer" / "python" / "minirag" / "changed.txt"
    marker.write_text("changed")
    try:
        changed = app.create(packages, out=tmp_path, lint=False).synth().get_stack_by_name("MiniRag").template
    finally:
        marker.unlink()
    before, after = (set(of_type(each, "AWS::Lambda::Version")) for each in (resources, changed["Resources"]))
    assert len(before) == len(after) == len(SPECS)
    assert not before & after


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_snapshot_is_taken_where_somebody_waits_and_nothing_it_excludes_is_used(
    spec: Spec, resources: Resources
) -> None:
    function = _function(resources, spec)
    assert ("SnapStart" in function) == spec.snapshot
    if spec.snapshot:
        assert function["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        assert "FileSystemConfigs" not in function
        assert function.get("EphemeralStorage", {"Size": 512})["Size"] <= 512
        assert "ProvisionedConcurrencyConfig" not in resources[aliases_by_name(resources)[spec.name]]["Properties"]


def test_events_urls_and_permissions_go_to_the_aliases_never_to_a_bare_function(resources: Resources) -> None:
    aliases, functions = set(aliases_by_name(resources).values()), set(functions_by_name(resources).values())
    attached = ("AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission", "AWS::Lambda::Url")
    for kind in attached:
        for item in properties(resources, kind):
            if "Qualifier" in item:
                assert item["Qualifier"] == "live"
            else:
                assert set(referred(item["FunctionName"])) <= aliases
    for method in properties(resources, "AWS::ApiGateway::Method"):
        assert not set(referred(method["Integration"]["Uri"])) & functions


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_function_gets_the_variables_of_its_row(spec: Spec, resources: Resources) -> None:
    variables = _function(resources, spec)["Environment"]["Variables"]
    assert set(variables) == {*EVERYWHERE, *spec.variables}


def test_every_variable_is_one_that_the_functions_read() -> None:
    reader = Path(settings.__file__).read_text()
    for variable in {variable for spec in SPECS for variable in (*EVERYWHERE, *spec.variables)}:
        assert f'"{variable}"' in reader or variable == "TIKTOKEN_CACHE_DIR", variable


def _allowed(resources: Resources, spec: Spec) -> set[str]:
    (role,) = referred(_function(resources, spec)["Role"])
    assert "ManagedPolicyArns" not in resources[role]["Properties"]
    allowed: set[str] = set()
    for policy in properties(resources, "AWS::IAM::Policy"):
        if {"Ref": role} in policy["Roles"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Allow"
                actions = statement["Action"]
                allowed |= {actions} if isinstance(actions, str) else set(actions)
    return allowed


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_function_may_do_what_it_needs_and_no_more(spec: Spec, resources: Resources) -> None:
    assert _allowed(resources, spec) == READS_ITS_SECRET | WRITES_ITS_LOG | ALLOWED_BESIDES[spec.name]


def test_stripe_reaches_the_webhooks_by_a_url_that_anyone_may_call(template: Template, resources: Resources) -> None:
    alias = aliases_by_name(resources)["webhooks"]
    template.resource_count_is("AWS::Lambda::Url", 1)
    template.has_resource_properties("AWS::Lambda::Url", {"AuthType": "NONE", "Qualifier": "live"})
    for permission in (
        {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"},
        {"Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ):
        template.has_resource_properties(
            "AWS::Lambda::Permission",
            {"Principal": "*", "FunctionName": Match.object_like({"Ref": alias}), **permission},
        )
    open_to_all = [item for item in properties(resources, "AWS::Lambda::Permission") if item["Principal"] == "*"]
    assert len(open_to_all) == 2


def test_a_batch_gives_back_only_its_failed_messages(resources: Resources) -> None:
    mappings = properties(resources, "AWS::Lambda::EventSourceMapping")
    names = {logical: name for name, logical in aliases_by_name(resources).items()}
    batch_sizes = {}
    for mapping in mappings:
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        (alias,) = referred(mapping["FunctionName"])
        batch_sizes[names[alias]] = mapping["BatchSize"]
    assert batch_sizes == {"ingest-router": 10, "ingest-worker": 1}
