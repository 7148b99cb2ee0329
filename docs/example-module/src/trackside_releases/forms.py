"""The module's form."""

from flask_wtf import FlaskForm
from wtforms import StringField
from wtforms.validators import InputRequired, Length

from trackside_releases.service import LONGEST


class ReleaseForm(FlaskForm):
    """Record a release."""

    version = StringField("Version", [InputRequired("Give the version."), Length(max=LONGEST)])
