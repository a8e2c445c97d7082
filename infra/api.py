"""The front door: a regional REST API with one method for each row of the route table."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aws_cdk import Acknowledgment, RemovalPolicy, Validations
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.routes import ROUTES
from minirag.runtime.headers import SECURITY

REQUESTS_PER_SECOND: Final = 100
BURST: Final = 200

_TYPE: Final = apigateway.ResponseType


@dataclass(frozen=True)
class GatewayError:
    """An error that API Gateway answers itself, before or instead of a function."""

    kind: apigateway.ResponseType
    status: int
    title: str
    detail: str
    retry_after: int | None = None


GATEWAY_ERRORS: Final = (
    # What API Gateway says, with a 403, of a path or method that it does not know.
    GatewayError(_TYPE.MISSING_AUTHENTICATION_TOKEN, 404, "Not found", "There is nothing under this path and method."),
    GatewayError(_TYPE.RESOURCE_NOT_FOUND, 404, "Not found", "There is nothing under this path and method."),
    GatewayError(_TYPE.ACCESS_DENIED, 403, "Not allowed", "This request is not allowed."),
    # An Authorization header in AWS's own format, which the API does not use.
    GatewayError(
        _TYPE.INVALID_SIGNATURE, 401, "Authentication required", "Send a key as X-API-Key or as a Bearer token."
    ),
    GatewayError(_TYPE.EXPIRED_TOKEN, 401, "Authentication required", "Send a key as X-API-Key or as a Bearer token."),
    GatewayError(_TYPE.UNAUTHORIZED, 401, "Authentication required", "Send a key as X-API-Key or as a Bearer token."),
    GatewayError(_TYPE.BAD_REQUEST_PARAMETERS, 400, "Malformed request", "The request's parameters are malformed."),
    GatewayError(_TYPE.BAD_REQUEST_BODY, 400, "Malformed request", "The request's body is malformed."),
    GatewayError(_TYPE.REQUEST_TOO_LARGE, 413, "Too large", "The body is too large. Large files go by presigned POST."),
    GatewayError(_TYPE.UNSUPPORTED_MEDIA_TYPE, 415, "Type not accepted", "The body's Content-Type is not accepted."),
    GatewayError(_TYPE.THROTTLED, 429, "Too many requests", "Too many requests at once. Try again shortly.", 1),
    GatewayError(_TYPE.QUOTA_EXCEEDED, 429, "Too many requests", "Too many requests. Try again later.", 60),
    GatewayError(_TYPE.WAF_FILTERED, 403, "Not allowed", "The firewall refused this request."),
    GatewayError(_TYPE.INTEGRATION_TIMEOUT, 504, "Out of time", "The answer took too long. Try again.", 5),
    GatewayError(_TYPE.INTEGRATION_FAILURE, 503, "Temporarily unavailable", "Try again in a few seconds.", 5),
    GatewayError(_TYPE.DEFAULT_4_XX, 400, "Malformed request", "The request could not be understood."),
    GatewayError(_TYPE.DEFAULT_5_XX, 500, "Internal error", "Something went wrong on our side."),
)

_PUSH_TO_LOGS: Final = (
    "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]"
)

_ACCESS_LOG: Final = {
    "request_id": apigateway.AccessLogField.context_request_id(),
    "time": apigateway.AccessLogField.context_request_time_epoch(),
    "ip": apigateway.AccessLogField.context_identity_source_ip(),
    "method": apigateway.AccessLogField.context_http_method(),
    # The route, not the path, which carries ids of tenants.
    "route": apigateway.AccessLogField.context_resource_path(),
    "status": apigateway.AccessLogField.context_status(),
    "bytes": apigateway.AccessLogField.context_response_length(),
    "latency_ms": apigateway.AccessLogField.context_response_latency(),
    "integration_ms": apigateway.AccessLogField.context_integration_latency(),
    "error": apigateway.AccessLogField.context_error_response_type(),
}


class Api(Construct):
    """The REST API over `functions`, aliases by the names that the route table uses."""

    def __init__(self, scope: Construct, name: str, *, functions: Mapping[str, lambda_.IFunction]) -> None:
        super().__init__(scope, name)
        access_log = logs.LogGroup(
            self, "AccessLog", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        self.rest = apigateway.RestApi(
            self,
            "Rest",
            rest_api_name="mini-rag",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            # Uploads must reach the function byte for byte; everything else is UTF-8.
            binary_media_types=["multipart/form-data"],
            # API Gateway writes no log at all in an account that has not named a role for it.
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,
            deploy_options=apigateway.StageOptions(
                stage_name="live",
                throttling_rate_limit=REQUESTS_PER_SECOND,
                throttling_burst_limit=BURST,
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,
                access_log_destination=apigateway.LogGroupLogDestination(access_log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
            ),
        )
        self._methods(functions)
        for error in GATEWAY_ERRORS:
            self._gateway_response(error)
        self._acknowledge()

    def _methods(self, functions: Mapping[str, lambda_.IFunction]) -> None:
        # One permission a function: one a method would outgrow the 20 KB that a function's policy may have.
        integrations = {
            name: apigateway.LambdaIntegration(function, allow_test_invoke=False, scope_permission_to_method=False)
            for name, function in functions.items()
        }
        for route in ROUTES:
            self.rest.root.resource_for_path(route.path).add_method(route.method, integrations[route.function])
        # What browsers ask before a request of another origin; the functions know which origins are listed.
        for path, function in {route.path: route.function for route in ROUTES}.items():
            self.rest.root.resource_for_path(path).add_method("OPTIONS", integrations[function])

    def _gateway_response(self, error: GatewayError) -> None:
        problem = {
            "type": "about:blank",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "request_id": "$context.requestId",
        }
        headers = {"Content-Type": "'application/problem+json'", "X-Request-ID": "context.requestId"}
        # Static values stand in single quotes, which the policy for content has of its own; a problem has no content.
        headers |= {name: f"'{value}'" for name, value in SECURITY.items() if "'" not in value}
        if error.retry_after is not None:
            headers["Retry-After"] = f"'{error.retry_after}'"
        if error.status == 401:
            headers["WWW-Authenticate"] = "'Bearer realm=\"mini-rag\"'"
        self.rest.add_gateway_response(
            "".join(part.title() for part in error.kind.response_type.split("_")),
            type=error.kind,
            status_code=str(error.status),
            response_headers=headers,
            # API Gateway picks a template by what the client accepts, and this one in every other case.
            templates={"application/json": json.dumps(problem)},
        )

    def _acknowledge(self) -> None:
        reasons = {
            "AwsSolutions-APIG2": "The functions check every request themselves, and answer in the API's own words.",
            "AwsSolutions-APIG3": "The firewall is attached where the edge is built.",
            "AwsSolutions-APIG4": "The functions authenticate: an API key or a session, looked up with its tenant.",
            "AwsSolutions-COG4": "The users of the API are not in Cognito; see AwsSolutions-APIG4.",
            _PUSH_TO_LOGS: "The account-wide role of API Gateway, for which AWS wrote this managed policy.",
        }
        for rule, reason in reasons.items():
            Validations.of(self.rest).acknowledge(Acknowledgment(id=rule, reason=reason))
