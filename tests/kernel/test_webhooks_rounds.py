"""How long an endpoint's messages are sent before others have their turn."""

from datetime import timedelta

import pytest

from trackside.auth.audit import COMMAND_LINE
from trackside.clock import FrozenClock
from trackside.jobs.models import Task
from trackside.runtime import Runtime
from trackside.webhooks import Happened, publish, sending, service
from trackside.webhooks.models import Delivery
from trackside.webhooks.publishing import ring
from trackside.webhooks.service import Wanted


@pytest.mark.parametrize(("other_waits", "sent"), [(False, 23), (True, 3)])
def test_a_round_ends_early_only_where_others_wait(
    runtime: Runtime, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, other_waits: bool, sent: int
) -> None:
    now = clock.now()
    with runtime.database.session() as session:
        wanted = Wanted("Receiver", "https://receiver.example/", ["*"])
        number = service.add(session, wanted, runtime.settings.secret_key, who=COMMAND_LINE, now=now)[0].id
    with runtime.database.session() as session:
        publish(
            session, [Happened("support.interaction.created", {"number": each, "seq": 1}, now) for each in range(30)]
        )
        if other_waits:
            ring(session, number + 1)
        # its own bell is no reason to end
        session.query(Task).update({"not_before": now})
    tried = []

    def slow(_runtime: Runtime, it: Delivery) -> sending.Outcome:
        clock.advance(timedelta(seconds=2))
        tried.append(it.id)
        return sending.Outcome(200, "", 2000)

    monkeypatch.setattr(sending, "_try", slow)
    sending.push(runtime, number)
    assert len(tried) == sent
