"""Webhooks: what happened, told to other programs, signed as Standard Webhooks are.

A module declares what it tells (`webhooks=(WebhookType("support.interaction.created", "...", "...:data"),)`) and says
in the transaction of the change that it happened: `publish(session, [Happened(type, ref, at)])`. A delivery for each
endpoint that wants it is written with the change, so nothing is lost; a job sends them (see `sending`). A delivery
holds `ref`, a few ids, and no words: what is sent is made of it when it is sent, so an erased customer is in none.
"""

from trackside.webhooks.publishing import Happened, publish

__all__ = ["Happened", "publish"]
