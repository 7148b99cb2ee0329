"""All flags as one document, with their states here, and back."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from trackside.api import Call, Input
from trackside.auth.audit import key_actor
from trackside.errors import Conflict
from trackside_modules.flags.api import READ, WRITE, api
from trackside_modules.flags.api.flags import reaches_everywhere
from trackside_modules.flags.api.shapes import DIFF, FLAG, DiffOut, Reason
from trackside_modules.flags.document import FORMAT
from trackside_modules.flags.queries import exporting
from trackside_modules.flags.service import applying


class DocumentOut(msgspec.Struct):
    """Every flag by key, archived ones too."""

    format: str
    flags: dict[str, dict[str, Any]]


class Document(Input):
    """What flags shall be; what it does not name stays as it is."""

    flags: Annotated[dict[str, Any], Meta(description="By key, in the form of the export")]
    format: str = FORMAT
    dry_run: Annotated[bool, Meta(description="Say what would change, and change nothing")] = False
    prune: Annotated[bool, Meta(description="Archive the flags that the document does not name")] = False
    reason: Reason = ""


class StepOut(msgspec.Struct):
    """One thing that changed, or would."""

    key: str
    environment: str | None
    """Null: the flag itself."""
    what: str
    diff: list[DiffOut]


class Applied(msgspec.Struct):
    """What a document changed."""

    dry_run: bool
    changes: list[StepOut]


_FLAG = {"name": FLAG.name, "type": FLAG.type, "environments": {"production": FLAG.state}}
_DOCUMENT = DocumentOut(FORMAT, {FLAG.key: _FLAG})
_SENT = {"flags": {FLAG.key: {"environments": {"production": {"enabled": True}}}}, "dry_run": True}


@api.get("/flags:export", scope=READ, example=_DOCUMENT)
def export_flags(call: Call) -> DocumentOut:
    """Get all flags as one document, with their states in this environment."""
    return DocumentOut(**exporting.export(call.session, [call.env_id]))


@api.post(
    "/flags:apply",
    scope=WRITE,
    errors=(Conflict,),
    sends=_SENT,
    example=Applied(False, [StepOut(FLAG.key, "production", "applied", DIFF)]),
)
def apply_flags(call: Call, body: Document) -> Applied:
    """Make flags what a document says, in one piece; the same again changes nothing.

    The document may name this key's environment alone; what flags themselves are takes a key of production, or one with
    `flags:define`.
    """
    steps = applying.apply(
        call.session,
        {"format": body.format, "flags": body.flags},
        who=key_actor(call.key),
        now=call.runtime.clock.now(),
        reason=body.reason,
        dry=body.dry_run,
        prune=body.prune,
        env_ids=[call.env_id],
        everywhere=reaches_everywhere(call),
    )
    changes = [
        StepOut(each.key, each.environment, each.what, [DiffOut(**place) for place in each.diff]) for each in steps
    ]
    return Applied(body.dry_run, changes)
