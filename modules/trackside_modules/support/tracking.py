"""What trackers and code hosts tell of work: which interactions it fixes, when it was merged, when it was released.

Pure: what GitHub, GitLab and one's own scripts post, as one form. Whatever is in it may be missing or of another type;
what cannot be used is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from trackside.text import is_hidden

MOST = 200
"""Interactions that one text may fix."""
LONGEST_TITLE = 200
LONGEST_TEXT = 200_000
"""Characters of a text that are looked through."""
_FIXES = re.compile(
    r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\b:? (sup-\d{1,18}(?:(?: ?, ?| ?,? and )sup-\d{1,18})*)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_PRODUCTION = "prod"


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work that fixes interactions: a commit, a pull request, an issue."""

    ref: str
    """Its address."""
    title: str
    repo: str
    numbers: tuple[int, ...]
    merged: bool = False
    """Whether it is in what will be released next."""
    shipped: bool = False
    """Whether customers have it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one delivery says."""

    event: str
    items: tuple[Item, ...] = ()
    released: str = ""
    """The repository of which everything that was merged is with customers now."""


def numbers_in(text: str) -> tuple[int, ...]:
    """Return the numbers that `text` says it fixes: `Fixes SUP-12, SUP-13 and SUP-14`."""
    # white space in runs would be gone through once for each of its characters: strangers write these texts
    plain = " ".join(text[:LONGEST_TEXT].split())
    found = (int(number) for said in _FIXES.finditer(plain) for number in _NUMBER.findall(said[1]))
    return tuple(dict.fromkeys(found))[:MOST]


def read_github(event: str, data: Mapping[str, Any]) -> Told:
    """Return what a webhook of GitHub says, `event` being its `X-GitHub-Event`."""
    repo, default = _text(data, "repository", "full_name"), _text(data, "repository", "default_branch")
    if event == "push":
        merged = bool(default) and _text(data, "ref") == f"refs/heads/{default}"
        return Told("push", tuple(_commits(data, repo, merged=merged)))
    if event == "pull_request":
        pull = _map(data, "pull_request")
        merged = pull.get("merged") is True and _text(pull, "base", "ref") in {default, ""}
        texts = (_text(pull, "title"), _text(pull, "body"))
        return Told("pull request", tuple(_item(_text(pull, "html_url"), texts, repo, merged=merged)))
    if event == "release":
        release = _map(data, "release")
        out = _text(data, "action") == "published" and release.get("prerelease") is not True
        return Told("release", released=repo if out else "")
    if event == "deployment_status":
        out = _text(data, "deployment_status", "state") == "success"
        return Told("deployment", released=repo if out and _is_production(_map(data, "deployment")) else "")
    return Told(event)


def read_gitlab(data: Mapping[str, Any]) -> Told:
    """Return what a webhook of GitLab says."""
    kind = _text(data, "object_kind")
    repo, default = _text(data, "project", "path_with_namespace"), _text(data, "project", "default_branch")
    if kind == "push":
        merged = bool(default) and _text(data, "ref") == f"refs/heads/{default}"
        return Told("push", tuple(_commits(data, repo, merged=merged)))
    if kind == "merge_request":
        it = _map(data, "object_attributes")
        merged = _text(it, "state") == "merged" and _text(it, "target_branch") in {default, ""}
        texts = (_text(it, "title"), _text(it, "description"))
        return Told("merge request", tuple(_item(_text(it, "url"), texts, repo, merged=merged)))
    if kind == "release":
        return Told("release", released=repo if _text(data, "action") == "create" else "")
    if kind == "deployment":
        out = _text(data, "status") == "success" and _is_production(data)
        return Told("deployment", released=repo if out else "")
    return Told(kind.replace("_", " "))


def read_plain(data: Mapping[str, Any]) -> Told:
    """Return what a script of one's own says: `url`, `title`, `text` or `fixes`, `state`, `repo`; or `released`."""
    if released := _text(data, "released"):
        return Told("release", released=released)
    listed = data.get("fixes")
    given = " and ".join(str(each) for each in listed[:MOST]) if isinstance(listed, list) else ""
    texts = (_text(data, "title"), _text(data, "text"), f"fixes {given}")
    state = _text(data, "state")
    found = _item(
        _text(data, "url"),
        texts,
        _text(data, "repo"),
        merged=state in {"merged", "shipped"},
        shipped=state == "shipped",
    )
    return Told(state or "work", tuple(found))


def _commits(data: Mapping[str, Any], repo: str, *, merged: bool) -> Iterator[Item]:
    commits = data.get("commits")
    for each in commits if isinstance(commits, list) else ():
        said = _text(each, "message")
        yield from _item(_text(each, "url"), (said,), repo, merged=merged)


def _item(ref: str, texts: Iterable[str], repo: str, *, merged: bool, shipped: bool = False) -> Iterator[Item]:
    said = [each for each in texts if each]
    numbers = numbers_in("\n".join(said))
    if numbers and ref.startswith(("https://", "http://")) and len(ref) <= 2000 and not any(map(is_hidden, ref)):
        title = "".join(each for each in said[0].split("\n")[0] if not is_hidden(each)).strip()
        yield Item(normalize("NFC", ref.strip()), title[:LONGEST_TITLE], repo[:200], numbers, merged, shipped)


def _is_production(data: Mapping[str, Any]) -> bool:
    return _text(data, "environment").lower().startswith(_PRODUCTION)


def _map(data: Any, name: str) -> Mapping[str, Any]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(data: Any, *path: str) -> str:
    """Return the text at `path`, empty where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data.replace("\0", "") if isinstance(data, str) else ""
