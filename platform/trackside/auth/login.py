"""Flask-Login over our sessions: the id in the cookie is the session's token, nothing else is kept there."""

from functools import cache

from flask import Flask, request
from flask import session as cookie
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user

from trackside.auth import sessions
from trackside.auth.audit import Actor
from trackside.auth.models import Member
from trackside.auth.roles import permissions_of
from trackside.auth.sessions import Identity
from trackside.db import db
from trackside.errors import NotAuthenticated
from trackside.logs import REQUEST_ID
from trackside.runtime import Runtime
from trackside.web.current import current_runtime


class SignedIn(UserMixin):  # type: ignore[misc]
    """The member behind this request, and the session they came with: `current_user`."""

    def __init__(self, token: str, member: Member | Identity, session_id: int, permissions: frozenset[str]) -> None:
        self.token = token
        self.session_id = session_id
        self.permissions = permissions
        self.id = member.id
        self.email = member.email
        self.name = member.name
        self.role = member.role
        self.time_zone = member.time_zone

    def get_id(self) -> str:
        """Return what the cookie holds: the session's token."""
        return self.token

    def can(self, permission: str) -> bool:
        """Whether the member's role has `permission`."""
        return permission in self.permissions


def install(app: Flask) -> None:
    """Connect Flask-Login to the server-side sessions of `app`."""
    runtime: Runtime = app.extensions["trackside"]
    # A cookie is set when it changes, not with each answer; the session's own clock runs in the database.
    app.config["SESSION_REFRESH_EACH_REQUEST"] = False
    manager = LoginManager(app)
    manager.session_protection = None  # pyright: ignore[reportAttributeAccessIssue]  # the database knows which sessions live; addresses change while one travels
    permissions = cache(lambda role: permissions_of(runtime.registry, role))

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(token: str) -> SignedIn | None:
        found = sessions.identify(db.session(), token, runtime.clock.now(), sessions.lifetime(runtime.settings))
        if found is None:
            return None
        _note_seen(runtime, found)
        return SignedIn(token, found, found.session_id, permissions(found.role))


def sign_in_browser(member: Member) -> None:
    """Give this browser a new session of `member`; the one it had is over, and so is its CSRF token."""
    runtime = current_runtime()
    old = cookie.get("_user_id")
    if old:
        sessions.end(db.session(), old)
    cookie.clear()
    cookie.permanent = True
    token = sessions.open_session(
        db.session(),
        member,
        runtime.clock.now(),
        user_agent=request.user_agent.string,
        address=request.remote_addr or "",
    )
    db.session.flush()
    login_user(SignedIn(token, member, 0, permissions_of(runtime.registry, member.role)))


def sign_out_browser() -> None:
    """End this browser's session; its cookie is dead wherever it was copied to."""
    token = cookie.get("_user_id")
    if token:
        sessions.end(db.session(), token)
    logout_user()
    cookie.clear()


def actor() -> Actor:
    """Return the signed-in member as the audit log names them; raises NotAuthenticated for visitors."""
    if not current_user.is_authenticated:
        raise NotAuthenticated
    return Actor(current_user.email, current_user.id, None, request.remote_addr, request_id())


def visitor(name: str) -> Actor:
    """Return somebody who is not signed in as the audit log names them."""
    return Actor(name, address=request.remote_addr, request_id=request_id())


def request_id() -> str | None:
    """Return the id that the log has for this request, or None outside of one."""
    return REQUEST_ID.get() or None


def _note_seen(runtime: Runtime, who: Identity) -> None:
    now = runtime.clock.now()
    if who.seen_at <= now - sessions.SEEN_EVERY:
        # A transaction of its own: the page's own work may still be undone.
        with runtime.database.session() as session:
            sessions.note_seen(session, who.session_id, now)
