"""What trackers and code hosts tell of work: which interactions it fixes, when it was merged, when it was released.

Pure: what GitHub, GitLab and one's own scripts post, as one form. Whatever is in it may be missing or of another type;
what cannot be used is left out.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work that fixes interactions: a commit, a pull request, an issue."""

    ref: str
    """Its address."""
    title: str
    repo: str
    numbers: tuple[int, ...]
    merged: bool = False
    """Whether it is on the default branch."""
    shipped: bool = False
    """Whether customers have it."""
    branch: str = ""
    """Of a release, where it is on another than the default one."""
    at: datetime | None = None
    """When it came to its branch."""
    sha: str = ""

    @property
    def on_branch(self) -> bool:
        """Whether it is on a branch of which a release may be made."""
        return self.merged or bool(self.branch)


@dataclass(frozen=True, slots=True)
class Release:
    """What customers have now: what was on a branch until a moment, or some commits."""

    repo: str
    name: str = ""
    branch: str = ""
    """As `Item.branch`."""
    until: datetime | None = None
    """Of the commit it was made of, or when it was made; None: now."""
    sha: str = ""
    commits: frozenset[str] = frozenset()
    """All that is new in it; nothing but these."""
    maybe_tag: bool = False
    """Whether `branch` may be the name of something else."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one delivery says."""

    event: str
    items: tuple[Item, ...] = ()
    released: Release | None = None
    at: datetime | None = None
    """When it was said, as far as that is signed: older news are a repetition."""


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
        where = _Where(repo, *_branch(_text(data, "ref"), default), _moment(data, "head_commit", "timestamp"))
        return Told("push", tuple(_commits(data, where)), at=_moment(data, "repository", "pushed_at"))
    if event == "pull_request":
        pull = _map(data, "pull_request")
        merged, branch = (pull.get("merged") is True, _text(pull, "base", "ref"))
        branch = "" if branch == default else branch
        where = _Where(repo, merged and not branch, branch if merged else "", _moment(pull, "merged_at"))
        texts = (_text(pull, "title"), _text(pull, "body"))
        found = _item(_text(pull, "html_url"), texts, where, sha=_text(pull, "merge_commit_sha"))
        return Told("pull request", tuple(found), at=_moment(pull, "updated_at"))
    if event == "release":
        release = _map(data, "release")
        out = _text(data, "action") == "published" and release.get("prerelease") is not True
        # the host says of which branch or commit the tag was made; its `created_at` is when that commit was
        branch, made = _text(release, "target_commitish"), _text(release, "tag_name")[:_LONGEST_NAME]
        of = "" if branch == default or _SHA.fullmatch(branch) else branch
        sha = branch if _SHA.fullmatch(branch) else ""
        until = _moment(release, "created_at") or _moment(release, "published_at")
        it = Release(repo, made, of, until, sha)
        return Told(_called("release", it), released=it if out else None, at=_moment(release, "published_at"))
    if event == "deployment_status":
        deployed = _map(data, "deployment")
        out = _text(data, "deployment_status", "state") == "success" and _is_production(deployed)
        ref = _text(deployed, "ref")[:_LONGEST_NAME]
        of = "" if ref == default or _SHA.fullmatch(ref) else ref
        until = _moment(deployed, "created_at")
        it = Release(repo, ref, of, until, _text(deployed, "sha"), maybe_tag=True)
        return Told(_called("deployment", it), released=it if out else None, at=until)
    return Told(event)


