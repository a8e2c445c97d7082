"""What of a PDF page can be seen: pictures that may show text, and text that nobody sees."""

from ctypes import byref, c_float
from typing import Final, NamedTuple

import pypdfium2  # type: ignore[import-untyped]
import pypdfium2.raw as pdfium  # type: ignore[import-untyped]

_BLANK_BYTES: Final = 4  # one blank and the closing NUL, in UTF-16
# Letters drawn as paths, which no ruled blank page has.
_MANY_PATHS: Final = 20


class Shown(NamedTuple):
    """Whether a page shows pictures, and whether invisible text was taken from it."""

    pictures: bool
    dropped_invisible: bool


def take_invisible(page: pypdfium2.PdfPage) -> Shown:
    """Take invisible text from a page unless that is what an image of the page says.

    Text in render mode 3 (ISO 32000-1, 9.3.6) is how OCR programs lay what they read over a scan; where a page has
    text to see and no image as large as half of it, nobody who reads it would find that text.
    """
    visible = False
    covered = 0.0
    drawn = 0
    invisible = []
    for at in range(pdfium.FPDFPage_CountObjects(page)):
        one = pdfium.FPDFPage_GetObject(page, at)
        kind = pdfium.FPDFPageObj_GetType(one)
        if kind == pdfium.FPDF_PAGEOBJ_TEXT:
            if pdfium.FPDFTextObj_GetTextRenderMode(one) == pdfium.FPDF_TEXTRENDERMODE_INVISIBLE:
                invisible.append(one)
            else:
                visible = True
        elif kind == pdfium.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = (c_float() for _ in range(4))
            pdfium.FPDFPageObj_GetBounds(one, byref(left), byref(bottom), byref(right), byref(top))
            drawn += _MANY_PATHS
            covered = max(covered, (right.value - left.value) * (top.value - bottom.value))
        else:
            drawn += 1 if kind == pdfium.FPDF_PAGEOBJ_PATH else _MANY_PATHS  # a form may hold an image
    shows = drawn >= _MANY_PATHS
    drop = bool(invisible) and visible and covered < 0.5 * page.get_width() * page.get_height()
    if not drop:
        return Shown(shows, dropped_invisible=False)
    text_page = page.get_textpage()
    drop = any(pdfium.FPDFTextObj_GetText(one, text_page, None, 0) > _BLANK_BYTES for one in invisible)
    text_page.close()
    for one in invisible:
        pdfium.FPDFPage_RemoveObject(page, one)
        pdfium.FPDFPageObj_Destroy(one)
    return Shown(shows, drop)
