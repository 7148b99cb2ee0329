"""What trackers and code hosts post: GitHub and GitLab as they sign it, one's own scripts by Standard Webhooks."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from flask import jsonify, request
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import BadRequest, InputError, NotAuthenticated, TooLarge
from trackside.web.current import current_runtime
from trackside.web.policy import public
from trackside_modules.support import tracking, words
from trackside_modules.support.service import trackers
from trackside_modules.support.tracking import Told
from trackside_modules.support.web.hooks import blueprint, check

MOST_BYTES = 5 << 20
_LONGEST_ID = 255


@blueprint.post("/work/<int:tracker_id>")
@public("the tracker signs what it posts with the secret it was given")
def work(tracker_id: int) -> ResponseReturnValue:
    """Take in what a tracker tells, once a delivery; answer what was linked, shipped and not known here."""
    if (request.content_length or 0) > MOST_BYTES:
        raise TooLarge(f"{MOST_BYTES >> 20} MB at most.")
    request.max_content_length = MOST_BYTES
    raw = request.get_data(cache=False)
    session, now = db.session(), current_runtime().clock.now()
    it = trackers.get(session, tracker_id)
    delivery_id = _checked(trackers.secrets_of(it, current_runtime().settings.secret_key, now), raw)
    news = trackers.take(session, it, delivery_id, _told(_json(raw)), now=now)
    session.commit()
    return jsonify(
        duplicate=news.duplicate,
        linked=[words.ref(each) for each in news.linked],
        shipped=[words.ref(each) for each in news.shipped],
        unknown=[words.ref(each) for each in news.unknown],
        why=news.why,
    )


def _checked(secrets: list[str], raw: bytes) -> str:
    """Return the delivery's id; raises NotAuthenticated where the body was not signed with one of `secrets`.

    GitHub signs the body alone: what is in it is what tells two deliveries apart, not the id beside it.
    """
    given, digest = request.headers, hashlib.sha256(raw).hexdigest()
    if "X-GitHub-Event" in given:
        signed = given.get("X-Hub-Signature-256", "").encode()
        wanted = [f"sha256={hmac.new(each.encode(), raw, hashlib.sha256).hexdigest()}".encode() for each in secrets]
        found, delivery_id = signed, digest
    elif "X-Gitlab-Event" in given:
        found, wanted = given.get("X-Gitlab-Token", "").encode(), [each.encode() for each in secrets]
        delivery_id = given.get("Idempotency-Key") or given.get("X-Gitlab-Event-UUID", "")
    else:
        check(secrets, raw)
        return given["webhook-id"]
    if not any(hmac.compare_digest(found, each) for each in wanted):
        raise NotAuthenticated("The signature is not of this body by the secret of this tracker.")
    return delivery_id if 0 < len(delivery_id) <= _LONGEST_ID and delivery_id.isprintable() else digest


def _json(raw: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("This is no JSON: choose application/json as the content type.") from None
    if not isinstance(found, Mapping):
        raise InputError("Send one JSON object.")
    return found


def _told(data: Mapping[str, Any]) -> Told:
    if event := request.headers.get("X-GitHub-Event"):
        return tracking.read_github(event, data)
    return tracking.read_gitlab(data) if "X-Gitlab-Event" in request.headers else tracking.read_plain(data)
