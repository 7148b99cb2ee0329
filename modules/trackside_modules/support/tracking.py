"""What trackers and code hosts tell of work: which interactions it fixes, when it was merged, when it was released.

Pure: what GitHub, GitLab and one's own scripts post, as one form. Whatever is in it may be missing or of another type;
what cannot be used is left out, but for a script's commits: where one of them is none, its author is told.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from unicodedata import normalize

from trackside.errors import InputError
from trackside.text import is_hidden

MOST = 200
"""Interactions that one text may fix."""
MOST_COMMITS = 50_000
"""That one release may name."""
LONGEST_TITLE = 200
LONGEST_TEXT = 200_000
"""Characters of a text that are looked through."""
_FIXES = re.compile(
    r"\b(?:fix(?:e[sd])?|close[sd]?|resolve[sd]?)\b:? (sup-\d{1,18}(?:(?: ?, ?| ?,? and )sup-\d{1,18})*)\b",
    re.IGNORECASE,
)
_WORK = re.compile(
    r"(?P<host>https?://[^/?#]+)(?P<path>/[^?#]+?/(?:pull|issues|merge_requests|work_items|commit)/[0-9a-f]+)(?:[/?#]|$)",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+")
_PRODUCTION = "prod"
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_LONGEST_NAME = 255
"""Of a branch or tag; hosts take no longer ones."""
_SPACED_ZONE = re.compile(r" (?=[+-]\d{4}$)")


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of work: a commit, a pull request, an issue; with the interactions that it says it fixes."""

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
    passing: bool = False
    """Whether it is of no use where it fixes nothing, and nobody linked it: a commit on some branch, an open issue."""
    tip: bool = True
    """Whether all that came to the branch with it is in a release of its commit: that lies not within a push."""
    undone: bool = False
    """Whether it is on no branch, whatever was said before: an issue that is open again."""

    @property
    def on_branch(self) -> bool:
        """Whether it is on a branch of which a release may be made."""
        return self.merged or bool(self.branch)


@dataclass(frozen=True, slots=True)
class Release:
    """What customers have now: what was on a branch until a moment, or some commits."""

    repo: str
    name: str = ""
    branch: str | None = None
    """As `Item.branch`, or maybe the name of a tag; None where nothing tells it."""
    until: datetime | None = None
    """Of the commit it was made of, or when it was made; None: now."""
    sha: str = ""
    commits: frozenset[str] = frozenset()
    """All that is new in it; nothing but these."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one delivery says."""

    event: str
    items: tuple[Item, ...] = ()
    released: Release | None = None
    at: datetime | None = None
    """When it was said, as far as that is signed: older news are a repetition."""
    why: str = ""
    """Why nothing is delivered by what sounds as if it did."""


def numbers_in(text: str) -> tuple[int, ...]:
    """Return the numbers that `text` says it fixes: `Fixes SUP-12, SUP-13 and SUP-14`."""
    # white space in runs would be gone through once for each of its characters: strangers write these texts
    plain = " ".join(text[:LONGEST_TEXT].split())
    found = (int(number) for said in _FIXES.finditer(plain) for number in _NUMBER.findall(said[1]))
    return tuple(dict.fromkeys(found))[:MOST]


def address(ref: str) -> str:
    """Return the address of the work that `ref` is somewhere in: a comment, its files; others as they are."""
    found = _WORK.match(ref)
    return found["host"].lower() + found["path"] if found else ref


def read_github(event: str, data: Mapping[str, Any]) -> Told:
    """Return what a webhook of GitHub says, `event` being its `X-GitHub-Event`."""
    repo, default = _text(data, "repository", "full_name"), _text(data, "repository", "default_branch")
    if event == "push":
        where = _pushed(repo, _text(data, "ref"), default, _moment(data, "head_commit", "timestamp"))
        return Told("push", tuple(_commits(data, where)), at=_moment(data, "repository", "pushed_at"))
    if event == "pull_request":
        pull = _map(data, "pull_request")
        merged = pull.get("merged") is True
        where = _requested(repo, merged, _text(pull, "base", "ref"), default, _moment(pull, "merged_at"))
        texts = (_text(pull, "title"), _text(pull, "body"))
        # before it is merged, this is the commit by which the host tries whether it can be
        sha = _text(pull, "merge_commit_sha") if merged else ""
        found = _item(_text(pull, "html_url"), texts, where, sha=sha)
        return Told("pull request", tuple(found), at=_moment(pull, "updated_at"))
    if event == "issues":
        issue = _map(data, "issue")
        done = _text(issue, "state") == "closed" and _text(issue, "state_reason") in {"", "completed"}
        found = _issue(issue, "html_url", "body", repo, done=done)
        return Told("issue", tuple(found), at=_moment(issue, "updated_at"))
    if event == "release":
        release = _map(data, "release")
        # one release is told as created, published and released: by one of these is enough
        published, early = _text(data, "action") == "published", release.get("prerelease") is True
        # the host says of which branch or commit the tag was made; its `created_at` is when that commit was
        made, of = _text(release, "tag_name")[:_LONGEST_NAME], _text(release, "target_commitish")
        sha = of if _SHA.fullmatch(of) else ""
        until = _moment(release, "created_at") or _moment(release, "published_at")
        it = Release(repo, made, _released(of, default), until, sha)
        why = "a prerelease delivers nothing" if published and early else ""
        at = _moment(release, "published_at")
        return Told(_called("release", it), released=it if published and not early else None, at=at, why=why)
    if event == "deployment_status":
        deployed = _map(data, "deployment")
        why = _not_out(deployed, _text(data, "deployment_status", "state"))
        ref, until = _text(deployed, "ref"), _moment(deployed, "created_at")
        it = _deployed(repo, ref, default, until, _text(deployed, "sha"))
        return Told(_called("deployment", it), released=None if why else it, at=until, why=why)
    return Told(event)


