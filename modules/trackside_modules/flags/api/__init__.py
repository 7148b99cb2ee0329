"""Flags in the management API. A key sees its own environment's states alone; flags themselves are the workspace's."""

from trackside.api import Api

api = Api("flags", title="Flags")
READ, WRITE = "flags:read", "flags:write"
DEFINE, APPROVE = "flags:define", "flags:approve"

from trackside_modules.flags.api import changes, documents, flags, requests  # noqa: E402 - they declare on `api`

__all__ = ["APPROVE", "DEFINE", "READ", "WRITE", "api", "changes", "documents", "flags", "requests"]
