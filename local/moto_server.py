"""The server behind `local.moto`: moto with a memory that outlives its process.

Every change of S3 or SQS is in a file before it is answered, so the end of any process, SIGKILL included, loses
neither an object nor a message that a client was told is in. A crash of the machine may: files are not fsynced.
"""

# ruff: noqa: SLF001  moto, whose version is pinned, has no public way to what it holds

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import FakeBucket, FakeKey, s3_backends
from moto.s3.utils import _VersionedKeyStore
from moto.sqs import models as sqs_models
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends
from werkzeug.serving import make_server

from local import ports
from local.moto import ACCOUNT, BUCKET, NOTIFICATIONS, QUEUES, REGION, UPLOADS

Json = dict[str, Any]


def _write(path: Path, content: bytes) -> None:
    """Replace a file atomically."""
    draft = path.with_name(f"{path.name}.{uuid4().hex}.draft")
    draft.write_bytes(content)
    draft.replace(path)


class _FileContent:
    """The content of an object read from its file when asked for, in the place of moto's buffer in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seek(self, _position: int) -> None:
        """Moto goes to the start before it reads, which is where `read` reads from."""

    def read(self) -> bytes:
        return self._path.read_bytes()

    def close(self) -> None:
        """Nothing is open between two reads."""


class _Keys(_VersionedKeyStore):
    """A bucket's objects by key; notes which keys the current thread (that is: request) changes."""

    def __init__(self) -> None:
        super().__init__()
        self._noted = threading.local()

    def take_changed(self) -> set[str]:
        changed: set[str] = getattr(self._noted, "keys", set())
        self._noted.keys = set()
        return changed

    def _note(self, key: str) -> None:
        changed: set[str] = getattr(self._noted, "keys", set())
        self._noted.keys = changed | {key}

    def __setitem__(self, key: str, value: FakeKey) -> None:
        super().__setitem__(key, value)
        self._note(key)

    def setlist(self, key: str, list_: list[FakeKey]) -> None:
        super().setlist(key, list_)
        self._note(key)

    def pop(self, key: str) -> None:  # type: ignore[override]  # moto's own is narrower than dict's
        super().pop(key)
        self._note(key)


class ObjectFiles:
    """The objects of the bucket as files; `<hash of its key>.json` holds a key, its headers and its content's file."""

    def __init__(self, folder: Path, bucket: FakeBucket) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._keys = _Keys()
        self._lock = threading.Lock()
        bucket.keys = self._keys
        contents = set()
        for path in folder.glob("*.json"):
            entry = json.loads(path.read_bytes())
            contents.add(entry["content"])
            self._keys[entry["key"]] = self._load(entry)
        self._keys.take_changed()
        for path in folder.iterdir():  # what a killed server had begun to write
            if path.suffix != ".json" and path.name not in contents:
                path.unlink()

    def write_changes(self) -> None:
        """Bring the files in line with what this thread has changed in memory."""
        changed = self._keys.take_changed()
        with self._lock:
            for key in changed:
                self._write_object(key)

    def _load(self, entry: Json) -> FakeKey:
        path = self._folder / entry["content"]
        key = FakeKey(entry["key"], b"", ACCOUNT, REGION, etag=entry["etag"], version_id="null", bucket_name=BUCKET)
        key.set_metadata(entry["headers"])
        key.last_modified = datetime.fromisoformat(entry["last_modified"])
        key.contentsize = path.stat().st_size
        self._keep_on_disk(key, path)
        return key

    def _write_object(self, name: str) -> None:
        path = self._folder / f"{sha256(name.encode()).hexdigest()}.json"
        before = json.loads(path.read_bytes())["content"] if path.exists() else None
        key = self._keys.get(name)
        if not isinstance(key, FakeKey):
            path.unlink(missing_ok=True)
        elif self._is_on_disk(key):
            return  # another request wrote this very version
        else:
            content = self._folder / f"{path.stem}.{uuid4().hex}"
            content.write_bytes(key.value)
            entry = {
                "key": name,
                "content": content.name,
                "etag": key.etag.strip('"'),
                "headers": dict(key.metadata),
                "last_modified": key.last_modified.isoformat(),
            }
            _write(path, json.dumps(entry).encode())
            self._keep_on_disk(key, content)
        if before is not None:
            (self._folder / before).unlink(missing_ok=True)

    @staticmethod
    def _is_on_disk(key: FakeKey) -> bool:
        buffer: object = key._value_buffer
        return isinstance(buffer, _FileContent)

    @staticmethod
    def _keep_on_disk(key: FakeKey, path: Path) -> None:
        with key.lock:
            key._value_buffer.close()
            key._value_buffer = _FileContent(path)  # type: ignore[assignment]


