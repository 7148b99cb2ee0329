"""The form of an endpoint. What it says is checked again by the service, which knows the rules."""

from flask_wtf import FlaskForm
from wtforms import HiddenField, SelectMultipleField, StringField

from trackside.auth.forms import choices
from trackside.module import WebhookType
from trackside.webhooks.models import EVERYTHING


class EndpointForm(FlaskForm):  # type: ignore[misc]
    """Whom to tell what."""

    name = StringField("Name", description="What you call whoever listens there.")
    url = StringField("Address", description="A public https:// address, called with POST; redirects are not followed.")
    types = SelectMultipleField("Events")
    version = HiddenField()

    def offer(self, known: dict[str, WebhookType]) -> None:
        """Let one choose of what can be told."""
        pairs = [(each.type, f"{each.title} \u00b7 {each.type}") for each in known.values()]
        self.types.choices = choices([(EVERYTHING, "Everything, also what will be added"), *pairs])
