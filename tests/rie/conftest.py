"""The functions in the emulator, with the variables that the CloudFormation template gives them."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import bundle
from infra.specs import EVERYWHERE, MAX_RECEIVES, Spec, spec_of
from local.moto import Moto
from tests.rie.emulator import Emulator, Packages

# What the operator puts into the settings' secret.
IN_THE_SECRET = ("MINIRAG_DATABASE_URL", "MINIRAG_STRIPE_WEBHOOK_SECRET")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages.build(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="session")
def lambda_variables(stack_env: dict[str, str], moto: Moto, packages: Packages) -> Callable[[Spec], dict[str, str]]:
    """What a function finds in its environment; the rest comes from the secret, as on AWS."""
    credentials = {name: value for name, value in stack_env.items() if name.startswith("AWS_")}
    client = boto3.client(
        "secretsmanager",
        endpoint_url=moto.endpoint,
        region_name=credentials["AWS_DEFAULT_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    content = json.dumps({name: stack_env[name] for name in IN_THE_SECRET})
    values = stack_env | {
        "MINIRAG_SECRET_ID": client.create_secret(Name="minirag/settings", SecretString=content)["ARN"],
        "MINIRAG_MAX_RECEIVES": str(MAX_RECEIVES),
    }
    # boto3 itself reads where AWS is.
    aws = credentials | {"AWS_ENDPOINT_URL": moto.endpoint}

    def of(spec: Spec) -> dict[str, str]:
        ranks = packages.folder / "functions" / spec.package / bundle.RANKS_FOLDER
        known = values | {"TIKTOKEN_CACHE_DIR": str(ranks)}
        return aws | {name: known[name] for name in (*EVERYWHERE, *spec.variables)}

    return of


@pytest.fixture(scope="module")
def emulated(
    packages: Packages, lambda_variables: Callable[[Spec], dict[str, str]]
) -> Iterator[Callable[[str], Emulator]]:
    """A function in the emulator, by name; started when first asked for, stopped with the module."""
    running: dict[str, Emulator] = {}
    with ExitStack() as stack:

        def of(name: str) -> Emulator:
            if name not in running:
                spec = spec_of(name)
                running[name] = stack.enter_context(Emulator(spec, packages, lambda_variables(spec)))
            return running[name]

        yield of


@pytest.fixture
def event() -> Callable[[str], dict[str, Any]]:
    """An event of events/, by the function's name."""

    def of(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((Path(bundle.ROOT) / "events" / f"{name}.json").read_text())
        return found

    return of
