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
Anything else (a CSAT answer): `with Work.on(session, number, who, now=now) as work: work.add(kind, {...})`;
    work.state is the state after each event, user_id= says it was the customer, quiet=True Trackside itself.
Who: people.find_user, find_account, find_or_make. A line of the quick log: reading.read(session, text, ...).draft.
Topics: topics.find, pick, create, change, set_aliases, merge, archive.
A cache of its own (metrics): one line in `caches.CACHES`; it gets whole histories, of one or of thousands.
Many at once: bring_in(session, histories: list[list[history.Event]]) -> numbers (imports, the demo).
All anew: rebuilding.rebuild(runtime.database, tell=callable(Progress(.done, .total))) -> how many.
Demo: erasing.purge(session, numbers). Erased and merged customers: erasing.follow, erasing.erase.

Reading many, in `queries`: chips.ask(session, typed, now=, member_id=) -> Asked(.chips .text .filter .problems);
    lists.page(session, filter, now=, sort="updated", after=key, limit=50) -> Page(.rows .after), lists.SORTS,
    lists.rows, lists.count;
    board.views(session, member_id, now=) -> [View(.key .title .query .sort .number)], board.BUILTIN, board.view;
    threads.thread(session, number) -> Thread(.row .entries .absorbed .links .files .context);
    search.find(session, typed, now=, member_id=, limit=, offset=) -> Found(.hits[.row .subject .said: Part(.text .hit)]
    .more .corrected .people .asked); similar.similar(session, text, but=number) -> [Similar(.row .likeness)];
    topics.tree(session) -> [Node]; lookup.topics.below(session, topic_id) -> ids.

Errors: InputError(fields), NotFound, StaleVersion (412: not at if_version), Conflict (merged, external_ref logged).
"""

from trackside_modules.support.lookup.interactions import get, histories_of, history_of
from trackside_modules.support.service import fields, people, reading, topics
from trackside_modules.support.service.bringing import bring_in
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
from trackside_modules.support.service.work import Work

__all__ = [
    "ContextOf",
    "Done",
    "Logged",
    "Named",
    "People",
    "Work",
    "assign",
    "bring_in",
    "bulk",
    "fields",
    "freezer",
    "get",
    "histories_of",
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
