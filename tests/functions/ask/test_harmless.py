"""Whatever was written, nothing of it can be clicked, loaded or run; and what is harmless stays as it is."""

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.ask.harmless import harmless
from tests.functions.ask.markup import active

# Pieces of which links, images and HTML are made, of escapes and of what is not seen, and a little text.
NASTY = [
    *"[]()<>!:/\\&#;.,*_`~|-=\"'^@ \t\n\r", "](", "]:", "![", "[a]: ", "[^1]", "[^1]: ", "][", "[1]", "\n\n",
    "\n    ", "http", "https", "HTTP", "ftp", "://", "s://", "http://", "hTTps://", "ftp://", "http:/", "tp://", "//",
    ":/", "www", "www.", "WwW.", "w.", "evil.com", "evil", "/p.png?q=", "javascript:", "JavaScript:", "vbscript:",
    "data:", "data:text/html,", "data:image/png;base64,", "mailto:", "a@b.co", "java", "script:", "<a href='x'>",
    "<%2F", "@b.co>", "<img src=x onerror=y>", "</", "<!", "<?", "<!--", "-->", "<![CDATA[", "]]>", "<script>",
    "<svg/onload=a>", "<b",
    "&lt;", "&#60;", "&#x3C;", "&#x68;", "&colon;", "&sol;", "&period;", "&lbrack;", "&amp;", "&amp;lt;", "&Tab;",
    "&NewLine;", "&nbsp;", "&#0;", "&#9999999;", "&#58", "\\:", "\\/", "\\.", "\\<", "\\]", "%3A", "%2F", "\u200b",
    "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u202e", "\u2066", "\ufe0f", "\U000e0041", "\x00", "\x0b",
    "\x0c", "\x1b[31m", "\x1b]8;;http://e.co\x07", "\x1b", "\x9b", "\x85", "\u2028", "\ud800", "\udc00", "```\n", "`",
    "> ", "- ", "1. ", "# ", "| a | b |\n|---|---|\n", "é", "字", "می", "😀", "x", "0", "A b",
]  # fmt: skip

SPOILED = [
    ("See https://portal.example.com/x?y=1 for more.", "See portal.example.com/x?y=1 for more."),
    ("See www.example.com.", "See example.com."),
    ("Visit HTTPS://WWW.Example.com/x", "Visit Example.com/x"),
    ("[click](https://evil.com)", "[click] (evil.com)"),
    ("![x](http://evil.com/p.png)", "![x] (evil.com/p.png)"),
    ("[![x](http://e.com/i)](http://e.com)", "[![x] (e.com/i)] (e.com)"),
    ("[a](<java\nscript:x>)", "[a] (< java\nscript:x>)"),
    ("![x][y]\n\n[y]: http://evil.com/p.png", "![x][y]\n\n[y] : evil.com/p.png"),
    ("Note[^1].\n\n[^1]: //evil.com", "Note[^1].\n\n[^1] : //evil.com"),
    ("<http://evil.com>", "< evil.com>"),
    ("<mailto:a@b.co>", "< a@b.co>"),
    ("<a@b.co> and <%2Fa@b.co>", "< a@b.co> and < %2Fa@b.co>"),
    ("<img src=x onerror=alert(1)>", "< img src=x onerror=alert(1)>"),
    ("<!-- x --><svg/onload=x></svg>", "< !-- x -->< svg/onload=x>< /svg>"),
    ("\\<img src=x>", "\\< img src=x>"),
    ("&lt;img src=x&gt;", "& lt;img src=x& gt;"),
    ("&#x68;ttps://evil.com", "& #x68;ttps://evil.com"),
    ("https\\://evil.com https:\\/\\/evil.com", "evil.com evil.com"),
    ("h\u200bttps://evil.com, ht\u00adtp://evil.com", "evil.com, evil.com"),
    ("hthttp://tp://evil.com", "tp://evil.com"),
    ("http:/http:///evil.com", "http:/ /evil.com"),
    ("javascript:alert(1)", "alert(1)"),
    ("data:text/html;base64,PHN2Zz4=", "text/html;base64,PHN2Zz4="),
    ("abc\u202edcba\u202c", "abcdcba"),
    ("\x1b[31mred\x1b[0m \x1b]8;;http://evil.com\x07text\x1b]8;;\x07", "red text"),
    ("hid\U000e0041\U000e0042den", "hidden"),
    ("a\x00b\x07c\r\nd\x0ce", "abc\nd e"),
]

UNSPOILED = [
    "The lighthouse stood on Pharos. [1][2] It fell [3].",
    "a < b and 5 <6, 3<4, x <- y, <3, <=",
    "C++ [draft] (see below), x[i], [[1]]",
    "- *one*\n- **two**\n\n1. `three`\n\n```\ncode\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |",
    "**Data:** five rows. JavaScript: The Good Parts. Metadata:x",
    "The ratio is 1:2, at 10:30; AT&T, R&D; &amp; &nbsp; &eacute; &unknown;",
    "C:\\temp\\x, 100 %, #1, user@example.com",
    "می‌خواهم 👩‍👩‍👧 ❤️ 1️⃣ 🏴󠁧󠁢󠁥󠁮󠁧󠁿 שלום\u200f! क्‍ष",
    "tab\tand\nline",
    "awww.so.cute and http: and https and //x and s3://bucket/key",
    "",
]


@pytest.mark.parametrize(("text", "expected"), SPOILED)
def test_what_could_be_clicked_loaded_or_run_becomes_text_by_the_least_change(text: str, expected: str) -> None:
    assert harmless(text) == expected
    assert active(expected) == []
    assert harmless(expected) == expected


@pytest.mark.parametrize("text", UNSPOILED)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


PIECE = st.sampled_from(NASTY) | st.text(max_size=3)


@st.composite
def distorted(draw: st.DrawFn) -> str:
    """Something active, with other pieces put in where they may hide or complete it."""
    text = draw(st.sampled_from([text for text, _ in SPOILED]))
    for piece in draw(st.lists(PIECE, max_size=4)):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + piece + text[at:]
    return text


def test_nothing_that_can_be_written_is_left_active(count: Callable[[int, int], int]) -> None:
    seen = Counter[str]()

    @settings(
        max_examples=count(2_500, 25_000), deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(st.lists(PIECE, max_size=24).map("".join) | distorted())
    def check(text: str) -> None:
        shown = harmless(text)
        assert active(shown) == []
        assert harmless(shown) == shown
        seen["texts"] += 1
        seen["active before"] += bool(active(text))

    check()
    print(f"{seen['texts']} texts, {seen['active before']} of them with links, images or HTML; 0 of them after")
    assert seen["active before"] > seen["texts"] / 4, "the texts must be such that there is something to do"


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", categories=["L", "N", "Zs"]) | st.sampled_from(".,!?-+*'\"()\n"), max_size=80)
)
def test_plain_prose_is_never_touched(text: str) -> None:
    assert harmless(text) == text


@pytest.mark.parametrize("piece", NASTY)
def test_a_long_run_of_anything_is_done_in_a_moment(piece: str) -> None:
    # Were it quadratic, this would end in the tests' time limit.
    text = piece * (200_000 // len(piece))
    assert len(harmless(text)) <= 2 * len(text)
