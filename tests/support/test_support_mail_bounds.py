"""Mails that are made to be slow or huge: taken apart in seconds, or refused."""

import time

import pytest

from trackside_modules.support.mail import tags
from trackside_modules.support.mail.bounds import MOST_LINES, MOST_PARTS
from trackside_modules.support.mail.incoming import LONGEST_TEXT, id_of, read

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


@pytest.mark.parametrize(
    "text",
    [
        b"<div>",
        b"<a><div>",
        b"<br ",
        b"</p <",
        b'<div a="<">',
        b"<!--",
        b"<!-- <b -->",
        b'<b a="',
        b"<b a = ",
        b'a="" ',
    ],
)
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


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<!-- <b -->It fails.<p>Why?", "It fails.Why?"),
        (b'<!-- <b title="-->It <b>fails', "It fails"),
        (b"<!--[if !mso]><!-->It<!--<![endif]--> <!-->fails", "It fails"),
        (b"1 --> 2", "1 --> 2"),
        (b'<a title="1 > 0">It</a> <br title=\'a > b\' /><img alt = "a>b"/>fails', "It\nfails"),
        (b"<a title=it's>It isn't > 3</a>", "It isn't > 3"),
    ],
)
def test_neither_a_comment_nor_a_quoted_mark_takes_or_leaves_words(page: bytes, words: str) -> None:
    assert read(HEAD + b"Content-Type: text/html\n\n" + page).text == words


@pytest.mark.parametrize("name", [b"punycode", b"-punycode", b"idna_", b'"punycode "', b'"=?utf-8?q?punycode=C3=A9?="'])
def test_a_charset_of_names_reads_no_text(name: bytes) -> None:
    """Punycode goes through a text once for each of its characters."""
    text = b"a" * 99_000 + b"-" + b"b" * 99_000
    raw = HEAD + b"Content-Type: text/plain; charset=" + name + b"\n\n" + text
    assert took(raw) < SECONDS
    assert read(raw).text == text.decode()[:LONGEST_TEXT]


def test_what_has_more_parts_lines_or_headers_than_mails_have_is_refused() -> None:
    """Each part took a kilobyte and more: 25 MB of them took all memory there was."""
    many = b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * (MOST_PARTS + 1)
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=x%d\n\n--x%d\n" % (at, at) for at in range(MOST_PARTS))
    heads = b"".join(b"X-%d: a\n" % at for at in range(6000)) + b"\nIt fails."
    lines = (b"\n" * MOST_LINES, b"\r" * MOST_LINES, b"\r\n" * MOST_LINES)
    for raw in (many, deep, heads, b"Content-Type: message/rfc822\n\n" * 600, *lines):
        assert took(HEAD + raw) < SECONDS
        with pytest.raises(ValueError, match="no mail"):
            read(HEAD + raw)
        assert id_of(HEAD + raw) == "<1@customer.example>" or raw is heads


@pytest.mark.parametrize("kind", [b"mixed; boundary=x%d", b"=?utf-8?q?mixed=3B_b=6Fundary=3Dx%d?="])
def test_lines_within_parts_within_parts_are_refused(kind: bytes) -> None:
    """Each line is held against the boundary of each: a million lines in 400 took minutes."""
    deep = b"".join((b"Content-Type: multipart/" + kind + b"\n\n--x%d\n") % (at, at) for at in range(400))
    raw = HEAD + deep + b"\n" * (MOST_LINES - 2000)
    assert took(raw) < SECONDS
    with pytest.raises(ValueError, match="no mail") as refused:
        read(raw)
    assert "boundaries" in str(refused.value.__cause__)
    assert read(HEAD + deep + b"\n" * 900).text == ""


def test_a_mail_of_almost_a_million_lines_is_read() -> None:
    """What is attached to it may be long."""
    files = b"--x\nContent-Disposition: attachment\n\n" + b"a\r\n" * (MOST_LINES - 20)
    found = read(HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nIt fails.\n" + files + b"--x--\n")
    assert (found.text, len(found.files)) == ("It fails.", 1)


@pytest.mark.parametrize("name", [b"To", b"Cc", b"Delivered-To"])
def test_a_signed_address_behind_hundreds_of_others_is_found(name: bytes) -> None:
    """All of them once were cut behind the first hundred."""
    others = b",\n ".join(b"Dev %d <dev%d@customer.example>" % (at, at) for at in range(400))
    ours = f"support+{tags.tag('s' * 32, 7)}@example.com".encode()
    found = read(b"From: a@b.example\n" + name + b": " + others + b",\n " + ours + b"\n\nIt fails.\n")
    assert tags.signed("s" * 32, found.addresses) == 7


@pytest.mark.parametrize("text", [b'"', b"\\", b"a ", b"=?punycode?q?a"])
def test_whom_a_mail_is_to_is_read_in_one_go(text: bytes) -> None:
    """Sixteen headers of it took half a minute, and so did those of an attached mail."""
    to = b"".join(b"To: " + text * (16_000 // len(text)) + b"\n" for _ in range(16))
    inner = b"--x\nContent-Type: message/rfc822\nContent-Disposition: attachment\n\n" + to + b"\nInner.\n--x--\n"
    assert took(b"From: a@b.example\n" + to + b"\nIt fails.\n") < SECONDS
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nIt fails.\n" + inner
    assert took(raw) < SECONDS
    assert len(read(raw).files) == 1


def test_as_many_parts_and_references_as_people_send_are_read() -> None:
    """The nearest reference is the last one, whatever is cut."""
    files = b"".join(b"--x\nContent-Disposition: attachment; filename=a%d\n\na\n" % at for at in range(200))
    chain = b"References: " + b" ".join(b"<%d@customer.example>" % at for at in range(2000)) + b"\n"
    found = read(HEAD + chain + b"Content-Type: multipart/mixed; boundary=x\n\n--x\n\nIt fails.\n" + files + b"--x--\n")
    assert (found.text, len(found.files)) == ("It fails.", 200)
    assert found.references[0] == "<1999@customer.example>"
