"""The blueprint `auth`, which signing in and the profile share."""

from flask import Blueprint

blueprint = Blueprint("auth", "trackside.auth")