class MessageFiles:
    """The messages of all queues as files, `<queue>/<message id>.json`; what was in flight comes back visible."""

    def __init__(self, folder: Path, queues: Iterable[Queue]) -> None:
        self._lock = threading.Lock()
        self._queues: list[tuple[Queue, Path, set[str]]] = []
        for queue in queues:
            place = folder / queue.name
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            entries = [json.loads(path.read_bytes()) for path in place.glob("*.json")]
            for entry in sorted(entries, key=lambda one: int(one["sent"])):
                queue.add_message(self._load(entry))
            self._queues.append((queue, place, {entry["id"] for entry in entries}))

    def write_changes(self) -> None:
        """Bring the files in line with the queues; a message that moved is written before its old file goes."""
        with self._lock:
            gone: list[Path] = []
            for queue, place, known in self._queues:
                present = {message.id: message for message in list(queue._messages)}
                for message_id in present.keys() - known:
                    _write(place / f"{message_id}.json", self._dump(present[message_id]))
                gone += [place / f"{message_id}.json" for message_id in known - present.keys()]
                known.clear()
                known.update(present)
            for path in gone:
                path.unlink()

    @staticmethod
    def _dump(message: Message) -> bytes:
        entry = {
            "id": message.id,
            "body": message.body,
            "group": message.group_id,
            "attributes": message.message_attributes,
            "system_attributes": message.system_attributes,
            "sent": message.sent_timestamp,
        }
        return json.dumps(entry).encode()

    @staticmethod
    def _load(entry: Json) -> Message:
        message = Message(entry["id"], entry["body"], entry["system_attributes"])
        message.group_id = entry["group"]
        message.message_attributes = entry["attributes"]
        message.mark_sent()
        message.sent_timestamp = entry["sent"]
        return message


def _make_queues() -> list[Queue]:
    sqs = sqs_backends[ACCOUNT][REGION]
    made: list[Queue] = []
    for config in QUEUES:
        dead = sqs.create_queue(f"{config.name}-dead")
        redrive = json.dumps({"deadLetterTargetArn": dead.queue_arn, "maxReceiveCount": config.receives})
        seconds = config.visibility_seconds
        made += [dead, sqs.create_queue(config.name, VisibilityTimeout=seconds, RedrivePolicy=redrive)]
    for queue in made:
        _lock_deletion(queue)
    return made


def _lock_deletion(queue: Queue) -> None:
    """Exclude sending from deleting: moto's delete_message may lose a message that is sent at the same moment."""
    delete = queue.delete_message

    def delete_message(receipt_handle: str) -> None:
        with queue._messages_lock:
            delete(receipt_handle)

    queue.delete_message = delete_message  # type: ignore[method-assign]


def _notify(bucket: FakeBucket, queue: Queue) -> None:
    def rule(event: str, prefix: str) -> Json:
        filters = {"S3Key": {"FilterRule": [{"Name": "prefix", "Value": prefix}]}}
        return {"Queue": queue.queue_arn, "Event": [event], "Filter": filters}

    bucket.set_notification_configuration({"QueueConfiguration": [rule(*one) for one in NOTIFICATIONS]})
    queue._messages.clear()  # s3:TestEvent


def _quicken() -> None:
    """Count message ages in plain seconds: moto's own way takes a minute to send 1,000 messages to a waiting queue."""

    def milliseconds(_moment: datetime | None = None) -> float:
        return time.time() * 1000

    def is_retained(self: SQSBackend, queue_name: str, message: Message) -> bool:  # noqa: ARG001
        queue: Any = sqs_backends[ACCOUNT][REGION].queues[queue_name]
        sent: Any = message.sent_timestamp
        return bool(sent / 1000 + queue.message_retention_period > time.time())

    models: Any = sqs_models
    models.unix_time_millis = milliseconds
    SQSBackend.is_message_valid_based_on_retention_period = is_retained  # type: ignore[method-assign]


def serve(folder: Path, preferred_port: int) -> None:
    """Serve S3 and SQS from `folder` until the process ends; prints the port once everything is in place."""
    _quicken()
    queues = _make_queues()
    bucket = s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, REGION)
    objects = ObjectFiles(folder / "s3", bucket)
    # After the objects, which are no news to anybody; before the messages, so as not to clear them.
    _notify(bucket, next(queue for queue in queues if queue.name == UPLOADS))
    messages = MessageFiles(folder / "sqs", queues)
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: Json, start_response: Callable[..., Any]) -> Iterable[bytes]:
        answer: Iterable[bytes] = moto(environ, start_response)
        objects.write_changes()
        messages.write_changes()
        return answer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line a request
    port = ports.pick(preferred_port)
    server = make_server(ports.LOOPBACK, port, application, threaded=True, request_handler=MotoRequestHandler)
    print(server.port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    os.umask(0o077)
    serve(Path(sys.argv[1]), int(sys.argv[2]))
