"""Routes fit to be counted under: no query strings, no ids, no personal data that can be told from a name.

Whoever knows the route's template (`/users/{id}`) sends that, and it stays as it is. Who only has the path that was
asked for (`/users/123?token=x`) may send it as well: what looks like an id becomes `{id}`. Two kinds of looks:

- **strong**: UUIDs, hashes, e-mail addresses, IP addresses, telephone numbers, five digits and more, tokens, anything
  percent-encoded. No template has these in it, so they are replaced wherever they are.
- **weak**: short numbers, dates, `@names`. A template may have them (`/2015-03-31/functions/{name}`), so they are
  replaced only in a path without any placeholder, from a sender who does not vouch for it (`trusted`).

Words stay: `/users/ann` cannot be told from `/users/search`. What such paths could do to the list of endpoints is
bounded by its cap (`endpoints.MOST`).
"""

import re
from functools import lru_cache

LONGEST = 300
_READ = 2 * LONGEST
"""Characters looked at: what is behind them would be cut anyway."""
ID = "{id}"
MOST_SEGMENTS = 24

UNWANTED = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ud800-\udfff\ufeff]")
"""Characters that hide, break lines, turn the direction of text, or are half of one."""

_ORIGIN = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_PLACEHOLDER = re.compile(
    r"""
    \{ [\w*.:+-] [^{}@/]{0,80} (?: \{ [^{}]{0,20} \} [^{}]{0,80} )? \}    # {id}, {id:[0-9]{4}}
    | < [A-Za-z_] [^<>@/]{0,80} >                               # <int:id>
    | \[ \.* [A-Za-z_] [^\]@/]{0,80} \]                         # [id], [...path]
    | ^ : [A-Za-z_]                                        # :id
    | ^ \* \*? \w* $                                       # *, *path
    | ^ \( (?:unmatched|other) \) $
    """,
    re.VERBOSE,
)
_PLAIN_GROUP = re.compile(r"\((?!\?P<)(?:\?[:=!])?[^()]*\)[*+?]?")
_NAMED_GROUP = re.compile(r"\(\?P<(\w+)>[^()]*\)[*+?]?")
_STRONG = re.compile(
    r"""
    % | @ . | . @ | [=&\s"'\\]
    | \d{5}
    | ^ \d{1,3} (?: \. \d{1,3} ){3} $                      # IPv4
    | ^ (?= .* : .* : ) [0-9a-fA-F:.]+ $                   # IPv6
    | ^ \+? [\d ()./-]* \d [\d ()./-]* $                   # telephone numbers, dates: see _is_strong
    | [0-9a-fA-F]{8} - (?: [0-9a-fA-F]{4} - ){3} [0-9a-fA-F]{12}
    | (?<![0-9A-Za-z]) (?= [a-fA-F]* \d ) [0-9a-fA-F]{8,} (?![0-9A-Za-z])
    | [0-9A-Za-z]{40}
    """,
    re.VERBOSE,
)
_NUMERIC = re.compile(r"^\+?[\d ()./-]+$")
_DATE = re.compile(r"^\d{4}-\d\d(-\d\d)?$")
_VERSION = re.compile(r"^v?\d+(\.\d+){1,2}$|^v\d+$", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}$")
_PART = re.compile(r"[0-9A-Za-z]+")
_SWITCH = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[a-z])")
_DIGIT_SWITCH = re.compile(r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)")


def clean(text: str, limit: int) -> str:
    """Return the text without the characters of `UNWANTED`, at most `limit` long."""
    text = UNWANTED.sub("", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def template(route: str, *, trusted: bool = False) -> str:
    """Return the route to count a request under, at most `LONGEST` characters; empty where nothing is left.

    The function is pure, and giving it its own result changes nothing.

    Args:
        route: A template, a path or a URL, as the sender has it.
        trusted: Whether the sender says that this is a template: short numbers in it are then part of it.

    """
    return _template(route[:_READ], trusted)


@lru_cache(maxsize=8192)  # a service has few routes, and asks for each of them with every point it sends
def _template(route: str, trusted: bool) -> str:
    route = _path(UNWANTED.sub("", route).strip())
    segments = re.sub(r"/{2,}", "/", route).split("/")
    if len(segments) > MOST_SEGMENTS:
        segments = [*segments[:MOST_SEGMENTS], "…"]
    trusted = trusted or any(map(_PLACEHOLDER.search, segments))
    made = "/".join([segment and _masked(segment, trusted) for segment in segments])
    if len(made) <= LONGEST:
        return made
    return made[: LONGEST - 1].rpartition("/")[0] + "/…"


def _path(route: str) -> str:
    """Return the path of a URL, without query, fragment and parameters; named groups become placeholders."""
    if "(?P<" in route:  # Django's re_path
        while (plain := _PLAIN_GROUP.sub("", route)) != route:
            route = plain
        route = _NAMED_GROUP.sub(r"{\1}", route).removeprefix("^").removesuffix("$").replace("\\", "")
    route = _ORIGIN.sub("", route)
    route = re.split(r"[?#]", route, maxsplit=1)[0]
    return re.sub(r";[^/]*", "", route).strip()


def _masked(segment: str, trusted: bool) -> str:
    """Return a segment as it may be kept."""
    if _PLACEHOLDER.search(segment):
        return segment if "@" not in segment and "%" not in segment else ID
    ending = _EXTENSION.search(segment)
    stem, extension = (segment[: ending.start()], ending[0]) if ending and ending.start() else (segment, "")
    if _is_strong(stem, trusted):
        return ID + ("" if re.search("[@%]", stem) else extension)
    if trusted or _VERSION.match(segment):
        return segment
    if _DATE.match(segment) or segment.startswith("@"):
        return ID
    return _parts_masked(stem) + extension


def _is_strong(stem: str, trusted: bool) -> bool:
    """Whether a segment is nobody's template, whoever sends it."""
    if _VERSION.match(stem) or (trusted and _DATE.match(stem)):
        return False
    if _NUMERIC.match(stem):
        return sum(map(str.isdigit, stem)) >= 5
    if _STRONG.search(stem):
        return True
    parts: list[str] = _PART.findall(stem)
    length = sum(map(len, parts))
    return length >= 16 and sum(len(_SWITCH.findall(part)) for part in parts) >= 0.4 * length


def _parts_masked(stem: str) -> str:
    """Return a segment with its numbers and tokens replaced; as a whole where little else is left of it."""
    hidden = 0

    def mask(found: re.Match[str]) -> str:
        nonlocal hidden
        part = found[0]
        if not (part.isdigit() or (len(part) >= 6 and len(_DIGIT_SWITCH.findall(part)) >= 2)):
            return part
        hidden += len(part)
        return ID

    made = _PART.sub(mask, stem)
    return ID if hidden * 2 >= len(stem) else made
