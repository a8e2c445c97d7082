"""The program that draws one page of a PDF for OCR: PDF on stdin, a grey image (PGM) on stdout.

python -m functions.ingest.extract.pdf.render PAGE CPU_SECONDS MEMORY_BYTES
"""

import sys
from typing import BinaryIO, Final

import pypdfium2  # type: ignore[import-untyped]

from functions.ingest.extract.confine import Limits, confine, libraries

# Tesseract is trained on 300 dots an inch; a larger page than A4 is drawn with fewer.
_DOTS_PER_POINT: Final = 300 / 72
_MAX_DOTS: Final = 3600
_MAX_OUTPUT: Final = 2 * _MAX_DOTS * _MAX_DOTS


def render(data: bytes, number: int, file: BinaryIO) -> None:
    """Write the page of this number, from 1, as PGM (netpbm.sourceforge.net/doc/pgm.html)."""
    with pypdfium2.PdfDocument(data) as pdf:
        page = pdf[number - 1]
        scale = min(_DOTS_PER_POINT, _MAX_DOTS / max(page.get_size()))
        bitmap = page.render(scale=scale, grayscale=True, draw_annots=False)
        file.write(b"P5 %d %d 255\n" % (bitmap.width, bitmap.height))
        rows = memoryview(bitmap.buffer)
        file.writelines(rows[row * bitmap.stride : row * bitmap.stride + bitmap.width] for row in range(bitmap.height))


if __name__ == "__main__":
    confine(Limits(int(sys.argv[3]), int(sys.argv[2]), _MAX_OUTPUT), libraries())
    render(sys.stdin.buffer.read(), int(sys.argv[1]), sys.stdout.buffer)
