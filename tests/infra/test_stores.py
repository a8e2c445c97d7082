"""Bucket, queues and the settings' secret."""

from typing import Any

from aws_cdk.assertions import Match, Template

from infra.specs import EVENT_RECEIVES, MAX_RECEIVES, spec_of
from tests.infra.reading import Resources, aliases_by_name, of_type, properties, referred


def _queue_before(resources: Resources, function: str) -> str:
    """Logical id of the queue that a function reads."""
    alias = aliases_by_name(resources)[function]
    for mapping in properties(resources, "AWS::Lambda::EventSourceMapping"):
        if alias in set(referred(mapping["FunctionName"])):
            (queue,) = referred(mapping["EventSourceArn"])
            return queue
    raise LookupError(function)


def _refused_without_tls(resources: Resources, kind: str, target: str) -> bool:
    statements: list[dict[str, Any]] = []
    for policy in properties(resources, kind):
        if target in set(referred(policy)):
            statements += policy["PolicyDocument"]["Statement"]
    return any(
        statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        for statement in statements
    )


def test_documents_are_private_encrypted_versioned_and_outlive_the_stack(
    template: Template, resources: Resources
) -> None:
    (bucket,) = of_type(resources, "AWS::S3::Bucket")
    template.has_resource_properties(
        "AWS::S3::Bucket",
        {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
            "BucketEncryption": Match.any_value(),
            "VersioningConfiguration": {"Status": "Enabled"},
        },
    )
    assert resources[bucket]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert _refused_without_tls(resources, "AWS::S3::BucketPolicy", bucket)


def test_broken_uploads_and_deleted_documents_do_not_stay_in_the_bucket(resources: Resources) -> None:
    (bucket,) = properties(resources, "AWS::S3::Bucket")
    rules = {rule["Id"]: rule for rule in bucket["LifecycleConfiguration"]["Rules"]}
    assert rules["incomplete-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert rules["old-versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 1}
    assert all(rule["Status"] == "Enabled" for rule in rules.values())


def test_the_router_hears_of_uploads_and_of_all_that_happens_in_the_drop_folder(resources: Resources) -> None:
    (bucket,) = properties(resources, "AWS::S3::Bucket")
    uploads = _queue_before(resources, "ingest-router")
    heard = set()
    for notification in bucket["NotificationConfiguration"]["QueueConfigurations"]:
        assert set(referred(notification["Queue"])) == {uploads}
        (rule,) = notification["Filter"]["S3Key"]["Rules"]
        assert rule["Name"] == "prefix"
        heard.add((notification["Event"], rule["Value"]))
    assert heard == {
        ("s3:ObjectCreated:*", "uploads/"),
        ("s3:ObjectCreated:*", "drop/"),
        ("s3:ObjectRemoved:*", "drop/"),
    }


def test_s3_may_publish_for_this_account_before_the_bucket_is_made(resources: Resources) -> None:
    uploads = _queue_before(resources, "ingest-router")
    (policy,) = [
        name for name, item in of_type(resources, "AWS::SQS::QueuePolicy").items()
        if item["Properties"]["Queues"] == [{"Ref": uploads}]
    ]  # fmt: skip
    (allowed,) = [
        statement for statement in resources[policy]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    ]  # fmt: skip
    assert allowed["Principal"] == {"Service": "s3.amazonaws.com"}
    assert allowed["Action"] == "sqs:SendMessage"
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    (bucket,) = of_type(resources, "AWS::S3::Bucket").values()
    assert policy in bucket["DependsOn"]


def test_a_message_stays_hidden_six_times_as_long_as_its_function_may_run(resources: Resources) -> None:
    for function in ("ingest-router", "ingest-worker"):
        queue = resources[_queue_before(resources, function)]["Properties"]
        assert queue["VisibilityTimeout"] >= 6 * spec_of(function).timeout


def test_a_message_that_fails_each_time_ends_in_an_encrypted_dead_letter_queue(resources: Resources) -> None:
    queues = of_type(resources, "AWS::SQS::Queue")
    redrives = {name: queue["Properties"].get("RedrivePolicy") for name, queue in queues.items()}
    dead = set()
    for policy in filter(None, redrives.values()):
        assert policy["maxReceiveCount"] in {MAX_RECEIVES, EVENT_RECEIVES}
        dead |= set(referred(policy["deadLetterTargetArn"]))
    assert len(queues) == 4
    assert dead == {name for name, policy in redrives.items() if policy is None}
    for name, queue in queues.items():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert _refused_without_tls(resources, "AWS::SQS::QueuePolicy", name)
    # A message keeps its first timestamp when it is moved.
    kept = {name: queue["Properties"]["MessageRetentionPeriod"] for name, queue in queues.items()}
    assert max(kept[name] for name in kept if name not in dead) < min(kept[name] for name in dead)


def test_the_template_gives_the_settings_secret_no_value_and_keeps_the_operators(resources: Resources) -> None:
    (secret,) = of_type(resources, "AWS::SecretsManager::Secret").values()
    assert secret["Properties"]["Name"] == "minirag/settings"
    assert not {"SecretString", "GenerateSecretString"} & set(secret["Properties"])
    assert secret["DeletionPolicy"] == "RetainExceptOnCreate"
