"""What other programs post to the support log: mails, signed as Standard Webhooks are.

The signed text is `ID.TIMESTAMP.` and the body's bytes. The library that does this for others wants text, and mails are
bytes in any charset; it also reads the time from the machine.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta

from flask import Blueprint, jsonify, request
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue

from trackside.db import db
from trackside.errors import NotAuthenticated, NotFound, TooLarge
from trackside.text import whole_number
from trackside.web.current import current_runtime
from trackside.web.policy import public
from trackside_modules.support.service import mails

TOLERANCE = timedelta(minutes=5)
_LONGEST_ID = 255
_MOST_SIGNATURES = 10

blueprint = Blueprint("support_hooks", __name__, url_prefix="/hooks/support")


@blueprint.record_once
def _without_cookies(state: BlueprintSetupState) -> None:
    state.app.extensions["csrf"].exempt(blueprint)  # its callers sign, and send no cookie


@blueprint.post("/mail")
@public("the sender signs each mail with TRACKSIDE_MAIL_HOOK_SECRET")
def mail() -> ResponseReturnValue:
    """Keep a mail (RFC 822, the body as it is) and take it in; the same Message-ID again changes nothing."""
    secret = current_runtime().settings.mail_hook_secret
    if not secret:
        raise NotFound("No mails are taken here: set TRACKSIDE_MAIL_HOOK_SECRET.")
    if (request.content_length or 0) > mails.MOST_BYTES:
        raise TooLarge(f"A mail may have {mails.MOST_BYTES >> 20} MB at most.")
    request.max_content_length = mails.MOST_BYTES
    raw = request.get_data(cache=False)
    check([secret], raw)
    kept = mails.keep(db.session(), raw, now=current_runtime().clock.now())
    db.session.commit()
    return jsonify(duplicate=kept is None), 202


def sign(secret: str, message: str, timestamp: int, raw: bytes) -> str:
    """Return the signature of a body, as the header `webhook-signature` has it."""
    key = b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{message}.{timestamp}.".encode() + raw, hashlib.sha256).digest()
    return f"v1,{b64encode(made).decode()}"


def check(secrets: Sequence[str], raw: bytes) -> None:
    """Raise NotAuthenticated where the body was not signed with one of `secrets` within the last minutes."""
    message, sent = (request.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp"))
    given = request.headers.get("webhook-signature", "").split()[:_MOST_SIGNATURES]
    at = whole_number(sent, digits=11)
    if not given or not 0 < len(message) <= _LONGEST_ID or at is None:
        raise NotAuthenticated("Sign what you send: webhook-id, webhook-timestamp and webhook-signature are needed.")
    if abs(current_runtime().clock.now().timestamp() - at) > TOLERANCE.total_seconds():
        raise NotAuthenticated("The webhook-timestamp is not of the last five minutes: sign when you send.")
    wanted = [sign(secret, message, at, raw).encode() for secret in secrets]
    if not any(hmac.compare_digest(one, each.encode()) for one in wanted for each in given):
        raise NotAuthenticated("The signature is not of this body by our secret.")
