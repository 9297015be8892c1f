"""Codes on paper: read back from the picture, the drawing and the sheet by the decoder that the terminals use."""

from __future__ import annotations

import csv
import io
import re
import struct
import zlib

import cv2
import numpy as np
import pytest
import zxingcpp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image

from loyalty import codes, typed
from server.printing import MODULE_MIN_MM, PrintedCode, PrintingError, codes_csv, qr_png, qr_svg, sheet_pdf

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MM = 72 / 25.4  # points, the unit of a PDF


def text_of(serial: int) -> str:
    code = codes.ActivationCode(
        programme="grocer",
        code_id=serial.to_bytes(16, "big"),
        batch="spring",
        serial=serial,
        issued_at_s=1_767_225_600,
        expires_at_s=1_798_761_600,
        kind="bonus",
    )
    return codes.encode(code, KEY, b"1234")


def printed(serial: int, label: str = "5 € de réduction") -> PrintedCode:
    return PrintedCode(qr_text=text_of(serial), typed_text=typed.make(serial << 20), label=label)


def picture(png: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image


def read_all(image: np.ndarray) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(image)]


def streams(pdf: bytes) -> list[bytes]:
    """Page contents and pictures, inflated, in the order of the file."""
    found = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    return [zlib.decompress(each) for each in found if each[:1] == b"\x78"]


def pages(pdf: bytes) -> list[str]:
    return [each.decode("windows-1252") for each in streams(pdf) if b" Tf" in each and b"BT" in each]


def test_a_picture_is_read_back_and_its_quiet_zone_is_white():
    image = picture(qr_png(text_of(7)))
    assert read_all(image) == [text_of(7)]
    assert set(np.unique(image)) == {0, 255}
    assert (image[: 4 * 8] == 255).all()
    assert (image[:, -4 * 8 :] == 255).all()


def test_a_picture_is_read_back_blurred_tilted_and_small():
    """A poor print before a poor camera: two pixels a module, out of focus, turned by seven degrees."""
    image = picture(qr_png(text_of(7)))
    small = cv2.resize(image, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    height, width = small.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 7, 0.9)
    tilted = cv2.warpAffine(small, turn, (width, height), borderValue=(255,))
    assert read_all(cv2.GaussianBlur(tilted, (3, 3), 0.8)) == [text_of(7)]


def test_a_drawing_has_the_size_of_the_picture_and_is_of_vectors():
    svg = qr_svg(text_of(7))
    side = picture(qr_png(text_of(7))).shape[0]
    assert f'width="{side}" height="{side}"' in svg
    assert "<path" in svg
    assert "<image" not in svg


def test_a_text_that_no_qr_code_holds_is_refused():
    with pytest.raises(PrintingError, match="shorten"):
        qr_png("x" * 8_000)


def test_a_sheet_holds_every_code_in_letters_and_as_a_picture():
    shown = [printed(serial, f"n° {serial}") for serial in range(1, 31)]
    pdf = sheet_pdf(shown, title="Printemps")
    first, second = pages(pdf)
    for code, page in [(code, first if at < 24 else second) for at, code in enumerate(shown)]:
        assert f"({code.typed_text})" in page
        assert f"({code.label})" in page
    assert "(Printemps – 1/2)" in first
    assert len(placed(first)) == 24
    assert len(placed(second)) == 6


def placed(page: str) -> list[tuple[float, float, float]]:
    """Side, left and bottom of each picture on a page, in millimetres."""
    found = re.findall(r"q ([\d.]+) 0 0 [\d.]+ ([\d.]+) ([\d.]+) cm /I\d+ Do Q", page)
    return [(float(side) / MM, float(left) / MM, float(bottom) / MM) for side, left, bottom in found]


def test_pictures_on_a_sheet_stand_apart_on_the_page_with_modules_that_a_camera_sees():
    [page] = pages(sheet_pdf([printed(serial) for serial in range(1, 25)], title="t"))
    modules = picture(qr_png(text_of(1))).shape[0] / 8
    spots = placed(page)
    for side, left, bottom in spots:
        assert side / modules >= MODULE_MIN_MM
        assert 10 <= left <= 200 - side
        assert 10 <= bottom <= 287 - side
    assert len({(round(left), round(bottom)) for _, left, bottom in spots}) == 24


def test_the_pictures_of_a_sheet_are_read_back():
    pdf = sheet_pdf([printed(1), printed(2)], title="t")
    found = re.findall(rb"/CCITTFaxDecode.*?/Width (\d+).*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    assert [read_all(fax_picture(data, int(width))) for width, data in found] == [[text_of(1)], [text_of(2)]]


def fax_picture(data: bytes, side: int) -> np.ndarray:
    """A square of one bit a pixel, coded by ITU-T T.6 as PDF has it, wrapped into a TIFF for Pillow to read."""
    entries = [
        (256, side),
        (257, side),
        (258, 1),
        (259, 4),
        (262, 0),
        (273, 8 + 2 + 8 * 12 + 4),
        (278, side),
        (279, len(data)),
    ]
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    tiff = b"II*\0" + struct.pack("<IH", 8, len(entries)) + fields + bytes(4) + data
    with Image.open(io.BytesIO(tiff)) as image:
        return np.array(image.convert("L"))


def test_a_long_label_is_made_smaller_and_cut_at_last():
    [page] = pages(sheet_pdf([printed(1, "word " * 40)], title="t"))
    assert re.search(r"\(word word [a-z ]*…\)", page)


def test_an_empty_sheet_is_a_page_with_its_title():
    [page] = pages(sheet_pdf([], title="Nothing yet"))
    assert "(Nothing yet)" in page


@pytest.mark.parametrize(("columns", "rows"), [(6, 16), (12, 8), (0, 8), (3, 0), (-1, -1)])
def test_cells_too_small_for_a_code_are_refused(columns: int, rows: int):
    with pytest.raises(PrintingError, match=r"use fewer|no place"):
        sheet_pdf([printed(1)], title="t", columns=columns, rows=rows)


def test_a_letter_that_the_sheet_cannot_show_is_named():
    with pytest.raises(PrintingError, match="'ش'"):
        sheet_pdf([printed(1, "شاي")], title="t")
    with pytest.raises(PrintingError, match="'Ω'"):
        sheet_pdf([], title="Ω")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_label_of_a_table_starts_a_formula(start: str):
    table = codes_csv([printed(1, f"{start}1+1")]).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(table, newline="")))[1][0] == f"'{start}1+1"


def test_the_table_keeps_every_letter():
    shown = [printed(1, "شاي, vert"), printed(2, '=HYPERLINK("http://x")'), printed(3, 'a "b"\nc')]
    data = codes_csv(shown)
    assert data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert rows[0] == ["label", "typed_code", "qr_text"]
    assert [row[0] for row in rows[1:]] == ["شاي, vert", '\'=HYPERLINK("http://x")', 'a "b"\nc']
    assert [row[1:] for row in rows[1:]] == [[code.typed_text, code.qr_text] for code in shown]
