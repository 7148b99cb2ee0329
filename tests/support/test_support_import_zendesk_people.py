"""Who of those in a ticket of Zendesk is the customer, and who the staff; and tickets that nobody is in."""

import io
import json
from typing import Any

import pytest

from trackside_modules.support.importing import zendesk
from trackside_modules.support.importing.records import Broken, Record

AT = "2026-06-01T09:00:00Z"
USERS = [{"id": 7, "email": "ada@staff.example", "role": "agent"}, {"id": 1, "email": "dev@customer.example"}]


def sides(**more: Any) -> list[str]:
    comments = [{"author_id": who, "created_at": AT, "plain_body": "Hello", "public": True} for who in (1, 5, 7)]
    ticket = {"id": 1, "subject": "x", "requester_id": 1, "created_at": AT, "comments": comments, "status": "open"}
    whole = {"tickets": [ticket | more], "users": USERS}
    (record,) = zendesk.records(io.BytesIO(json.dumps(whole).encode()))
    assert isinstance(record, Record)
    return [each.side for each in record.said]


@pytest.mark.parametrize(
    ("more", "side"),
    [({}, "staff"), ({"email_cc_ids": [5]}, "customer"), ({"collaborator_ids": [7, 5]}, "customer")],
)
def test_who_has_a_copy_and_is_not_known_to_be_staff_writes_no_first_reply(more: dict[str, Any], side: str) -> None:
    assert sides(**more) == ["customer", side, "staff"]


def test_a_rating_with_a_comment_is_a_rating() -> None:
    ticket = {"id": 1, "requester_id": 1, "created_at": AT, "satisfaction_rating": {"score": "good_with_comment"}}
    (record,) = zendesk.records(io.BytesIO(json.dumps(ticket).encode()))
    assert isinstance(record, Record)
    assert record.csat == 5


def test_a_ticket_that_was_deleted_there_is_told() -> None:
    (left_out,) = zendesk.records(io.BytesIO(json.dumps({"id": 7, "status": "deleted"}).encode()))
    assert left_out == Broken(1, "it was deleted at Zendesk: nothing but its number is left")
