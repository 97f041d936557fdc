"""How long a recording is, by its headers: every format that speech comes in, and files that say nothing or lie."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.providers.recordings import expected_seconds, most_seconds


def wav(seconds: float, *, rate: int = 32_000, told: int | None = None, before: bytes = b"") -> bytes:
    size = int(seconds * rate)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate // 2, rate, 2, 16)
    data = struct.pack("<4sI", b"data", size if told is None else told) + bytes(size)
    return b"RIFF" + bytes(4) + b"WAVE" + before + fmt + data


def flac(samples: int, rate: int = 44_100) -> bytes:
    bits = rate << 44 | 1 << 41 | 15 << 36 | samples
    return b"fLaC\x80\x00\x00\x22" + bytes(10) + bits.to_bytes(8, "big") + bytes(16) + bytes(50_000)


def ogg(head: bytes, position: int) -> bytes:
    page = b"OggS\0\0" + bytes(20)
    last = b"OggS\0\4" + position.to_bytes(8, "little") + bytes(12)
    return page + head + bytes(50_000) + last + bytes(100)


def mp4(scale: int, length: int, version: int = 0) -> bytes:
    times = bytes(16) if version else bytes(8)
    form = ">IQ" if version else ">II"
    return (
        b"\0\0\0\x18ftypM4A "
        + bytes(50_000)
        + b"mvhd"
        + bytes([version, 0, 0, 0])
        + times
        + struct.pack(form, scale, length)
    )


MPEG1_128 = b"\xff\xfb\x90\x00"
MPEG2_64 = b"\xff\xf3\x84\x00"


def mp3(head: bytes = MPEG1_128, size: int = 160_000, xing: bytes = b"") -> bytes:
    return head + bytes(32) + xing + bytes(size - len(head) - 32 - len(xing))


FILES = {
    "wav": (wav(10), 10),
    "wav of two and a half": (wav(2.5), 3),
    "wav with another chunk before": (wav(10, before=b"LIST" + struct.pack("<I", 5) + bytes(6)), 10),
    "wav of a stream": (wav(10, told=0xFFFF_FFFF), 10),
    "flac": (flac(44_100 * 12), 12),
    "flac at 16 kHz": (flac(16_000 * 7, 16_000), 7),
    "opus": (ogg(b"OpusHead\x01\x01", 48_000 * 9), 9),
    "vorbis": (ogg(b"\x01vorbis" + bytes(5) + (22_050).to_bytes(4, "little"), 22_050 * 8), 8),
    "mp4": (mp4(1_000, 11_500), 12),
    "mp4 with long times": (mp4(48_000, 48_000 * 13, 1), 13),
    "mp3": (mp3(), 10),
    "mp3 of the second version": (mp3(MPEG2_64), 20),
    "mp3 behind a tag": (b"ID3\x03\0\0\0\0\x01\x00" + bytes(128) + mp3(), 10),
    "mp3 with its frames counted": (mp3(xing=b"Xing" + struct.pack(">II", 1, 1_000)), 27),
    "mp3 with what is not counted": (mp3(xing=b"Info" + struct.pack(">II", 2, 1_000)), 10),
}


@pytest.mark.parametrize(("data", "seconds"), FILES.values(), ids=FILES.keys())
def test_file_says_how_long_it_is(data: bytes, seconds: int) -> None:
    assert expected_seconds(data) == seconds
    assert most_seconds(data) == min(2 * seconds, -(-len(data) // 750))


SAY_NOTHING = {
    "no sound": bytes(400_000),
    "webm": b"\x1a\x45\xdf\xa3" + bytes(399_996),
    "aac": b"\xff\xf1\x50\x80" + bytes(399_996),
    "a wav of no rate": b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 16) + bytes(16) + b"data" + bytes(399_964),
    "a wav of empty chunks": b"RIFF" + bytes(4) + b"WAVE" + (b"none" + bytes(4)) * 50_000,
    "a flac of no samples": flac(0)[:34] + bytes(399_966),
    "an mp4 without a header": b"\0\0\0\x18ftypM4A " + bytes(399_988),
    "an mp3 of a free rate": b"\xff\xfb\x00\x00" + bytes(399_996),
    "an mp3 that ends": b"\xff" * 1 + bytes(399_999),
}


@pytest.mark.parametrize("data", SAY_NOTHING.values(), ids=SAY_NOTHING.keys())
def test_file_that_says_nothing_is_a_voice_message_and_held_as_the_densest(data: bytes) -> None:
    assert expected_seconds(data) == -(-len(data) // 4_000)
    assert most_seconds(data) == -(-len(data) // 750)


def test_no_recording_is_shorter_than_its_bytes() -> None:
    liar = wav(1, rate=7_680_000)
    assert expected_seconds(liar) == 11


def test_no_recording_is_held_for_longer_than_the_densest_speech() -> None:
    assert expected_seconds(flac(44_100 * 10**6)) == -(-len(flac(0)) // 750)
    assert most_seconds(flac(44_100 * 10**6)) == -(-len(flac(0)) // 750)


@given(
    data=st.binary(max_size=300),
    kind=st.sampled_from([b"RIFF0000WAVE", b"fLaC", b"OggS", b"0000ftyp", b"ID3", b"\xff\xfb", b""]),
)
def test_any_file_is_at_least_a_second_and_no_error(data: bytes, kind: bytes) -> None:
    assert 1 <= expected_seconds(kind + data) <= most_seconds(kind + data)


FIRST = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
SECOND = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


@pytest.mark.parametrize(("version", "rates"), [(0xFB, FIRST), (0xF3, SECOND)], ids=["first", "second"])
@pytest.mark.parametrize("place", range(14))
def test_mp3_is_as_long_as_its_rate_says(version: int, rates: tuple[int, ...], place: int) -> None:
    """A byte more than eight seconds of it."""
    head = bytes((0xFF, version, (place + 1) << 4, 0))
    assert expected_seconds(mp3(head, rates[place] * 1_000 + 1)) == 9
