"""Where a problem of the engine is shown: the field that holds what it speaks of."""

import re

_LEAF = re.compile(r"(\.(?:values|variants))(?:\[\d+\])+$")


def place(path: str) -> str:
    """Return the field for a path in a flag: `rules[0].serve.split[1][1]` is at `rules[0].serve.weights`."""
    path = _LEAF.sub(r"\1", path)
    path = re.sub(r"\.split\b.*$", ".weights", path)
    path = re.sub(r"\.(steps)\b.*$", ".rollout", path)
    if path == "by" or path.startswith("by["):
        return "other"
    return re.sub(r"^(rules\[\d+\])\.(hash|by)\b.*$", r"\1.serve.rollout", path)
