"""`Fixes SUP-123`: what code hosts post becomes links, and what is delivered comes back to be told."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from trackside import cli
from trackside.clock import FrozenClock
from trackside.runtime import Runtime
from trackside_modules.support import tracking
from trackside_modules.support.models import Link
from trackside_modules.support.service import trackers
from trackside_modules.support.web.hooks import sign

PULL = "https://git.example/acme/api/pull/7"
REPO = {"full_name": "acme/api", "default_branch": "main"}
Post = Callable[..., TestResponse]


@pytest.fixture
def shell_of(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `trackside support ...`."""
    cli.runtime.cache_clear()
    monkeypatch.setattr("trackside_modules.support.tracker_cli.runtime", lambda: runtime)

    def command(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.trackside, ["support", *arguments])
        assert result.exit_code == 0, result.output
        return result

    return command


def pull(number: int, *, merged: bool = False, base: str = "main") -> dict[str, Any]:
    request = {"html_url": PULL, "title": "Keep old keys", "body": f"Fixes SUP-{number}", "merged": merged}
    return {"action": "closed" if merged else "opened", "pull_request": {**request, "base": {"ref": base}}} | {
        "repository": REPO
    }


def links(runtime: Runtime, number: int) -> list[Link]:
    with runtime.database.session() as session:
        return list(session.query(Link).filter_by(interaction_id=number).order_by(Link.ref))


