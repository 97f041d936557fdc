"""VietQR: a bank transfer as a QR code that Vietnamese banking apps read. Pure but for the drawing.

EMVCo's merchant-presented mode (EMV QRCPS MPM 1.1): fields of two digits id, two digits length and a value. NAPAS gave
it field 38 (https://vietqr.net/portal-service/download/documents/QR_Format_T&C_v1.5.2_EN_102022.pdf).
"""

from __future__ import annotations

import io
from typing import Final

import segno

_NAPAS: Final = "A000000727"
_TO_ACCOUNT: Final = "QRIBFTTA"
_DYNAMIC: Final = "12"
"""With an amount: for one payment."""
_VND: Final = "704"


def payload(*, bank: str, account: str, amount: int, memo: str) -> str:
    """The text of the code: so many dong to this account of the bank with this NAPAS number."""
    beneficiary = _field("00", bank) + _field("01", account)
    merchant = _field("00", _NAPAS) + _field("01", beneficiary) + _field("02", _TO_ACCOUNT)
    text = "".join((
        _field("00", "01"),
        _field("01", _DYNAMIC),
        _field("38", merchant),
        _field("53", _VND),
        _field("54", str(amount)),
        _field("58", "VN"),
        _field("62", _field("08", memo)),
        "6304",
    ))  # fmt: skip
    return text + f"{crc(text.encode()):04X}"


def crc(data: bytes) -> int:
    """CRC-16/CCITT-FALSE: polynomial 1021, begins with FFFF."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _bit in range(8):
            value = (value << 1 ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def svg(text: str) -> str:
    """The code as an SVG element, black on white in any theme: cameras need it."""
    drawn = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        drawn, kind="svg", xmldecl=False, svgns=True, border=4, dark="#000", light="#fff", omitsize=True
    )
    return drawn.getvalue().decode()


def _field(name: str, value: str) -> str:
    return f"{name}{len(value):02d}{value}"
