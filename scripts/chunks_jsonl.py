"""Chunks as JSON Lines, out of a workspace and into one.

    python -m scripts.chunks_jsonl export FILE [--embeddings]
    python -m scripts.chunks_jsonl import FILE

One object a line: `{"id", "source": {"type", "path"}, "content", "metadata": {…}, "embedding": […]}`. The address, the
key and the workspace come from MINIRAG_URL, MINIRAG_API_KEY and MINIRAG_WORKSPACE_ID (`.local/dev.env` has them), or
from the options. An import makes one document of the chunks of each `source.path`, in their order, without what
neighbours repeat, and indexes it as any other text: it is chunked and embedded anew, and given embeddings are not used.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

_PAGE: Final = 200
# Characters at the end of a chunk that the next may repeat.
_OVERLAP: Final = 2000
_LEAST_OVERLAP: Final = 20


class Api:
    """The HTTP API, for one key and workspace."""

    def __init__(self, url: str, key: str, workspace: str | None) -> None:
        if not url.startswith(("http://", "https://")):
            raise SystemExit(f"{url!r} is not an HTTP address.")
        self._url = url.rstrip("/")
        self._key = key
        self._workspace = {"workspace_id": workspace} if workspace else {}

    def get(self, path: str, **query: object) -> dict[str, Any]:
        """The answer to a GET."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call(Request(f"{self._url}/api/v1{path}?{urlencode(given | self._workspace)}"))  # noqa: S310

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a POST."""
        data = json.dumps(body | self._workspace).encode()
        request = Request(f"{self._url}/api/v1{path}", data, {"Content-Type": "application/json"})  # noqa: S310
        return self._call(request)

    def _call(self, request: Request) -> dict[str, Any]:
        request.add_header("X-API-Key", self._key)
        try:
            with urlopen(request, timeout=60) as response:  # noqa: S310  its scheme was checked
                answer: dict[str, Any] = json.load(response)
                return answer
        except HTTPError as error:
            raise SystemExit(f"{request.get_method()} {request.full_url}: {error.read().decode()}") from error
        except URLError as error:
            raise SystemExit(f"{self._url} cannot be reached: {error.reason}") from error

    def pages(self, path: str, **query: object) -> Iterator[dict[str, Any]]:
        """All items of a list."""
        cursor = None
        while True:
            page = self.get(path, limit=_PAGE, cursor=cursor, **query)
            yield from page["items"]
            if (cursor := page["next_cursor"]) is None:
                return


def export(api: Api, path: Path, *, embeddings: bool) -> int:
    """Write all chunks of the workspace; returns how many."""
    written = 0
    with path.open("w", encoding="utf-8") as lines:
        for source in api.pages("/sources"):
            query = {"embeddings": "true"} if embeddings else {}
            for chunk in api.pages(f"/sources/{source['id']}/chunks", **query):
                lines.write(json.dumps(line_of(source, chunk), ensure_ascii=False) + "\n")
                written += 1
    return written


def line_of(source: dict[str, Any], chunk: dict[str, Any]) -> dict[str, Any]:
    """A chunk in the format of the file."""
    return {
        "id": chunk["id"],
        "source": {"type": source["type"], "path": source["name"]},
        "content": chunk["content"],
        "metadata": {
            "user_id": chunk["user_id"], "workspace_id": chunk["workspace_id"], "source_id": source["id"],
            "ordinal": chunk["ordinal"], "start": chunk["start"], "end": chunk["end"], "page": chunk["page"],
            "section": chunk["section"], "language": source["language"], "tags": source["tags"],
        },
        "embedding": chunk["embedding"],
    }  # fmt: skip


def load(api: Api, path: Path) -> int:
    """Index the documents of a file; returns how many."""
    documents: dict[tuple[str, str], list[str]] = {}
    about: dict[tuple[str, str], dict[str, Any]] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                name, content, metadata = _chunk(line)
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                raise SystemExit(f"{path}, line {number} is no chunk: {error}") from error
            # Two documents may have one name.
            document = name, str(metadata.get("source_id") or "")
            documents.setdefault(document, []).append(content)
            about.setdefault(document, metadata)
    for (name, source_id), contents in documents.items():
        given = about[name, source_id]
        more = {key: given[key] for key in ("language", "tags") if given.get(key)}
        api.post("/ingest/text", {"title": name[-255:], "text": joined(contents), **more})
    return len(documents)


def _chunk(line: str) -> tuple[str, str, dict[str, Any]]:
    chunk = json.loads(line)
    name, content, metadata = chunk["source"]["path"], chunk["content"], chunk.get("metadata") or {}
    if not (isinstance(name, str) and isinstance(content, str) and isinstance(metadata, dict)):
        raise TypeError("path and content must be text, and metadata an object")
    return name, content, metadata


def joined(contents: list[str]) -> str:
    """Chunks as one text: what the next one repeats of the end of the one before is left out."""
    text = ""
    for content in contents:
        tail = text[-_OVERLAP:]
        most = min(len(tail), len(content))
        repeated = next((n for n in range(most, _LEAST_OVERLAP - 1, -1) if tail.endswith(content[:n])), 0)
        if repeated:
            text += content[repeated:]
        else:
            text += ("\n\n" if text else "") + content
    return text


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.chunks_jsonl", description="Export or import chunks.")
    parser.add_argument("command", choices=("export", "import"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--embeddings", action="store_true", help="export the vectors, too")
    parser.add_argument("--url", default=os.environ.get("MINIRAG_URL"))
    parser.add_argument("--key", default=os.environ.get("MINIRAG_API_KEY"))
    parser.add_argument("--workspace", default=os.environ.get("MINIRAG_WORKSPACE_ID"))
    given = parser.parse_args(arguments)
    if not given.url or not given.key:
        parser.error("MINIRAG_URL and MINIRAG_API_KEY must say where to, or --url and --key")
    api = Api(given.url, given.key, given.workspace)
    if given.command == "export":
        print(f"{export(api, given.file, embeddings=given.embeddings)} chunks were written.", file=sys.stderr)
    else:
        print(f"{load(api, given.file)} documents were sent; their jobs say when they are in.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
