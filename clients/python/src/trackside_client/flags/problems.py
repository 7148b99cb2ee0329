"""What is wrong with a ruleset: each finding by the flag and the place in it.

ValueError
└── RulesetError    the document cannot be served; `problems` holds every finding, not the first alone
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: `flag` is its key (empty for the document itself), `path` as in `rules[0].when[1].values[0]`."""

    flag: str
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.flag}: {self.path}" if self.flag and self.path else self.flag or self.path
        return f"{place}: {self.message}" if place else self.message


class RulesetError(ValueError):
    """The document is no ruleset; `problems` says what is wrong and where."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{more}")
