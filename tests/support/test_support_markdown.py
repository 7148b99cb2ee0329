"""Markdown of strangers: what is drawn can do no harm, and says what they wrote."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackside_modules.support.markdown import plain, render


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "[click](data:text/html;base64,PHNjcmlwdD4=)",
        "[click](vbscript:x)",
        "![x](javascript:alert(1))",
        "<svg/onload=alert(1)>",
        "```\n</code></pre><script>alert(1)</script>\n```",
        "[a]: javascript:alert(1)\n\n[a]",
        '<https://x.example/"onmouseover=alert(1)>',
        "<style>*{display:none}</style>",
    ],
)
def test_a_script_in_markdown_is_text(text: str) -> None:
    html = str(render(text))
    assert not re.search(r"<(script|img|svg|style|iframe)", html)
    assert not re.search(r"<[^>]*\son\w+=", html)
    assert not re.search(r'href="(?!https?:|mailto:|/support/)', html)


def test_a_picture_from_elsewhere_is_only_linked_to() -> None:
    html = str(render("![a pixel](https://evil.example/p.png)"))
    assert "<img" not in html
    assert '<a href="https://evil.example/p.png"' in html


def test_links_tell_nothing_to_where_they_lead() -> None:
    assert 'rel="noopener noreferrer nofollow"' in render("see https://docs.example/x.")


def test_a_bare_address_becomes_a_link_without_the_full_stop() -> None:
    assert ">https://docs.example/x</a>." in render("see https://docs.example/x.")


def test_a_number_leads_to_its_interaction_but_not_in_code() -> None:
    html = str(render("as in SUP-12, not `SUP-13` nor XSUP-14"))
    assert 'href="/support/12"' in html
    assert "/support/13" not in html
    assert "/support/14" not in html


def test_an_excerpt_has_the_words_without_the_marks() -> None:
    assert plain("Hello **Maya**,\n\n- one\n- `two`\n\n```\nthree\n```") == "Hello Maya, one two"
    assert plain("```\nonly code\n```") == "only code"
    assert plain("word " * 100).endswith("…")


@given(st.text(max_size=400))
def test_whatever_is_typed_is_drawn_with_harmless_tags_alone(text: str) -> None:
    html = str(render(text))
    tags = {each.lower() for each in re.findall(r"</?([a-zA-Z][a-zA-Z0-9]*)", html)}
    allowed = "a p br strong em s code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 hr table thead tbody tr th td"
    assert tags <= set(allowed.split())
