"""Import from Unleash: its features become flags that give every user the answer they had.

A feature is asked two things there: whether it is enabled, and which variant. So it becomes a boolean flag of its own
name and, where it has variants, a second one called `NAME/variant` that serves their payloads. The buckets stay: each
serve carries Unleash's hash (see `hashing`). What cannot be said exactly is refused, by name and with the reason;
what is said otherwise than there is noted.

    documents   the forms Unleash exports features in, read into `Feature`s by environment
    conditions  constraints and segments, as conditions and a span of time
    strategies  activation strategies, as rules
    variants    variants, as pieces of a split
    convert     features, as flags, with what was noted and refused
"""
