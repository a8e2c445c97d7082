"""Promise 1: row-level security is enabled and forced on every tenant table, and nothing gets around it."""

from typing import Any, Final

import psycopg

from tests.isolation.catalog import Catalog

# Unique across tenants, and why that tells nobody of another's row.
GLOBAL: Final = {
    "api_keys_key_hash_key": "the hash of 190 random bits",
    "audit_chain_audit_id_key": "out of the application's reach",
    "audit_chain_pkey": "out of the application's reach",
    "audit_log_pkey": "counted up by the database, never named in an INSERT",
    "organization_billing_events_event_id_key": "Stripe's, written by record_billing_event alone",
    "organizations_slug_key": "ends in random digits",
    "organizations_stripe_customer_id_key": "Stripe's",
    "organizations_stripe_subscription_id_key": "Stripe's",
    "used_login_states_pkey": "out of the application's reach",
    "user_identities_pkey": "out of the application's reach",
    "user_identities_user_id_issuer_key": "out of the application's reach",
    "users_email": "the application makes no users: sign_in and create_user do",
}


def test_row_level_security_is_enabled_and_forced_on_every_tenant_table(catalog: Catalog) -> None:
    protected = [table.name for table in catalog.tables.values() if table.protected]
    print(f"row-level security enabled and forced: {len(protected)} of {len(catalog.tables)} tenant tables")
    assert len(protected) > 20
    assert protected == list(catalog.tables)
    assert {table.owned_by for table in catalog.tables.values()} == {"minirag_owner"}


def test_the_application_role_owns_nothing_and_bypasses_nothing(superuser: psycopg.Connection[Any]) -> None:
    role = superuser.execute(
        "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication FROM pg_roles "
        "WHERE rolname = 'minirag_app'"
    ).fetchone()
    assert role == (False, False, False, False, False)
    for count in (
        "SELECT count(*) FROM pg_shdepend WHERE refobjid = 'minirag_app'::regrole AND deptype = 'o'",
        "SELECT count(*) FROM pg_auth_members WHERE member = 'minirag_app'::regrole",
        """SELECT count(*) FROM information_schema.role_table_grants
           WHERE table_schema = 'public' AND grantee IN ('minirag_app', 'PUBLIC')
             AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')""",
        "SELECT has_database_privilege('minirag_app', current_database(), 'CREATE')::integer",
        "SELECT has_schema_privilege('minirag_app', 'public', 'CREATE')::integer",
    ):
        assert superuser.execute(count.encode()).fetchone() == (0,), count


def test_nothing_is_readable_but_tables_under_row_level_security(superuser: psycopg.Connection[Any]) -> None:
    # A view or a materialized view would show what its owner sees.
    found = superuser.execute(
        """SELECT relname FROM pg_class
           WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm', 'f', 'r', 'p')
             AND NOT (relrowsecurity AND relforcerowsecurity)
             AND has_any_column_privilege('minirag_app', oid, 'SELECT')"""
    ).fetchall()
    assert found == []


def test_no_unique_constraint_tells_of_another_tenants_row(catalog: Catalog) -> None:
    begun = {"workspace_id", "organization_id"}
    reaching = {one.name for one in catalog.unique if one.columns[0] not in begun and not one.random}
    print(f"{len(catalog.unique)} unique constraints, {len(GLOBAL)} of them global by intent")
    assert reaching == set(GLOBAL)
