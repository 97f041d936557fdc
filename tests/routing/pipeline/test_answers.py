"""Answers at hand for repetitions: bounded in count, in bytes and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from routing.pipeline.answers import Answers
from routing.pipeline.call import WholeReply


def reply(size: int = 1) -> WholeReply:
    return WholeReply([(b"x-costrouter-cost", b"1")], b"x" * size)


def found(answers: Answers, *ids: str) -> list[bool]:
    return [answers.find(id_) is not None for id_ in ids]


@pytest.fixture
def loop() -> Iterator[asyncio.Runner]:
    """A loop to keep answers on."""
    with asyncio.Runner() as runner:
        yield runner


def keep(loop: asyncio.Runner, answers: Answers, **replies: int) -> None:
    """Keeps answers of these sizes."""

    async def kept() -> None:
        for id_, size in replies.items():
            answers.keep(id_, reply(size))

    loop.run(kept())


def pass_time(loop: asyncio.Runner, seconds: float) -> None:
    loop.run(asyncio.sleep(seconds))


def test_answer_is_at_hand_and_its_headers_stay_its_own(loop: asyncio.Runner) -> None:
    answers, sent = Answers(), reply()

    async def kept() -> None:
        answers.keep("first", sent)

    loop.run(kept())
    sent.headers.append((b"x-request-id", b"req_1"))

    assert answers.find("first") == reply()
    assert answers.find("other") is None


def test_oldest_answers_make_room_for_new_ones(loop: asyncio.Runner) -> None:
    answers = Answers(most=2)
    keep(loop, answers, a=1, b=1, c=1)
    assert found(answers, "a", "b", "c") == [False, True, True]


def test_bytes_are_bounded(loop: asyncio.Runner) -> None:
    answers = Answers(most_bytes=10, largest=8)
    keep(loop, answers, a=6, large=9, b=3)
    both = found(answers, "a", "b", "large")
    keep(loop, answers, c=7)

    assert both == [True, True, False]
    assert found(answers, "a", "b", "c") == [False, True, True]


def test_answers_are_let_go_when_their_time_is_over(loop: asyncio.Runner) -> None:
    answers = Answers(seconds=0.2)
    keep(loop, answers, a=1)
    pass_time(loop, 0.12)
    keep(loop, answers, b=1)
    pass_time(loop, 0.12)
    one_left = found(answers, "a", "b")
    pass_time(loop, 0.2)

    assert one_left == [False, True]
    assert len(answers) == 0
