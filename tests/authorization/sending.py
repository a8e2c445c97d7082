"""Sends the examples' requests, and tells whether anything has changed by them."""

from collections.abc import Mapping
from typing import Any, Final

import httpx
import psycopg

from tests.authorization.examples import Call

# What was tried in vain is written down in last_used_at and refused_at, which are no change.
_STATE: Final = """
SELECT count(*), sum(hashtextextended(row::text, 0)) FROM (
    SELECT (id, email, name, role, status, session_epoch)::text FROM users
    UNION ALL SELECT organizations::text FROM organizations
    UNION ALL SELECT workspaces::text FROM workspaces
    UNION ALL SELECT user_organizations::text FROM user_organizations
    UNION ALL SELECT workspace_members::text FROM workspace_members
    UNION ALL SELECT invitations::text FROM invitations
    UNION ALL SELECT (id, scopes, expires_at, revoked_at)::text FROM api_keys
    UNION ALL SELECT workspace_quota_settings::text FROM workspace_quota_settings
    UNION ALL SELECT ended_sessions::text FROM ended_sessions
    UNION ALL SELECT sources::text FROM sources
    UNION ALL SELECT jobs::text FROM jobs
    UNION ALL SELECT answers::text FROM answers
    UNION ALL SELECT answer_feedback::text FROM answer_feedback
) AS all_rows (row)
"""


def send(api: httpx.Client, call: Call, headers: Mapping[str, str]) -> httpx.Response:
    """Send a request as it stands."""
    if call.form:
        files = {"files": ("note.txt", b"The valve was closed.", "text/plain")}
        return api.request(call.method, call.path, params=call.query, data=call.body, files=files, headers=headers)
    return api.request(call.method, call.path, params=call.query, json=call.body, headers=headers)


def state(connection: psycopg.Connection[Any]) -> object:
    """A fingerprint of all that requests could change."""
    return connection.execute(_STATE).fetchone()
