"""The pages of flags: the list, a flag, its switch, its rules."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from flask.testing import FlaskClient

from trackside.auth.models import Member
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.flags import service
from trackside_modules.flags.models import Flag, State
from trackside_modules.flags.queries.board import Wanted, board

Flags = Callable[..., Flag]
Changes = Callable[..., State]
Browsers = Callable[..., FlaskClient]
PAGES = ("", "/targeting", "/who", "/history", "/code", "/settings", "/compare")


def state(runtime: Runtime, flag: Flag, env_id: int = 1) -> State:
    with runtime.database.session() as session:
        found = session.get_one(State, (env_id, flag.id))
        session.expunge(found)
        return found


def fields(html: str) -> dict[str, str]:
    """Return what the rules' form would send as it stands."""
    form = html[html.index('<form id="editor"') : html.rindex("</form>")]
    found = dict(re.findall(r'<input[^>]* name="([^"]+)"[^>]* value="([^"]*)"', form))
    for name, options in re.findall(r'<select[^>]* name="([^"]+)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', options) or re.search(
            r'<option value="([^"]*)"', options
        )
        assert chosen
        found[name] = chosen[1]
    return found


def test_the_list_is_empty_then_names_the_flags(flag: Flags, signed_in_client: Browsers) -> None:
    browser = signed_in_client("viewer")
    assert "No flags yet" in browser.get("/flags/").text
    flag("team/checkout", description="One page")
    page = browser.get("/flags/").text
    assert "team/<wbr>checkout" in page
    assert "off" in page
    assert "No flag matches" in browser.get("/flags/?q=nothing").text


def test_the_list_sorts_and_filters_by_how_flags_stand_now(
    flag: Flags, change: Changes, runtime: Runtime, clock: FrozenClock
) -> None:
    def keys(**wanted: Any) -> list[str]:
        with runtime.database.session() as session:
            found = board(session, 1, Wanted(**wanted), clock.now())
        assert found.total == len(found.rows)
        return [line.row.flag.key for line in found.rows]

    steps = [{"at": (clock.now() + timedelta(hours=1)).isoformat(), "rollout": 90_000}]
    shares = {"a": (True, 5_000, []), "b": (False, 70_000, []), "c": (True, 50_000, []), "d": (True, 1_000, steps)}
    for key, (enabled, rollout, ramp) in shares.items():
        flag(key)
        change(key, {"enabled": enabled, "serve": {"rollout": rollout, "split": [["on", 100_000]], "steps": ramp}})
        clock.advance(timedelta(minutes=1))
    assert keys(sort="rollout") == ["b", "d", "a", "c"]
    clock.advance(timedelta(hours=1))
    assert keys(sort="-rollout") == ["d", "c", "a", "b"]
    assert keys(state="on") == ["a", "c", "d"]
    assert keys(state="partly", sort="age") == ["d", "c", "a"]
    assert (keys(state="off"), keys(state="stale")) == (["b"], [])
    change("b", {"schedule": [{"at": clock.now().isoformat(), "enabled": True}]})
    assert (keys(state="off"), keys(sort="rollout")) == ([], ["a", "c", "b", "d"])


@pytest.mark.parametrize("role", ["viewer", "support", "developer", "owner"])
def test_every_page_of_a_flag_opens(flag: Flags, signed_in_client: Browsers, role: str) -> None:
    made, browser = flag("checkout", template="experiment"), signed_in_client(role)
    for path in PAGES:
        answer = browser.get(f"/flags/{made.id}{path}")
        assert answer.status_code == 200, path
        assert "checkout" in answer.text


