"""A tenant with one of everything that a route can name, and a credential for every caller."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg

from minirag.runtime import settings
from minirag.runtime.settings import SigningKey
from minirag.tenancy import browser, tokens
from minirag.tenancy.api_keys import new_key
from minirag.tenancy.credentials import ISSUER
from tests.authorization.callers import CALLERS, CHIEF, PEOPLE, STRANGER, Caller, Person

EPOCH: Final = 3
_MALFORMED: Final = "mrag_" + "0" * 38
_FORGED: Final = (SigningKey("test", "0" * 64),)

_ORGANIZATION: Final = (
    "INSERT INTO organizations (id, name, slug, billing_status) VALUES (%s, 'Test', gen_random_uuid(), 'active')"
)
_WORKSPACE: Final = "INSERT INTO workspaces (organization_id, id, name) VALUES (%s, %s, 'Test')"
_USER: Final = "INSERT INTO users (id, email, role, status, session_epoch) VALUES (%s, %s, %s, %s, %s)"
_IN_ORGANIZATION: Final = "INSERT INTO user_organizations (organization_id, user_id, role) VALUES (%s, %s, %s)"
_IN_WORKSPACE: Final = (
    "INSERT INTO workspace_members (organization_id, workspace_id, user_id, role) VALUES (%s, %s, %s, %s)"
)
_SOURCE: Final = """
INSERT INTO sources (workspace_id, id, user_id, name, uri, status) VALUES (%s, %s, %s, 'Note', 'text:Note', 'ready')
"""
_TEXT: Final = """
INSERT INTO source_texts (workspace_id, source_id, part, start_offset, end_offset, content)
VALUES (%s, %s, 0, 0, 5, 'Valve')
"""
# Of a whole workspace, so that it can be tried again without any object.
_FAILED_JOB: Final = """
INSERT INTO jobs (workspace_id, id, kind, status, sequencer, name, uri, bytes, error_code, error_detail, finished_at)
VALUES (%s, %s, 'rebuild', 'failed', '', '', '', 0, 'worker_lost', 'Its worker was lost.', now())
"""
_ANSWER: Final = """
INSERT INTO answers (workspace_id, id, user_id, question, answer, outcome, score, provider, model, generation, k,
                     filters, passages, citations, source_ids, prompt_tokens, completion_tokens, embedding_tokens,
                     duration_ms)
VALUES (%s, %s, %s, 'What?', 'That.', 'answered', 1, 'extractive', '-', 0, 8, '{}', '[]', '[]', '{}', 0, 0, 0, 1)
"""
_INVITATION: Final = """
INSERT INTO invitations (organization_id, workspace_id, id, email, role, invited_by, expires_at)
VALUES (%s, %s, %s, %s, 'reader', %s, now() + interval '1 day')
"""
_KEY: Final = """
INSERT INTO api_keys (id, key_hash, prefix, user_id, workspace_id, scopes, revoked_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, CASE WHEN %s THEN now() END, CASE WHEN %s THEN now() - interval '1 second' END)
"""
_ENDED: Final = "INSERT INTO ended_sessions (id, user_id, ends_at) VALUES (%s, %s, now() + interval '7 days')"


@dataclass(frozen=True, slots=True)
class House:
    """A tenant: `own` are the ids that are somebody's own, by the name of the person; `people` the users."""

    shared: Mapping[str, str]
    own: Mapping[str, Mapping[str, str]]
    people: Mapping[str, UUID]
    keys: Mapping[str, str]
    ended_session: UUID

    def ids(self, person: Person) -> dict[str, str]:
        """What the example's names stand for in a request of this person's; `new` is nobody's yet."""
        return {**self.shared, **self.own[person.name], "new": uuid4().hex}

    def headers(self, caller: Caller) -> dict[str, str]:
        """The credential of a caller, and what their browser says."""
        headers = dict(caller.headers)
        if caller.by == "session":
            headers["Cookie"] = browser.set_cookie(browser.SESSION, self._token(caller), seconds=1).partition(";")[0]
        if caller.fault == "malformed":
            headers["X-API-Key"] = _MALFORMED
        elif caller.by == "key" and caller.fault != "nothing":
            headers["X-API-Key"] = self.keys[caller.name]
        return headers

    def _token(self, caller: Caller) -> str:
        signing, fault = settings.current().session_keys, caller.fault
        made = datetime.now(UTC) - timedelta(seconds=tokens.SESSION_SECONDS + 1 if fault == "over" else 0)
        user_id = uuid4() if fault == "unknown" else self.people[caller.person.name]
        epoch = EPOCH - 1 if fault == "old" else EPOCH
        session = tokens.new_session(user_id, email="-", role="user", epoch=epoch, now=made)
        if fault == "ended":
            session = replace(session, id=self.ended_session)
        return tokens.sign_session(session, _FORGED if fault == "forged" else signing, issuer=ISSUER)