def read_gitlab(data: Mapping[str, Any]) -> Told:
    """Return what a webhook of GitLab says."""
    kind = _text(data, "object_kind")
    repo, default = _text(data, "project", "path_with_namespace"), _text(data, "project", "default_branch")
    if kind == "push":
        tips = [each for each in _list(data, "commits") if _text(each, "id") == _text(data, "after")]
        where = _Where(repo, *_branch(_text(data, "ref"), default), _moment(tips[0] if tips else {}, "timestamp"))
        return Told("push", tuple(_commits(data, where)))
    if kind == "merge_request":
        it = _map(data, "object_attributes")
        merged, branch = _text(it, "state") == "merged", _text(it, "target_branch")
        branch = "" if branch == default else branch
        where = _Where(repo, merged and not branch, branch if merged else "", _moment(it, "merged_at"))
        texts = (_text(it, "title"), _text(it, "description"))
        found = _item(_text(it, "url"), texts, where, sha=_text(it, "merge_commit_sha"))
        return Told("merge request", tuple(found))
    if kind == "release":
        commit = _map(data, "commit")
        release = Release(
            repo, _text(data, "tag")[:_LONGEST_NAME], until=_moment(commit, "timestamp"), sha=_text(commit, "id")
        )
        out = _text(data, "action") == "create"
        return Told(_called("release", release), released=release if out else None)
    if kind == "deployment":
        out = _text(data, "status") == "success" and _is_production(data)
        ref = _text(data, "ref")[:_LONGEST_NAME]
        of = "" if ref == default else ref
        release = Release(repo, ref, of, _moment(data, "status_changed_at"), _text(data, "sha"), maybe_tag=True)
        return Told(_called("deployment", release), released=release if out else None)
    return Told(kind.replace("_", " "))


def read_plain(data: Mapping[str, Any]) -> Told:
    """Return what a script of one's own says: `url`, `title`, `text` or `fixes`, `state`, `repo`; or `released`.

    Beside `released`: `name`, and `commits` (all that is new in it), or `branch` and `until`.
    """
    if repo := _text(data, "released"):
        commits = frozenset(each for each in _list(data, "commits") if isinstance(each, str))
        name, branch = (_text(data, each)[:_LONGEST_NAME] for each in ("name", "branch"))
        if "commits" in data and not commits:
            return Told("release")
        release = Release(repo, name, branch, _moment(data, "until"), commits=commits)
        return Told(_called("release", release), released=release)
    listed = data.get("fixes")
    given = " and ".join(str(each) for each in listed[:MOST]) if isinstance(listed, list) else ""
    texts = (_text(data, "title"), _text(data, "text"), f"fixes {given}")
    state = _text(data, "state")
    found = _item(
        _text(data, "url"),
        texts,
        _Where(_text(data, "repo"), state in {"merged", "shipped"}, at=_moment(data, "at")),
        sha=_text(data, "sha"),
        shipped=state == "shipped",
    )
    return Told(state or "work", tuple(found))


@dataclass(frozen=True, slots=True)
class _Where:
    """Where a piece of work is now."""

    repo: str
    merged: bool = False
    branch: str = ""
    at: datetime | None = None


def _branch(ref: str, default: str) -> tuple[bool, str]:
    """Return whether a ref is the default branch, and its name where it is another one."""
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
    merged = bool(default) and branch == default
    return merged, "" if merged else branch[:_LONGEST_NAME]


def _called(what: str, it: Release) -> str:
    of = f" of {it.branch}" if it.branch and it.branch != it.name else ""
    return "".join(each for each in f"{what} {it.name}{of}".strip() if not is_hidden(each))


def _commits(data: Mapping[str, Any], where: _Where) -> Iterator[Item]:
    for each in _list(data, "commits"):
        yield from _item(_text(each, "url"), (_text(each, "message"),), where, sha=_text(each, "id"))


def _item(ref: str, texts: Iterable[str], where: _Where, *, sha: str = "", shipped: bool = False) -> Iterator[Item]:
    said = [each for each in texts if each]
    numbers = numbers_in("\n".join(said))
    if numbers and ref.startswith(("https://", "http://")) and len(ref) <= 2000 and not any(map(is_hidden, ref)):
        title = "".join(each for each in said[0].split("\n")[0] if not is_hidden(each)).strip()
        yield Item(
            normalize("NFC", ref.strip()),
            title[:LONGEST_TITLE],
            where.repo[:200],
            numbers,
            where.merged,
            shipped,
            where.branch,
            where.at,
            sha if _SHA.fullmatch(sha) else "",
        )


def _moment(data: Any, *path: str) -> datetime | None:
    """Return the moment at `path`, in text or in seconds; None where there is none that can be."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    try:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return datetime.fromtimestamp(data, UTC)
        # GitLab writes `2026-11-23 10:00:00 UTC` in some places
        found = datetime.fromisoformat(data.replace(" UTC", "+00:00")) if isinstance(data, str) else None
    except (ValueError, OverflowError, OSError):
        return None
    return found if found is None or found.tzinfo else found.replace(tzinfo=UTC)


def _list(data: Any, name: str) -> Sequence[Any]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, list) else ()


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
