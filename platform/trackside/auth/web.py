"""Signing in and out."""

from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue
from flask_login import LoginManager

from trackside.web.policy import public, signed_in

blueprint = Blueprint("auth", __name__)


@blueprint.get("/sign-in")
@public("one cannot be signed in yet")
def sign_in() -> ResponseReturnValue:
    """Show the sign-in form."""
    return "sign in"


@blueprint.get("/profile")
@signed_in
def profile() -> ResponseReturnValue:
    """Show the member's own profile."""
    return "profile"


def install(app: Flask) -> None:
    """Connect Flask-Login to our server-side sessions."""
    manager = LoginManager(app)
    manager.user_loader(lambda token: None)
    app.register_blueprint(blueprint)
