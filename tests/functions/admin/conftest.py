"""A provider at which people sign in, for the tests of the handlers; those of functions.admin.oidc have their own."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from tests.fakes.oidc_server import OidcServer
from tests.functions.admin.signing_in import Browser, Person, configured
from tests.tenants import TestTenant


@pytest.fixture(scope="session")
def oidc_server() -> Iterator[OidcServer]:
    with OidcServer() as started:
        yield started


@pytest.fixture
def provider(system: None, oidc_server: OidcServer) -> Iterator[OidcServer]:  # noqa: ARG001
    """A provider that behaves, at which people can sign in here."""
    with configured(oidc_server):
        yield oidc_server


@pytest.fixture
def sign_in(provider: OidcServer) -> Callable[[Person], Browser]:
    """A new browser in which this person has signed in."""
    return lambda person: Browser().sign_in(provider, person)


@pytest.fixture
def operator(tenant: TestTenant, superuser: psycopg.Connection[tuple[object, ...]]) -> TestTenant:
    """A tenant whose user operates the platform."""
    superuser.execute("UPDATE users SET role = 'admin' WHERE id = %s", (tenant.user_id,))
    return tenant
