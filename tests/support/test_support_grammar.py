"""The one line by which an interaction is logged: what stands where, and that no word is lost."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.support.grammar import Line, moment, parse

NOW = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def said(line: Line) -> dict[str, str]:
    return {piece.what: piece.value for piece in line.pieces}


def test_the_line_of_the_manual_is_understood_whole() -> None:
    line = parse("dev@customer.example 401 after key rotation #auth !high bug flag:new-auth")

    assert line.subject == "401 after key rotation"
    assert said(line) == {
        "email": "dev@customer.example",
        "topic": "auth",
        "priority": "high",
        "kind": "bug",
        "flag": "new-auth",
    }
    assert line.problems == ()


def test_what_follows_two_dashes_or_a_new_line_is_the_customers_message() -> None:
    assert parse("u_1 no answer -- Since noon.\nAll calls hang.").body == "Since noon.\nAll calls hang."
    assert parse("u_1 no answer #api\nSince noon -- really").body == "Since noon -- really"
    assert parse("a@b.example well--known header").subject == "well--known header"


def test_every_named_form_means_what_its_sign_means() -> None:
    named = parse("user:u_1 x topic:auth/keys channel:phone tag:vip assignee:ada priority:low kind:bug direction:out")
    signed = parse("user:u_1 x #auth/keys ~phone +vip @@ada !low kind:bug direction:out")

    assert said(named) == said(signed)
    assert named.subject == "x"


def test_the_beginning_of_a_choice_is_enough() -> None:
    assert said(parse("a@b.example x !u ~ph kind:q")) == {
        "email": "a@b.example",
        "priority": "urgent",
        "channel": "phone",
        "kind": "question",
    }


def test_a_choice_that_is_none_is_told_and_its_word_is_kept() -> None:
    line = parse("a@b.example is slow !critical")

    assert line.subject == "is slow !critical"
    assert line.problems == ("!critical is no priority: write one of low, normal, high, urgent.",)


def test_a_kind_without_a_sign_counts_only_where_no_plain_word_follows() -> None:
    assert parse("a@b.example question about billing page").one("kind") is None
    assert parse("a@b.example keys fail #auth bug !low").one("kind") == "bug"
    assert parse("a@b.example keys fail #auth bug !low").subject == "keys fail"


def test_a_kind_that_ends_the_sentence_stays_in_it() -> None:
    line = parse("a@b.example cannot open billing")

    assert (line.one("kind"), line.subject) == ("billing", "cannot open billing")


@pytest.mark.parametrize("word", ["#401", "+1", "!!!", "@", "~5", "https://a.example/x#y", "12:30", "C#", "->"])
def test_signs_that_name_nothing_are_text(word: str) -> None:
    assert parse(f"a@b.example says {word} again").subject == f"says {word} again"


def test_a_backslash_makes_a_word_plain() -> None:
    line = parse(r"a@b.example \#auth \!high \bug")

    assert line.subject == "#auth !high bug"
    assert said(line) == {"email": "a@b.example"}


def test_a_second_address_is_text_and_any_other_second_is_told() -> None:
    assert parse("a@b.example forwarded by c@d.example").subject == "forwarded by c@d.example"
    assert parse("a@b.example x #auth #keys").problems == ("#keys comes after #auth: leave one of them.",)
    assert parse("a@b.example x +one +two").all("tag") == ["one", "two"]


def test_a_first_word_may_be_a_users_id_unless_somebody_is_named() -> None:
    assert parse("u_42 gets errors").first == "u_42"
    assert parse("gets errors user:u_42").first == ""


@given(st.text(max_size=120))
def test_any_text_is_taken_apart_and_no_word_is_lost(text: str) -> None:
    line = parse(text)
    spoken = " ".join([line.subject, line.body, *(text[piece.start : piece.end] for piece in line.pieces)])

    for word in text.split():
        assert word == "--" or word.lstrip("\\") in spoken or word in spoken
    for piece in line.pieces:
        assert piece.value
        assert piece.value.lower()[:1] in text[piece.start : piece.end].lower()


@pytest.mark.parametrize(
    ("value", "utc"),
    [
        ("10:20", "2026-11-23T09:20"),
        ("10:40", "2026-11-22T09:40"),
        ("-2h", "2026-11-23T07:30"),
        ("-3d", "2026-11-20T09:30"),
        ("yesterday", "2026-11-22T09:30"),
        ("2026-11-20", "2026-11-20T11:00"),
        ("2026-11-20T08:15", "2026-11-20T07:15"),
        ("2026-11-20T08:15Z", "2026-11-20T08:15"),
    ],
)
def test_a_time_is_read_in_the_writers_zone(value: str, utc: str) -> None:
    at = moment(value, NOW, ZoneInfo("Europe/Berlin"))

    assert at is not None
    assert at.astimezone(UTC).isoformat()[:16] == utc


@pytest.mark.parametrize("value", ["", "soon", "25:00", "10:99", "2026-13-01", "-0x", "99999-01-01"])
def test_a_time_that_is_none_is_none(value: str) -> None:
    assert moment(value, NOW, UTC) is None


@given(st.text(max_size=30))
def test_no_time_makes_it_fail(value: str) -> None:
    moment(value, NOW, ZoneInfo("Europe/Berlin"))
