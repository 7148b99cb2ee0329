"""The support log in the management API. Interactions belong to the workspace: a key of any environment reads them."""

from trackside.api import Api

api = Api("support", title="Support")
READ, WRITE = "support:read", "support:write"

from trackside_modules.support.api import acts, exports, interactions  # noqa: E402 - they declare on `api`

__all__ = ["READ", "WRITE", "acts", "api", "exports", "interactions"]