def test_a_pull_request_is_linked_and_once_merged_the_loop_is_to_be_closed(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    number, to = logged(), tracker()

    opened = github(to, "pull_request", pull(number))
    assert opened.json == {"duplicate": False, "linked": [f"SUP-{number}"], "shipped": [], "unknown": [], "why": ""}
    assert [(it.ref, it.title, it.shipped_at) for it in links(runtime, number)] == [(PULL, "Keep old keys", None)]
    merged = github(to, "pull_request", pull(number, merged=True), delivery="d-2")

    assert merged.json is not None
    assert merged.json["shipped"] == [f"SUP-{number}"]
    assert f"SUP-{number}" in desk.get("/support/?view=loop").text
    assert "good news" in desk.get(f"/support/{number}").text


def test_the_same_delivery_again_changes_nothing(
    logged: Callable[..., int], tracker: Any, github: Post, now_of: Any
) -> None:
    number, to = logged(), tracker()
    github(to, "pull_request", pull(number, merged=True))
    version = now_of(number).version

    again = github(to, "pull_request", pull(number, merged=True))
    assert again.json is not None
    assert again.json["duplicate"] is True
    other_id = github(to, "pull_request", pull(number, merged=True), delivery="another")
    assert other_id.json is not None
    assert other_id.json["duplicate"] is True, "its id is not signed: its body is"
    assert now_of(number).version == version


def test_what_is_merged_elsewhere_than_to_the_default_branch_is_with_nobody(
    logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    number, to = logged(), tracker()
    github(to, "pull_request", pull(number, merged=True, base="next"))
    assert links(runtime, number)[0].shipped_at is None


def test_work_may_wait_for_its_release(
    logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime, clock: FrozenClock
) -> None:
    number, to = logged(), tracker("release")
    commits = [{"url": "https://git.example/c/1", "message": f"Keep keys\n\nResolves: sup-{number}"}]
    push = {"ref": "refs/heads/main", "commits": commits, "repository": REPO}
    github(to, "push", push)
    assert links(runtime, number)[0].shipped_at is None

    release = {"action": "published", "release": {"prerelease": False}, "repository": REPO}
    other = {**release, "repository": {"full_name": "acme/web"}}
    assert github(to, "release", other, delivery="d-2").json["shipped"] == []  # type: ignore[index]
    assert github(to, "release", release, delivery="d-3").json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]
    assert links(runtime, number)[0].shipped_at == clock.now()


def test_what_is_said_later_of_work_that_is_out_comes_back_at_once(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    first, second, third = logged(), logged(), logged()
    to = tracker()
    github(to, "pull_request", pull(first, merged=True))
    edited = pull(first, merged=True)
    edited["pull_request"]["body"] = f"Fixes SUP-{first}, SUP-{second}"

    answer = github(to, "pull_request", edited)
    assert answer.json is not None
    assert (answer.json["linked"], answer.json["shipped"]) == ([f"SUP-{second}"], [f"SUP-{second}"])
    assert desk.post(f"/support/{third}/link", data={"to": PULL}).status_code == 302

    waiting = desk.get("/support/?view=loop").text
    assert all(f"SUP-{each}" in waiting for each in (first, second, third))
    assert all(links(runtime, each)[0].shipped_at for each in (first, second, third))


def test_numbers_that_do_not_exist_are_reported_and_the_others_linked(
    signed_in_client: Callable[..., FlaskClient], logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    number, to = logged(), tracker()
    data = pull(number)
    data["pull_request"]["body"] = f"Closes SUP-{number}, SUP-9999 and SUP-999999999999999999"

    answer = github(to, "pull_request", data)

    assert answer.json is not None
    assert answer.json["unknown"] == ["SUP-9999", "SUP-999999999999999999"]
    assert answer.json["linked"] == [f"SUP-{number}"]
    assert "SUP-9999" in signed_in_client("admin").get("/support/settings/trackers").text


def test_what_was_merged_away_is_linked_where_it_goes_on(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    gone, stays = logged(), logged()
    desk.post(f"/support/{gone}/merge", data={"into": str(stays)})
    github(tracker(), "pull_request", pull(gone))
    assert [it.ref for it in links(runtime, stays)] == [PULL]


def test_gitlab_posts_its_token_and_a_script_signs_as_standard_webhooks(
    client: FlaskClient, logged: Callable[..., int], tracker: Any, clock: FrozenClock
) -> None:
    number, to = logged(), tracker()
    at = f"/hooks/support/work/{to[0]}"
    project = {"path_with_namespace": "acme/api", "default_branch": "main"}
    request = {"url": f"{PULL}9", "title": f"Fix SUP-{number}", "state": "merged", "target_branch": "main"}
    data = {"object_kind": "merge_request", "project": project, "object_attributes": request}
    headers = {"X-Gitlab-Event": "Merge Request Hook", "X-Gitlab-Event-UUID": "g-1"}
    assert client.post(at, json=data, headers={**headers, "X-Gitlab-Token": "no"}).status_code == 401
    done = client.post(at, json=data, headers={**headers, "X-Gitlab-Token": to[1]})
    assert (done.status_code, done.json["shipped"]) == (200, [f"SUP-{number}"])  # type: ignore[index]

    body = json.dumps({"url": f"{PULL}8", "fixes": [f"SUP-{number}"], "state": "shipped"}).encode()
    at_time = int(clock.now().timestamp())
    own = {"webhook-id": "m1", "webhook-timestamp": str(at_time)}
    signed = {**own, "webhook-signature": sign(to[1], "m1", at_time, body)}
    assert client.post(at, data=body, headers=signed).json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]
    assert client.post(at, data=body + b" ", headers=signed).status_code == 401
    assert client.post(at, data=body).status_code == 401


def test_wrong_signatures_and_what_is_no_json_are_refused(
    logged: Callable[..., int], tracker: Any, github: Post, client: FlaskClient
) -> None:
    number, to = logged(), tracker()
    assert github(to, "push", pull(number), secret="whsec_guess").status_code == 401
    assert github((to[0] + 99, to[1]), "push", {}).status_code == 404
    assert github(to, "push", b"{").status_code == 400
    assert github(to, "push", b"[" * 100_000).status_code == 400
    assert github(to, "push", b"[]").status_code == 422
    assert github(to, "ping", {"zen": "Keep it logically awesome."}).status_code == 200
    assert github(to, "push", b"x" * ((5 << 20) + 1)).status_code == 413


def test_a_rotated_secret_is_good_for_a_day(
    signed_in_client: Callable[..., FlaskClient], tracker: Any, github: Post, clock: FrozenClock
) -> None:
    to = tracker()
    shown = signed_in_client("admin").post(f"/support/settings/trackers/{to[0]}/rotate").text
    assert "whsec_" in shown
    assert github(to, "ping", {}).status_code == 200
    clock.advance(trackers.OVERLAP)
    assert github(to, "ping", {}, delivery="d-2").status_code == 401


def test_an_admin_adds_a_tracker_and_sees_its_secret_once(signed_in_client: Callable[..., FlaskClient]) -> None:
    admin = signed_in_client("admin")
    assert "No tracker tells" in admin.get("/support/settings/trackers").text
    assert admin.post("/support/settings/trackers", data={"name": "", "ships_on": "merge"}).status_code == 422
    made = admin.post("/support/settings/trackers", data={"name": "GitHub", "ships_on": "release"}).text
    assert "/hooks/support/work/" in made
    listed = admin.get("/support/settings/trackers").text
    assert "whsec_" in made
    assert "whsec_" not in listed
    number = made.split("/hooks/support/work/")[1].split("<")[0].split('"')[0]
    assert admin.post(f"/support/settings/trackers/{number}/remove").status_code == 302
    assert signed_in_client("support").post("/support/settings/trackers").status_code == 403


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Fixes SUP-1", (1,)),
        ("fixed sup-1, SUP-2 and sup-3.", (1, 2, 3)),
        ("Closes: SUP-4\nresolve SUP-5", (4, 5)),
        ("prefixes SUP-6, see SUP-7", ()),
        ("Fixes SUP-12abc", ()),
        ("Fixes #8", ()),
    ],
)
def test_what_a_text_says_it_fixes(text: str, numbers: tuple[int, ...]) -> None:
    assert tracking.numbers_in(text) == numbers


def test_a_text_of_white_space_is_gone_through_once() -> None:
    assert tracking.numbers_in(f"fixes SUP-1{' ' * 1_000_000}and SUP-2") == (1,)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20), st.lists, max_leaves=10)
