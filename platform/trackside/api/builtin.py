"""The kernel's own API: who am I, and which environments are there."""

import msgspec

from trackside.api import Api, Call
from trackside.workspace import environments

api = Api("workspace", title="Workspace")


class EnvironmentOut(msgspec.Struct):
    """An environment of the workspace."""

    slug: str
    name: str
    current: bool
    """Whether the key belongs to it."""


class EnvironmentsOut(msgspec.Struct):
    """Every environment, in the order they are shown."""

    items: list[EnvironmentOut]


class WhoAmI(msgspec.Struct):
    """The key behind a call."""

    key_id: int
    name: str
    kind: str
    environment: str
    scopes: list[str]


@api.get("/environments", example=EnvironmentsOut([EnvironmentOut("production", "Production", current=True)]))
def list_environments(call: Call) -> EnvironmentsOut:
    """List the environments of the workspace."""
    found = environments(call.session)
    return EnvironmentsOut([EnvironmentOut(each.slug, each.name, each.id == call.env_id) for each in found])


@api.get("/whoami", example=WhoAmI(12, "Deploy script", "admin", "production", ["customers:read"]))
def whoami(call: Call) -> WhoAmI:
    """Tell what the key is and what it may do."""
    key = call.key
    slugs = {each.id: each.slug for each in environments(call.session)}
    return WhoAmI(key.key_id, key.name, key.kind, slugs.get(key.env_id, ""), sorted(key.scopes))
