"""A thread as it is read: messages and notes drawn, everything else a line of small print in words."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy.orm import Session

from trackside.web import format as fmt
from trackside.web.look import zone
from trackside_modules.support import words
from trackside_modules.support.history import Event
from trackside_modules.support.markdown import as_it_is, render
from trackside_modules.support.models import File
from trackside_modules.support.queries.naming import members, topics, users
from trackside_modules.support.queries.threads import Entry as Told
from trackside_modules.support.queries.threads import Thread

VIA = {"web": "", "mail": "by mail", "email": "by mail", "api": "by API", "command line": "", "demo": ""}
ICONS = {
    "created": "plus",
    "assign": "person",
    "tags": "tag",
    "topic": "book",
    "snooze": "clock",
    "link": "link",
    "unlink": "link",
    "shipped": "mark-release",
    "told": "check",
    "merged": "merge",
    "absorbed": "merge",
    "split": "split",
    "csat_asked": "review",
    "csat": "review",
    "erased": "trash",
}


MOST_DRAWN = 150_000
"""Characters of a thread that are drawn as Markdown, its latest; what was said before them is shown as it is."""
ERASED = Markup('<p class="muted">Erased with its customer.</p>')


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, ready to draw."""

    key: str
    """Its place on the page."""
    seq: int
    """Its number in the thread; 0 for what happened to another before it was merged into this one."""
    at: datetime
    name: str
    """Who did it."""
    icon: str = "edit"
    said: Markup | str = ""
    body: Markup | None = None
    """A message or note; None for what is small print."""
    side: str = ""
    """`customer`, `staff` or `note`."""
    via: str = ""
    files: Sequence[File] = ()
    origin: str = ""
    """`SUP-12` where it happened there."""


_Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the words need besides the events."""

    number: int
    members: Mapping[int, str]
    users: Mapping[int, str]
    topics: Mapping[int, str]
    files: Mapping[int, File]
    now: datetime
    link: str
    """The address of an interaction, without its number."""
    drawn: frozenset[int]
    """Which events, by `id`, have their words drawn as Markdown."""


def entries(session: Session, thread: Thread, now: datetime, link: str) -> list[Entry]:
    """Return what happened in a thread, in order; changes made together by one are told together."""
    # that another was merged is told once, here
    happened = [each for each in thread.entries if each.number == thread.row.id or each.event.kind != "merged"]
    events = [each.event for each in happened]
    assigned = {each.data["to"] for each in events if each.kind == "assign"}
    named = {each.data.get("user_id") for each in events if each.kind == "customer"}
    known = _Known(
        thread.row.id,
        members(session, assigned),
        users(session, named),
        topics(session, {each.data["to"] for each in events if each.kind == "topic"}),
        thread.files,
        now,
        link,
        _drawn(events),
    )
    return list(_joined(_entry(each, thread, known) for each in happened))


def _entry(told: Told, thread: Thread, known: _Known) -> Entry:
    event, data = told.event, told.event.data
    own = told.number == known.number
    key = f"e{event.seq}" if own else f"from-{told.number}-{event.seq}"
    place: dict[str, Any] = {"key": key, "seq": event.seq if own else 0, "at": event.at}
    place |= {"origin": "" if own else words.ref(told.number)}
    if event.kind not in {"message", "note"}:
        icon = f"st-{data['to']}" if event.kind == "status" else ICONS.get(event.kind, "edit")
        return Entry(**place, name=told.who, icon=icon, said=_said(event, known))
    theirs = event.kind == "message" and data["side"] == "customer"
    via = VIA.get(data.get("via", ""), f"by {data.get('via')}") if event.kind == "message" else ""
    return Entry(
        **place,
        name=told.who if not theirs or event.user_id else thread.row.user or told.who,
        body=ERASED if thread.row.interaction.erased else _body(event, known),
        side=data["side"] if event.kind == "message" else "note",
        via="sent by itself" if data.get("automatic") else via,
        files=[known.files[each] for each in data.get("file_ids", ()) if each in known.files],
    )


def _drawn(events: Sequence[Event]) -> frozenset[int]:
    """Return which of `events` are drawn, by `id`: the latest, as far as `MOST_DRAWN` reaches."""
    left, found = MOST_DRAWN, set[int]()
    for each in reversed(events):
        left -= len(each.data.get("body", ""))
        if left < 0:
            break
        found.add(id(each))
    return frozenset(found)


def _body(event: Event, known: _Known) -> Markup:
    body = event.data["body"]
    return render(body) if id(event) in known.drawn else as_it_is(body)


def _said(event: Event, known: _Known) -> Markup | str:
    """Return what somebody did, to be read after their name."""
    say = _SAYINGS.get(event.kind)
    return say(event.data, known, event) if say else "changed it"


def _created(data: _Data, _known: _Known, _event: Event) -> str:
    took = data.get("logged_ms")
    return "logged it" + (f" in {took / 1000:.1f} s" if took else "")


def _assigned(data: _Data, known: _Known, event: Event) -> str:
    to = data["to"]
    return "took it" if to and to == event.member_id else f"assigned it to {known.members.get(to, 'nobody')}"


def _customer(data: _Data, known: _Known, _event: Event) -> str:
    return f"said it is with {known.users.get(data.get('user_id') or 0, 'another customer')}"


def _tagged(data: _Data, _known: _Known, _event: Event) -> str:
    return ", ".join(filter(None, (_tags("added", data.get("add")), _tags("took away", data.get("remove")))))


def _snoozed(data: _Data, known: _Known, _event: Event) -> str:
    if not data["until"]:
        return "woke it"
    return f"snoozed it until {fmt.short_time(datetime.fromisoformat(data['until']), known.now, zone())}"


def _split(data: _Data, known: _Known, _event: Event) -> Markup:
    if "into" in data:
        return _ref("split off {}", data["into"], known)
    return _ref("split it off {}", data["from"], known)


def _rated(data: _Data, _known: _Known, _event: Event) -> str:
    said = f"rated it {data['score']} of 5"
    return said + (f": “{data['comment']}”" if data.get("comment") else "")


def _about_link(words_before: str) -> Callable[[_Data, _Known, Event], Markup]:
    return lambda data, known, _event: Markup("{} {}").format(words_before, _target(data, known))


_SAYINGS: Mapping[str, Callable[[_Data, _Known, Event], Markup | str]] = {
    "created": _created,
    "status": lambda data, _known, _event: f"made it {words.STATUSES[data['to']].lower()}",
    "assign": _assigned,
    "topic": lambda data, known, _event: f"filed it under {known.topics.get(data['to'], 'no topic')}",
    "kind": lambda data, _known, _event: f"called it {_a(words.KINDS[data['to']])}",
    "priority": lambda data, _known, _event: f"set the priority to {words.PRIORITIES[data['to']].lower()}",
    "subject": lambda data, _known, _event: f"renamed it to “{data['to']}”",
    "customer": _customer,
    "tags": _tagged,
    "snooze": _snoozed,
    "link": _about_link("linked"),
    "unlink": _about_link("took away the link to"),
    "shipped": _about_link("says it is delivered:"),
    "told": _about_link("told the customer about"),
    "merged": lambda data, known, _event: _ref("merged it into {}", data["into"], known),
    "absorbed": lambda data, known, _event: _ref("merged {} into it", data["from"], known),
    "split": _split,
    "csat_asked": lambda _data, _known, _event: "asked how we did",
    "csat": _rated,
    "imported": lambda _data, _known, _event: "brought it in",
    "erased": lambda _data, _known, _event: "emptied it: the customer was erased",
}


def _target(data: Mapping[str, Any], known: _Known) -> Markup:
    kind, ref = data["kind"], data["ref"]
    if kind == "interaction" and str(ref).isdigit():
        return _ref("{}", int(ref), known)
    if kind == "url":
        shown = str(data.get("title") or ref).removeprefix("https://")
        return Markup('<a href="{}" rel="noopener noreferrer">{}</a>').format(ref, shown)
    return escape(f"the flag {ref}")


def _ref(sentence: str, number: Any, known: _Known) -> Markup:
    """Return a sentence with an interaction's number as a link."""
    link = Markup('<a href="{}{}">{}</a>').format(known.link, number, words.ref(int(number)))
    return escape(sentence).format(link)


def _tags(verb: str, tags: Any) -> str:
    return f"{verb} {' '.join('#' + each for each in tags)}" if tags else ""


def _a(word: str) -> str:
    lower = word.lower()
    return f"an {lower}" if lower[0] in "aeio" else f"a {lower}"


def _joined(found: Iterable[Entry]) -> Iterable[Entry]:
    """Yield entries; small print of one person within a minute becomes one line."""
    last: Entry | None = None
    for each in found:
        small = last and last.body is None and each.body is None
        together = small and last and (last.name, last.origin) == (each.name, each.origin)
        if last and together and (each.at - last.at).total_seconds() < 60:
            said = Markup("{}, {}").format(last.said, each.said)
            icon = last.icon if last.icon != "plus" else each.icon
            last = replace(last, seq=each.seq, key=each.key, at=each.at, said=said, icon=icon)
            continue
        if last:
            yield last
        last = each
    if last:
        yield last
