"""Changing flags: one function a use case. Each takes the session first, and `who`, `now` and the `reason`."""

from trackside_modules.flags.service.create import TEMPLATES, Template, create
from trackside_modules.flags.service.states import change, get
from trackside_modules.flags.service.work import ApprovalNeeded

__all__ = ["TEMPLATES", "ApprovalNeeded", "Template", "change", "create", "get"]