def build(connection: psycopg.Connection[Any], *, documents: bool = True) -> House:
    """Make a tenant, its neighbour of which the stranger is the owner, and everybody."""
    organization, workspace, elsewhere = uuid4(), uuid4(), uuid4()
    neighbour, neighbours_workspace = uuid4(), uuid4()
    people = {person.name: uuid4() for person in PEOPLE}
    subject, source, job, invitation = uuid4(), uuid4(), uuid4(), uuid4()
    received = {person.name: uuid4() for person in PEOPLE}
    spare = {person.name: uuid4() for person in PEOPLE}
    answers = {person.name: uuid4() for person in PEOPLE if person.workspace_role is not None}
    ended_session = uuid4()
    keys, rows = _keys(people, workspace, elsewhere)
    rows += [
        (spare[one.name], new_key().key_hash, "mrag_spare", people[one.name], workspace, ["admin"], False, False)
        for one in PEOPLE
    ]
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_ORGANIZATION, [(organization,), (neighbour,)])
        cursor.executemany(
            _WORKSPACE, [(organization, workspace), (organization, elsewhere), (neighbour, neighbours_workspace)]
        )
        cursor.executemany(
            _USER, [*map(_user, PEOPLE, people.values()), (subject, _email(subject), "user", "active", 0)]
        )
        in_organization = [(organization, people[one.name], one.organization_role) for one in PEOPLE]
        in_organization += [(organization, subject, "member"), (neighbour, people[STRANGER.name], "owner")]
        cursor.executemany(_IN_ORGANIZATION, [row for row in in_organization if row[2] is not None])
        in_workspace = [(organization, workspace, people[one.name], one.member) for one in PEOPLE]
        in_workspace.append((organization, workspace, subject, "reader"))
        cursor.executemany(_IN_WORKSPACE, [row for row in in_workspace if row[3] is not None])
        if documents:
            cursor.execute(_SOURCE, (workspace, source, people[CHIEF.name]))
            cursor.execute(_TEXT, (workspace, source))
        cursor.execute(_FAILED_JOB, (workspace, job))
        given = [(workspace, answer, people[name]) for name, answer in answers.items()]
        cursor.executemany(_ANSWER, [*given, (workspace, uuid4(), subject)])
        sent = [(organization, workspace, invitation, "somebody@example.com", people[CHIEF.name])]
        sent += [
            (neighbour, neighbours_workspace, received[name], _email(user), people[STRANGER.name])
            for name, user in people.items()
        ]
        cursor.executemany(_INVITATION, sent)
        cursor.executemany(_KEY, rows)
        cursor.execute(_ENDED, (ended_session, people[CHIEF.name]))
    shared = {
        "organization_id": organization, "workspace_id": workspace, "user_id": subject, "source_id": source,
        "job_id": job, "invitation_id": invitation, "email": _email(subject),
    }  # fmt: skip
    own = {
        # What the stranger names is the chief's; so is the answer that those name who could get none.
        person.name: {
            "key_id": str(spare[_named_by(person).name]), "received_id": str(received[_named_by(person).name]),
            "answer_id": str(answers.get(person.name, answers[CHIEF.name])),
        }
        for person in PEOPLE
    }  # fmt: skip
    return House({name: str(value) for name, value in shared.items()}, own, people, keys, ended_session)


def _named_by(person: Person) -> Person:
    return CHIEF if person == STRANGER else person


def _email(user: UUID) -> str:
    return f"{user}@example.com"


def _user(person: Person, user: UUID) -> tuple[object, ...]:
    role, status = "admin" if person.platform_admin else "user", "suspended" if person.suspended else "active"
    return user, _email(user), role, status, EPOCH


def _keys(
    people: Mapping[str, UUID], workspace: UUID, elsewhere: UUID
) -> tuple[dict[str, str], list[tuple[object, ...]]]:
    """The key of every caller who has one, and the rows of those that are stored."""
    keys: dict[str, str] = {}
    rows: list[tuple[object, ...]] = []
    places = {None: None, "here": workspace, "elsewhere": elsewhere}
    for caller in CALLERS:
        if caller.by != "key" or caller.fault in {"nothing", "malformed"}:
            continue
        made = new_key()
        keys[caller.name] = made.key
        user, tied = people[caller.person.name], places[caller.tied]
        revoked, expired = caller.fault == "revoked", caller.fault == "expired"
        if caller.fault != "unknown":
            rows.append((uuid4(), made.key_hash, made.prefix, user, tied, list(caller.scopes), revoked, expired))
    return keys, rows
