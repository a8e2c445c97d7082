"""Messages: headers, the body that is read, attachments, broken encodings, and hostile ones."""

import base64
import zipfile
from email.message import EmailMessage
from io import BytesIO

import pytest

from functions.ingest.extract.document import Document
from functions.ingest.extract.eml import extract
from minirag.runtime.errors import ExtractionFailed


def written(subject: str = "Hello", text: str = "Body.") -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ann Bär <ann@example.org>"
    message["To"] = "bob@example.org, eve@example.org"
    message["Date"] = "Wed, 21 Dec 2022 10:28:53 -0600"
    message.set_content(text)
    return message


def read(message: EmailMessage) -> Document:
    return extract(message.as_bytes())


def body_of(header: str, body: bytes) -> str:
    """The text of a message with this header and body, below its subject."""
    text = extract(f"Subject: S\nMIME-Version: 1.0\n{header}\n\n".encode() + body).text
    return text.removeprefix("Subject: S").lstrip("\n")


def test_the_headers_stand_first_and_the_subject_is_title_and_heading() -> None:
    document = read(written("Grüße aus Köln"))
    assert document.text == (
        "Subject: Grüße aus Köln\nFrom: Ann Bär <ann@example.org>\nTo: bob@example.org, eve@example.org\n"
        "Date: Wed, 21 Dec 2022 10:28:53 -0600\n\nBody."
    )
    assert document.title == "Grüße aus Köln"
    assert [(h.start, h.level, h.title) for h in document.headings] == [(0, 1, "Grüße aus Köln")]


def test_plain_text_is_preferred_to_html_but_not_if_it_is_blank() -> None:
    message = written(text="Plain words.")
    message.add_alternative("<h2>Rich</h2><p>words.</p>", subtype="html")
    assert read(message).text.endswith("\n\nPlain words.")
    message = written(text=" \n")
    message.add_alternative("<h2>Rich</h2><p>words.</p>", subtype="html")
    document = read(message)
    assert document.text.endswith("\n\nRich\n\nwords.")
    assert [(h.level, h.title) for h in document.headings] == [(1, "Hello"), (3, "Rich")]


def test_attachments_of_known_formats_are_read_and_others_named() -> None:
    message = written()
    message.add_attachment("# Plan\n\nSteps.", subtype="markdown", filename="plän.md")
    message.add_attachment(b"\x89PNG\r\n\x1a\n\0", maintype="image", subtype="png", filename="logo.png")
    document = read(message)
    assert document.text.endswith("\n\nBody.\n\nplän.md\n\n# Plan\n\nSteps.")
    assert [(h.level, h.title) for h in document.headings] == [(1, "Hello"), (2, "plän.md"), (3, "Plan")]
    assert document.notes == ("“logo.png” seems to be a PNG image; it is left out.",)


def test_an_archive_is_read_within_a_message_and_a_message_within_an_archive() -> None:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("inner.eml", written("Inner", "Deep words.").as_bytes())
    message = written("Outer")
    message.add_attachment(file.getvalue(), maintype="application", subtype="zip", filename="all.zip")
    document = read(message)
    assert document.text.endswith("Deep words.")
    assert [h.title for h in document.headings] == ["Outer", "all.zip", "inner.eml", "Inner"]


def test_files_that_hang_on_the_alternative_not_chosen_are_read() -> None:
    rich = EmailMessage()
    rich.set_content("<p>Rich.</p>", subtype="html")
    rich.add_attachment("Attached.", filename="a.txt")
    message = written(text="Plain.")
    message.make_alternative()
    message.attach(rich)
    text = read(message).text
    assert text.endswith("Plain.\n\na.txt\n\nAttached.")


def test_messages_within_messages_are_read_three_deep() -> None:
    message = written("Level 5")
    for level in (4, 3, 2, 1, 0):
        outer = written(f"Level {level}")
        outer.add_attachment(message)
        message = outer
    document = read(message)
    assert [(h.level, h.title) for h in document.headings] == [(n + 1, f"Level {n}") for n in range(4)]
    assert len(document.notes) == 1
    assert "read 3 deep" in document.notes[0]


def test_a_web_archive_yields_its_page() -> None:
    page = (
        "From: <Saved by Blink>\nSubject: Page\nMIME-Version: 1.0\n"
        'Content-Type: multipart/related; type="text/html"; boundary="b"\n\n'
        "--b\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\nContent-Location: http://x/\n\n"
        "<h1>Caf=C3=A9</h1><table><tr><td>a<td>b</table>\n"
        "--b\nContent-Type: text/css\nContent-Location: http://x/a.css\n\np {}\n--b--\n"
    )
    document = extract(page.encode())
    assert document.text.endswith("\n\nCafé\n\na | b")
    assert [(h.level, h.title) for h in document.headings] == [(1, "Page"), (2, "Café")]
    assert [document.text[t.start : t.end] for t in document.tables] == ["a | b"]
    assert document.notes == ()


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("Content-Type: text/plain; charset=windows-1252", "Käse für alle".encode("cp1252")),
        ("Content-Type: text/plain; charset=x-unknown", "Käse für alle".encode()),
        ("Content-Type: text/plain; charset=zlib", "Käse für alle".encode()),
        (
            "Content-Type: text/plain; charset=latin1\nContent-Transfer-Encoding: quoted-printable",
            b"K=E4se f=\r\n=fcr alle",
        ),
        ("Content-Transfer-Encoding: base64", base64.encodebytes("Käse für alle".encode())),
        ("Content-Transfer-Encoding: base64", b"S8Okc2\n*Ug\nZsO8ciBhbGxl"),
        ("Content-Transfer-Encoding: nonsense", "Käse für alle".encode()),
        ("Content-Type: ; ; =", "Käse für alle".encode()),
    ],
)
def test_a_body_is_read_in_whatever_encoding_it_comes(header: str, body: bytes) -> None:
    assert body_of(header, body) == "Käse für alle"


