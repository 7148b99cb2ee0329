"""The demo's support log, taken away again, and nothing else."""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from trackside.auth.models import Member
from trackside.runtime import Runtime
from trackside_modules.support import attachments
from trackside_modules.support.demo.cases import TOPICS
from trackside_modules.support.demo.seed import MACROS, SOURCE, TEAM, VIEWS
from trackside_modules.support.models import File, Interaction, Macro, SavedView, Topic, TopicAlias
from trackside_modules.support.service import erasing, topics

_BULK = {"synchronize_session": False}


def clear(runtime: Runtime, session: Session) -> None:
    """Remove the demo's interactions with all that was written of them; topics that others use stay."""
    ours = list(session.scalars(select(Interaction.id).where(Interaction.source == SOURCE)))
    digests = set(session.scalars(select(File.sha256).where(File.interaction_id.in_(ours))))
    erasing.purge(session, ours)
    kept = set(session.scalars(select(File.sha256).where(File.sha256.in_(digests))))
    attachments.remove(attachments.folder_of(runtime.settings), digests - kept)
    session.execute(delete(Macro).where(Macro.name.in_(MACROS)), execution_options=_BULK)
    session.execute(delete(SavedView).where(SavedView.name.in_(VIEWS)), execution_options=_BULK)
    _clear_topics(session)
    session.execute(delete(Member).where(Member.email.in_(TEAM.values())), execution_options=_BULK)
    session.expire_all()


def _clear_topics(session: Session) -> None:
    """Remove the demo's topics, those below others first, where nothing is filed under them."""
    paths = ["/".join(filter(None, (parent, topics.slug_of(name)))) for name, parent, _ in TOPICS]
    for path in sorted(paths, key=lambda each: -each.count("/")):
        topic_id = session.scalar(select(Topic.id).where(Topic.path == path))
        if topic_id is None:
            continue
        used = select(Interaction.id).where(Interaction.topic_id == topic_id).limit(1)
        needed = select(Topic.id).where((Topic.parent_id == topic_id) | (Topic.merged_into == topic_id)).limit(1)
        if session.scalar(used) is None and session.scalar(needed) is None:
            session.execute(delete(TopicAlias).where(TopicAlias.topic_id == topic_id), execution_options=_BULK)
            session.execute(delete(Topic).where(Topic.id == topic_id), execution_options=_BULK)
