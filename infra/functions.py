"""The functions of `infra.specs`: their code, what each may touch, and the queues that wake them.

Everything is attached to the alias `live`, which follows the newest version. A snapshot (SnapStart) is taken when a
version is published, perhaps before the settings' secret has a value: no handler may need one to be imported.
SnapStart rules out EFS, provisioned concurrency and more than 512 MB of /tmp; none is used.
"""

from pathlib import Path
from typing import Final, cast

from aws_cdk import Acknowledgment, CfnElement, Duration, RemovalPolicy, Stack, Validations
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import bundle
from infra.specs import EVERYWHERE, MAX_RECEIVES, SCHEDULE, SPECS, Spec
from infra.stores import Stores

RUNTIME: Final = lambda_.Runtime.PYTHON_3_13
UPLOADED_OBJECTS: Final = "uploads/*"
DROPPED_OBJECTS: Final = "drop/*"
FETCHED_OBJECTS: Final = "fetched/*"


class Functions(Construct):
    """The functions, by name in `live` as aliases; `build` is the folder that `infra.bundle` wrote."""

    def __init__(self, scope: Construct, name: str, *, stores: Stores, build: Path) -> None:
        super().__init__(scope, name)
        self._stores = stores
        self._layer = lambda_.LayerVersion(
            self,
            "Common",
            code=lambda_.Code.from_asset(str(build / "layer")),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            description="minirag and the libraries that every function needs",
        )
        self._values: Final = {
            "MINIRAG_SECRET_ID": stores.secret.secret_arn,
            "MINIRAG_BUCKET": stores.bucket.bucket_name,
            "MINIRAG_JOBS_QUEUE_URL": stores.jobs.queue_url,
            "MINIRAG_UPLOADS_QUEUE_URL": stores.uploads.queue_url,
            "MINIRAG_MAX_RECEIVES": str(MAX_RECEIVES),
            "TIKTOKEN_CACHE_DIR": f"/var/task/{bundle.RANKS_FOLDER}",
        }
        self._roles: dict[str, iam.Role] = {}
        self.live = {spec.name: self._function(spec, build) for spec in SPECS}
        self._grant()
        self._read_queues()
        self._schedule()
        self.webhook_url = self.live["webhooks"].add_function_url(auth_type=lambda_.FunctionUrlAuthType.NONE)

    def _function(self, spec: Spec, build: Path) -> lambda_.Alias:
        scope = Construct(self, "".join(part.title() for part in spec.name.split("-")))
        log_group = logs.LogGroup(
            scope, "Logs", retention=logs.RetentionDays.ONE_MONTH, removal_policy=RemovalPolicy.DESTROY
        )
        # Not the managed policy, which lets a function write to every log group.
        role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(role)
        self._stores.secret.grant_read(role)
        self._roles[spec.name] = role
        function = lambda_.Function(
            scope,
            "Function",
            description=f"Mini-RAG: {spec.name}",
            runtime=RUNTIME,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(build / "functions" / spec.package)),
            handler=spec.handler,
            layers=[self._layer],
            memory_size=spec.memory,
            timeout=Duration.seconds(spec.timeout),
            snap_start=lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS if spec.snapshot else None,
            role=role,
            log_group=log_group,
            environment={name: self._values[name] for name in (*EVERYWHERE, *spec.variables)},
        )
        Validations.of(function).acknowledge(
            Acknowledgment(
                id="AwsSolutions-L1",
                reason="One fixed Python, the one that the wheels of the packages are built for; moving on is a change "
                "of infra.bundle.LAMBDA, tested before.",
            )
        )
        return lambda_.Alias(scope, "Live", alias_name="live", version=function.current_version)

    def _grant(self) -> None:
        """What each may do besides writing its log and reading the settings."""
        stores, roles = self._stores, self._roles
        self._objects("ingest", UPLOADED_OBJECTS, "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        self._objects("ingest", DROPPED_OBJECTS, "s3:GetObject", "s3:DeleteObject")
        self._objects("ingest", FETCHED_OBJECTS, "s3:DeleteObject")
        self._objects("ingest-router", UPLOADED_OBJECTS, "s3:DeleteObject")
        self._objects("ingest-worker", UPLOADED_OBJECTS, "s3:GetObject", "s3:DeleteObject")
        self._objects("ingest-worker", DROPPED_OBJECTS, "s3:GetObject")
        self._objects("ingest-worker", FETCHED_OBJECTS, "s3:GetObject", "s3:PutObject", "s3:DeleteObject")
        self._objects("ingest-sweeper", UPLOADED_OBJECTS, "s3:GetObject")
        self._objects("ingest-sweeper", DROPPED_OBJECTS, "s3:GetObject")
        # Without it S3 answers 403 for an object that is gone, and nobody would give up on it.
        for name in ("ingest", "ingest-worker", "ingest-sweeper"):
            roles[name].add_to_policy(
                iam.PolicyStatement(actions=["s3:ListBucket"], resources=[stores.bucket.bucket_arn])
            )
        for name in ("ingest", "ingest-router", "ingest-worker", "ingest-sweeper"):
            stores.jobs.grant_send_messages(roles[name])
        roles["admin"].add_to_policy(
            iam.PolicyStatement(actions=["sqs:GetQueueAttributes"], resources=[stores.jobs.queue_arn])
        )

    def _objects(self, function: str, objects: str, *actions: str) -> None:
        bucket, role = self._stores.bucket, self._roles[function]
        role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[bucket.arn_for_objects(objects)]))
        arn = Stack.of(self).get_logical_id(cast("CfnElement", bucket.node.default_child))
        Validations.of(role).acknowledge(
            Acknowledgment(
                id=f"AwsSolutions-IAM5[Resource::<{arn}.Arn>/{objects}]",
                reason=f"Objects are made at run time; {', '.join(actions)} reach this prefix of this bucket only.",
            )
        )

    def _read_queues(self) -> None:
        """Queue → function. Failed messages alone come back; at most ten copies of a function hold a connection."""
        self.live["ingest-router"].add_event_source(
            event_sources.SqsEventSource(
                self._stores.uploads, batch_size=10, max_concurrency=10, report_batch_item_failures=True
            )
        )
        # One document at a time: handing back those a slow one left no time for would count as their failures.
        self.live["ingest-worker"].add_event_source(
            event_sources.SqsEventSource(
                self._stores.jobs, batch_size=1, max_concurrency=10, report_batch_item_failures=True
            )
        )

    def _schedule(self) -> None:
        """Clock → function. One that is missed or fails is made up for by the next."""
        for name, seconds in SCHEDULE.items():
            rule = events.Rule(
                self,
                "".join(part.title() for part in name.split("-")) + "Schedule",
                schedule=events.Schedule.rate(Duration.seconds(seconds)),
            )
            rule.add_target(targets.LambdaFunction(self.live[name], retry_attempts=0))
