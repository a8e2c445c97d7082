"""The REST API: the route table and nothing else, in front of the aliases."""

import json

from aws_cdk.assertions import Match, Template

from infra.api import GATEWAY_ERRORS
from infra.routes import ROUTES
from tests.infra.reading import Resources, aliases_by_name, of_type, properties, referred


def _paths(resources: Resources) -> dict[str, str]:
    """Logical id of an API resource → its path."""
    api_resources = {name: item["Properties"] for name, item in of_type(resources, "AWS::ApiGateway::Resource").items()}

    def path(name: str) -> str:
        parent = api_resources[name]["ParentId"]
        before = path(parent["Ref"]) if "Ref" in parent else ""
        return f"{before}/{api_resources[name]['PathPart']}"

    return {name: path(name) for name in api_resources}


def test_the_methods_of_the_api_are_the_rows_of_the_route_table_and_preflights_each_before_its_functions_alias(
    resources: Resources,
) -> None:
    paths = _paths(resources)
    names = {logical: name for name, logical in aliases_by_name(resources).items()}
    methods = set()
    for method in properties(resources, "AWS::ApiGateway::Method"):
        assert method["Integration"]["Type"] == "AWS_PROXY"
        (function,) = [names[target] for target in referred(method["Integration"]["Uri"]) if target in names]
        methods.add((method["HttpMethod"], paths[method["ResourceId"]["Ref"]], function))
    preflights = {method for method in methods if method[0] == "OPTIONS"}
    assert methods - preflights == {(route.method, route.path, route.function) for route in ROUTES}
    assert {path for _, path, _ in preflights} == {route.path for route in ROUTES}


def test_each_function_behind_the_api_lets_this_api_call_its_alias_by_one_permission(resources: Resources) -> None:
    (rest,) = of_type(resources, "AWS::ApiGateway::RestApi")
    names = {logical: name for name, logical in aliases_by_name(resources).items()}
    permitted = []
    for permission in properties(resources, "AWS::Lambda::Permission"):
        if permission["Principal"] == "apigateway.amazonaws.com":
            assert rest in set(referred(permission["SourceArn"]))
            permitted.append(names[permission["FunctionName"]["Ref"]])
    assert sorted(permitted) == sorted({route.function for route in ROUTES})


def test_the_api_is_regional_and_leaves_uploads_as_they_are(template: Template) -> None:
    template.has_resource_properties(
        "AWS::ApiGateway::RestApi",
        {"EndpointConfiguration": {"Types": ["REGIONAL"]}, "BinaryMediaTypes": ["multipart/form-data"]},
    )


def test_the_stage_is_throttled_logs_every_request_and_no_body(template: Template) -> None:
    template.has_resource_properties(
        "AWS::ApiGateway::Stage",
        {
            "AccessLogSetting": {"DestinationArn": Match.any_value(), "Format": Match.string_like_regexp("request_id")},
            "MethodSettings": [
                Match.object_like(
                    {
                        "HttpMethod": "*",
                        "ResourcePath": "/*",
                        "ThrottlingRateLimit": 100,
                        "ThrottlingBurstLimit": 200,
                        "DataTraceEnabled": False,
                    }
                )
            ],
        },
    )


def test_the_access_log_is_json_and_names_the_route_not_the_path(resources: Resources) -> None:
    (stage,) = properties(resources, "AWS::ApiGateway::Stage")
    line = json.loads(stage["AccessLogSetting"]["Format"])
    assert line["route"] == "$context.resourcePath"
    assert "$context.path" not in line.values()


def test_api_gateway_answers_an_unknown_path_with_404_and_all_its_own_errors_as_problems(resources: Resources) -> None:
    responses = {item["ResponseType"]: item for item in properties(resources, "AWS::ApiGateway::GatewayResponse")}
    assert set(responses) == {error.kind.response_type for error in GATEWAY_ERRORS}
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(responses)
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["StatusCode"] == "404"
    for response in responses.values():
        assert response["ResponseParameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        problem = json.loads(response["ResponseTemplates"]["application/json"])
        assert set(problem) == {"type", "title", "status", "detail", "request_id"}
        assert str(problem["status"]) == response["StatusCode"]
        retryable = response["StatusCode"] in {"429", "503", "504"}
        assert retryable == ("gatewayresponse.header.Retry-After" in response["ResponseParameters"])
