"""Changing flags: one function a use case. Each takes the session first, and `who`, `now` and the `reason`."""

from trackside_modules.flags.service import edits, requests
from trackside_modules.flags.service.applying import apply
from trackside_modules.flags.service.create import TEMPLATES, Template, create
from trackside_modules.flags.service.definitions import archive, dependents, edit, restore
from trackside_modules.flags.service.environments import demand_approval
from trackside_modules.flags.service.erasing import purge
from trackside_modules.flags.service.promoting import promote, promoted
from trackside_modules.flags.service.reverting import at_version, revert
from trackside_modules.flags.service.states import Edit, change, get
from trackside_modules.flags.service.work import ApprovalNeeded, diff_of

__all__ = [
    "TEMPLATES",
    "ApprovalNeeded",
    "Edit",
    "Template",
    "apply",
    "archive",
    "at_version",
    "change",
    "create",
    "demand_approval",
    "dependents",
    "diff_of",
    "edit",
    "edits",
    "get",
    "promote",
    "promoted",
    "purge",
    "requests",
    "restore",
    "revert",
]
