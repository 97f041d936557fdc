"""What the built-in upstream answers with at the endpoints of pictures and sound: pieces, and their media type."""

from __future__ import annotations

import re
import struct
import time
import zlib
from base64 import b64encode
from typing import Any, Final

import orjson

_TEXT: Final = "This is a demonstration transcript of the built-in upstream."
_FORMAT: Final = re.compile(rb'name="(response_format|stream)"\r\n\r\n([a-z_]{1,20})\r\n')
_JSON: Final = b"application/json"
_EVENTS: Final = b"text/event-stream"
_SAMPLES_OF_A_LETTER: Final = 1_600
_PIECE: Final = 16_000
_SECONDS: Final = 3
Played = tuple[bytes, list[bytes]]


def play(path: str, body: bytes, pieces: tuple[bytes, ...] = ()) -> Played | None:
    """The media type and the pieces of an answer; None for a path of other endpoints."""
    if path.endswith("/images/generations"):
        return _images(orjson.loads(body))
    if path.endswith("/audio/speech"):
        return _speech(orjson.loads(body))
    if path.endswith(("/audio/transcriptions", "/audio/translations")):
        return _transcript(b"".join((body, *(piece for piece in pieces if len(piece) < _PIECE))))
    return None


def _images(request: dict[str, Any]) -> Played:
    """Squares of one colour, which the prompt decides."""
    count, colour = request.get("n") or 1, zlib.crc32(request["prompt"].encode())
    input_, output = max(1, len(request["prompt"]) // 5), 272
    usage = {"input_tokens": input_, "output_tokens": output, "total_tokens": input_ + output,
             "input_tokens_details": {"text_tokens": input_, "image_tokens": 0}}  # fmt: skip
    pictures = [b64encode(_png(colour + place)).decode() for place in range(count)]
    if request.get("stream"):
        event = {"type": "image_generation.completed", "created_at": int(time.time()), "size": "1024x1024",
                 "quality": "low", "background": "opaque", "output_format": "png", "usage": usage}  # fmt: skip
        return _EVENTS, [_event({**event, "b64_json": picture}) for picture in pictures]
    data = [{"b64_json": picture} for picture in pictures]
    return _JSON, [orjson.dumps({"created": int(time.time()), "data": data, "usage": usage})]


def _png(colour: int) -> bytes:
    """A picture of 16 by 16 pixels (https://www.w3.org/TR/png-3/)."""
    rows = (b"\0" + (colour & 0xFFFFFF).to_bytes(3, "big") * 16) * 16
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _speech(request: dict[str, Any]) -> Played:
    """Silence, as long as the text would take, as samples of 24 kHz: what players know as `wav` and `pcm`."""
    size = 2 * _SAMPLES_OF_A_LETTER * len(request["input"])
    head = b"" if request.get("response_format") == "pcm" else _wav_head(size)
    sound = [head] if head else []
    sound += [bytes(min(_PIECE, size - start)) for start in range(0, size, _PIECE)]
    if request.get("stream_format") != "sse":
        return b"audio/pcm" if not head else b"audio/wav", sound
    input_, output = max(1, len(request["input"]) // 5), size // 2_400
    usage = {"input_tokens": input_, "output_tokens": output, "total_tokens": input_ + output}
    deltas = [{"type": "speech.audio.delta", "audio": b64encode(piece).decode()} for piece in sound]
    return _EVENTS, [*map(_event, deltas), _event({"type": "speech.audio.done", "usage": usage})]


def _wav_head(size: int) -> bytes:
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack(
        "<IHHIIHH4sI", 16, 1, 1, 24_000, 48_000, 2, 16, b"data", size
    )  # fmt: skip


def _transcript(form: bytes) -> Played:
    """The same words for every recording, said to take three seconds."""
    asked = dict(_FORMAT.findall(form))
    wanted = asked.get(b"response_format", b"json")
    if asked.get(b"stream") == b"true":
        words = [{"type": "transcript.text.delta", "delta": f"{word} "} for word in _TEXT.split()]
        usage = {"type": "tokens", "input_tokens": 30, "input_token_details": {"audio_tokens": 30, "text_tokens": 0},
                 "output_tokens": len(words), "total_tokens": 30 + len(words)}  # fmt: skip
        done = {"type": "transcript.text.done", "text": _TEXT, "usage": usage}
        return _EVENTS, [*map(_event, words), _event(done)]
    if wanted == b"srt":
        return b"text/plain", [f"1\n00:00:00,000 --> 00:00:0{_SECONDS},000\n{_TEXT}\n".encode()]
    if wanted == b"vtt":
        return b"text/plain", [f"WEBVTT\n\n00:00.000 --> 00:0{_SECONDS}.000\n{_TEXT}\n".encode()]
    usage = {"type": "duration", "seconds": _SECONDS}
    verbose = {"task": "transcribe", "language": "english", "duration": float(_SECONDS), "segments": []}
    return _JSON, [orjson.dumps({"text": _TEXT, **(verbose if wanted == b"verbose_json" else {}), "usage": usage})]


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
