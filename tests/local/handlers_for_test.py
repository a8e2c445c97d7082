"""Small handlers that do what an event asks for, imported by the environments that the tests start."""

import base64
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def act(event: dict[str, Any], context: Any) -> Any:
    """Note begin and end in the file `journal`, and in between do what the event says."""
    journal = event.get("journal")
    _note(journal, {"begin": event.get("name"), "pid": os.getpid(), "at": time.monotonic()})
    if "print" in event:
        print(event["print"])
    match event.get("do"):
        case "context":
            return {name: getattr(context, name) for name in context.__slots__ if name != "deadline_ms"}
        case "remaining":
            first = context.get_remaining_time_in_millis()
            time.sleep(event["seconds"])
            return [first, context.get_remaining_time_in_millis()]
        case "sleep":
            time.sleep(event["seconds"])
        case "wait":  # until a file appears
            while not Path(event["for"]).exists():
                time.sleep(0.005)
        case "raise":
            raise LookupError("no such thing: \udcff é")
        case "unserialisable":
            return {1, 2}
        case "large":
            return "x" * event["bytes"]
        case "exit":
            threading.Thread(target=time.sleep, args=(60,)).start()
            sys.exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fork" | "fork and sleep":  # a grandchild that keeps every descriptor, then a crash or a time-out
            grandchild = os.fork()
            if grandchild == 0:
                time.sleep(60)
                os._exit(0)
            _note(journal, {"grandchild": grandchild, "at": time.monotonic()})
            if event["do"] == "fork":
                os._exit(9)
            time.sleep(60)
        case "env":
            return dict(os.environ)
    _note(journal, {"end": event.get("name"), "pid": os.getpid(), "at": time.monotonic()})
    return {"pid": os.getpid(), "threads": threading.active_count()}


def other(event: dict[str, Any], context: Any) -> Any:
    """The same, as another function."""
    return act(event, context)


def http(event: dict[str, Any], _context: Any) -> Any:
    """Answer an HTTP event as the header x-do says; by default with the event itself."""
    headers = event["headers"]
    match headers.get("x-do"):
        case "result":  # return this JSON
            return json.loads(headers["x-result"])
        case "sleep":
            time.sleep(float(headers["x-seconds"]))
            Path(headers["x-file"]).touch()
        case "crash":
            os._exit(7)
        case "raise":
            raise ValueError("postgres://app:secret@127.0.0.1/app")
        case "body":  # give the body back, byte for byte
            body = event.get("body") or ""
            raw = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
            return {
                "statusCode": 200,
                "headers": {"Content-Type": "application/octet-stream"},
                "body": base64.b64encode(raw).decode(),
                "isBase64Encoded": True,
            }
    return {"statusCode": 200, "body": json.dumps(event)}


def queue(event: dict[str, Any], _context: Any) -> Any:
    """Note each message's body in the file it names; fail those that say so."""
    failed = []
    for record in event["Records"]:
        order = json.loads(record["body"])
        _note(order["journal"], {"batch": len(event["Records"]), "order": order, "record": record})
        if order.get("do") == "wait":
            while not Path(order["for"]).exists():
                time.sleep(0.005)
        if order.get("do") == "fail":
            failed.append({"itemIdentifier": record["messageId"]})
        if order.get("do") == "raise":
            raise ValueError("the whole batch")
        if order.get("do") == "answer":
            return order["answer"]
    return {"batchItemFailures": failed}


def _note(journal: str | None, entry: dict[str, Any]) -> None:
    if journal:
        with Path(journal).open("a") as file:
            file.write(json.dumps(entry) + "\n")


def read_notes(journal: Path) -> list[dict[str, Any]]:
    """What handlers have noted so far."""
    return [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
