"""The support log's use cases, one function each. They flush and never commit; `who` is an `Actor`, `now` the time.

Logging: log(session, Draft(...), who=, now=, context_of=freezer(runtime)) -> Logged(.interaction, .people, .said)

Saying, `number` being what SUP-123 is called; all return the Interaction as it is afterwards:
    reply(session, number, body, who=, now=, then=None, if_version=None, via="web", file_ids=(), automatic=False)
    receive(session, number, body, now=, user_id=None, via="mail", file_ids=(), mail_id=None, automatic=False, at=None)
    note(session, number, body, who=, now=, if_version=None, file_ids=())

Changing, all with who= and now=; the first six take if_version= too:
    set_status(session, number, status)        assign(session, number, member_id | None)
    set_topic(session, number, topic_id | None) set_kind(session, number, kind)
    prioritise(session, number, priority)      rename(session, number, subject)
    set_customer(session, number, Named(user=, user_id=, account=, account_id=))
    tag(session, number, add=(), remove=())    snooze(session, number, until | None)
    link(session, number, kind, ref, title="") unlink, ship, tell(session, number, kind, ref)
    merge(session, number, into, if_version=None) -> target
    split(session, number, seqs, subject) -> the new one
    bulk(session, numbers, act: Callable[[int], object]) -> Done(.done, .refused)

Reading one: get(session, number) -> Interaction, history_of(session, number) -> list[history.Event],
    standing(session, number) -> the number under which a merged one goes on.
Anything else (a CSAT answer): `with Work.on(session, number, who, now=now) as work: work.add(kind, **data)`;
    work.state is the state after each event, user_id= says it was the customer, quiet=True Trackside itself.
Who: people.find_user, find_account, find_or_make. A line of the quick log: reading.read(session, text, ...).draft.
Topics: topics.find, pick, create, change, set_aliases, merge, archive.
A cache of its own (metrics): one line in `caches.CACHES`.

Errors: InputError(fields), NotFound, StaleVersion (412: not at if_version), Conflict (merged, external_ref logged).
"""

from trackside_modules.support.service import fields, people, reading, topics
from trackside_modules.support.service.bulk import Done, bulk
from trackside_modules.support.service.changes import (
    assign,
    link,
    prioritise,
    rename,
    set_customer,
    set_kind,
    set_status,
    set_topic,
    ship,
    snooze,
    tag,
    tell,
    unlink,
)
from trackside_modules.support.service.contexts import ContextOf, freezer
from trackside_modules.support.service.logs import Logged, log
from trackside_modules.support.service.merging import merge, split
from trackside_modules.support.service.messages import note, receive, reply, standing
from trackside_modules.support.service.people import Named, People
from trackside_modules.support.service.work import Work, get, history_of

__all__ = [
    "ContextOf",
    "Done",
    "Logged",
    "Named",
    "People",
    "Work",
    "assign",
    "bulk",
    "fields",
    "freezer",
    "get",
    "history_of",
    "link",
    "log",
    "merge",
    "note",
    "people",
    "prioritise",
    "reading",
    "receive",
    "rename",
    "reply",
    "set_customer",
    "set_kind",
    "set_status",
    "set_topic",
    "ship",
    "snooze",
    "split",
    "standing",
    "tag",
    "tell",
    "topics",
    "unlink",
]