@pytest.mark.parametrize("charset", ["us-ascii", "utf-8", "x-unknown"])
def test_a_charset_that_is_not_the_one_declared_is_found_out(charset: str) -> None:
    text = "Où êtes-vous allés l'été dernier ? À la fête du château, très loin d'ici, ça va de soi."
    assert body_of(f"Content-Type: text/plain; charset={charset}", text.encode("cp1252")) == text


def test_broken_encodings_keep_what_is_whole() -> None:
    assert body_of("Content-Transfer-Encoding: quoted-printable", b"a =ZZ b =") == "a =ZZ b"
    for body in (b"d29yZHM", b"d29y\nZHM\n*", b"d29yZHM=Z"):
        assert body_of("Content-Transfer-Encoding: base64", body) == "words"
    assert body_of("Content-Transfer-Encoding: base64", b"d29yZHM=\nIHR3bw==\n*") == "words two"
    assert body_of("Content-Transfer-Encoding: base64", b"d29yZHNa\nZ") == "wordsZ"


@pytest.mark.parametrize(
    ("value", "subject"),
    [
        ("=?iso-8859-1?q?K=E4se?= =?utf-8?b?ZsO8cg==?=", "Käsefür"),
        ("=?x-unknown?q?K=C3=A4se?=", "Käse"),
        ("=?utf-8?b?@@@?=", "=?utf-8?b?@@@?="),
        ("K\u00e4se\n f\u00fcr", "Käse für"),
    ],
)
def test_subjects_are_decoded_as_far_as_they_can_be(value: str, subject: str) -> None:
    assert extract(f"From: a\nSubject: {value}\n\nx".encode()).title == subject


def test_signatures_and_quoted_replies_stay() -> None:
    assert body_of("X: y", b"Yes.\n\n> Really?\n\n-- \nAnn") == "Yes.\n\n> Really?\n\n--\nAnn"


def test_what_is_encrypted_is_said_to_be_left_out() -> None:
    header = b"Subject: S\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\n\nMIAG"
    assert extract(header).notes == ("What is encrypted in this message is left out.",)


def test_a_message_cut_short_keeps_what_there_is() -> None:
    text = body_of(
        "Content-Type: multipart/mixed; boundary=b", b"preamble\n--b\n\nOne.\n--b\nContent-Type: text/html\n\n<p>Tw"
    )
    assert text == "One.\n\nTw"


@pytest.mark.parametrize("kind", ["mixed", "mixed; boundary=other", "alternative", "related"])
def test_a_message_whose_boundary_is_missing_is_read_as_text(kind: str) -> None:
    assert body_of(f"Content-Type: multipart/{kind}", b"--b\n\nWords.\n--b--") == "--b\n\nWords.\n--b--"


def test_the_messages_of_a_digest_need_not_say_that_they_are() -> None:
    document = extract(
        b"Subject: Digest\nContent-Type: multipart/digest; boundary=b\n\n"
        b"--b\n\nSubject: One\n\nText.\n--b\n\nSubject: Two\n\nMore.\n--b--"
    )
    assert [(h.level, h.title) for h in document.headings] == [(1, "Digest"), (2, "One"), (2, "Two")]
    assert document.text.endswith("More.")


def test_a_delivery_report_is_read_with_the_message_it_is_about() -> None:
    document = extract(
        b"Subject: Returned\nContent-Type: multipart/report; boundary=b\n\n"
        b"--b\n\nIt came back.\n--b\nContent-Type: message/delivery-status\n\nStatus: 5.4.6\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: Sent\n\nWords.\n--b--"
    )
    assert document.text == "Subject: Returned\n\nIt came back.\n\nStatus: 5.4.6\n\nSubject: Sent\n\nWords."


def test_of_very_many_parts_the_first_are_read() -> None:
    parts = b"--b\nContent-Type: text/plain\n\npart\n" * 10_000
    document = extract(b"Subject: S\nContent-Type: multipart/mixed; boundary=b\n\n" + parts + b"--b--")
    assert document.text.count("part") == 1000
    assert len(document.notes) == 1
    assert "1,000" in document.notes[0]


def test_a_message_nested_a_thousand_deep_is_read_as_far_as_allowed() -> None:
    data = b"Subject: Bottom\n\nBottom."
    for level in range(1000):
        data = b"Subject: Level %d\nContent-Type: message/rfc822\n\n" % level + data
    document = extract(data)
    assert [heading.title for heading in document.headings] == [f"Level {n}" for n in (999, 998, 997, 996)]


def test_parts_nested_a_thousand_deep_are_refused() -> None:
    data = b"Bottom."
    for level in range(1000):
        data = b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (level, level) + data
    with pytest.raises(ExtractionFailed) as failure:
        extract(data)
    assert failure.value.code == "too_deep"


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: " + b"=?utf-8?q?x?= " * 800_000,
        b"Content-Type: multipart/mixed" + b';a="\\"b' * 1_000_000,
        b"X-A: b\n" * 1_500_000 + b"X-B: c",
        b"X-A: b\n" + b" c\r\n" * 2_500_000 + b"X-B: c",
        b"A" * 10_000_000,
        b"Content-Type: text/plain" + b";" * 10_000_000,
    ],
)
def test_a_header_of_10_mb_does_not_keep_the_body_from_being_read(header: bytes) -> None:
    document = extract(header + b"\n\nBody.")
    assert len(document.text) < 10_000
    assert document.text.endswith("Body.")
