"""What interactions are found by, and how they are listed."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside.auth.audit import SYSTEM, Actor
from trackside.clock import FrozenClock
from trackside.errors import InputError
from trackside_modules.support import service
from trackside_modules.support.clocks.rules import Filter as Only
from trackside_modules.support.clocks.rules import Policy
from trackside_modules.support.models import Interaction, SavedView
from trackside_modules.support.queries import board, chips, lists, newest, search, similar, spelling, threads
from trackside_modules.support.queries.filters import Filter
from trackside_modules.support.service import rules

Log = Callable[..., Interaction]
Found = Callable[..., list[int]]


@pytest.fixture
def found(session: Session, clock: FrozenClock, ada: Actor) -> Found:
    """Search, and return the numbers of what is found."""

    def find(typed: str) -> list[int]:
        hits = search.find(session, typed, now=clock.now(), member_id=ada.member_id).hits
        return [each.row.id for each in hits]

    return find


def test_words_are_found_in_subjects_messages_and_notes(
    session: Session, ada: Actor, clock: FrozenClock, log: Log, found: Found
) -> None:
    one = log("401 after key rotation", body="Since the upgrade our webhooks fail.")
    service.note(session, one.id, "Their proxy strips the header", who=ada, now=clock.now())
    log("Invoice missing")
    for typed in ("rotating keys", "webhook", "proxies", '"key rotation" -invoice', one.ref.lower(), str(one.id)):
        assert found(typed) == [one.id], typed


def test_what_was_hit_is_marked_and_nothing_else_is_markup(session: Session, clock: FrozenClock, log: Log) -> None:
    log("Key <b>rotation</b>", body="The <script>alert(1)</script> rotation fails")
    hit = search.find(session, "rotation", now=clock.now()).hits[0]
    assert [each.text for each in hit.subject if each.hit] == ["rotation"]
    assert "".join(each.text for each in hit.subject) == "Key <b>rotation</b>"
    assert [each.text for each in hit.said if each.hit] == ["rotation"]


def test_a_misspelt_word_is_understood_and_said(session: Session, clock: FrozenClock, log: Log) -> None:
    one = log("Authentication fails after rotation")
    looked = search.find(session, "athentication rotatoin", now=clock.now())
    assert [each.row.id for each in looked.hits] == [one.id]
    assert looked.corrected == "authentication rotation"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("retrun lables", "return labels"),
        ("Retrun, lables.", "return, labels."),
        ("tokne", "token"),
        ("toknes", "tokens"),
        ("toekn kye", "token kye"),
        ("tken", "token"),
        ("ivoice", "invoice"),
        ("invocie", "invoice"),
        ("webok", "webhook"),
        ("webhhok", "webhook"),
        ("umluate", "umlaute"),
        ("größ", "größe"),
        ("возврта", "возврат"),
        ("recieved", "received"),
        ("shiping adress", "shipping address"),
        ("authetnicaton", "authentication"),
        ("authen", "authentication"),
        ('"retrun lables"', '"return labels"'),
    ],
)
def test_slips_of_the_hand_are_understood(
    session: Session, clock: FrozenClock, log: Log, typed: str, meant: str
) -> None:
    one = log("Return labels: token tokens invoice webhook shipping address received authentication kye")
    service.note(session, one.id, "Umlaute größe возврат tables cable", who=SYSTEM, now=clock.now())
    looked = search.find(session, typed, now=clock.now())
    assert looked.corrected == meant
    assert [each.row.id for each in looked.hits] == [one.id]


def test_of_words_as_near_the_one_that_more_interactions_hold_is_meant(session: Session, log: Log) -> None:
    for _ in range(30):
        log("The cable burns")
    log("The table burns")
    session.execute(text("analyze support_search"))
    assert search.correct(session, "dable") == "cable"


@pytest.mark.parametrize(
    "typed", ["from", "zzzzzz", "xqvw", "labels", "return.labels@", "key:lables", "-lables", "SUP-12"]
)
def test_what_is_no_slip_stays_as_it_was_typed(session: Session, log: Log, typed: str) -> None:
    log("Return labels from us")
    assert search.correct(session, typed) == typed


@given(st.text("abcdeé", min_size=4, max_size=9), st.data())
def test_every_single_slip_is_one_slip_away(word: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(word) - 1))
    letter = data.draw(st.sampled_from("xyzé"))
    for typed in (
        word[:at] + word[at + 1 :],
        word[:at] + letter + word[at:],
        word[:at] + letter + word[at + 1 :],
        word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
    ):
        assert word in spelling.slips(typed)
        assert spelling.slips_between(word, typed) <= 1


def test_a_misspelt_address_finds_its_customer(session: Session, clock: FrozenClock, log: Log) -> None:
    one = log("Something", user="maria.lindqvist@customer.example")
    looked = search.find(session, "maria.lindquist@customer.example", now=clock.now())
    assert [each.row.id for each in looked.hits] == [one.id]
    assert looked.people == [("user", "maria.lindqvist@customer.example")]


def test_chips_narrow_what_is_found(session: Session, ada: Actor, clock: FrozenClock, log: Log, found: Found) -> None:
    keys = service.topics.create(session, "Keys", who=ada, now=clock.now())
    below = service.topics.create(session, "Rotation", parent_id=keys.id, who=ada, now=clock.now())
    one = log("One", topic_id=below.id, kind="bug", tags=("vip",), assignee_id=ada.member_id, account="acme")
    other = log("Other", user="u_42", links=(("flag", "new-auth"),))
    assert found("topic:keys") == found("kind:bug") == found("tag:vip") == found("assignee:me") == [one.id]
    assert found("account:@acme is:open") == found("topic:rotation status:open") == [one.id]
    assert found("user:u_42") == found("flag:new-auth") == found("topic:none") == found("-tag:vip") == [other.id]
    assert found("kind:bug,question") == [other.id, one.id] or set(found("kind:bug,question")) == {one.id, other.id}
    assert found("since:1d before:2026-06-16 is:unassigned") == [other.id]
    assert found("is:snoozed") == found("is:untold") == found("before:2026-01-01") == []


def test_a_chip_that_means_nothing_is_said_and_finds_nothing(session: Session, clock: FrozenClock, log: Log) -> None:
    log()
    for typed in ("status:done2", "user:nobody@here.example", "topic:nix", "since:yesterday", "is:odd", "assignee:me"):
        looked = search.find(session, typed, now=clock.now())
        assert len(looked.asked.problems) == 1
        assert looked.hits == []


@given(st.text(max_size=60))
def test_every_text_is_chips_and_words_and_reads_the_same_again(typed: str) -> None:
    found, rest = chips.parse(typed)
    assert chips.parse(" ".join([*map(str, found), rest]))[1] == rest


@pytest.mark.parametrize("typed", ["'", '"', "a & | !", "<->", ":*", "\x00", "((", "user:", "-", "%_\\", "the of"])
def test_no_text_is_an_error(session: Session, clock: FrozenClock, log: Log, typed: str) -> None:
    log()
    search.find(session, typed, now=clock.now())
    similar.similar(session, typed.replace("\x00", ""))


def test_pages_follow_each_other_without_a_gap(session: Session, clock: FrozenClock, log: Log) -> None:
    made = []
    for at in range(7):
        if at % 3 == 0:
            clock.advance(timedelta(minutes=1))
        made.append(log(f"Number {at}", priority="high" if at % 2 else "low").id)
    for sort in lists.SORTS:
        seen: list[int] = []
        after = None
        while True:
            page = lists.page(session, Filter(), now=clock.now(), sort=sort, after=after, limit=3)
            seen += [each.id for each in page.rows]
            after = page.after
            if after is None:
                break
        assert sorted(seen) == made, sort
    with pytest.raises(InputError):
        lists.page(session, Filter(), now=clock.now(), sort="sideways")


def test_what_is_due_first_comes_first_and_what_is_not_due_has_no_place(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    soon = Policy(id=0, name="Soon", calendar_id=1, first_reply=60, when=Only(priorities=("high",)))
    rules.put_policy(session, soon, who=ada, now=clock.now())
    late = log("Late").id
    early = log("Early", priority="high").id
    over = log("Over", priority="high").id
    service.set_status(session, over, "solved", who=ada, now=clock.now())
    found = lists.page(session, Filter(), now=clock.now(), sort="due").rows
    assert [each.id for each in found] == [early, late]


def test_views_count_what_is_to_be_done(session: Session, ada: Actor, clock: FrozenClock, log: Log) -> None:
    log(assignee_id=ada.member_id)
    asleep = log().id
    log()
    service.snooze(session, asleep, clock.now() + timedelta(hours=1), who=ada, now=clock.now())
    session.add(SavedView(name="Bugs", query="kind:bug", created_at=clock.now()))
    session.add(SavedView(name="Broken", query="topic:gone", created_at=clock.now()))
    session.flush()

    def numbers(now: datetime) -> dict[str, int | None]:
        return {each.title: each.number for each in board.views(session, ada.member_id, now=now)}

    first = numbers(clock.now())
    assert (first["Mine"], first["Unassigned"], first["Our turn"], first["Snoozed"]) == (1, 1, 2, 1)
    assert (first["Bugs"], first["Broken"], first["All"]) == (0, 0, None)
    later = numbers(clock.now() + timedelta(hours=2))
    assert (later["Unassigned"], later["Snoozed"]) == (2, 0)


def test_a_thread_tells_everything_also_of_what_was_merged(
    session: Session, ada: Actor, clock: FrozenClock, log: Log
) -> None:
    one, other = log("One", body="First"), log("Other", body="Second")
    service.merge(session, one.id, other.id, who=ada, now=clock.now())
    read = threads.thread(session, other.id)
    assert [each.event.data["body"] for each in read.entries if each.event.kind == "message"] == ["First", "Second"]
    assert read.absorbed == [one.id]
    assert {each.who for each in read.entries} == {"Ada", "dev@customer.example"}
    assert read.row.user == "dev@customer.example"


def test_what_was_alike_is_offered(session: Session, log: Log) -> None:
    old = log("Webhook signature does not match", body="The signature header differs from what we compute.")
    log("Invoice for March")
    found = similar.similar(session, "Signatures of webhooks do not match")
    assert [each.row.id for each in found] == [old.id]
    assert similar.similar(session, "Signatures of webhooks do not match", but=old.id) == []


def test_a_phrase_is_found_by_its_words_in_their_order_alone(log: Log, found: Found) -> None:
    one = log("Rotation of the key failed")
    other = log("The key failed, then the rotation")
    assert found('"key failed"') == [other.id, one.id] or set(found('"key failed"')) == {one.id, other.id}
    assert found('"rotation of the key"') == [one.id]
    assert found('"failed the key"') == found('"rotation nobody said"') == []
    assert found('rotation -"failed then the rotation"') == [one.id]


@pytest.mark.parametrize(("common", "phrases"), [(0.0, 4_000), (2.0, 4_000), (0.0, 0.001)])
def test_what_many_hold_and_what_few_hold_are_found_alike(
    session: Session,
    clock: FrozenClock,
    log: Log,
    found: Found,
    monkeypatch: pytest.MonkeyPatch,
    common: float,
    phrases: float,
) -> None:
    numbers = [log(f"Key rotation {number}", body="It fails." if number % 2 else "").id for number in range(6)]
    session.execute(text("analyze support_search"))
    monkeypatch.setattr(newest, "COMMON", common)
    monkeypatch.setattr(newest, "PHRASES", phrases)
    monkeypatch.setattr(newest, "LATELY", 1 if phrases < 1 else newest.LATELY)
    assert set(found("rotation")) == set(numbers)
    assert set(found("rotation -fails")) == set(numbers[::2])
    assert set(found("kind:question fails")) == set(numbers[1::2])
    assert set(found('"key rotation"')) == set(numbers if phrases > 1 else numbers[-1:])
    assert search.find(session, '"key rotation"', now=clock.now()).partly is (phrases < 1)
    monkeypatch.setattr(search, "CANDIDATES", 2)
    assert set(found("rotation")) == set(numbers[-2:])


def test_the_newest_are_found_however_wrong_the_guess_is(
    session: Session, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking back further and further: what the first look leaves out, a later one finds."""
    numbers = [log("Rotation" if number in (1, 2, 7) else f"Invoice {number}").id for number in range(30)]
    session.execute(text("analyze support_search"))
    wanted = [numbers[7], numbers[2], numbers[1]]
    looked = newest.sought(session, "rotation")
    for slack in (0.1, 0.5, 1.0, 3.0):
        monkeypatch.setattr(newest, "SLACK", slack)
        for most in (1, 2, 3, 4):
            assert newest.newest(session, looked, most) == (wanted[:most], False)
    newest.done(session, looked)
    assert session.scalar(text("show plan_cache_mode")) == "auto"


def test_how_postgresql_plans_is_as_it_was_before_a_search(session: Session) -> None:
    session.execute(text("set local plan_cache_mode = 'force_generic_plan'"))
    newest.done(session, newest.sought(session, "rotation"))
    assert session.scalar(text("show plan_cache_mode")) == "force_generic_plan"


def test_a_phrase_is_looked_for_by_numbers_where_many_are_missing(
    session: Session, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are further apart than interactions are many, where some were removed."""
    numbers = [log("Key rotation").id for _ in range(4)]
    looked = newest.sought(session, '"key rotation"')
    monkeypatch.setattr(newest, "COMMON", 2.0)
    monkeypatch.setattr(newest, "LATELY", 1)
    monkeypatch.setattr(newest, "PHRASES", 1)
    monkeypatch.setattr(newest, "_GUESS", text("""select '[{"Plan": {"Plan Rows": 2}}]'::json where :loose <> ''"""))
    found, partly = newest.newest(session, replace(looked, every=1, last=numbers[-1]), 10)
    newest.done(session, looked)
    assert (set(found), partly) == ({each for each in numbers if each > numbers[-1] - round(numbers[-1] / 2)}, True)
