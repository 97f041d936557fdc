"""Whatever a client sends: no 5xx, no HTML, every error in the envelope, nothing left held, the books right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.endpoints import ENDPOINTS
from tests import schemas
from tests.callers import Caller
from tests.dialects import ANTHROPIC, GEMINI, RESPONSES
from tests.fuzz import conversations as talk
from tests.fuzz import others
from tests.fuzz.answers import answer
from tests.fuzz.bodies import RIGS, Rig
from tests.fuzz.forms import TRANSCRIPTIONS, TRANSLATIONS
from tests.fuzz.subjects import Subject
from tests.worlds import World

SUBJECTS: Final[dict[str, Subject]] = {
    "chat": talk.CHAT,
    "chat before Anthropic's": replace(talk.CHAT, shape=ANTHROPIC.shape),
    "chat before Google's": replace(talk.CHAT, shape=GEMINI.shape),
    "messages": talk.MESSAGES_SUBJECT,
    "messages before Anthropic's": replace(talk.MESSAGES_SUBJECT, shape=ANTHROPIC.shape),
    "count_tokens": talk.COUNT_TOKENS,
    "responses": talk.RESPONSES,
    "responses at an upstream that has them": replace(talk.RESPONSES, shape=RESPONSES.shape),
    "generate": talk.GENERATE,
    "generate before Google's": replace(talk.GENERATE, shape=GEMINI.shape),
    "generate as events": talk.STREAMED,
    "generate as a list": talk.LISTED,
    "countTokens": talk.COUNTED,
    **others.JSON_SUBJECTS,
    "transcriptions": TRANSCRIPTIONS,
    "translations": TRANSLATIONS,
}


def test_every_endpoint_is_fuzzed() -> None:
    paths = {subject.path.removeprefix("/v1").removeprefix("beta").split("?")[0] for subject in SUBJECTS.values()}
    assert {endpoint.path.replace("{model_id}", "{model}") for endpoint in ENDPOINTS.values()} <= paths


@pytest.fixture(scope="module")
def caller(shared_world: World) -> Caller:
    return shared_world.caller(funds="1000000")


@pytest.fixture(scope="module", autouse=True)
def _models(shared_world: World) -> None:
    """All at once: each lot takes a moment until the gateway knows it."""
    shapes = Counter(subject.shape for subject in SUBJECTS.values())
    shared_world.installation.stock({shape: count * (len(RIGS) + 2) for shape, count in shapes.items()})


@pytest.fixture
def model(shared_world: World, subject: Subject) -> str:
    """One that the upstream serves at whatever endpoint it is asked."""
    offer = shared_world.offer(subject.shape)
    shared_world.upstream.on(offer.upstream, answer)
    return offer.name


@pytest.fixture(autouse=True)
def _books(shared_world: World) -> Iterator[None]:
    """After each rig: nothing is held and every balance adds up."""
    yield
    shared_world.installation.assert_books()
    shared_world.upstream.requests.clear()


PROFILES = [
    pytest.param("short", id="short"),
    pytest.param("long", id="long", marks=pytest.mark.fuzz),
]
_DOORS: Final = ("chat", "messages", "generate", "transcriptions")
"""One of each kind of view: what is read before the body is theirs."""
each_door = pytest.mark.parametrize("subject", [SUBJECTS[name] for name in _DOORS], ids=_DOORS)
each_subject = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS.keys())


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rig", RIGS.values(), ids=RIGS.keys())
@each_subject
def test_any_body_gets_an_answer_or_a_refusal_in_the_envelope(
    caller: Caller, model: str, subject: Subject, rig: Rig, profile: str
) -> None:
    answered: list[int] = []

    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(rig(model, subject))
    def check(body: bytes) -> None:
        response = subject.post(caller, model, body)
        caller.upstream.requests.clear()
        assert_answered_or_refused(response, subject)
        answered.append(response.status_code)

    check()
    print(f"{len(answered)} bodies, {answered.count(200)} of them answered")  # noqa: T201
    assert subject.post(caller, model, subject.body(model)).status_code == 200
    assert answered.count(200) or rig is not RIGS["near valid"]


def assert_answered_or_refused(response: httpx.Response, subject: Subject) -> None:
    """A whole answer, or a client's error in the envelope."""
    assert response.status_code < 500, f"{response.status_code}: {response.text}\nto: {response.request.content!r}"
    assert response.headers["x-request-id"]
    assert b"<html" not in response.content.lower()
    if response.status_code == 200:
        return
    assert response.headers["content-type"].partition(";")[0] == "application/json"
    assert schemas.faults(dict(subject.refusal), response.json()) == []


HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "content-encoding", "accept", "accept-encoding", "cookie", "idempotency-key", "x-request-id",
         "x-costrouter-explain", "openai-organization", "origin", "user-agent", "x-forwarded-for", "expect", "range"]
    ),
    st.one_of(
        st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40),
        st.sampled_from(["application/json", "gzip", "identity", "*/*", "text/html", "true", "bytes=0-1", "a" * 4000]),
    ),
    max_size=5,
)  # fmt: skip


@pytest.mark.parametrize("profile", PROFILES)
@each_door
def test_any_headers_get_an_answer_or_a_refusal_in_the_envelope(
    caller: Caller, model: str, subject: Subject, profile: str
) -> None:
    body = subject.body(model)

    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(HEADERS.filter(lambda headers: "expect" not in headers))
    def check(headers: dict[str, str]) -> None:
        assert_answered_or_refused(subject.post(caller, model, body, **headers), subject)

    check()


@pytest.mark.parametrize("profile", PROFILES)
@each_door
def test_any_key_is_served_or_refused_in_the_envelope(
    caller: Caller, model: str, subject: Subject, profile: str
) -> None:
    letters = st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=["Cc"])
    keys = st.text(alphabet=letters, min_size=1, max_size=80)
    path, body = subject.path.format(model=model), subject.body(model)

    @settings(settings.get_profile(profile), suppress_health_check=list(HealthCheck))
    @given(keys)
    def check(key: str) -> None:
        headers = {"authorization": b"Bearer " + key.encode("latin-1"), "content-type": subject.media.encode()}
        response = caller.client.post(path, content=body, headers=headers)  # type: ignore[arg-type]
        assert response.status_code == 401
        assert_answered_or_refused(response, subject)

    check()
