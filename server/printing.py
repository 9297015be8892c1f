"""Codes on paper: a QR code as a picture or a drawing, A4 sheets to cut up, and a table for a print shop."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import msgspec
import segno
from fpdf import FPDF

QUIET_ZONE = 4  # white modules that must stand around a QR code (ISO/IEC 18004, section 9.1)
MODULE_MIN_MM = 0.3  # smaller ones get lost in a counter camera's picture and in a cheap printer's dots
PIXELS_PER_MODULE = 8

_PAGE_MM = (210, 297)
_MARGIN_MM = 10
_TITLE_MM = 9
_PADDING_MM = 1.5
_GAP_MM = 0.4  # keeps a QR code's white off the cutting lines
_TYPED_MM = 5
_LABEL_MM = 4
_GREY = 150
_FONT_ENCODING = "windows-1252"  # what a PDF's built-in fonts can show: Western European letters and the euro
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


class PrintingError(ValueError):
    """Something that cannot be printed so that it can be read again; says what, and what to do instead."""


class PrintedCode(msgspec.Struct, frozen=True, kw_only=True):
    """One code on a sheet: what the camera reads, what a person types, and what it is for."""

    qr_text: str
    typed_text: str
    label: str


def qr_png(text: str) -> bytes:
    """A black and white PNG, 8 pixels a module, with quiet zone. Raises PrintingError when the text is too long."""
    return _picture(_qr(text), "png")


def qr_svg(text: str) -> str:
    """An SVG document to be scaled at will, with quiet zone. Raises PrintingError when the text is too long."""
    return _picture(_qr(text), "svg").decode("utf-8")


def sheet_pdf(codes: Sequence[PrintedCode], *, title: str, columns: int = 3, rows: int = 8) -> bytes:
    """A4 pages of `columns` by `rows` cells between cutting lines: QR code, typed code, label.

    Raises PrintingError when a cell gets too small for its code, or a text has
    letters that the sheet's fonts lack.
    """
    sheet = _Sheet(columns, rows, _printable(title), len(codes))
    for code in codes:
        sheet.add(code)
    return sheet.finish()


def codes_csv(codes: Sequence[PrintedCode]) -> bytes:
    """A table with a heading for a print shop: UTF-8 with a mark that spreadsheets know, RFC 4180.

    A label that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(["label", "typed_code", "qr_text"])
    for code in codes:
        label = "'" + code.label if code.label.startswith(_FORMULA_STARTS) else code.label
        table.writerow([label, code.typed_text, code.qr_text])
    return out.getvalue().encode("utf-8-sig")


def _qr(text: str) -> segno.QRCode:
    """Level M or, where it costs no larger symbol, better."""
    try:
        return segno.make_qr(text, error="m")
    except ValueError as error:
        raise PrintingError(f"{len(text)} characters do not fit into a QR code; shorten the text") from error


def _picture(qr: segno.QRCode, kind: str) -> bytes:
    out = io.BytesIO()
    qr.save(out, kind=kind, scale=PIXELS_PER_MODULE, border=QUIET_ZONE)
    return out.getvalue()


def _printable(text: str) -> str:
    try:
        text.encode(_FONT_ENCODING)
    except UnicodeEncodeError as error:
        letter = text[error.start]
        raise PrintingError(
            f"the sheet's fonts lack {letter!r} in {text!r}. Write it in Latin letters, or give the table (CSV) to a"
            " print shop: it keeps every letter"
        ) from error
    return " ".join(text.split())


