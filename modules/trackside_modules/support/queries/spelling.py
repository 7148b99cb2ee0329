"""What a misspelt word of a search was meant to be, by the words that interactions hold.

Most slips are one: a letter left out, doubled, mistaken, or two in each other's place. All words one slip away are
some hundred, of long words up to two thousand, asked for by their own index. Trigrams would miss half of them: `retrun`
shares three of eleven with `return`. They find what is further off, and how far is counted.
"""

from itertools import groupby

from sqlalchemy import text
from sqlalchemy.orm import Session

from trackside_modules.support.queries.newest import guess

SHORTEST, LONGEST = 4, 24
"""Words of so many letters are kept (see `service.searching`), and can be misspelt."""
LIKE = 0.25
"""How like a word must be by its trigrams to be looked at."""
_LOOKED_AT = 60
_EQUAL = 5
_LATIN = "abcdefghijklmnopqrstuvwxyzäöüßéèàçñåøó"
_THERE = text("select word from support_word where word = any(cast(:words as text[]))")
_ALIKE = text(f"""
select word from support_word
where word % :word and length(word) between length(:word) - 3 and length(:word) + 8
order by similarity(word, :word) desc, word limit {_LOOKED_AT}
""")  # noqa: S608 - a number of ours
_STEM = text("select cast(plainto_tsquery('english', :word) as text)")
_LIMIT = text("select set_config('pg_trgm.similarity_threshold', :limit, true)")


def nearest(session: Session, word: str) -> str | None:
    """Return the word that interactions hold and `word` was most likely meant to be; None where none is near.

    None too where it is a word itself.
    """
    close = set(session.scalars(_THERE, {"words": sorted({word, *slips(word)})}))
    if word in close:
        return None  # "from", say, which no interaction is found by
    return _best(session, word, close or _further(session, word))


def slips(word: str) -> set[str]:
    """Return all that is one slip away from `word`: in the letters of its script."""
    letters = _letters(word)
    found: set[str] = set()
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        found.update(before + each + after for each in letters)
        if after:
            found.add(before + after[1:])
            found.update(before + each + after[1:] for each in letters)
        if len(after) > 1:
            found.add(before + after[1] + after[0] + after[2:])
    return found


def slips_between(one: str, other: str) -> int:
    """Return how many slips lie between two words: letters left out, put in, mistaken, or two changed about."""
    earlier: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, start=1):
        line = [row]
        for column, with_letter in enumerate(other, start=1):
            cost = min(last[column] + 1, line[-1] + 1, last[column - 1] + (letter != with_letter))
            if row > 1 < column and letter == other[column - 2] and with_letter == one[row - 2]:
                cost = min(cost, earlier[column - 2] + 1)
            line.append(cost)
        earlier, last = last, line
    return last[-1]


def _further(session: Session, word: str) -> set[str]:
    """Return words that are more than a slip away, and yet near for their length; or that `word` begins."""
    most = 1 if len(word) < 7 else 2 if len(word) < 10 else 3
    session.execute(_LIMIT, {"limit": str(LIKE)})
    alike = session.scalars(_ALIKE, {"word": word}).all()
    session.execute(_LIMIT, {"limit": "0.3"})
    near = {each for each in alike if slips_between(single(word), single(each)) <= most}
    near |= {each for each in alike if sorted(each) == sorted(word) and slips_between(word, each) <= 2}
    return near or {each for each in alike if len(word) > SHORTEST and each.startswith(word)}


def _best(session: Session, word: str, near: set[str]) -> str | None:
    """Return the likeliest of `near`: by the slips, by the hand that makes them, by how many interactions hold it."""

    def hand(other: str) -> tuple[int, bool, bool]:
        # the same letters in another order, or one doubled, is what fingers do; the first letter is seldom wrong
        same = sorted(word) == sorted(other) or single(word) == single(other)
        return slips_between(word, other), not same, word[0] != other[0]

    ranked = sorted((hand(each), each) for each in near)
    equal = [each for place, each in ranked if place == ranked[0][0]][:_EQUAL]
    if len(equal) < 2:
        return next(iter(equal), None)
    return min(
        equal,
        key=lambda each: (-guess(session, session.scalar(_STEM, {"word": each})), abs(len(each) - len(word)), each),
    )


def single(word: str) -> str:
    """Return a word with its doubled letters once."""
    return "".join(letter for letter, _ in groupby(word))


def _letters(word: str) -> str:
    """Return what may have been meant for a letter of `word`: Latin ones, and those of its own script."""
    latin = any(each < "\u0250" for each in word)
    around = {chr(at) for each in word if each >= "\u0250" for at in range(ord(each) & ~31, (ord(each) | 31) + 1)}
    own = "".join(sorted(each for each in around if each.isalpha() and each == each.lower()))
    return own + (_LATIN if latin else "")
