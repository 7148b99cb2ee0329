"""Which times can be true: of a data point, a span or a log record, in nanoseconds since 1970."""

_NANO = 1_000_000_000
AHEAD, FAR_AHEAD, ANCIENT = 60 * _NANO, 24 * 3600 * _NANO, 400 * 24 * 3600 * _NANO


class Refused(Exception):
    """Something that cannot be counted; its text is the reason."""


def check_time(time: int, now: int) -> None:
    """Raise Refused where a time is missing, more than 24 hours ahead, or more than 400 days ago."""
    if time <= 0:
        raise Refused("it has no time")
    if time > now + FAR_AHEAD:
        raise Refused("the time is more than 24 hours ahead of this server's")
    if time < now - ANCIENT:
        raise Refused("the time is more than 400 days ago")


def is_ahead(time: int, now: int) -> bool:
    """Whether the sender's clock must be ahead of ours."""
    return time > now + AHEAD
