"""Rules as a form has them: texts by place, kept as typed, from a config and back to one. Pure.

    draft = drafts.of(config, variants, zone)      what the form shows first
    draft = drafts.read(fields)                    what was typed
    draft = drafts.act(draft, "rule.add")          a part added, removed or moved
    config = drafts.build(draft, config, variants, zone)     raises InputError by field

A field is called as the engine calls the place: `rules[0].when[1].values`, so a problem finds its field.
"""

from trackside_modules.flags.drafts.acts import act
from trackside_modules.flags.drafts.building import Builder, build
from trackside_modules.flags.drafts.fields import Draft, read
from trackside_modules.flags.drafts.places import place
from trackside_modules.flags.drafts.showing import number_text, of

__all__ = ["Builder", "Draft", "act", "build", "number_text", "of", "place", "read"]
