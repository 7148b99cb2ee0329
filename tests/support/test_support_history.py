"""What events amount to."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.support.history import Event, State, fold, state_of, texts_of

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
CREATED = {
    "subject": "401",
    "kind": "bug",
    "channel": "email",
    "direction": "in",
    "status": "new",
    "priority": "normal",
    "source": "web",
    "tags": ["b", "a"],
    "user_id": 7,
}


def history(*happened: tuple[str, dict[str, Any]], **created: Any) -> list[Event]:
    """Return events a minute apart, the first of which creates."""
    every = [("created", {**CREATED, **created}), *happened]
    return [
        Event(seq, START + timedelta(minutes=seq - 1), kind, data, START, member_id=1)
        for seq, (kind, data) in enumerate(every, start=1)
    ]


def said(side: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "message", {"side": side, "body": "Hello", "via": "web", **more}


def state(*happened: tuple[str, dict[str, Any]], **created: Any) -> State:
    return state_of(history(*happened, **created))


def test_a_new_one_waits_for_us_since_the_customer_came():
    one = state()
    assert (one.status, one.waiting_since, one.tags) == ("new", START, ["a", "b"])
    assert state(direction="out").waiting_since is None


def test_a_second_message_of_the_customer_does_not_start_the_wait_anew():
    assert state(said("customer"), said("customer")).waiting_since == START


def test_a_reply_makes_it_their_turn_and_only_humans_count_as_first():
    automatic = state(said("staff", automatic=True))
    assert (automatic.status, automatic.first_reply_at) == ("new", None)
    human = state(said("staff", automatic=True), said("staff"))
    assert (human.status, human.first_reply_at) == ("waiting_customer", START + timedelta(minutes=2))


def test_waiting_for_development_still_lets_the_customer_wait():
    assert state(("status", {"to": "waiting_dev"})).waiting_since == START


def test_the_customer_opens_what_was_solved_but_not_spam():
    again = state(said("staff"), ("status", {"to": "solved"}), said("customer"))
    assert (again.status, again.reopens, again.solved_at) == ("open", 1, None)
    assert again.waiting_since == START + timedelta(minutes=3)
    spam = state(("status", {"to": "spam"}), said("customer"))
    assert (spam.status, spam.waiting_since) == ("spam", None)
    absent = state(("status", {"to": "solved"}), said("customer", automatic=True))
    assert absent.status == "solved"


def test_solving_again_by_closing_keeps_when_it_was_solved():
    one = state(("status", {"to": "solved"}), ("status", {"to": "closed"}))
    assert one.solved_at == START + timedelta(minutes=1)


def test_a_message_of_the_customer_wakes_what_snoozes():
    asleep = ("snooze", {"until": "2026-03-05T09:00:00+00:00"})
    assert state(asleep).snooze_until == datetime(2026, 3, 5, 9, tzinfo=UTC)
    assert state(asleep, said("staff")).snooze_until is not None
    assert state(asleep, said("customer")).snooze_until is None
    assert state(asleep, ("snooze", {"until": None})).snooze_until is None


def test_what_is_assigned_is_open():
    assert state(("assign", {"to": 3})).status == "open"
    assert state(("assign", {"to": None})).status == "new"


def test_links_ship_and_are_told_once():
    flag = {"kind": "flag", "ref": "new-auth"}
    linked = state(("link", {**flag, "title": ""}), ("shipped", flag), ("shipped", flag), ("told", flag)).links
    one = linked["flag", "new-auth"]
    assert (one.shipped_at, one.told_at) == (START + timedelta(minutes=2), START + timedelta(minutes=4))
    assert state(("link", {**flag, "title": ""}), ("unlink", flag), ("shipped", flag)).links == {}


def test_merging_closes_it_and_says_where_it_goes_on():
    one = state(("merged", {"into": 5}))
    assert (one.status, one.merged_into, one.waiting_since) == ("closed", 5, None)


def test_the_excerpt_is_one_line():
    assert state(("message", {"side": "customer", "body": "a\n\n b\t c", "via": "web"})).excerpt == "a b c"


def test_texts_are_the_last_subject_all_messages_notes_and_comments():
    texts = texts_of(
        history(
            said("customer"),
            ("note", {"body": "Called"}),
            ("subject", {"to": "Keys"}),
            ("csat", {"score": 5, "comment": "Thanks"}),
        )
    )
    assert (texts.subject, texts.messages, texts.notes) == ("Keys", "Hello", "Called\nThanks")


LINK = {"kind": "url", "ref": "https://tracker.example/1"}
HAPPENING = st.sampled_from(
    [
        said("customer"),
        said("staff"),
        said("customer", automatic=True),
        ("note", {"body": "Note"}),
        ("assign", {"to": 2}),
        ("assign", {"to": None}),
        ("tags", {"add": ["c"], "remove": ["a"]}),
        ("snooze", {"until": "2026-04-01T00:00:00+00:00"}),
        ("link", {**LINK, "title": "T"}),
        ("shipped", LINK),
        ("unlink", LINK),
        ("customer", {"user_id": 9, "account_id": None}),
        ("csat", {"score": 4}),
        ("merged", {"into": 9}),
        *(("status", {"to": to}) for to in ("open", "waiting_customer", "waiting_dev", "solved", "closed", "spam")),
    ]
)


@given(st.lists(HAPPENING, max_size=25))
def test_folding_one_by_one_is_folding_all_and_the_state_holds_together(happened: list[tuple[str, dict[str, Any]]]):
    events = history(*happened)
    one = state_of(events[:1])
    for event in events[1:]:
        fold(one, event)
    assert one == state_of(events)
    assert one.version == len(events)
    assert (one.solved_at is not None) == (one.status in ("solved", "closed"))
    if one.waiting_since is not None:
        assert one.status in ("new", "open", "waiting_dev")
        assert one.last_customer_at is not None
        assert one.last_staff_at is None or one.last_staff_at <= one.last_customer_at
    assert one.messages == sum(kind == "message" for kind, _ in happened)
