"""Business hours and clocks: pure functions of an interaction's history and of versioned rules. No SQL, no Flask.

`rules` has calendars, policies and their targets, as one document with a version. `hours` knows how much business time
lies between two moments, and when a target is reached. `spans` says when an interaction was ours to work on, out of its
steps. `metrics` makes figures of both: how long first reply, next replies and resolution took, when they are due, and
whether that was missed.
"""
