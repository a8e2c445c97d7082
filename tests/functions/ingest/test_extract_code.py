"""Source code: the source as it is, and headings where definitions can be told for certain."""

import pytest

from functions.ingest.extract.code import extract


def headings(source: str) -> list[tuple[str, str]]:
    """Each heading's title and the line it stands on."""
    document = extract(source.encode())
    return [(heading.title, document.text[heading.start :].partition("\n")[0]) for heading in document.headings]


def test_the_canonical_text_is_the_source() -> None:
    source = "def f(x):\n\treturn x  # Größe\n\n\nclass A: pass"
    assert extract(source.encode()).text == "def f(x):\n\treturn x  # Größe\n\nclass A: pass"


def test_python_s_classes_and_functions_are_headings_with_their_decorators() -> None:
    source = (
        '"""def no(): …"""\nimport x\n\n@x.cache\ndef f():\n    def inner(): ...\n\n'
        "async def g(): ...\nclass A:\n    def m(self): ...\n"
    )
    assert headings(source) == [("f", "@x.cache"), ("g", "async def g(): ..."), ("A", "class A:")]


GO = "package main\n\nfunc (s *Server) Run(x int) error {\n}\n\ntype Server struct {\n}\nfunc main() {\n}\n"
TYPESCRIPT = "import x;\n\nexport default async function load(a) {\n}\nexport class Cart extends Base {\n}\n"
RUST = "use std::io;\n\npub(crate) fn parse<T>(x: T) {\n}\npub struct Tree {\n}\nenum Kind {\n}\n"
C_SHARP = "using X;\n\npublic abstract class Shop\n{\n    public void Buy() {}\n}\npublic interface IShop : IX {\n}\n"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        (GO, "Run Server main"),
        (TYPESCRIPT, "load Cart"),
        (RUST, "parse Tree Kind"),
        (C_SHARP, "Shop IShop"),
        ("/*\nclass Commented {\n*/\nclass Real {\n}\n", "Real"),
    ],
)
def test_definitions_with_a_keyword_are_headings_in_other_languages(source: str, names: str) -> None:
    assert [title for title, _ in headings(source)] == names.split()


@pytest.mark.parametrize(
    "source",
    [
        "#include <x.h>\nstruct log {\n  int a;\n};\nint main(void) {\n  return 0;\n}\n",
        "[section]\nclass = a\nfunction name of x\n",
        "class of 1984 was good\nfunction calls are slow\n",
        "select *\nfrom t;\n",
        "def f(:\n  return\n",
        "print 'python 2'\ndef f():\n    pass\n",
    ],
)
def test_what_cannot_be_told_for_certain_has_no_headings(source: str) -> None:
    assert headings(source) == []


@pytest.mark.parametrize("source", ["def f():\n  return " + "(" * 100_000, "def f():\n  return " + "-" * 100_000 + "1"])
def test_code_that_no_parser_can_read_is_still_text(source: str) -> None:
    assert extract(source.encode()).text == source


def test_dubious_python_warns_nobody() -> None:
    assert headings("def f():\n    return '\\d' is 'x'\n") == [("f", "def f():")]
