"""Documents as text, JSON or YAML.

YAML is read without its traps: `on` and `off` are names, times are texts, a key stands once.
"""

import json
import re
from typing import Any

import yaml

from trackside.errors import BadRequest

LARGEST = 16 << 20
"""Bytes of a document."""


class _Loader(yaml.SafeLoader):
    """Reads what JSON can say, and nothing that stands for something else."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise _wrong("aliases (*name) are not taken", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":bool", ":merge"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = loader.construct_object(key, deep=True)
        if not isinstance(name, str):
            raise _wrong(f"the key {name!r} must be text: put it in quotes", key.start_mark)
        if name in found:
            raise _wrong(f"the key {name!r} is there twice", key.start_mark)
        found[name] = loader.construct_object(value, deep=True)
    return found


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _wrong(what: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def load(text: str) -> Any:
    """Return what a document says: JSON, or YAML; raises BadRequest with the line that cannot be read."""
    if len(text) > LARGEST:
        raise BadRequest(f"The document is larger than {LARGEST >> 20} MiB.")
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text, object_pairs_hook=_pairs)
        return yaml.load(text, _Loader)  # noqa: S506 - made from the safe loader
    except RecursionError as error:
        raise BadRequest("The document is nested too deeply.") from error
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise BadRequest(f"The document is no YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise BadRequest(f"The document cannot be read: {str(error)[:200]}.") from error


def dump(document: Any) -> str:
    """Return a document as YAML."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found
