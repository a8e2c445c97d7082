"""Who sends a request: everybody who could, each with what is wrong about them, if anything. Pure.

But for those whose role is what is asked about, a caller is the chief, who may do everything: whatever refuses them is
the one thing that their name says.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

from minirag.tenancy.roles import OrganizationRole, Scope, WorkspaceRole

Fault = Literal["nothing", "malformed", "unknown", "revoked", "expired", "suspended", "ended", "old", "over", "forged"]
"""What is wrong with a credential."""

ALL: Final[frozenset[Scope]] = frozenset({"read", "write", "admin"})
_SCOPES: Final[tuple[Scope, ...]] = ("read", "write", "admin")
ORIGIN: Final = "https://minirag.test"
_OTHER: Final = "https://elsewhere.test"
_OURS: Final = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, and what they are in the tenant that requests name; the stranger owns another one."""

    name: str
    organization_role: OrganizationRole | None = None
    member: WorkspaceRole | None = None
    platform_admin: bool = False
    suspended: bool = False

    @property
    def workspace_role(self) -> WorkspaceRole | None:
        """What they are in the workspace: owners and admins of the organization need not be members."""
        return "admin" if self.organization_role in {"owner", "admin"} else self.member


CHIEF: Final = Person("chief", "owner", platform_admin=True)
SUSPENDED: Final = Person("suspended", "owner", platform_admin=True, suspended=True)
OWNER: Final = Person("owner", "owner")
ORGANIZATION_ADMIN: Final = Person("organization-admin", "admin")
WORKSPACE_ADMIN: Final = Person("workspace-admin", "member", "admin")
EDITOR: Final = Person("editor", "member", "editor")
READER: Final = Person("reader", "member", "reader")
OUTSIDER: Final = Person("outsider", "member")
OPERATOR: Final = Person("operator", platform_admin=True)
STRANGER: Final = Person("stranger")

PEOPLE: Final = (
    CHIEF, SUSPENDED, OWNER, ORGANIZATION_ADMIN, WORKSPACE_ADMIN, EDITOR, READER, OUTSIDER, OPERATOR, STRANGER,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A credential of somebody's, and where it comes from.

    tied: the workspace that a key is confined to, the one that requests name or another of the same organization.
    headers: what a browser says of the page that sent the request; ours unless said otherwise.
    kind: whose column in docs/security.md this is, None for those that have none.
    """

    name: str
    kind: str | None
    person: Person = CHIEF
    by: Literal["key", "session"] = "key"
    fault: Fault | None = None
    scopes: frozenset[Scope] = ALL
    tied: Literal["here", "elsewhere"] | None = None
    headers: tuple[tuple[str, str], ...] = tuple(_OURS.items())

    @property
    def from_our_page(self) -> bool:
        """Whether a browser would say that a page of ours sent this, and nothing against it."""
        given = dict(self.headers)
        return bool(given) and all(_OURS[name] == value for name, value in given.items())


NO_CREDENTIAL: Final = "no, bad or ended credential"
OTHER_SITE: Final = "session, another site's page"
TIED_HERE: Final = "key tied here"
TIED_ELSEWHERE: Final = "key tied elsewhere"
OTHER_TENANT: Final = "another tenant's owner"


def _without_a_good_credential() -> Iterator[Caller]:
    kind = NO_CREDENTIAL
    yield Caller(name="anonymous", kind=kind, fault="nothing")
    yield Caller(name="malformed key", kind=kind, fault="malformed")
    yield Caller(name="malformed key beside a good session", kind=kind, by="session", fault="malformed")
    yield Caller(name="unknown key", kind=kind, fault="unknown")
    yield Caller(name="revoked key", kind=kind, fault="revoked")
    yield Caller(name="expired key", kind=kind, fault="expired")
    yield Caller(name="key of a suspended user", kind=kind, person=SUSPENDED, fault="suspended")
    yield Caller(name="session of a suspended user", kind=kind, person=SUSPENDED, by="session", fault="suspended")
    yield Caller(name="session of nobody", kind=kind, by="session", fault="unknown")
    yield Caller(name="session that was logged out", kind=kind, by="session", fault="ended")
    yield Caller(name="session of an older epoch", kind=kind, by="session", fault="old")
    yield Caller(name="session that is over", kind=kind, by="session", fault="over")
    yield Caller(name="session signed by somebody else", kind=kind, by="session", fault="forged")


def _from_other_sites() -> Iterator[Caller]:
    sent = {
        "session from another site": (("Origin", _OTHER), ("Sec-Fetch-Site", "cross-site")),
        "session from another origin": (("Origin", _OTHER),),
        "session from another origin of our site": (("Sec-Fetch-Site", "same-site"),),
        "session from no origin": (("Origin", "null"),),
        "session from another site under our name": (("Origin", ORIGIN), ("Sec-Fetch-Site", "cross-site")),
        "session from nowhere": (),
    }
    for name, headers in sent.items():
        yield Caller(name=name, kind=OTHER_SITE, by="session", headers=headers)


def _from_elsewhere_by_right() -> Iterator[Caller]:
    """A key needs no page of ours, a session either of the two headers."""
    yield Caller(
        name="key from another site", kind=None, headers=(("Origin", _OTHER), ("Sec-Fetch-Site", "cross-site"))
    )
    yield Caller(name="key from a program", kind=None, headers=())
    for name, value in _OURS.items():
        yield Caller(name=f"session with {name} alone", kind=None, by="session", headers=((name, value),))


def _by_scopes() -> Iterator[Caller]:
    for size in (1, 2):
        for scopes in combinations(_SCOPES, size):
            kind = f"key `{scopes[0]}`" if size == 1 else None
            yield Caller(name=f"key that may {' and '.join(scopes)}", kind=kind, scopes=frozenset(scopes))


def _by_role() -> Iterator[Caller]:
    kinds = {
        READER: "reader",
        EDITOR: "editor",
        WORKSPACE_ADMIN: "workspace admin",
        OUTSIDER: "member, not in the workspace",
        ORGANIZATION_ADMIN: "organization admin",
        OWNER: "owner",
        OPERATOR: "operator, no member",
        STRANGER: OTHER_TENANT,
        CHIEF: None,
    }
    for person, kind in kinds.items():
        yield Caller(name=f"key of {person.name}", kind=kind, person=person)
        yield Caller(name=f"session of {person.name}", kind=kind, person=person, by="session")


CALLERS: Final = (
    *_without_a_good_credential(),
    *_from_other_sites(),
    *_from_elsewhere_by_right(),
    *_by_scopes(),
    Caller(name="key tied to the workspace", kind=TIED_HERE, tied="here"),
    Caller(name="key tied to another workspace", kind=TIED_ELSEWHERE, tied="elsewhere"),
    *_by_role(),
)

KINDS: Final = tuple(dict.fromkeys(caller.kind for caller in CALLERS if caller.kind is not None))
"""The columns of docs/security.md."""
