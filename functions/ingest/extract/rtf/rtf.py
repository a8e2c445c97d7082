"""RTF: read token by token (Rich Text Format Specification 1.9.1)."""

import re
from typing import Final

from functions.ingest.extract.blocks import Block, assemble
from functions.ingest.extract.document import Document, one_line
from functions.ingest.extract.rtf.codes import ANSI, CHARACTERS, CHARSETS, SETS, SILENT, SPEAKING, codec
from functions.ingest.extract.rtf.flow import Flow, State
from minirag.runtime.errors import ExtractionFailed

# A control word, a byte in hexadecimal, a control symbol, a brace, a line end (which means nothing), text.
_TOKEN: Final = re.compile(
    rb"\\([A-Za-z]{1,32})(-?[0-9]{1,9})? ?|\\'([0-9A-Fa-f]{2})|\\(.)|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.DOTALL
)
_HEADING: Final = re.compile(r"heading ([1-9])", re.IGNORECASE)
_MARGINS: Final = ("header", "footer")
_FLOWS: Final = (*_MARGINS, "footnote", "annotation", "shptxt")
_MAX_FLOWS: Final = 8  # a note in a box in a note; what nests deeper is read as part of it
_BREAKS: Final = ("par", "sect", "page")


def extract(data: bytes) -> Document:
    """The text of an RTF file: headers, body with tables as rows and notes and comments below, footers.

    Hidden and deleted text is left out, with all that describes the file. Raises ExtractionFailed with code
    `broken_rtf`.
    """
    reader = _Reader(data)
    whole = reader.read()
    blocks = reader.blocks()
    if not whole and not any(block.text.strip() for block in blocks):
        raise ExtractionFailed(
            "This RTF file is cut short before its text begins. Open it in a word processor, save it anew and upload "
            "it again.",
            code="broken_rtf",
        )
    notes = () if whole else ("The file is cut short: it ends in the middle, and what followed is missing.",)
    return assemble("rtf", blocks, title=one_line(reader.title), notes=notes)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.title = ""
        self._data = data
        self._state = State()
        self._stack: list[State] = []
        self._flows = [Flow("", 0)]
        self._margins: dict[str, dict[str, None]] = {kind: {} for kind in _MARGINS}
        self._ansi = ANSI
        self._encodings: dict[int, str] = {}
        self._levels: dict[int, int] = {}
        self._font = self._default_font = self._style = self._footnotes = 0
        self._name = self._author = ""
        self._pending = bytearray()
        self._to_skip = 0
        self._first = self._starred = False

    def blocks(self) -> list[Block]:
        """What was read, with headers before the body and footers behind, each once."""
        header, footer = ([Block(text, run=kind) for text in self._margins[kind]] for kind in _MARGINS)
        return [*header, *self._flows[0].blocks, *footer]

    def read(self) -> bool:
        """Read it all; False if the file ends before its last group does."""
        position = 0
        while match := _TOKEN.match(self._data, position):
            position = match.end()
            word, number, byte, symbol, brace, text = match.groups()
            if word:
                position += self._word(word.decode(), int(number) if number else None)
            elif byte:
                self._bytes(bytes((int(byte, 16),)))
            elif symbol:
                self._symbol(symbol)
            elif brace == b"{":
                self._open()
            elif brace:
                self._close()
                if not self._stack:
                    break
            elif text:
                self._bytes(text)
        whole = not self._stack
        while self._stack:
            self._close()
        self._flows[0].end_paragraph(self._state._replace(in_table=False), None)
        return whole

    def _open(self) -> None:
        self._flush()
        self._stack.append(self._state)
        self._first, self._starred = True, False

    def _close(self) -> None:
        self._flush()
        if self._stack:
            if self._state.destination == "stylesheet":
                self._end_style()
            if len(self._flows) > 1 and self._flows[-1].depth == len(self._stack):
                self._end_flow()
            self._state = self._stack.pop()
        self._first = self._starred = False

    def _bytes(self, data: bytes) -> None:
        if self._to_skip:  # what stands for a character in programs that know no Unicode
            skipped = min(self._to_skip, len(data))
            self._to_skip -= skipped
            data = data[skipped:]
        self._first = False
        if not self._state.silent:
            self._pending += data

    def _flush(self) -> None:
        self._to_skip = 0
        if self._pending:
            text = self._pending.decode(self._state.encoding, errors="replace")
            self._pending.clear()
            self._say(text)

    def _say(self, text: str) -> None:
        state = self._state
        if state.silent:
            return
        if state.destination == "title":
            self.title += text
        elif state.destination == "stylesheet":
            self._name += text
        elif state.destination == "atnauthor":
            self._author += text
        elif not state.destination and not state.hidden and not state.deleted:
            self._flows[-1].parts.append(text)

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._starred = True
        elif symbol in b"\\{}":
            self._bytes(symbol)
        elif symbol in b"\r\n":
            self._word("par", None)
        elif symbol in b"~_":
            self._word(symbol.decode(), None)

    def _word(self, word: str, number: int | None) -> int:
        """Obey a control word; returns how many bytes of binary data follow it."""
        first, self._first = self._first, False
        if word == "bin":
            return max(0, number or 0)
        self._flush()
        if first:
            self._begin(word)
        if self._state.silent:
            return 0
        if word in CHARACTERS:
            self._say(CHARACTERS[word])
        elif word == "u" and number is not None:
            self._say(chr(number % 0x10000))
            self._to_skip = self._state.fallback
        elif self._state.destination in ("fonttbl", "stylesheet"):
            self._describe(word, number)
        elif not self._state.destination:
            self._structure(word)
            self._format(word, number)
        return 0

    def _begin(self, word: str) -> None:
        """Take note of what a group is, which its first word says."""
        kind = word[:6] if word[:6] in _MARGINS else word
        if word in SILENT or (self._starred and word not in SPEAKING):
            self._state = self._state._replace(silent=True)
        elif word in ("fonttbl", "stylesheet", "info", "atnauthor") or (
            word == "title" and self._state.destination == "info"
        ):
            if word == "atnauthor":
                self._author = ""
            elif word == "title":
                self.title = ""  # it may come twice, in Unicode the second time
            self._state = self._state._replace(destination=word)
        elif kind in _FLOWS and not self._state.silent and len(self._flows) < _MAX_FLOWS:
            if kind == "footnote":
                self._footnotes += 1
                self._say(f"[{self._footnotes}]")
            self._flows.append(Flow(kind, len(self._stack)))
            self._state = self._state._replace(in_table=False, in_list=False, level=None, style=0)

    def _end_flow(self) -> None:
        flow = self._flows.pop()
        flow.end_paragraph(self._state._replace(in_table=False), None)
        words = " ".join(block.text.strip() for block in flow.blocks if block.text.strip())
        outer = self._flows[-1]
        if flow.kind in _MARGINS:
            self._margins[flow.kind] |= {block.text: None for block in flow.blocks}
        elif flow.kind == "shptxt":
            outer.after += flow.blocks
        elif words and flow.kind == "footnote":
            outer.after.append(Block(f"[{self._footnotes}] {words}"))
        elif words:
            outer.after.append(
                Block(f"Comment ({self._author.strip()}): {words}" if self._author else f"Comment: {words}")
            )

    def _describe(self, word: str, number: int | None) -> None:
        """What the tables of fonts and of styles say."""
        if word == "f":
            self._font = number or 0
        elif word == "fcharset" and number in CHARSETS:
            self._encodings[self._font] = CHARSETS[number]
        elif word == "cpg" and number:
            self._encodings[self._font] = codec(number)
        elif word == "s":
            self._style = number or 0
        elif word == "outlinelevel" and number is not None and 0 <= number < 9:
            self._levels[self._style] = number + 1

    def _end_style(self) -> None:
        match = _HEADING.match(self._name.strip())
        if match:
            self._levels[self._style] = int(match[1])
        self._name, self._style = "", 0

    def _structure(self, word: str) -> None:
        flow = self._flows[-1]
        if word in _BREAKS:
            flow.end_paragraph(self._state, self._state.level or self._levels.get(self._state.style))
        elif word == "cell":
            flow.end_cell()
        elif word == "row":
            flow.end_row()
        elif word in ("nestcell", "nestrow"):
            self._say(" ")
        elif word == "pard":
            self._state = self._state._replace(style=0, level=None, in_table=False, in_list=False)

    def _format(self, word: str, number: int | None) -> None:
        change: dict[str, object] = {}
        if word == "f":
            change["encoding"] = self._encodings.get(number or 0, self._ansi)
        elif word == "plain":
            change = {
                "encoding": self._encodings.get(self._default_font, self._ansi),
                "hidden": False,
                "deleted": False,
            }
        elif word in ("v", "deleted"):
            change["hidden" if word == "v" else "deleted"] = number != 0
        elif word == "uc":
            change["fallback"] = min(10, max(0, number or 0))
        elif word == "s":
            change["style"] = number or 0
        elif word == "outlinelevel":
            change["level"] = number + 1 if number is not None and 0 <= number < 9 else None
        elif word == "intbl":
            change["in_table"] = True
        elif word == "ls":
            change["in_list"] = number != 0
        elif word == "deff":
            self._default_font = number or 0
        elif word in SETS or (word == "ansicpg" and number):
            self._ansi = codec(number) if number else SETS[word]
            change["encoding"] = self._ansi
        if change:
            self._state = self._state._replace(**change)  # type: ignore[arg-type]
