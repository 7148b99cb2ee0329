"""Tables of the support log.

The truth is `support_event`, append-only; what an interaction is now (`support_interaction`, `support_link`,
`support_search`, `support_metric`) is a cache of it, which `trackside support rebuild` drops and makes anew: see ADR
0200.
"""

from trackside_modules.support.models.clocks import Metric, RatingLink, RulesRow
from trackside_modules.support.models.desk import Macro, SavedView
from trackside_modules.support.models.events import EventRow, FrozenContext
from trackside_modules.support.models.files import File
from trackside_modules.support.models.imports import Import, LeftOut
from trackside_modules.support.models.interactions import Interaction, Link
from trackside_modules.support.models.mails import Mail
from trackside_modules.support.models.search import SearchRow, Word
from trackside_modules.support.models.topics import Topic, TopicAlias
from trackside_modules.support.models.trackers import Tracker, WorkItem, WorkNews

__all__ = [
    "EventRow",
    "File",
    "FrozenContext",
    "Import",
    "Interaction",
    "LeftOut",
    "Link",
    "Macro",
    "Mail",
    "Metric",
    "RatingLink",
    "RulesRow",
    "SavedView",
    "SearchRow",
    "Topic",
    "TopicAlias",
    "Tracker",
    "Word",
    "WorkItem",
    "WorkNews",
]