def read_gitlab(data: Mapping[str, Any]) -> Told:
    """Return what a webhook of GitLab says."""
    kind = _text(data, "object_kind")
    repo, default = _text(data, "project", "path_with_namespace"), _text(data, "project", "default_branch")
    if kind == "push":
        tips = [each for each in _list(data, "commits") if _text(each, "id") == _text(data, "after")]
        where = _pushed(repo, _text(data, "ref"), default, _moment(tips[0] if tips else {}, "timestamp"))
        return Told("push", tuple(_commits(data, where)))
    if kind == "merge_request":
        it = _map(data, "object_attributes")
        merged = _text(it, "state") == "merged"
        sha, at = _merged(it) if merged else ("", None)
        where = _requested(repo, merged, _text(it, "target_branch"), default, at)
        texts = (_text(it, "title"), _text(it, "description"))
        return Told("merge request", tuple(_item(_text(it, "url"), texts, where, sha=sha)))
    if kind in {"issue", "work_item"}:
        it = _map(data, "object_attributes")
        moved = it.get("duplicated_to_id") or it.get("moved_to_id")
        done = _text(it, "state") == "closed" and not moved
        return Told("issue", tuple(_issue(it, "url", "description", repo, done=done)))
    if kind == "release":
        commit = _map(data, "commit")
        release = Release(
            repo, _text(data, "tag")[:_LONGEST_NAME], until=_moment(commit, "timestamp"), sha=_text(commit, "id")
        )
        action = _text(data, "action")
        why = "" if action in {"create", "update", "delete"} else "only a release that is new delivers"
        return Told(_called("release", release), released=release if action == "create" else None, why=why)
    if kind == "deployment":
        why = _not_out(data, _text(data, "status"))
        sha = _text(data, "sha") or _text(data, "commit_url").rpartition("/")[2]
        release = _deployed(repo, _text(data, "ref"), default, _moment(data, "status_changed_at"), sha)
        return Told(_called("deployment", release), released=None if why else release, why=why)
    return Told(kind.replace("_", " "))


def read_plain(data: Mapping[str, Any]) -> Told:
    """Return what a script of one's own says: `url`, `title`, `text` or `fixes`, `state`, `repo`; or `released`.

    Beside `released`: `name`, and `commits` (all that is new in it), or `branch` and `until`. Raises InputError where
    `commits` are none.
    """
    if repo := _text(data, "released"):
        commits = _shas(data["commits"]) if "commits" in data else frozenset()
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


def _other(branch: str, default: str) -> str:
    """Return what a branch is called here: nothing, where it is the default one."""
    return "" if branch == default else branch[:_LONGEST_NAME]


def _pushed(repo: str, ref: str, default: str, at: datetime | None) -> _Where:
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
    return _Where(repo, bool(default) and branch == default, _other(branch, default), at)


def _requested(repo: str, merged: bool, base: str, default: str, at: datetime | None) -> _Where:
    branch = _other(base, default)
    return _Where(repo, merged and not branch, branch if merged else "", at)


