"""Text from outside: one line, without what hides or breaks; Arabic and Hebrew are fine, control characters are not."""

import unicodedata

from trackside.errors import InputError

LONGEST = 200
_INVISIBLE = frozenset("\u200b\u200e\u200f\u2060\ufeff")


def clean_line(raw: str, field: str, *, longest: int = LONGEST, empty: bool = False) -> str:
    """Return `raw` as one trimmed line of at most `longest` characters; raises InputError naming `field`.

    Refused: nothing at all (unless `empty`), control characters, lone surrogates, and characters that turn the
    direction of the text around them, with which a name can pretend to be another.
    """
    line = unicodedata.normalize("NFC", raw.strip())
    problem = ""
    if not line and not empty:
        problem = "This cannot be empty."
    elif len(line) > longest:
        problem = f"Use {longest} characters or fewer."
    elif not (line.isascii() and line.isprintable()) and any(is_hidden(character) for character in line):
        problem = "This holds characters that cannot be seen: type it anew."
    if problem:
        raise InputError(f"{field}: {problem}", {field: problem})
    return line


def whole_number(raw: str, digits: int = 18) -> int | None:
    """Return the number that `raw` is in digits of ASCII, at most so many of them, else None; 18 fit any id."""
    return int(raw) if raw.isascii() and raw.isdigit() and len(raw) <= digits else None


def is_hidden(character: str) -> bool:
    """Whether `character` is a control, a lone surrogate, a direction override or invisible."""
    if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return True
    return character in _INVISIBLE or "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
