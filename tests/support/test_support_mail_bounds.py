"""Mails that are made to be slow or huge: taken apart in seconds, or refused."""

import time

import pytest

from trackside_modules.support.mail import tags
from trackside_modules.support.mail.bounds import MOST_LINES, MOST_PARTS
from trackside_modules.support.mail.incoming import id_of, read

HEAD = b"From: dev@customer.example\nTo: support@example.com\nSubject: 401\nMessage-ID: <1@customer.example>\n"
MANY = 100_000
SECONDS = 4.0
"""Of the processor, for what took minutes; it takes about one."""


def took(raw: bytes) -> float:
    """Return the seconds of the processor that a mail takes, from its id to its answer."""
    began = time.process_time()
    id_of(raw)
    try:
        found = read(raw)
    except ValueError:
        pass
    else:
        tags.signed("s" * 32, f"{found.addresses} {' '.join(found.references)}{found.answer[:0]}")
    return time.process_time() - began


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Message-ID", "References", "Content-Type"])
@pytest.mark.parametrize("text", ['"', "\\", "a ", "a@b.c, ", "; a=b"])
def test_a_header_without_end_is_cut(name: str, text: str) -> None:
    """A hundred thousand characters of it took a minute."""
    assert took(name.encode() + b": " + text.encode() * (MANY // len(text)) + b"\n\nIt fails.\n") < SECONDS


@pytest.mark.parametrize("text", [b"<div>", b"<a><div>", b"<br ", b"</p <", b'<div a="<">'])
def test_a_page_of_tags_without_end_is_left_as_it_stands(text: bytes) -> None:
    """Its time grew with the square of its length."""
    assert took(HEAD + b"Content-Type: text/html\n\n" + text * (1_000_000 // len(text))) < SECONDS


def test_what_is_said_in_a_page_is_still_found() -> None:
    """Styles, comments and scripts are nothing that somebody said."""
    page = (
        b"<!doctype html><html><head><title>x</title><style>p > a { color: red }</style></head><body><!-- <b>no</b> -->"
        b"<script>if (1 < 2) alert('<p>')</script><p class='a'>It <b>fails</b> &lt;here&gt;.<br/>Twice: 1 < 2."
    )
    assert read(HEAD + b"Content-Type: text/html\n\n" + page).text == "It fails <here>.\nTwice: 1 < 2."


def test_a_charset_of_names_reads_no_text() -> None:
    """Punycode goes through a text once for each of its characters."""
    assert (
        took(HEAD + b"Content-Type: text/plain; charset=punycode\n\n" + b"a" * 99_000 + b"-" + b"b" * 99_000) < SECONDS
    )


def test_what_has_more_parts_lines_or_headers_than_mails_have_is_refused() -> None:
    """Each part took a kilobyte and more: 25 MB of them took all memory there was."""
    many = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * (MOST_PARTS + 1)
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" % (at, at) for at in range(MOST_PARTS))
    heads = b"".join(b"X-%d: a\n" % at for at in range(6000)) + b"\nIt fails."
    for raw in (many, deep, heads, b"Content-Type: message/rfc822\n\n" * 600, b"\n" + b"\n" * (2 * MOST_LINES)):
        assert took(HEAD + raw) < SECONDS
        with pytest.raises(ValueError, match="no mail"):
            read(HEAD + raw)
        assert id_of(HEAD + raw) == "<1@customer.example>" or raw is heads


def test_as_many_parts_and_references_as_people_send_are_read() -> None:
    """The nearest reference is the last one, whatever is cut."""
    files = b"".join(b"--x\nContent-Disposition: attachment; filename=a%d\n\na\n" % at for at in range(200))
    chain = b"References: " + b" ".join(b"<%d@customer.example>" % at for at in range(2000)) + b"\n"
    found = read(HEAD + chain + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nIt fails.\n" + files + b"--x--\n")
    assert (found.text, len(found.files)) == ("It fails.", 200)
    assert found.references[0] == "<1999@customer.example>"
