"""Messages and notes as people write them: Markdown to HTML that can do no harm.

HTML in the text is shown as text (markdown-it-py), what comes out is cleaned once more (nh3), and no picture is fetched
from elsewhere: an image becomes a link to itself, so that opening a mail tells nobody that it was read. Bare addresses
become links, and `SUP-123` leads to that interaction.
"""

import re
from collections.abc import Sequence
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

MOST = 30_000
"""Characters that are drawn as Markdown; what is longer is shown as it is: made for it, they take most of a second."""
_TAGS = {
    *("a", "p", "br", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_REFERENCE = re.compile(r"(?P<url>https?://[^\s<>\"'`]*[^\s<>\"'`.,;:!?)\]])|(?<![\w-])SUP-(?P<number>\d{1,18})\b")
_LONGEST_EXCERPT = 160


def render(text: str) -> Markup:
    """Return `text` as HTML that is safe to put into a page."""
    if len(text) > MOST:
        return as_it_is(text)
    html = _markdown().render(text.replace("\0", ""))
    return Markup(  # noqa: S704 - cleaned to the tags above
        nh3.clean(
            html,
            tags=_TAGS,
            attributes={"a": {"href", "title"}},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def as_it_is(text: str) -> Markup:
    """Return `text` as HTML that shows each of its characters."""
    return Markup("<pre>%s</pre>") % text


def plain(text: str, longest: int = _LONGEST_EXCERPT) -> str:
    """Return the beginning of `text` in one line, without its marks: for lists and mails' subjects."""
    tokens = _markdown().parse(text[: longest * 8].replace("\0", ""))
    words = " ".join(_words(each.children or []) for each in tokens if each.type == "inline")
    words = words or " ".join(each.content for each in tokens if each.type in {"fence", "code_block"})
    line = " ".join(words.split())
    return line if len(line) <= longest else line[: longest - 1].rsplit(" ", 1)[0] + "…"


def _words(tokens: Sequence[Token]) -> str:
    return "".join(" " if each.type.endswith("break") else each.content for each in tokens)


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    made.core.ruler.push("references", _link_references)
    made.add_render_rule("image", _image)
    return made


def _image(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: EnvType) -> str:
    """Draw an image as a link to it: pictures from elsewhere would tell on the reader."""
    address = str(tokens[index].attrs.get("src", ""))
    return str(Markup('<a href="{}">{}</a>').format(address, tokens[index].content or address))


def _link_references(state: StateCore) -> None:
    """Make links of bare addresses and of interactions' numbers, but for those that are in a link or in code."""
    for block in state.tokens:
        if block.type != "inline" or not block.children:
            continue
        made: list[Token] = []
        within = 0
        for token in block.children:
            within += {"link_open": 1, "link_close": -1}.get(token.type, 0)
            made += _linked(token) if token.type == "text" and not within else [token]
        block.children = made


def _linked(token: Token) -> list[Token]:
    made: list[Token] = []
    done = 0
    for found in _REFERENCE.finditer(token.content):
        href = found["url"] or f"/support/{found['number']}"
        opened = Token("link_open", "a", 1, attrs={"href": href})
        made += [_text(token.content[done : found.start()]), opened, _text(found[0]), Token("link_close", "a", -1)]
        done = found.end()
    return [*made, _text(token.content[done:])] if made else [token]


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
