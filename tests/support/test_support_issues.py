"""What becomes of issues: done, they are delivered as requests are; open again, they are not."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from trackside.runtime import Runtime
from trackside_modules.support import tracking
from trackside_modules.support.models import WorkItem

REPO = {"full_name": "acme/api", "default_branch": "main"}
Post = Callable[..., TestResponse]


def released(at: str, tag: str) -> dict[str, Any]:
    made = {"prerelease": False, "tag_name": tag, "target_commitish": "main", "created_at": at, "published_at": at}
    return {"action": "published", "release": made, "repository": REPO}


@pytest.mark.parametrize(("reason", "delivers"), [("completed", True), ("not_planned", False), ("duplicate", False)])
def test_an_issue_that_a_member_linked_is_delivered_once_it_is_closed_as_done(
    reason: str, delivers: bool, desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    number, issue = logged(), "https://git.example/acme/api/issues/12"
    desk.post(f"/support/{number}/link", data={"to": f"{issue}#issuecomment-1"})
    it = {"html_url": issue, "title": "Keys die", "state": "closed", "state_reason": reason, "closed_at": None}
    answer = github(tracker(), "issues", {"action": "closed", "issue": it, "repository": REPO})
    assert answer.json["shipped"] == [f"SUP-{number}"] * delivers  # type: ignore[index]


def test_an_issue_of_gitlab_is_done_once_it_is_closed_and_goes_on_nowhere() -> None:
    it = {"url": "https://git.example/g/p/-/issues/3", "title": "Fix SUP-1", "state": "closed"}
    it |= {"closed_at": "2026-06-01 12:00:00 UTC"}
    data = {"object_kind": "issue", "project": {"path_with_namespace": "g/p"}, "object_attributes": it}
    (done,) = tracking.read_gitlab(data).items
    assert (done.ref, done.merged, done.at and done.at.hour) == (it["url"], True, 12)
    (moved,) = tracking.read_gitlab(data | {"object_attributes": it | {"moved_to_id": 9}}).items
    assert not moved.merged


def test_an_issue_that_is_open_again_waits_for_no_release(
    desk: FlaskClient, logged: Callable[..., int], tracker: Any, github: Post
) -> None:
    said, linked, to = logged(), logged(), tracker("release")
    issue = "https://git.example/acme/api/issues/12"
    desk.post(f"/support/{linked}/link", data={"to": issue})
    it = {"html_url": issue, "title": f"Fixes SUP-{said}", "state": "closed", "closed_at": "2026-06-01T09:00:00Z"}
    github(to, "issues", {"action": "closed", "issue": it, "repository": REPO})
    again = it | {"state": "open", "closed_at": None, "state_reason": "reopened"}
    github(to, "issues", {"action": "reopened", "issue": again, "repository": REPO})
    assert github(to, "release", released("2026-06-02T09:00:00Z", "v1")).json["shipped"] == []  # type: ignore[index]
    github(to, "issues", {"action": "closed", "issue": it | {"closed_at": "2026-06-03T09:00:00Z"}, "repository": REPO})
    later = github(to, "release", released("2026-06-04T09:00:00Z", "v2"))
    assert later.json["shipped"] == [f"SUP-{said}", f"SUP-{linked}"]  # type: ignore[index]


def test_an_open_issue_that_concerns_nobody_is_not_kept(tracker: Any, github: Post, runtime: Runtime) -> None:
    it = {"html_url": "https://git.example/acme/api/issues/12", "title": "Keys die", "state": "open"}
    github(tracker(), "issues", {"action": "opened", "issue": it, "repository": REPO})
    with runtime.database.session() as session:
        assert session.query(WorkItem).count() == 0