def test_a_developer_switches_a_flag_with_a_reason(flag: Flags, runtime: Runtime, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    refused = browser.post(f"/flags/{made.id}/switch", data={"on": "on", "version": "1", "reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.text
    answer = browser.post(f"/flags/{made.id}/switch", data={"on": "on", "version": "1", "reason": "launch"})
    assert answer.status_code == 302
    assert state(runtime, made).config["enabled"] is True
    history = browser.get(f"/flags/{made.id}/history").text
    assert "launch" in history
    stale = browser.post(f"/flags/{made.id}/switch", data={"on": "off", "version": "1", "reason": "oops"})
    assert stale.status_code == 412
    assert state(runtime, made).config["enabled"] is True


@pytest.mark.parametrize("role", ["viewer", "support"])
def test_who_may_not_edit_sees_no_button_and_is_refused(flag: Flags, signed_in_client: Browsers, role: str) -> None:
    made, browser = flag("checkout"), signed_in_client(role)
    for path in PAGES:
        page = browser.get(f"/flags/{made.id}{path}").text
        assert "Switch on" not in page
        assert 'value="save"' not in page
    for path in ("switch", "rollout", "targeting", "settings", "archive", "restore", "revert", "promote"):
        assert browser.post(f"/flags/{made.id}/{path}", data={}).status_code == 403


def test_rules_are_added_previewed_and_saved(flag: Flags, runtime: Runtime, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout", template="release"), signed_in_client("developer")
    url = f"/flags/{made.id}/targeting"
    form = fields(browser.get(url).text) | {"do": "add rules"}
    form = fields(browser.post(url, data=form).text)
    form |= {
        "rules[0].name": "pro first",
        "rules[0].when[0].attribute": "plan",
        "rules[0].when[0].op": "in",
        "rules[0].when[0].values": 'pro, "42", 42',
        "rules[0].serve.rollout": "12.5",
    }
    preview = browser.post(url, data=form | {"do": "preview"}).text
    assert "12.5% of users where plan is one of “pro”, “42” or 42 get “on”." in preview
    answer = browser.post(url, data=form | {"do": "save", "reason": "first customers"})
    assert answer.status_code == 302, answer.text
    rule = state(runtime, made).config["rules"][0]
    assert rule["when"] == [{"attribute": "plan", "op": "in", "values": ["pro", "42", 42], "negate": False}]
    assert rule["serve"] == {"rollout": 12_500, "split": [["on", 100_000]]}


def test_a_wrong_rule_is_told_by_its_field_and_nothing_typed_is_lost(flag: Flags, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    url = f"/flags/{made.id}/targeting"
    form = fields(browser.post(url, data=fields(browser.get(url).text) | {"do": "add rules"}).text)
    form |= {"rules[0].when[0].attribute": "version", "rules[0].when[0].op": "semver_gt"}
    form |= {"rules[0].when[0].values": "two", "serve.rollout": "250", "do": "save", "reason": "why not"}
    answer = browser.post(url, data=form)
    assert answer.status_code == 422
    assert 'id="serve.rollout-error"' in answer.text
    assert 'value="250"' in answer.text
    form["serve.rollout"] = "25"
    answer = browser.post(url, data=form)
    assert answer.status_code == 422
    assert 'id="rules[0].when[0].values-error"' in answer.text
    assert 'value="two"' in answer.text
    assert 'value="why not"' in answer.text


def test_someone_elses_edit_keeps_what_was_typed(
    flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    url = f"/flags/{made.id}/targeting"
    form = fields(browser.get(url).text) | {"serve.rollout": "37", "do": "save", "reason": "mine"}
    change("checkout", {"enabled": True}, reason="theirs came first")
    answer = browser.post(url, data=form)
    assert answer.status_code == 412
    assert "theirs came first" in answer.text
    assert 'value="37"' in answer.text
    again = fields(answer.text) | {"do": "save"}
    assert browser.post(url, data=again).status_code == 302
    config = state(runtime, made).config
    assert (config["enabled"], config["serve"]["rollout"]) == (True, 37_000)


def test_a_form_that_is_not_whole_is_refused(flag: Flags, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    for data in ({"on": "on", "reason": "x"}, {"on": "on", "reason": "x", "version": "x"}, {"nonsense": "1"}):
        assert browser.post(f"/flags/{made.id}/switch", data=data).status_code == 422
    for path in ("/flags/999999", f"/flags/{2**70}"):
        assert browser.get(path).status_code == 404
    for query in ("?sort=x", "?state=x", "?owner=x", "?cursor=-1", "?q=%00"):
        assert browser.get(f"/flags/{query}").status_code == 422


def test_who_sees_this_tells_each_step(flag: Flags, change: Changes, signed_in_client: Browsers) -> None:
    made = flag("checkout")
    rule = {
        "id": "r1",
        "name": "pro",
        "when": [{"attribute": "plan", "op": "in", "values": ["pro"], "negate": False}],
        "serve": {"rollout": 100_000, "split": [["on", 100_000]]},
    }
    change("checkout", {"enabled": True, "rules": [rule], "serve": {"rollout": 0, "split": [["on", 100_000]]}})
    browser = signed_in_client("support")
    page = browser.get(f"/flags/{made.id}/who?user=u_42&with=plan+%3D+pro").text
    assert 'class="variant">on<' in page
    assert "Rule 1, “pro” is for this context" in page
    assert "Trackside has not met this id" in page
    other = browser.get(f"/flags/{made.id}/who?user=u_42").text
    assert 'class="variant">off<' in other
    wrong = browser.get(f"/flags/{made.id}/who?user=u_42&with=plan")
    assert wrong.status_code == 422
    assert "Line 1 is no attribute" in wrong.text


def test_one_goes_back_by_one_click(flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    change("checkout", service.edits.rollout(25_000))
    change("checkout", service.edits.rollout(50_000))
    assert "50% of users get “on”, before 25%." in browser.get(f"/flags/{made.id}/history").text
    data = {"to": "2", "of": "state", "version": "3", "reason": "errors went up"}
    assert browser.post(f"/flags/{made.id}/revert", data=data).status_code == 302
    assert state(runtime, made).config["serve"]["rollout"] == 25_000
    assert browser.post(f"/flags/{made.id}/revert", data=data).status_code == 412


def test_a_flag_is_made_from_a_template(signed_in_client: Browsers, runtime: Runtime) -> None:
    browser = signed_in_client("developer")
    for template in service.TEMPLATES:
        assert 'name="key"' in browser.get(f"/flags/new?template={template}").text
    taken: dict[str, Any] = {"template": "experiment", "key": "colour", "tags": "web, colour", "type": "string"}
    taken |= {"variant-0-name": "blue", "variant-0-value": "#00f", "variant-1-name": "red", "variant-1-value": "#f00"}
    answer = browser.post("/flags/new", data=taken)
    assert answer.status_code == 302, answer.text
    with runtime.database.session() as session:
        made = service.get(session, "colour")
        assert (made.variants, made.tags, made.kind) == (
            {"blue": "#00f", "red": "#f00"},
            ["colour", "web"],
            "experiment",
        )
    again = browser.post("/flags/new", data=taken)
    assert again.status_code == 409
    assert 'id="key-error"' in again.text
    bad = browser.post("/flags/new", data=taken | {"key": "a b", "type": "number"})
    assert bad.status_code == 422
    assert "Type a number" in bad.text
    assert 'value="#f00"' in bad.text


def test_the_flag_itself_is_edited_archived_and_restored(
    flag: Flags, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    form = {"name": "Checkout", "kind": "ops", "tags": "web", "owner": "", "expected_end": "2027-01-31", "version": "1"}
    form |= {"variant-0-name": "on", "variant-0-value": "true", "variant-1-name": "off", "variant-1-value": "false"}
    assert browser.post(f"/flags/{made.id}/settings", data=form).status_code == 422
    assert browser.post(f"/flags/{made.id}/settings", data=form | {"reason": "tidy"}).status_code == 302
    assert browser.post(f"/flags/{made.id}/settings", data=form | {"reason": "tidy", "name": "x"}).status_code == 412
    gone = browser.post(
        f"/flags/{made.id}/settings", data=form | {"version": "2", "reason": "x", "variant-0-name": "yes"}
    )
    assert gone.status_code == 422
    assert "is no variant" in gone.text
    assert browser.post(f"/flags/{made.id}/archive", data={"version": "2", "reason": "done"}).status_code == 302
    assert "checkout" not in browser.get("/flags/").text.split("<main")[1].split("toasts")[0]
    assert "checkout" in browser.get("/flags/?state=archived").text
    assert browser.post(f"/flags/{made.id}/restore", data={"version": "3", "reason": "back"}).status_code == 302
    with runtime.database.session() as session:
        assert service.get(session, "checkout").archived_at is None


def test_a_rollout_is_previewed_then_saved(flag: Flags, runtime: Runtime, signed_in_client: Browsers) -> None:
    made, browser = flag("checkout", template="release"), signed_in_client("developer")
    url, form = f"/flags/{made.id}/rollout", {"share": "12.5", "how": "now", "version": "1"}
    for do in ({}, {"do": "preview"}, {"do": "anything", "reason": "why not"}):
        answer = browser.post(url, data=form | do)
        assert answer.status_code == 200
        assert "12.5% of users get “on”, before 0%." in answer.text
        assert 'value="12.5"' in answer.text
    assert "This would change nothing" in browser.post(url, data=form | {"share": "0"}).text
    assert state(runtime, made).version == 1
    refused = browser.post(url, data=form | {"do": "save", "reason": " "})
    assert refused.status_code == 422
    assert "Say why" in refused.text
    assert browser.post(url, data=form | {"do": "save", "reason": "an eighth"}).status_code == 302
    assert state(runtime, made).config["serve"] == {"rollout": 12_500, "split": [["on", 100_000]]}


@pytest.mark.parametrize(
    ("wrong", "place"),
    [({"share": "101"}, "share"), ({"share": "many"}, "share"), ({"how": "ramp", "steps": "0"}, "steps"),
     ({"how": "ramp", "every": "-1"}, "every"), ({"how": "ramp", "unit": "years"}, "every")],
)  # fmt: skip
def test_a_rollout_that_makes_no_sense_is_told_by_its_field(
    flag: Flags, runtime: Runtime, signed_in_client: Browsers, wrong: dict[str, str], place: str
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    form = {"share": "25", "how": "now", "steps": "4", "every": "1", "unit": "days", "version": "1", "reason": "x"}
    answer = browser.post(f"/flags/{made.id}/rollout", data=form | wrong | {"do": "save"})
    assert answer.status_code == 422
    assert f'id="{place}-error"' in answer.text
    assert state(runtime, made).version == 1


def test_someone_elses_edit_keeps_the_rollout_that_was_typed(
    flag: Flags, change: Changes, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    change("checkout", {"enabled": True})
    form = {"share": "37.5", "how": "ramp", "steps": "3", "every": "2", "unit": "hours", "version": "1"}
    answer = browser.post(f"/flags/{made.id}/rollout", data=form | {"reason": "mine", "do": "save"})
    assert answer.status_code == 412
    assert "Someone changed this meanwhile" in answer.text
    for typed in ("37.5", "3", "2", "mine"):
        assert f'value="{typed}"' in answer.text
    for chosen in ('<option value="ramp" selected>', "<option selected>hours</option>"):
        assert chosen in answer.text
    assert state(runtime, made).version == 2


def test_what_the_engine_refuses_is_told_where_the_form_has_no_field_for_it(
    flag: Flags, change: Changes, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    form = {"share": "0", "how": "ramp", "steps": "100", "every": "1000", "unit": "days", "version": "1"}
    answer = browser.post(f"/flags/{made.id}/rollout", data=form | {"reason": "x", "do": "save"})
    assert answer.status_code == 422
    assert "from 1970 to 2200" in answer.text
    flag("other")
    change("other", {"prerequisites": [{"flag": "checkout", "variants": ["on"]}]})
    change("checkout", {"prerequisites": [{"flag": "other", "variants": ["on"]}]}, env_id=2)
    page = browser.get(f"/flags/{made.id}/compare").text
    form = dict(re.findall(r'name="(from|theirs|switch|version)" value="([^"]*)"', page)) | {"reason": "tested"}
    answer = browser.post(f"/flags/{made.id}/promote", data=form)
    assert answer.status_code == 422
    assert "circle" in answer.text


def test_a_ramp_of_a_flag_that_is_off_begins_with_nobody(
    flag: Flags, runtime: Runtime, signed_in_client: Browsers
) -> None:
    made, browser = flag("checkout"), signed_in_client("developer")
    form = {"share": "100", "how": "ramp", "steps": "4", "every": "1", "unit": "days", "version": "1"}
    form |= {"reason": "slowly", "do": "save"}
    assert browser.post(f"/flags/{made.id}/rollout", data=form).status_code == 302
    serve = state(runtime, made).config["serve"]
    assert [each["rollout"] for each in serve["steps"]] == [25_000, 50_000, 75_000, 100_000]


def test_ages_and_ends_are_told_as_such(flag: Flags, signed_in_client: Browsers, clock: FrozenClock) -> None:
    made = flag("checkout", template="release")
    for days, said in ((24, ">24 d<"), (20, ">since 15 Jun 2026<")):
        clock.advance(timedelta(days=days))
        browser = signed_in_client("viewer")
        assert said in browser.get("/flags/").text
        page = browser.get(f"/flags/{made.id}").text
        assert said in page
        assert ">14 Aug 2026<" in page


def test_what_is_stored_is_shown_as_text(flag: Flags, change: Changes, signed_in_client: Browsers) -> None:
    evil = "\"'><script>alert(1)</script>{{7*7}}"
    made = flag(
        "checkout",
        name=evil, description=evil, tags=[evil], type="string", variants={"on": evil, "off": ""}, reason=evil,
    )  # fmt: skip
    rule = {"id": "r1", "name": evil, "when": [], "serve": {"rollout": 5_000, "split": [["on", 100_000]]}}
    when = [{"attribute": evil, "op": "in", "values": [evil], "negate": False}]
    given = [{"attribute": "targetingKey", "value": evil, "variant": "on"}]
    change("checkout", {"enabled": True, "rules": [rule | {"when": when}], "overrides": given}, reason=evil)
    browser = signed_in_client("owner")
    query = {"user": evil, "with": f"{evil} = {evil}", "q": "checkout"}
    for path in ("", *(f"{made.id}{each}" for each in PAGES)):
        page = browser.get(f"/flags/{path}", query_string=query).text
        assert "&lt;script&gt;" in page or "script" not in page.split("<main")[1], path
        assert "<script>alert" not in page
        assert "49" not in re.findall(r"script&gt;(..)", page)


def test_a_form_that_nobody_would_type_is_refused_by_its_field(
    flag: Flags, runtime: Runtime, member: Callable[..., Member], signed_in_client: Browsers
) -> None:
    made, who = flag("checkout"), member("developer")
    with runtime.database.session() as session:
        session.get_one(Member, who.id).time_zone = "Asia/Tokyo"
    browser = signed_in_client(who=who)
    form = {"name": "x", "kind": "ops", "version": "1", "reason": "x", "variant-²-name": "on", "variant-²-value": "1"}
    for end in ("0001-01-01", "1900-01-01", "9999-12-31", "soon"):
        answer = browser.post(f"/flags/{made.id}/settings", data=form | {"expected_end": end})
        assert answer.status_code == 422, end
        assert 'id="expected_end-error"' in answer.text
