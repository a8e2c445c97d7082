"""What the published description says can be asked, and how an answer to it must look."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from infra.openapi import TARGET
from minirag.runtime.problem import MEDIA_TYPE

# A JSON Schema, or another part of the description.
Json = dict[str, Any]
AnyOperation = APIOperation[Any, Any, Any, Any]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_SHARED: Final = "#/components/schemas/"


@dataclass(frozen=True)
class Operation:
    """One operation of the description; `parsed` is what cases are generated from."""

    method: str
    path: str
    # Hypothesis writes down what it draws from.
    definition: Json = field(repr=False)
    components: Json = field(repr=False)
    default_security: list[Json] = field(repr=False)
    parsed: AnyOperation = field(repr=False)

    @property
    def label(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def parameters(self) -> list[str]:
        """Names of the path parameters."""
        return _PARAMETER.findall(self.path)

    @property
    def query_names(self) -> list[str]:
        return [one["name"] for one in self.definition.get("parameters", []) if one["in"] == "query"]

    @property
    def takes_key(self) -> bool:
        """Whether an API key is a credential for this operation."""
        security = self.definition.get("security", self.default_security)
        return any("key" in requirement for requirement in security)

    @cached_property
    def bodies(self) -> dict[str, Json]:
        """The schema of the body by media type."""
        content: Mapping[str, Json] = self.definition.get("requestBody", {}).get("content", {})
        return {media_type: self.resolve(entry.get("schema", {})) for media_type, entry in content.items()}

    @property
    def can_be_wrong(self) -> bool:
        """Whether anything is described that a request could contradict."""
        return bool(self.definition.get("parameters") or self.bodies)

    def resolve(self, schema: Json) -> Json:
        """A schema itself, if this one only refers to it."""
        while "$ref" in schema:
            schema = self.components["schemas"][schema["$ref"].removeprefix(_SHARED)]
        return schema

    def undeclared(self, response: httpx.Response) -> str | None:
        """How a response differs from what is declared, if it does.

        Errors are held to their schema only where the description declares them as problem documents.
        """
        declared: Json = self.definition["responses"]
        known = declared.get(str(response.status_code), declared.get("default"))
        if response.is_error and (known is None or MEDIA_TYPE not in known.get("content", {})):
            return None
        if known is None:
            return f"status {response.status_code} is not declared; these are: {', '.join(declared)}"
        # The request that was sent may be one that no library takes apart; the answer's schema does not depend on it.
        plain = httpx.Response(
            response.status_code,
            headers=response.headers,
            content=response.content,
            request=httpx.Request(self.method, "https://minirag.test/"),
        )
        plain.elapsed = timedelta()
        try:
            self.parsed.validate_response(plain)
        except FailureGroup as group:
            return "; ".join(f"{failure.title}: {failure.message}" for failure in group.exceptions)
        return None


def _operations() -> Iterator[Operation]:
    description = json.loads(TARGET.read_text("utf-8"))
    schema = schemathesis.openapi.from_dict(description, config=SchemathesisConfig())
    # The harness sends a credential that works: what lies behind it is to be reached.
    schema.config.generation.update(with_security_parameters=False)
    for result in schema.get_all_operations():
        if not isinstance(result, Ok):
            raise result.err()
        parsed = result.ok()
        yield Operation(
            method=parsed.method.upper(),
            path=parsed.path,
            definition=description["paths"][parsed.path][parsed.method.lower()],
            components=description["components"],
            default_security=description.get("security", []),
            parsed=parsed,
        )


OPERATIONS: Final = tuple(_operations())
