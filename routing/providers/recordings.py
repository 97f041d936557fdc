"""How long a recording is, by what its file says of itself: estimated before, and where an upstream does not say it.

Headers are the client's word. They lower a hold, and the price of an answer whose upstream tells nothing; what an
upstream tells is billed in their place.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Final

_LOWEST_RATE: Final = 750
"""Bytes a second of the densest speech: 6 kbit/s is the least of Opus (RFC 6716, section 2.1.1)."""
_HIGHEST_RATE: Final = 768_000
"""Of two channels of 32 bits at 96 kHz: no recording is shorter than its bytes at this rate."""
_USUAL_RATE: Final = 4_000
"""Of a voice message at 32 kbit/s, where a file does not say."""
_MARGIN: Final = 2
"""How much longer than their headers say recordings are held for."""
_MP3_RATES: Final = {
    1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
"""kbit/s of layer III, by version (ISO/IEC 11172-3 and 13818-3)."""
_MP3_SAMPLES: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_HEAD: Final = 4096
_MOST_CHUNKS: Final = 64
_TAIL: Final = 65_536
"""An Ogg page is no larger (RFC 3533, section 6)."""


def expected_seconds(data: bytes) -> int:
    """Whole seconds, a part of one as one; at least one, and no more than the file as the densest speech."""
    told = _length(data) or len(data) / _USUAL_RATE
    return max(1, math.ceil(min(max(told, len(data) / _HIGHEST_RATE), len(data) / _LOWEST_RATE)))


def most_seconds(data: bytes) -> int:
    """What is held: twice what the headers say, or without them the file as the densest speech; whole seconds."""
    densest, told = math.ceil(len(data) / _LOWEST_RATE), _length(data)
    return max(1, densest if told is None else min(densest, _MARGIN * expected_seconds(data)))


def _length(data: bytes) -> float | None:
    """Seconds by the file's headers, None where they do not say."""
    for magic, place, read in _FORMATS:
        if data[place : place + len(magic)] == magic:
            try:
                seconds = read(data)
            except (struct.error, ZeroDivisionError, IndexError):
                return None
            return seconds if seconds and seconds > 0 else None
    return None


def _wav(data: bytes) -> float | None:
    """By the data's size and the bytes a second (Microsoft's RIFF WAVE)."""
    at, rate = 12, 0
    for _chunk in range(_MOST_CHUNKS):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            (rate,) = struct.unpack_from("<I", data, at + 16)
        elif name == b"data":
            return min(size, len(data) - at - 8) / rate
        at += 8 + size + size % 2
    return None


def _flac(data: bytes) -> float | None:
    """By STREAMINFO: 20 bits of rate, 36 of samples (RFC 9639, section 8.2)."""
    bits = int.from_bytes(data[18:26], "big")
    return (bits & (1 << 36) - 1) / (bits >> 44)


def _ogg(data: bytes) -> float | None:
    """By the last page's position; Opus counts at 48 kHz (RFC 7845, section 4), Vorbis at its own rate."""
    head, page = data[:_HEAD], data.rfind(b"OggS", max(0, len(data) - _TAIL))
    vorbis = head.find(b"\x01vorbis")
    rate = int.from_bytes(head[vorbis + 12 : vorbis + 16], "little") if vorbis >= 0 else 48_000
    position: int = struct.unpack_from("<q", data, page + 6)[0]
    return position / rate


def _mp4(data: bytes) -> float | None:
    """By the movie's header (ISO/IEC 14496-12, section 8.2.2)."""
    at = data.find(b"mvhd")
    if at < 0:
        return None
    form, skipped = (">IQ", 20) if data[at + 4] == 1 else (">II", 12)
    scale, length = struct.unpack_from(form, data, at + 4 + skipped)
    return float(length) / float(scale)


def _tagged(data: bytes) -> float | None:
    """An MP3 behind its ID3 tag, whose size has seven bits a byte."""
    size = sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=False))
    return _mp3(data, 10 + size)


def _mp3(data: bytes, start: int = 0) -> float | None:
    """By the first frame: its rate, or how many frames a Xing header counts."""
    start = data.find(b"\xff", start)
    if start < 0 or data[start + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[start + 1] >> 3 & 3, data[start + 1] >> 1 & 3
    if version not in _MP3_SAMPLES or layer != 1:
        return None
    rate = _MP3_RATES[1 if version == 3 else 2][data[start + 2] >> 4]
    samples, frame = _MP3_SAMPLES[version][data[start + 2] >> 2 & 3], 1152 if version == 3 else 576
    beginning = data[start : start + 200]
    for name in (b"Xing", b"Info"):
        at = beginning.find(name)
        if at >= 0 and beginning[at + 7] & 1:
            return int.from_bytes(beginning[at + 8 : at + 12], "big") * frame / samples
    return (len(data) - start) * 8 / (rate * 1000)


_FORMATS: Final[tuple[tuple[bytes, int, Callable[[bytes], float | None]], ...]] = (
    (b"WAVE", 8, _wav),
    (b"fLaC", 0, _flac),
    (b"OggS", 0, _ogg),
    (b"ftyp", 4, _mp4),
    (b"ID3", 0, _tagged),
    (b"\xff", 0, _mp3),
)
"""What a file begins with, at which place."""
