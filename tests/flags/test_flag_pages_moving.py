"""The pages of flags that move a change on: between environments, and by a second member's approval."""

import re
from collections.abc import Callable
from datetime import timedelta

from flask.testing import FlaskClient

from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.flags import service
from trackside_modules.flags.models import Flag, State

Flags = Callable[..., Flag]
Changes = Callable[..., State]
Browsers = Callable[..., FlaskClient]


def state(runtime: Runtime, flag: Flag, env_id: int = 1) -> State:
    with runtime.database.session() as session:
        found = session.get_one(State, (env_id, flag.id))
        session.expunge(found)
        return found


def test_a_ramp_is_promoted_as_far_as_it_is(
    flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers, clock: FrozenClock
) -> None:
    made, browser, now = flag("checkout"), signed_in_client("developer"), clock.now()
    change("checkout", service.edits.ramp([(now, 10_000), (now + timedelta(hours=1), 90_000)], now=now), env_id=2)
    page = browser.get(f"/flags/{made.id}/compare").text
    assert "10% of users get “on”, before 100%." in page
    assert "Steps to come in Staging stay there" in page
    form = dict(re.findall(r'name="(from|theirs|switch|version)" value="([^"]*)"', page)) | {"reason": "tested"}
    clock.advance(timedelta(hours=2))
    assert browser.post(f"/flags/{made.id}/promote", data=form).status_code == 409
    page = browser.get(f"/flags/{made.id}/compare").text
    assert "90% of users get “on”, before 100%." in page
    form["theirs"] = re.findall(r'name="theirs" value="([^"]*)"', page)[0]
    assert browser.post(f"/flags/{made.id}/promote", data=form).status_code == 302
    assert state(runtime, made).config["serve"] == {"rollout": 90_000, "split": [["on", 100_000]]}


def test_rules_are_promoted_between_environments(
    flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    change("checkout", {"enabled": True}, env_id=2)
    theirs = change("checkout", service.edits.rollout(10_000), env_id=2)
    page = browser.get(f"/flags/{made.id}/compare").text
    assert "10% of users get “on”, before 100%." in page
    slug = re.search(r'name="from" value="([^"]+)"', page)
    assert slug
    data = {"from": slug[1], "theirs": f"{theirs.version}.0", "version": "1", "reason": "tested", "switch": ""}
    assert browser.post(f"/flags/{made.id}/promote", data=data | {"theirs": "1"}).status_code == 409
    assert browser.post(f"/flags/{made.id}/promote", data=data).status_code == 302
    config = state(runtime, made).config
    assert (config["enabled"], config["serve"]["rollout"]) == (False, 10_000)


def test_where_approval_is_demanded_another_member_decides(
    flag: Flags, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, owner, developer = flag("checkout"), signed_in_client("owner"), signed_in_client("developer")
    assert developer.post("/flags/approvals", data={"env": "production", "demanded": "on"}).status_code == 403
    assert owner.post("/flags/approvals", data={"env": "production", "demanded": "on"}).status_code == 302
    answer = developer.post(f"/flags/{made.id}/switch", data={"on": "on", "version": "1", "reason": "launch"})
    assert answer.status_code == 302
    url = answer.headers["Location"].split("?")[0]
    assert state(runtime, made).config["enabled"] is False
    assert "It is switched on." in developer.get(url).text
    assert "checkout" in owner.get("/flags/requests").text
    assert developer.post(f"{url}/decide", data={"verdict": "approve"}).status_code == 403
    refused = owner.post(f"{url}/decide", data={"verdict": "refuse", "note": ""})
    assert refused.status_code == 422
    assert owner.post(f"{url}/decide", data={"verdict": "approve", "note": "go"}).status_code == 302
    assert state(runtime, made).config["enabled"] is True
    assert "checkout" in owner.get("/flags/requests?show=decided").text


def test_what_was_overtaken_cannot_be_approved(
    flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, owner, developer = flag("checkout"), signed_in_client("owner"), signed_in_client("developer")
    owner.post("/flags/approvals", data={"env": "production", "demanded": "on"})
    answer = developer.post(f"/flags/{made.id}/switch", data={"on": "on", "version": "1", "reason": "launch"})
    url = answer.headers["Location"].split("?")[0]
    change("checkout", service.edits.rollout(5_000), approved=True)
    assert owner.post(f"{url}/decide", data={"verdict": "approve"}).status_code == 412
    assert "overtaken" in owner.get(url).text.lower()
