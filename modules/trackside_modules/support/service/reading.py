"""What a line of the quick log means here: whom, which topic, who takes it. Nothing is written.

`read` never raises on what people type. Where something was not understood it says so, keeps the text,
and gives no draft.
"""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.customers.models import Account, User
from trackside.errors import InputError
from trackside.text import is_hidden
from trackside_modules.support import grammar, words
from trackside_modules.support.drafts import Draft
from trackside_modules.support.grammar import Line
from trackside_modules.support.service import people, topics

_ANYBODYS = frozenset(
    {"gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com", "icloud.com", "me.com"}
    | {"proton.me", "protonmail.com", "gmx.net", "gmx.de", "web.de", "aol.com", "mail.ru", "qq.com", "163.com"}
)
"""Domains that say nothing of where somebody works."""
_ME = "me"


@dataclass(frozen=True, slots=True)
class Understood:
    """A part of the line and what it means, for the preview."""

    what: str
    """`user`, `account`, `topic`, `kind`, `priority`, `flag`, `channel`, `tag`, `assignee`, `direction` or `at`."""
    label: str
    new: bool = False
    """Whether it will be made."""


@dataclass(slots=True)
class Reading:
    """A line that was read."""

    line: Line
    subject: str = ""
    draft: Draft | None = None
    """What will be logged; None while something is missing or not understood."""
    understood: list[Understood] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why there is no draft, each as a sentence."""

    def must(self, name: str) -> Draft:
        """Return the draft; raises InputError for the field `name` where there is none."""
        if self.draft is None:
            raise InputError(" ".join(self.problems), {name: " ".join(self.problems)})
        return self.draft


@dataclass(slots=True)
class _Whom:
    user: User | None = None
    new_user: str = ""
    account: Account | None = None
    new_account: str = ""


def read(
    session: Session,
    text: str,
    *,
    now: datetime,
    zone: tzinfo,
    member_id: int | None = None,
    source: str = "web",
    channel: str = "other",
) -> Reading:
    """Return what `text` means to the member `member_id`, whose clock is in `zone`; `channel` unless it names one."""
    # what cannot be seen was pasted by accident, and PostgreSQL refuses some of it
    line = grammar.parse("".join(each for each in text if each in "\n\t" or not is_hidden(each)))
    reading = Reading(line, problems=list(line.problems))
    whom = _whom(session, line, reading)
    topic_id = _topic(session, line, reading)
    assignee_id = _assignee(session, line, reading, member_id)
    at = _at(line, reading, now, zone)
    _tell_the_plain(line, reading)
    if not reading.subject:
        reading.problems.append("Say what it is about, in a few words.")
    if reading.problems:
        return reading
    reading.draft = Draft(
        subject=reading.subject,
        body=line.body,
        user=whom.new_user,
        user_id=whom.user.id if whom.user else None,
        account=whom.new_account,
        account_id=whom.account.id if whom.account else None,
        kind=line.one("kind") or "question",
        topic_id=topic_id,
        channel=line.one("channel") or channel,
        direction=line.one("direction") or "in",
        priority=line.one("priority") or "normal",
        assignee_id=assignee_id,
        tags=tuple(line.all("tag")),
        links=tuple(("flag", key) for key in line.all("flag")),
        occurred_at=at,
        source=source,
    )
    return reading


def _whom(session: Session, line: Line, reading: Reading) -> _Whom:
    """Find the user and account that the line names; its first word may be a user's id."""
    whom = _Whom()
    named = line.one("user") or line.one("email") or ""
    whom.user = people.find_user(session, named or line.first)
    reading.subject = line.subject
    if whom.user is not None and not named:
        reading.subject = line.subject.removeprefix(line.first).lstrip()
    if whom.user is None:
        whom.new_user = named
    if account := line.one("account"):
        whom.account = people.find_account(session, account)
        whom.new_account = "" if whom.account else account
    elif whom.new_user:
        whom.account = _colleagues(session, whom.new_user)
    if not (whom.user or whom.new_user or whom.account or whom.new_account):
        reading.problems.append("Say who it was: an e-mail address, a user's id, or @account.")
    _tell_whom(session, whom, reading)
    return whom


def _tell_whom(session: Session, whom: _Whom, reading: Reading) -> None:
    account = whom.account
    if whom.user is not None:
        reading.understood.append(Understood("user", whom.user.label))
        if account is None and not whom.new_account and whom.user.account_id:
            account = session.get(Account, whom.user.account_id)
    elif whom.new_user:
        reading.understood.append(Understood("user", whom.new_user, new=True))
    if account is not None:
        reading.understood.append(Understood("account", account.label))
    elif whom.new_account:
        reading.understood.append(Understood("account", whom.new_account, new=True))


def _colleagues(session: Session, email: str) -> Account | None:
    """Return the one account whose users have addresses of the same company, or None."""
    domain = email.rpartition("@")[2].lower()
    if "." not in domain or domain in _ANYBODYS:
        return None
    same = User.email.iendswith(f"@{domain}", autoescape=True)
    found = session.scalars(select(User.account_id).where(same, User.account_id.is_not(None)).distinct().limit(2)).all()
    return session.get(Account, found[0]) if len(found) == 1 else None


def _topic(session: Session, line: Line, reading: Reading) -> int | None:
    text = line.one("topic")
    if not text:
        return None
    topic = topics.find(session, text)
    if topic is None:
        reading.problems.append(f"There is no topic #{text}: choose another, or write \\#{text} to have it as text.")
        return None
    reading.understood.append(Understood("topic", topic.path))
    return topic.id


def _assignee(session: Session, line: Line, reading: Reading, member_id: int | None) -> int | None:
    text = (line.one("assignee") or "").lower()
    if not text:
        return None
    query = select(Member).where(Member.disabled_at.is_(None))
    if text == _ME:
        query = query.where(Member.id == member_id)
    else:
        starts = [name.startswith(text, autoescape=True) for name in (Member.email, func.lower(Member.name))]
        query = query.where(or_(*starts)).order_by((Member.email == text).desc(), Member.id)
    found = session.scalars(query.limit(2)).all()
    if not found or (len(found) > 1 and found[0].email != text):
        several = "More than one member is" if found else "No member is"
        reading.problems.append(f"{several} called {text}: write the e-mail address, or @@me.")
        return None
    reading.understood.append(Understood("assignee", found[0].name or found[0].email))
    return found[0].id


def _at(line: Line, reading: Reading, now: datetime, zone: tzinfo) -> datetime | None:
    text = line.one("at")
    if not text:
        return None
    at = grammar.moment(text, now, zone)
    if at is None or at > now:
        reading.problems.append(f"at:{text} is no time that has been: write at:10:30, at:-2h or at:2026-11-20T10:30.")
        return None
    reading.understood.append(Understood("at", f"{at.astimezone(zone):%-d %b %Y, %H:%M}"))
    return at


def _tell_the_plain(line: Line, reading: Reading) -> None:
    """Tell what needs no looking up."""
    labels = {
        "kind": words.KINDS,
        "priority": words.PRIORITIES,
        "channel": words.CHANNELS,
        "direction": words.DIRECTIONS,
    }
    for what, label in labels.items():
        if value := line.one(what):
            reading.understood.append(Understood(what, label[value]))
    for what in ("flag", "tag"):
        reading.understood += [Understood(what, value) for value in line.all(what)]
