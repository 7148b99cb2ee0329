"""Who is asking: the API key of a request, as plain values."""

from dataclasses import dataclass

from trackside.errors import NotAllowed

KINDS = ("server", "ingest", "client", "admin")
"""Kinds of key: a backend, a sender of usage, a public client that evaluates flags, the management API."""


@dataclass(frozen=True, slots=True)
class KeyPrincipal:
    """A valid API key, as the lane and the API see it."""

    key_id: int
    env_id: int
    kind: str
    """`server`, `ingest`, `client` or `admin`."""
    scopes: frozenset[str] = frozenset()
    """What an admin key may do; the others have none."""
    name: str = ""
    environment: str = ""
    """The slug of its environment."""

    def check(self, kinds: frozenset[str], scope: str | None = None) -> None:
        """Raise NotAllowed unless the key is of one of `kinds` and, where a `scope` is asked, carries it."""
        if self.kind not in kinds:
            wanted = " or ".join(kind for kind in KINDS if kind in kinds)
            raise NotAllowed(f"This takes a key of kind {wanted}; yours is of kind {self.kind}.")
        if scope is not None and self.kind == "admin" and scope not in self.scopes:
            raise NotAllowed(f"This key lacks the scope {scope}. Make a key that carries it under Settings, API keys.")
