"""Names and numbers of RTF: code pages, character words, and groups that hold no text (RTF Specification 1.9.1)."""

from typing import Final

# The code page of a font's character set (fcharset); 0, 1 and 2 are the document's own.
CHARSETS: Final = {
    77: "mac-roman", 78: "cp932", 79: "cp949", 80: "gb18030", 81: "big5hkscs", 128: "cp932", 129: "cp949",
    130: "cp1361", 134: "gb18030", 136: "big5hkscs", 161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255",
    178: "cp1256", 186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 254: "cp437", 255: "cp850",
}  # fmt: skip
# Code pages that Python knows by another name than cpN, or does not know as what Windows means by it.
_PAGES: Final = {
    936: "gb18030", 950: "big5hkscs", 54936: "gb18030", 10000: "mac-roman", 10001: "cp932", 10006: "mac-greek",
    10007: "mac-cyrillic", 10029: "mac-latin2", 10081: "mac-turkish", 20866: "koi8-r", 21866: "koi8-u",
    28591: "cp1252", 28592: "iso8859-2", 65001: "utf-8",
}  # fmt: skip
_NUMBERED: Final = frozenset((
    437, 720, 737, 775, 850, 852, 855, 857, 858, 860, 861, 862, 863, 864, 865, 866, 869, 874, 932, 949, 1250, 1251,
    1252, 1253, 1254, 1255, 1256, 1257, 1258, 1361,
))  # fmt: skip
ANSI: Final = "cp1252"
SETS: Final = {"ansi": ANSI, "mac": "mac-roman", "pc": "cp437", "pca": "cp850"}

CHARACTERS: Final = {
    "tab": "\t", "line": "\n", "lbr": "\n", "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’",
    "ldblquote": "“", "rdblquote": "”", "emspace": "\u2003", "enspace": "\u2002", "qmspace": "\u2005", "~": "\xa0",
    "_": "-", "zwj": "\u200d", "zwnj": "\u200c", "ltrmark": "\u200e", "rtlmark": "\u200f",
}  # fmt: skip

# Groups whose text is none of the document's. Any other group that begins with \* and is not known is left out too.
SILENT: Final = frozenset((
    "colortbl", "listtable", "listoverridetable", "revtbl", "rsidtbl", "filetbl", "pict", "fldinst", "objdata",
    "objclass", "objname", "themedata", "colorschememapping", "datastore", "latentstyles", "generator", "xmlnstbl",
    "bkmkstart", "bkmkend", "pntext", "listtext", "pnseclvl", "sp", "template", "comment", "doccomm", "xe", "tc", "tcn",
    "atnid", "atndate", "atntime", "atnref", "atrfstart", "atrfend", "atnparent", "ftnsep", "ftnsepc", "ftncn",
    "aftnsep", "aftnsepc", "aftncn", "nonesttables", "shppict", "nonshppict", "mmathPr", "do", "private", "hl",
    "panose", "falt", "fname", "author", "operator", "subject", "manager", "company", "category", "keywords",
    "hlinkbase", "creatim", "revtim", "printim", "buptim", "userprops", "passwordhash", "wgrffmtfilter",
    "fontemb", "fontfile", "background", "formfield", "datafield", "mhtmltag", "htmltag", "pgdsctbl",
))  # fmt: skip
# Groups that begin with \* and hold text all the same.
SPEAKING: Final = frozenset(("shpinst", "shptxt", "annotation", "footnote", "atnauthor", "ud"))


def codec(page: int) -> str:
    """Python's codec for a Windows code page, that of Western Europe for an unknown one."""
    return _PAGES.get(page) or (f"cp{page}" if page in _NUMBERED else ANSI)
