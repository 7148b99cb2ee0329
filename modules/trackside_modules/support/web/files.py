"""Attachments go out as downloads, never as pages."""

from pathlib import Path

from flask import send_file
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import NotFound
from trackside.web.current import current_runtime
from trackside.web.policy import require
from trackside_modules.support.attachments import folder_of, open_kept
from trackside_modules.support.models import File
from trackside_modules.support.web.base import VIEW, blueprint


def folder() -> Path:
    """Return where attachments are kept: outside of what the web serves."""
    return folder_of(current_runtime().settings)


@blueprint.get("/files/<int:file_id>")
@require(VIEW)
def file(file_id: int) -> ResponseReturnValue:
    """Send an attachment to be kept; no browser opens it as a page of ours."""
    row = db.session().get(File, file_id) if file_id < 1 << 63 else None
    if row is None or row.interaction_id is None:
        raise NotFound("There is no such file.")
    kept = open_kept(folder(), row)
    response = send_file(kept, mimetype="application/octet-stream", as_attachment=True, download_name=row.name)
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "no-store"
    return response
