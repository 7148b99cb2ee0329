"""The support log in the management API. Interactions belong to the workspace: a key of any environment reads them."""

from trackside.api import Api

api = Api("support", title="Support")
READ, WRITE, MANAGE = "support:read", "support:write", "support:manage"

from trackside_modules.support.api import acts, exports, interactions, trackers  # noqa: E402 - they declare on `api`

__all__ = ["MANAGE", "READ", "WRITE", "acts", "api", "exports", "interactions", "trackers"]