class _Sheet:
    """Places codes cell by cell, a new page whenever one is full."""

    def __init__(self, columns: int, rows: int, title: str, total: int) -> None:
        if columns < 1 or rows < 1:
            raise PrintingError(f"a sheet of {columns} by {rows} has no place for a code")
        self._columns, self._rows, self._title = columns, rows, title
        self._width = (_PAGE_MM[0] - 2 * _MARGIN_MM) / columns
        self._height = (_PAGE_MM[1] - 2 * _MARGIN_MM - _TITLE_MM) / rows
        self._count = 0
        self._pages = max(1, -(-total // (columns * rows)))
        self._pdf = FPDF(format="A4", unit="mm")
        self._pdf.core_fonts_encoding = _FONT_ENCODING
        self._pdf.set_auto_page_break(False)
        self._pdf.set_margin(0)
        self._pdf.c_margin = 0
        self._pdf.set_title(title)

    def add(self, code: PrintedCode) -> None:
        place = self._count % (self._columns * self._rows)
        if place == 0:
            self._new_page()
        row, column = divmod(place, self._columns)
        self._cell(code, _MARGIN_MM + column * self._width, _MARGIN_MM + _TITLE_MM + row * self._height)
        self._count += 1

    def finish(self) -> bytes:
        if self._count == 0:
            self._new_page()
        return bytes(self._pdf.output())

    def _cell(self, code: PrintedCode, left: float, top: float) -> None:
        qr = _qr(code.qr_text)
        side = self._side(qr)
        inside = self._width - 2 * _PADDING_MM
        picture = io.BytesIO(_picture(qr, "png"))
        self._pdf.image(picture, x=left + (self._width - side) / 2, y=top + _GAP_MM, w=side, h=side)
        below = top + self._height - _PADDING_MM - _LABEL_MM - _TYPED_MM
        self._line(_printable(code.typed_text), "Courier", "B", 13, left + _PADDING_MM, below, inside, _TYPED_MM)
        below += _TYPED_MM
        self._line(_printable(code.label), "Helvetica", "", 8, left + _PADDING_MM, below, inside, _LABEL_MM)

    def _side(self, qr: segno.QRCode) -> float:
        """Millimetres for the QR code with its quiet zone, which is all the white that it needs around it."""
        side = min(self._width - _GAP_MM, self._height - _TYPED_MM - _LABEL_MM - _PADDING_MM) - _GAP_MM
        modules = qr.symbol_size(border=QUIET_ZONE)[0]
        if side < modules * MODULE_MIN_MM:
            raise PrintingError(
                f"{self._columns} by {self._rows} on a page leaves {max(side, 0):.0f} mm for a QR code that needs"
                f" {modules * MODULE_MIN_MM:.0f} mm; use fewer columns or rows"
            )
        return side

    def _line(self, text: str, family: str, style: str, size: int, x: float, y: float, w: float, h: float) -> None:
        """One centred line, smaller when it must be, cut when even that is too long."""
        pdf = self._pdf
        pdf.set_font(family, style, size)
        while pdf.get_string_width(text) > w and size > 6:
            size -= 1
            pdf.set_font_size(size)
        while pdf.get_string_width(text) > w:
            text = text[:-2] + "…"
        pdf.set_xy(x, y)
        pdf.cell(w, h, text, align="C")

    def _new_page(self) -> None:
        pdf = self._pdf
        pdf.add_page()
        width = _PAGE_MM[0] - 2 * _MARGIN_MM
        title = f"{self._title} – {pdf.page_no()}/{self._pages}" if self._pages > 1 else self._title
        self._line(title, "Helvetica", "B", 11, _MARGIN_MM, _MARGIN_MM - 2, width, _TITLE_MM)
        self._cutting_lines()

    def _cutting_lines(self) -> None:
        pdf = self._pdf
        pdf.set_draw_color(_GREY)
        pdf.set_line_width(0.1)
        pdf.set_dash_pattern(dash=1, gap=1)
        top, right = _MARGIN_MM + _TITLE_MM, _PAGE_MM[0] - _MARGIN_MM
        bottom = _PAGE_MM[1] - _MARGIN_MM
        for column in range(self._columns + 1):
            x = _MARGIN_MM + column * self._width
            pdf.line(x, top, x, bottom)
        for row in range(self._rows + 1):
            y = top + row * self._height
            pdf.line(_MARGIN_MM, y, right, y)
        pdf.set_dash_pattern()