_NAMES = ("commits", "pull_request", "repository", "release", "object_attributes", "project", "ref", "fixes", "url")


@given(st.dictionaries(st.sampled_from(_NAMES), _JSON | st.dictionaries(st.sampled_from(_NAMES), _JSON)))
def test_whatever_is_posted_can_be_read(data: dict[str, Any]) -> None:
    for event in ("push", "pull_request", "issues", "release", "deployment_status"):
        assert isinstance(tracking.read_github(event, data), tracking.Told)
    for kind in ("push", "merge_request", "issue", "release", "deployment"):
        assert isinstance(tracking.read_gitlab(data | {"object_kind": kind}), tracking.Told)
    assert isinstance(tracking.read_plain(data), tracking.Told)


def test_trackers_are_set_up_by_the_api_and_from_the_shell(
    client: FlaskClient,
    api_key: Callable[..., str],
    shell_of: Callable[..., Any],
    logged: Callable[..., int],
    github: Post,
) -> None:
    def http(*scopes: str) -> Callable[..., Any]:
        key = api_key("admin", scopes=list(scopes))
        headers = {"Authorization": f"Bearer {key}"}
        return lambda method, path, body=None: client.open(f"/api/v1{path}", method=method, json=body, headers=headers)

    admin = http("support:manage", "support:read")
    made = admin("POST", "/support/trackers", {"name": "GitHub", "ships_on": "merge"})
    assert made.status_code == 201
    told = made.json
    number = logged()
    assert github((told["id"], told["secret"]), "pull_request", pull(number, merged=True)).status_code == 200
    assert told["url"].endswith(f"/hooks/support/work/{told['id']}")

    (listed,) = admin("GET", "/support/trackers").json
    assert (listed["name"], listed["secret"]) == ("GitHub", None)
    assert admin("GET", f"/support/trackers/{told['id']}").json == listed
    (news,) = admin("GET", f"/support/trackers/{told['id']}/news").json
    assert (news["event"], news["linked"], news["shipped"]) == ("pull request", [f"SUP-{number}"], [f"SUP-{number}"])
    assert admin("POST", f"/support/trackers/{told['id']}:rotate").json["secret"] != told["secret"]
    assert admin("POST", "/support/trackers", {"name": "x", "ships_on": "never"}).status_code == 422
    assert admin("DELETE", f"/support/trackers/{told['id']}").status_code == 204
    assert admin("GET", f"/support/trackers/{told['id']}/news").status_code == 404
    assert http("support:read")("POST", "/support/trackers", {"name": "x"}).status_code == 403

    shell = json.loads(shell_of("trackers", "add", "GitLab", "--ships-on", "release", "--json").output)
    assert shell["secret"].startswith("whsec_")
    assert "GitLab" in shell_of("trackers", "list").output
    assert "Nothing yet" in shell_of("trackers", "news", str(shell["id"])).output
    assert "whsec_" in shell_of("trackers", "rotate", str(shell["id"])).output
    assert "removed" in shell_of("trackers", "remove", str(shell["id"])).output
    assert "No tracker" in shell_of("trackers", "list").output