def _merged(it: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """Return the commit that brought in a merge request of GitLab, and when; mostly its host tells neither.

    It came with the news. Fast-forwarded, it is the last commit of the request; squashed before, it is none that is
    told: the last one's own time would be before the merge.
    """
    made = _text(it, "merge_commit_sha") or _text(it, "squash_commit_sha")
    at = _moment(it, "merged_at") or _moment(it, "updated_at")
    return made or _text(it, "last_commit", "id"), at or _moment(it, "last_commit", "timestamp")


def _issue(it: Mapping[str, Any], ref: str, text: str, repo: str, *, done: bool) -> Iterator[Item]:
    """Yield an issue: done, its work is on the default branch; open again, it is no longer."""
    at = _moment(it, "closed_at") or _moment(it, "updated_at")
    texts, where = (_text(it, "title"), _text(it, text)), _Where(repo, done, at=at)
    yield from _item(_text(it, ref), texts, where, passing=not done, undone=not done)


def _not_out(deployed: Mapping[str, Any], state: str) -> str:
    """Return why a deployment delivers nothing, empty where it does."""
    where = _text(deployed, "environment")
    if not where.lower().startswith(_PRODUCTION):
        return f"only a deployment to an environment called prod... delivers, not one to {where[:40]!r}"
    return "" if state == "success" else f"only a deployment that succeeded delivers; this one is {state[:40]!r}"


def _released(ref: str, default: str) -> str | None:
    """Return the branch that a release or deployment was made of; None where `ref` is surely something else."""
    if not ref or _SHA.fullmatch(ref) or ref.startswith("refs/tags/"):
        return None
    return _other(ref.removeprefix("refs/heads/"), default)


def _deployed(repo: str, ref: str, default: str, until: datetime | None, sha: str) -> Release:
    name = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")[:_LONGEST_NAME]
    return Release(repo, name, _released(ref, default), until, sha)


def _shas(listed: Any) -> frozenset[str]:
    """Return the commits that a script names; raises InputError where one is none, for it would never be found."""
    if not isinstance(listed, list):
        raise InputError("`commits` is to be a list.", {"commits": "a list of commits' full hashes"})
    if len(listed) > MOST_COMMITS:
        why = f"A release may name {MOST_COMMITS:,} commits; these are {len(listed):,}: send them in parts."
        raise InputError(why, {"commits": f"{MOST_COMMITS:,} at most"})
    for at, each in enumerate(listed):
        if not isinstance(each, str) or not _SHA.fullmatch(each.lower()):
            why = f"{str(each)[:80]!r} in `commits` is no commit: send full hashes, of 40 or 64 hexadecimal digits."
            raise InputError(why, {f"commits[{at}]": "no full hash of a commit"})
    return frozenset(each.lower() for each in listed)


def _called(what: str, it: Release) -> str:
    of = f" of {it.branch}" if it.branch and it.branch != it.name else ""
    return "".join(each for each in f"{what} {it.name}{of}".strip() if not is_hidden(each))


def _commits(data: Mapping[str, Any], where: _Where) -> Iterator[Item]:
    last = _text(data, "after") or _text(data, "head_commit", "id")
    for each in _list(data, "commits"):
        text, sha = (_text(each, "message"),), _text(each, "id")
        yield from _item(_text(each, "url"), text, where, sha=sha, passing=not where.merged, tip=sha == last)


def _item(
    ref: str,
    texts: Iterable[str],
    where: _Where,
    *,
    sha: str = "",
    shipped: bool = False,
    passing: bool = False,
    tip: bool = True,
    undone: bool = False,
) -> Iterator[Item]:
    """Yield a piece of work that has an address, and says that it fixes something or is where it may be delivered."""
    said = [each for each in texts if each]
    numbers = numbers_in("\n".join(said))
    of_use = numbers or where.merged or where.branch or shipped or undone
    if of_use and ref.startswith(("https://", "http://")) and len(ref) <= 2000 and not any(map(is_hidden, ref)):
        title = "".join(each for each in "".join(said[:1]).split("\n")[0] if not is_hidden(each)).strip()
        yield Item(
            address(normalize("NFC", ref.strip())),
            title[:LONGEST_TITLE],
            where.repo[:200],
            numbers,
            where.merged,
            shipped,
            where.branch,
            where.at,
            sha.lower() if _SHA.fullmatch(sha.lower()) else "",
            passing,
            tip,
            undone,
        )


def _moment(data: Any, *path: str) -> datetime | None:
    """Return the moment at `path`, in text or in seconds, in UTC; None where there is none that can be."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    try:
        if isinstance(data, int | float) and not isinstance(data, bool):
            return datetime.fromtimestamp(data, UTC)
        # GitLab writes `2026-11-23 10:00:00 UTC` in some places, `2026-11-23 10:00:00 +0100` in others
        text = _SPACED_ZONE.sub("", data.replace(" UTC", "+00:00")) if isinstance(data, str) else ""
        found = datetime.fromisoformat(text) if text else None
        return found and (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _list(data: Any, name: str) -> Sequence[Any]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, list) else ()


def _map(data: Any, name: str) -> Mapping[str, Any]:
    found = data.get(name) if isinstance(data, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _text(data: Any, *path: str) -> str:
    """Return the text at `path`, empty where there is none."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data.replace("\0", "") if isinstance(data, str) else ""
