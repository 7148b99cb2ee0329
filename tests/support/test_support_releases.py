"""What a release delivers: what was on its branch up to its commit, or the commits that are named."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from trackside.clock import FrozenClock
from trackside.errors import InputError
from trackside.runtime import Runtime
from trackside_modules.support import tracking
from trackside_modules.support.models import Link, WorkItem, WorkNews
from trackside_modules.support.service import trackers

PULL = "https://git.example/acme/api/pull/7"
REPO = {"full_name": "acme/api", "default_branch": "main"}
Post = Callable[..., TestResponse]


def released(at: str, branch: str = "main", tag: str = "v1") -> dict[str, Any]:
    made = {"prerelease": False, "tag_name": tag, "target_commitish": branch, "created_at": at, "published_at": at}
    return {"action": "published", "release": made, "repository": REPO}


def deployed(ref: str, sha: str = "") -> dict[str, Any]:
    made = {"ref": ref, "sha": sha, "environment": "production", "created_at": "2026-06-03T09:00:00Z"}
    return {"deployment": made, "deployment_status": {"state": "success"}, "repository": REPO}


def merged(number: int, at: str, *, base: str = "main", url: str = PULL, sha: str = "") -> dict[str, Any]:
    request = {"html_url": url, "title": f"Fixes SUP-{number}", "merged": bool(at), "base": {"ref": base}}
    request |= {"merged_at": at or None, "updated_at": at, "merge_commit_sha": sha}
    return {"action": "closed", "pull_request": request, "repository": REPO}


def links(runtime: Runtime, number: int) -> list[Link]:
    with runtime.database.session() as session:
        return list(session.query(Link).filter_by(interaction_id=number).order_by(Link.ref))


def test_a_release_that_is_told_again_later_delivers_nothing_that_came_after_it(
    logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime, clock: FrozenClock
) -> None:
    early, late = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(early, "2026-06-01T09:00:00Z"))
    release = released("2026-06-01T10:00:00Z")
    assert github(to, "release", release).json["shipped"] == [f"SUP-{early}"]  # type: ignore[index]
    github(to, "pull_request", merged(late, "2026-06-02T09:00:00Z", url=f"{PULL}1"))
    with runtime.database.session() as session:
        session.query(WorkNews).delete()  # what was known of deliveries
    again = github(to, "release", release)
    assert again.json is not None
    assert (again.json["duplicate"], again.json["shipped"]) == (False, [])
    assert links(runtime, late)[0].shipped_at is None
    clock.advance(trackers.KEEP)
    assert github(to, "pull_request", merged(early, "2026-06-01T09:00:01Z")).json["duplicate"] is True  # type: ignore[index]


def test_a_release_of_another_branch_delivers_what_was_picked_to_it(
    logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime, signed_in_client: Any
) -> None:
    picked, waiting = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(waiting, "2026-06-01T09:00:00Z"))
    commit = {"id": "ab" * 20, "url": "https://git.example/c/ab", "message": f"Fixes SUP-{picked}"}
    push = {"ref": "refs/heads/release-1.2", "commits": [commit], "repository": REPO}
    github(to, "push", push | {"head_commit": {"timestamp": "2026-06-02T09:00:00+02:00"}})

    hotfix = released("2026-06-02T09:00:00+02:00", "release-1.2", "v1.2.1")
    assert github(to, "release", hotfix).json["shipped"] == [f"SUP-{picked}"]  # type: ignore[index]
    assert links(runtime, waiting)[0].shipped_at is None
    page = signed_in_client("admin").get("/support/settings/trackers").text
    assert "Release v1.2.1 of release-1.2" in page
    assert "its branch up to the commit" in page
    assert github(to, "deployment_status", deployed("main")).json["shipped"] == [f"SUP-{waiting}"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("ref", "sha", "delivers"),
    [
        ("feature/half-done", "", False),
        ("feature/half-done", "dd" * 20, False),
        ("v1.3", "", False),
        ("v1.3", "aa" * 20, True),
        ("main", "dd" * 20, True),
        ("refs/heads/main", "", True),
        ("refs/tags/v1.3", "", True),
        ("dd" * 20, "dd" * 20, True),
    ],
)
def test_a_deployment_of_what_no_work_is_known_on_delivers_nothing(
    ref: str, sha: str, delivers: bool, logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    number, to = logged(), tracker("release")
    github(to, "pull_request", merged(number, "2026-06-01T09:00:00Z", sha="aa" * 20))
    shipped = github(to, "deployment_status", deployed(ref, sha)).json["shipped"]  # type: ignore[index]
    assert shipped == [f"SUP-{number}"] * delivers


def test_a_tag_that_is_deployed_is_one_of_the_branch_on_which_its_commit_was_pushed(
    logged: Callable[..., int], tracker: Any, github: Post, signed_in_client: Any
) -> None:
    number, later = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(number, "2026-06-01T09:00:00Z"))
    unknown = github(to, "deployment_status", deployed("v1.3", "dd" * 20))
    assert unknown.json is not None
    assert unknown.json["shipped"] == []
    assert "'v1.3', nor its commit (dddddddddddd)" in unknown.json["why"]
    assert "Let pushes be posted" in signed_in_client("admin").get("/support/settings/trackers").text

    commits = [{"id": "dd" * 20, "url": "https://git.example/c/dd", "message": "Tidy up"}]
    push = {"ref": "refs/heads/main", "after": "dd" * 20, "commits": commits, "repository": REPO}
    github(to, "push", push | {"head_commit": {"timestamp": "2026-06-01T10:00:00Z"}})
    github(to, "pull_request", merged(later, "2026-06-01T11:00:00Z", url=f"{PULL}1"))
    again = deployed("v1.3", "dd" * 20)
    again["deployment"]["created_at"] = "2026-06-03T10:00:00Z"
    assert github(to, "deployment_status", again).json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]


@pytest.mark.parametrize("pasted", [PULL, f"{PULL}/files#diff-1", f"{PULL}?w=1", PULL.replace("git.", "Git.")])
@pytest.mark.parametrize("linked_first", [True, False])
def test_what_a_member_links_is_delivered_by_the_work_itself_though_it_names_no_interaction(
    pasted: str, linked_first: bool, desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    number, to = logged(), tracker("release")
    told = merged(number, "2026-06-01T09:00:00Z")
    told["pull_request"]["title"] = "Keep old keys"
    if linked_first:
        assert desk.post(f"/support/{number}/link", data={"to": pasted}).status_code == 302
    assert github(to, "pull_request", told).json["shipped"] == []  # type: ignore[index]
    if not linked_first:
        assert desk.post(f"/support/{number}/link", data={"to": pasted}).status_code == 302
    answer = github(to, "release", released("2026-06-01T10:00:00Z"))
    assert answer.json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]


def test_a_commit_of_some_branch_is_kept_only_where_somebody_linked_it(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    number, to = logged(), tracker("release")
    commits = [{"id": each * 20, "url": f"https://git.example/commit/{each}", "message": "x"} for each in ("aa", "bb")]
    desk.post(f"/support/{number}/link", data={"to": "https://git.example/acme/commit/aa"})
    commits[0]["url"] = "https://git.example/acme/commit/aa"
    push = {"ref": "refs/heads/release-1.2", "commits": [*commits, *commits], "repository": REPO}
    github(to, "push", push | {"head_commit": {"timestamp": "2026-06-02T09:00:00Z"}})
    with runtime.database.session() as session:
        assert [each.sha for each in session.query(WorkItem)] == ["aa" * 20]
    hotfix = released("2026-06-02T09:00:00Z", "release-1.2", "v1.2.1")
    assert github(to, "release", hotfix).json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]


def test_a_push_of_thousands_of_commits_is_kept_at_once_and_forgotten_where_nobody_linked_it(
    logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime, clock: FrozenClock
) -> None:
    number, to = logged(), tracker("release")
    commits = [
        {"id": f"{each:040x}", "url": f"https://git.example/c/{each % 1200}", "message": "Work"} for each in range(1300)
    ]
    commits[7]["message"] = f"Fixes SUP-{number}"
    push = {"ref": "refs/heads/main", "commits": commits, "repository": REPO}
    assert github(to, "push", push).json["linked"] == [f"SUP-{number}"]  # type: ignore[index]
    with runtime.database.session() as session:
        assert session.query(WorkItem).count() == 1200
        trackers.forget(session, now=clock.now() + trackers.KEEP_WORK)
        assert session.query(WorkItem).count() == 1200
        trackers.forget(session, now=clock.now() + 2 * trackers.KEEP_WORK)
        assert [each.numbers for each in session.query(WorkItem)] == [[number]]


@pytest.mark.parametrize(
    ("event", "data", "why"),
    [
        ("release", {"action": "published", "release": {"prerelease": True}, "repository": REPO}, "a prerelease"),
        ("deployment_status", deployed("main") | {"deployment_status": {"state": "failure"}}, "'failure'"),
        ("deployment_status", deployed("main") | {"deployment": {"environment": "staging"}}, "'staging'"),
    ],
)
def test_what_delivers_nothing_says_why(event: str, data: dict[str, Any], why: str, tracker: Any, github: Post) -> None:
    assert why in github(tracker("release"), event, data).json["why"]  # type: ignore[index]


@pytest.mark.parametrize("action", ["created", "edited", "released"])
def test_what_a_host_tells_beside_the_publishing_of_a_release_is_no_reason_to_wonder(
    action: str, tracker: Any, github: Post
) -> None:
    told = github(tracker("release"), "release", released("2026-06-01T10:00:00Z") | {"action": action}).json
    assert told is not None
    assert (told["shipped"], told["why"]) == ([], "")


@pytest.mark.parametrize("sent", ["release", "deployment_status"])
def test_a_release_of_a_commit_within_a_push_delivers_what_came_before_that_push(
    sent: str, logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    before, after = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(before, "2026-06-01T09:00:00Z"))
    commits = [
        {"id": sha * 20, "url": f"https://git.example/c/{sha}", "message": text}
        for sha, text in (("aa", "Tidy up"), ("bb", f"Fixes SUP-{after}"))
    ]
    push = {"ref": "refs/heads/main", "after": "bb" * 20, "commits": commits, "repository": REPO}
    github(to, "push", push | {"head_commit": {"id": "bb" * 20, "timestamp": "2026-06-02T09:00:00Z"}})
    told = {
        each: {"release": released("2026-06-02T08:00:00Z", each * 20), "deployment_status": deployed("main", each * 20)}
        for each in ("aa", "bb")
    }
    told["bb"]["release"]["release"]["tag_name"] = "v2"
    assert github(to, sent, told["aa"][sent]).json["shipped"] == [f"SUP-{before}"]  # type: ignore[index]
    assert github(to, sent, told["bb"][sent]).json["shipped"] == [f"SUP-{after}"]  # type: ignore[index]


def test_a_release_marks_what_nobody_waits_for_too_so_that_it_is_out_for_who_links_it_later(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    number, to = logged(), tracker("release")
    told = merged(number, "2026-06-01T09:00:00Z")
    told["pull_request"]["title"] = "Keep old keys"
    github(to, "pull_request", told)
    github(to, "pull_request", merged(number, "2026-06-03T09:00:00Z", url=f"{PULL}1"))
    assert github(to, "release", released("2026-06-01T10:00:00Z")).json["shipped"] == []  # type: ignore[index]
    desk.post(f"/support/{number}/link", data={"to": PULL})
    assert {each.ref: bool(each.shipped_at) for each in links(runtime, number)} == {PULL: True, f"{PULL}1": False}


def test_what_was_merged_to_another_branch_and_concerns_nobody_is_forgotten_in_time(
    tracker: Any, github: Post, runtime: Runtime, clock: FrozenClock
) -> None:
    told = merged(1, "2026-06-01T09:00:00Z", base="release-1.2")
    told["pull_request"]["title"] = "Keep old keys"
    github(tracker("release"), "pull_request", told)
    with runtime.database.session() as session:
        trackers.forget(session, now=clock.now() + trackers.KEEP_WORK)
        assert session.query(WorkItem).count() == 1
        trackers.forget(session, now=clock.now() + 2 * trackers.KEEP_WORK)
        assert session.query(WorkItem).count() == 0


def test_a_commit_known_on_another_branch_alone_delivers_that_branch(
    logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    picked, waiting = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(waiting, "2026-06-01T09:00:00Z"))
    github(to, "pull_request", merged(picked, "2026-06-02T09:00:00Z", base="1.2", url=f"{PULL}1", sha="aa" * 20))
    assert github(to, "deployment_status", deployed("aa" * 20, "aa" * 20)).json["shipped"] == [f"SUP-{picked}"]  # type: ignore[index]


def test_branches_of_long_names_are_called_alike_by_all_that_tell_of_them(
    logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    pushed, requested = logged(), logged()
    to, long = tracker("release"), "release/" + "b" * 120
    commit = {"id": "ab" * 20, "url": "https://git.example/c/ab", "message": f"Fixes SUP-{pushed}"}
    push = {"ref": f"refs/heads/{long}", "commits": [commit], "repository": REPO}
    github(to, "push", push | {"head_commit": {"timestamp": "2026-06-01T09:00:00Z"}})
    github(to, "pull_request", merged(requested, "2026-06-02T09:00:00Z", base=long))
    first = github(to, "release", released("2026-06-01T10:00:00Z", long))
    assert first.json["shipped"] == [f"SUP-{pushed}"]  # type: ignore[index]
    second = github(to, "deployment_status", deployed(long))
    assert second.json["shipped"] == [f"SUP-{requested}"]  # type: ignore[index]


def test_a_commit_that_is_known_twice_is_taken_where_it_came_to_the_released_branch(
    logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    inside, after = logged(), logged()
    to = tracker("release")
    commit = {"id": "aa" * 20, "url": "https://git.example/c/aa", "message": f"Fixes SUP-{inside}"}
    github(to, "push", {"ref": "refs/heads/topic", "commits": [commit], "repository": REPO})
    github(to, "pull_request", merged(inside, "2026-06-01T09:00:00Z", sha="aa" * 20))
    github(to, "pull_request", merged(after, "2026-06-02T09:00:00Z", url=f"{PULL}1"))
    told = github(to, "deployment_status", deployed("main", "aa" * 20))
    assert told.json["shipped"] == [f"SUP-{inside}"]  # type: ignore[index]


def test_a_pull_request_is_known_by_the_commit_that_merged_it_not_by_the_hosts_trial(
    logged: Callable[..., int], tracker: Any, github: Post, script: Post
) -> None:
    number, to = logged(), tracker("release")
    github(to, "pull_request", merged(number, "", sha="ee" * 20))
    github(to, "pull_request", merged(number, "2026-06-01T09:00:00Z", sha="aa" * 20))
    assert script(to, {"released": "acme/api", "commits": ["ee" * 20]}).json["shipped"] == []  # type: ignore[index]
    told = script(to, {"released": "acme/api", "commits": ["AA" * 20]})
    assert told.json["shipped"] == [f"SUP-{number}"]  # type: ignore[index]


def test_what_was_linked_by_hand_before_is_delivered_with_the_work(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post, runtime: Runtime
) -> None:
    said, linked = logged(), logged()
    to = tracker("release")
    github(to, "pull_request", merged(said, "2026-06-01T09:00:00Z"))
    assert desk.post(f"/support/{linked}/link", data={"to": PULL}).status_code == 302
    assert links(runtime, linked)[0].shipped_at is None
    answer = github(to, "release", released("2026-06-01T10:00:00Z"))
    assert answer.json["shipped"] == [f"SUP-{said}", f"SUP-{linked}"]  # type: ignore[index]
    assert links(runtime, linked)[0].shipped_at is not None


@pytest.mark.parametrize(
    ("more", "sha", "at"),
    [
        ({"merge_commit_sha": "aa" * 20, "merged_at": "2026-06-01T09:00:00Z"}, "aa" * 20, "2026-06-01T09:00:00+00:00"),
        ({"merge_commit_sha": "aa" * 20}, "aa" * 20, "2026-06-01T12:00:00+00:00"),
        ({"merge_commit_sha": None, "squash_commit_sha": "bb" * 20}, "bb" * 20, "2026-06-01T12:00:00+00:00"),
        ({"merge_commit_sha": None}, "cc" * 20, "2026-06-01T12:00:00+00:00"),
    ],
)
def test_a_merge_request_of_gitlab_is_known_by_what_came_to_its_branch(more: dict[str, Any], sha: str, at: str) -> None:
    request = {
        "url": f"{PULL}9",
        "title": "Fix SUP-1",
        "target_branch": "main",
        "updated_at": "2026-06-01 12:00:00 UTC",
    }
    request |= {"last_commit": {"id": "cc" * 20, "timestamp": "2026-06-01T08:00:00+02:00"}}  # type: ignore[dict-item]
    project = {"path_with_namespace": "acme/api", "default_branch": "main"}
    data = {"object_kind": "merge_request", "project": project}
    (item,) = tracking.read_gitlab(data | {"object_attributes": request | more | {"state": "merged"}}).items
    assert (item.sha, item.at and item.at.isoformat()) == (sha, at)
    (item,) = tracking.read_gitlab(data | {"object_attributes": request | more | {"state": "opened"}}).items
    assert (item.sha, item.at) == ("", None)


def test_a_deployment_of_gitlab_is_of_the_commit_its_address_ends_in() -> None:
    data = {"object_kind": "deployment", "status": "success", "environment": "production", "ref": "v1"}
    data |= {
        "status_changed_at": "2026-06-01 12:00:00 +0200",
        "commit_url": f"https://git.example/-/commit/{'aa' * 20}",
    }
    released = tracking.read_gitlab(data).released
    assert released is not None
    assert released.until is not None
    assert (released.sha, released.until.isoformat()) == ("aa" * 20, "2026-06-01T10:00:00+00:00")


def test_commits_that_are_none_are_refused_by_name(tracker: Any, script: Post) -> None:
    to = tracker("release")
    for commits in ("aa" * 20, ["aa" * 20, "v1.2"], ["aa" * 20, 7], ["aa" * 19 + "g\0"]):
        refused = script(to, {"released": "acme/api", "commits": commits})
        assert refused.status_code == 422, refused.text
    assert "v1.2" in script(to, {"released": "acme/api", "commits": ["v1.2"]}).text
    with pytest.raises(InputError, match="50,000 commits; these are 50,001"):
        tracking.read_plain({"released": "acme/api", "commits": ["aa" * 20] * (tracking.MOST_COMMITS + 1)})


def test_a_release_of_as_many_commits_as_it_may_name_is_found_by_one_parameter(runtime: Runtime, tracker: Any) -> None:
    to = tracker("release")
    commits = frozenset(f"{each:040x}" for each in range(70_000))
    told = tracking.Told("release", released=tracking.Release("acme/api", commits=commits))
    with runtime.database.session() as session:
        news = trackers.take(session, trackers.get(session, to[0]), "d-1", told, now=runtime.clock.now())
    assert news.shipped == []


def test_a_script_names_the_commits_of_a_release(
    logged: Callable[..., int], tracker: Any, github: Post, script: Post
) -> None:
    inside, outside = logged(), logged()
    to = tracker("release")
    commits = [
        {"id": sha * 20, "url": f"https://git.example/c/{sha}", "message": f"Fixes SUP-{number}"}
        for sha, number in (("aa", inside), ("bb", outside))
    ]
    github(to, "push", {"ref": "refs/heads/main", "commits": commits, "repository": REPO})
    answer = script(to, {"released": "acme/api", "name": "v1", "commits": ["aa" * 20, "cc" * 20]})
    assert answer.json["shipped"] == [f"SUP-{inside}"]  # type: ignore[index]
