"""Two tenants with a row in every table, and the catalog of the tables."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from local.postgres import Postgres
from tests.isolation import catalog as catalogs
from tests.isolation.catalog import Catalog
from tests.isolation.filling import fill
from tests.tenants import TestTenant

Pair = tuple[TestTenant, TestTenant]


@pytest.fixture
def catalog(superuser: psycopg.Connection[Any]) -> Catalog:
    return catalogs.read(superuser)


@pytest.fixture(scope="session")
def made() -> list[Pair]:
    """The pair, once it is made."""
    return []


@pytest.fixture
def pair(
    made: list[Pair],
    make_tenant: Callable[..., TestTenant],
    api: httpx.Client,
    deliver: Callable[[], object],
    superuser: psycopg.Connection[Any],
    postgres: Postgres,
) -> Pair:
    """The same two tenants for all tests of this folder, which leave their rows as they are."""
    if not made:
        one, other = make_tenant(), make_tenant()
        for tenant in (one, other):
            fill(tenant, api, deliver, superuser, postgres.superuser_url)
        made.append((one, other))
    return made[0]
