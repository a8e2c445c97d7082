"""Reading a CloudFormation template: which resources there are, and what one refers to."""

from collections.abc import Iterator
from typing import Any

Resources = dict[str, dict[str, Any]]


def of_type(resources: Resources, kind: str) -> Resources:
    """The resources of one type, by logical id."""
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def properties(resources: Resources, kind: str) -> list[dict[str, Any]]:
    """The properties of the resources of one type."""
    return [resource["Properties"] for resource in of_type(resources, kind).values()]


def referred(value: Any) -> Iterator[str]:
    """The logical ids that a value refers to, by Ref or Fn::GetAtt."""
    if isinstance(value, list):
        for item in value:
            yield from referred(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "Ref":
                yield item
            elif key == "Fn::GetAtt":
                yield item[0]
            else:
                yield from referred(item)


def functions_by_name(resources: Resources) -> dict[str, str]:
    """Function name of `infra.specs` → logical id of the function."""
    functions = of_type(resources, "AWS::Lambda::Function")
    return {function["Properties"]["Description"].split(": ")[1]: name for name, function in functions.items()}


def aliases_by_name(resources: Resources) -> dict[str, str]:
    """Function name of `infra.specs` → logical id of its alias."""
    names = {logical: name for name, logical in functions_by_name(resources).items()}
    aliases = of_type(resources, "AWS::Lambda::Alias")
    return {names[alias["Properties"]["FunctionName"]["Ref"]]: logical for logical, alias in aliases.items()}
