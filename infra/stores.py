"""What is kept: the documents' bucket, the queues that carry their events, and the operator's settings."""

from typing import cast

from aws_cdk import Acknowledgment, Aws, Duration, RemovalPolicy, Validations
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.specs import EVENT_RECEIVES, MAX_RECEIVES, NOTIFICATIONS

SECRET_NAME = "minirag/settings"  # noqa: S105  a name, not a secret
NONCURRENT_DAYS = 1  # the least S3 knows: what a tenant deletes or replaces is not kept


class Stores(Construct):
    """The bucket, the two queues with their dead-letter queues, and the settings' secret.

    `uploads_timeout` and `jobs_timeout` are the timeouts of the functions that read the queues: a message stays
    invisible for six times as long, as Lambda advises, so that a throttled batch is not delivered twice.
    """

    def __init__(self, scope: Construct, name: str, *, uploads_timeout: Duration, jobs_timeout: Duration) -> None:
        super().__init__(scope, name)
        self.uploads = self._queue("Uploads", uploads_timeout, EVENT_RECEIVES)
        self.jobs = self._queue("Jobs", jobs_timeout, MAX_RECEIVES)
        self.bucket = self._bucket()
        self._notify()
        self.secret = self._secret()

    def _queue(self, name: str, timeout: Duration, receives: int) -> sqs.Queue:
        dead = sqs.Queue(
            self,
            f"{name}Dead",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        return sqs.Queue(
            self,
            name,
            # The key of SQS itself: S3 may not publish to a queue under the AWS-managed KMS key.
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(6 * timeout.to_seconds()),
            # Shorter than the dead-letter queue's, where a message keeps its first timestamp.
            retention_period=Duration.days(4),
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=receives),
        )

    def _bucket(self) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Documents",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            versioned=True,
            lifecycle_rules=[
                s3.LifecycleRule(id="incomplete-uploads", abort_incomplete_multipart_upload_after=Duration.days(1)),
                s3.LifecycleRule(
                    id="old-versions",
                    noncurrent_version_expiration=Duration.days(NONCURRENT_DAYS),
                    expired_object_delete_marker=True,
                ),
            ],
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        Validations.of(bucket).acknowledge(
            Acknowledgment(
                id="AwsSolutions-S1",
                reason="Reads and writes come from the functions, which log each with its tenant; "
                "CloudTrail data events cover the rest where an operator wants them.",
            )
        )
        return bucket

    def _notify(self) -> None:
        """Send the bucket's events to `uploads`, as plain properties.

        `bucket.add_event_notification` would add a function of its own with rights over every bucket. The
        queue's policy names the account and not the bucket, whose address would make the two wait for each other.
        """
        self.uploads.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.uploads.queue_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        resource = cast("s3.CfnBucket", self.bucket.node.default_child)
        resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event=event,
                    queue=self.uploads.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="prefix", value=prefix)]
                        )
                    ),
                )
                for event, prefix in NOTIFICATIONS
            ]
        )
        # S3 tries the queue when it takes the configuration, so the policy must be there first.
        policy = self.uploads.node.find_child("Policy")
        self.bucket.node.add_dependency(policy)

    def _secret(self) -> secretsmanager.Secret:
        secret = secretsmanager.Secret(
            self,
            "Settings",
            secret_name=SECRET_NAME,
            description="Mini-RAG: JSON object with MINIRAG_DATABASE_URL, MINIRAG_REDIS_URL, OPENAI_API_KEY, "
            "ANTHROPIC_API_KEY, MINIRAG_STRIPE_WEBHOOK_SECRET, MINIRAG_PUBLIC_URL, MINIRAG_SESSION_KEYS, "
            "MINIRAG_OIDC_CLIENT_ID, MINIRAG_OIDC_CLIENT_SECRET",
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        # Made empty: a value written here would be written again, over the operator's, whenever it changed.
        resource = cast("secretsmanager.CfnSecret", secret.node.default_child)
        resource.generate_secret_string = None
        Validations.of(secret).acknowledge(
            Acknowledgment(
                id="AwsSolutions-SMG4",
                reason="It holds keys that OpenAI, Anthropic and Stripe issue, which AWS cannot rotate.",
            )
        )
        return secret
