"""Objects in S3: what tenants uploaded, under keys that the server makes."""

from functools import cache
from typing import TYPE_CHECKING

from minirag.runtime import settings
from minirag.runtime.errors import NotFound, TooLarge, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@cache
def _s3() -> "S3Client":
    import boto3  # costs 200 ms of a cold start; not every request stores something
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=30, retries={"mode": "standard", "total_max_attempts": 3})
    endpoint = settings.current().s3_endpoint
    if endpoint is None:
        # Signed addresses of the bucket's own region, which all regions take; the defaults are those of the oldest.
        regional = Config(
            signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"}
        )
        config = config.merge(regional)
    return boto3.client("s3", endpoint_url=endpoint, config=config)


def put(key: str, body: bytes) -> None:
    """Store an object; raises Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _s3().put_object(Bucket=settings.current().bucket, Key=key, Body=body)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The file storage cannot be reached right now. Try again in a few seconds.") from error


def get(key: str, *, max_bytes: int) -> bytes:
    """Read an object of at most `max_bytes`; raises NotFound, TooLarge or Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        answer = _s3().get_object(Bucket=settings.current().bucket, Key=key)
        if answer["ContentLength"] > max_bytes:
            raise TooLarge(f"The file has {answer['ContentLength']} bytes; at most {max_bytes} are accepted.")
        return answer["Body"].read()
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            raise NotFound("The file is no longer in the storage.", code="object_gone") from error
        raise Unavailable("The file storage cannot be reached right now.") from error
    except BotoCoreError as error:
        raise Unavailable("The file storage cannot be reached right now.") from error


def exists(key: str) -> bool:
    """Whether there is such an object; raises Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _s3().head_object(Bucket=settings.current().bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in {"NoSuchKey", "404"}:
            return False
        raise Unavailable("The file storage cannot be reached right now.") from error
    except BotoCoreError as error:
        raise Unavailable("The file storage cannot be reached right now.") from error
    return True


def presigned_post(key: str, *, max_bytes: int, seconds: int) -> tuple[str, dict[str, str]]:
    """An address and form fields with which anybody may store one object of 1 to `max_bytes` bytes under this key."""
    answer = _s3().generate_presigned_post(
        settings.current().bucket, key, Conditions=[["content-length-range", 1, max_bytes]], ExpiresIn=seconds
    )
    return answer["url"], answer["fields"]


def delete(key: str) -> None:
    """Remove an object; one that is already gone is fine. Raises Unavailable."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _s3().delete_object(Bucket=settings.current().bucket, Key=key)
    except (BotoCoreError, ClientError) as error:
        raise Unavailable("The file storage cannot be reached right now. Try again in a few seconds.") from error
