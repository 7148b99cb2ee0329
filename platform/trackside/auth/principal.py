"""Who is asking: the API key of a request, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyPrincipal:
    """A valid API key, as the lane and the API see it."""

    key_id: int
    env_id: int
    kind: str
    """`server`, `ingest`, `client` or `admin`."""
    scopes: frozenset[str] = frozenset()
