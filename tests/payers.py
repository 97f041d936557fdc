"""Card gateways for the tests, as real HTTP servers: `localstripe` in a process of its own, and a stand-in for Stripe.

The stand-in serves what localstripe has not got (Checkout sessions, disputes, idempotency keys) after Stripe's
documented objects (https://docs.stripe.com/api), and lets a test do what payers, their banks and dashboards do.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx
import stripe

from bin import leash
from tests.servers import free_port

KEY: Final = "sk_test_4f6c1a"
SECRET: Final = "whsec_0123456789abcdef"
DECLINED: Final = "pm_declined"
ASKS_BACK: Final = "pm_asks_back"
"""A card whose bank wants its owner to be there."""


def signed(body: bytes, *, secret: str = SECRET, at: int | None = None) -> str:
    """The header that Stripe sends with a body, by the package's own scheme."""
    return str(stripe.WebhookSignature.generate_signature_header(body.decode(), secret, at))


@dataclass
class StandIn:
    """What the gateway knows, and what happens at it. Ids are like Stripe's."""

    url: str = ""
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    """Method, path, parameters as they came, and the idempotency key."""
    is_away: bool = False
    on_request: Callable[[str, str], None] | None = None
    """Called before each answer, for what a test wants to see or do meanwhile."""
    _remembered: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # --- what people do there ----------------------------------------------------------------------------------------

    def pay(self, session_id: str, *, amount: int | None = None, currency: str = "") -> dict[str, Any]:
        """The payer types a card into the session's page; returns the payment intent."""
        with self._lock:
            session = self.objects[session_id]
            intent = self._intent(
                amount=amount or session["amount_total"], currency=currency or session["currency"],
                metadata=session["intent_metadata"], status="succeeded",
            )  # fmt: skip
            session |= {"status": "complete", "payment_status": "paid", "payment_intent": intent["id"]}
            return intent

    def pay_elsewhere(self, *, amount: int, currency: str, metadata: dict[str, str]) -> dict[str, Any]:
        """A payment that no session of ours has asked for."""
        return self._intent(amount=amount, currency=currency, metadata=metadata, status="succeeded")

    def save_card(self, session_id: str, method: str = "pm_visa", at: float | None = None) -> dict[str, Any]:
        """The payer saves a card on the session's page; returns the session."""
        self.objects[method] = {
            "id": method, "object": "payment_method", "card": {"brand": "visa", "last4": "4242"},
            "created": int(at or time.time()),
        }  # fmt: skip
        setup = self._new("seti", "setup_intent", payment_method=method, status="succeeded")
        self.objects[session_id] |= {"status": "complete", "setup_intent": setup["id"]}
        return self.objects[session_id]

    def expire(self, session_id: str) -> dict[str, Any]:
        self.objects[session_id]["status"] = "expired"
        return self.objects[session_id]

    def give_back(self, payment_id: str, amount: int, *, status: str = "succeeded", refund: str = "") -> dict[str, Any]:
        """Somebody refunds a payment in the dashboard."""
        metadata = {"costrouter_refund": refund} if refund else {}
        return self._new("re", "refund", payment_intent=payment_id, amount=amount, status=status, metadata=metadata)

    def take_back(self, payment_id: str, amount: int, *, status: str = "needs_response") -> dict[str, Any]:
        """The payer's bank disputes a payment."""
        return self._new(
            "dp", "dispute", payment_intent=payment_id, amount=amount, currency="usd", status=status,
            reason="fraudulent", balance_transactions=[],
        )  # fmt: skip

    def reinstate(self, dispute: dict[str, Any], amount: int, *, currency: str = "usd") -> dict[str, Any]:
        """The bank gives money of a dispute back, whatever the dispute's status says."""
        moved = {
            "id": f"txn_{secrets.token_hex(6)}",
            "object": "balance_transaction",
            "amount": amount,
            "currency": currency,
        }
        dispute["balance_transactions"].append(moved)
        return dispute

    def event(self, type_: str, about: dict[str, Any], *, id_: str = "") -> bytes:
        """The body of a webhook about an object."""
        name = id_ or f"evt_{secrets.token_hex(6)}"
        told = {"id": name, "object": "event", "type": type_, "data": {"object": about}, "created": int(time.time())}
        return json.dumps(told).encode()

    def charges(self) -> list[dict[str, Any]]:
        """The payments that went through."""
        found = [each for each in self.objects.values() if each["object"] == "payment_intent"]
        return [each for each in found if each["status"] == "succeeded"]

    def refunds(self) -> list[dict[str, Any]]:
        return [each for each in self.objects.values() if each["object"] == "refund"]

    # --- what it answers ---------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, params: dict[str, str], key: str) -> tuple[int, dict[str, Any]]:
        if self.on_request is not None:
            self.on_request(method, path)
        with self._lock:
            self.asked.append((method, path, params, key))
            if self.is_away:
                return 500, _error("api_error", "out of order")
            if key in self._remembered:
                return self._remembered[key]
            answer = self._answer(method, path.removeprefix("/v1/").split("/"), params)
            if key and method == "POST":
                self._remembered[key] = answer
            return answer

    def _answer(self, method: str, path: list[str], params: dict[str, str]) -> tuple[int, dict[str, Any]]:
        match method, path:
            case "POST", ["checkout", "sessions"]:
                return 200, self._open_session(params)
            case "POST", ["customers"]:
                return 200, self._new("cus", "customer", name=params["name"])
            case "POST", ["payment_intents"]:
                return self._charge(params)
            case "POST", ["payment_intents", name, "cancel"]:
                self.objects[name]["status"] = "canceled"
                return 200, self.objects[name]
            case "POST", ["payment_methods", name, "detach"]:
                return 200, self.objects[name]
            case "POST", ["refunds"]:
                return self._refund(params)
            case "GET", ["refunds"]:
                found = [each for each in self.refunds() if each["payment_intent"] == params["payment_intent"]]
                return 200, {"object": "list", "url": "/v1/refunds", "has_more": False, "data": found}
            case "GET", [*_, name] if name in self.objects:
                return 200, self.objects[name]
            case _:
                return 404, _error("invalid_request_error", f"No such object: {'/'.join(path)}")

    def _open_session(self, params: dict[str, str]) -> dict[str, Any]:
        session = self._new(
            "cs", "checkout.session", mode=params["mode"], status="open", payment_status="unpaid",
            payment_intent=None, setup_intent=None, customer=params.get("customer"),
            metadata=_nested(params, "metadata"), intent_metadata=_nested(params, "payment_intent_data[metadata]"),
            amount_total=int(params.get("line_items[0][price_data][unit_amount]", 0)),
            currency=params.get("line_items[0][price_data][currency]"),
        )  # fmt: skip
        session["url"] = f"{self.url}/pay/{session['id']}"
        return session

    def _charge(self, params: dict[str, str]) -> tuple[int, dict[str, Any]]:
        method, amount = params["payment_method"], int(params["amount"])
        status = {DECLINED: "requires_payment_method", ASKS_BACK: "requires_action"}.get(method, "succeeded")
        metadata = _nested(params, "metadata")
        intent = self._intent(amount=amount, currency=params["currency"], metadata=metadata, status=status)
        if method == DECLINED:
            error = _error("card_error", "Your card was declined.", code="card_declined", payment_intent=intent)
            return 402, error
        return 200, intent

    def _refund(self, params: dict[str, str]) -> tuple[int, dict[str, Any]]:
        payment, amount = self.objects[params["payment_intent"]], int(params["amount"])
        gone = sum(each["amount"] for each in self.refunds() if each["payment_intent"] == payment["id"])
        if gone + amount > payment["amount"]:
            return 400, _error("invalid_request_error", "Refund amount is greater than unrefunded amount on charge.")
        return 200, self.give_back(payment["id"], amount, refund=_nested(params, "metadata")["costrouter_refund"])

    def _intent(self, *, amount: int, currency: str, metadata: dict[str, str], status: str) -> dict[str, Any]:
        received = amount if status == "succeeded" else 0
        return self._new(
            "pi", "payment_intent", amount=amount, amount_received=received, currency=currency, status=status,
            metadata=metadata,
        )  # fmt: skip

    def _new(self, prefix: str, kind: str, **fields: Any) -> dict[str, Any]:
        with self._lock:
            made = {"id": f"{prefix}_{secrets.token_hex(6)}", "object": kind, **fields}
            self.objects[made["id"]] = made
            return made


def _nested(params: dict[str, str], name: str) -> dict[str, str]:
    return {key[len(name) + 1 : -1]: value for key, value in params.items() if key.startswith(f"{name}[")}


def _error(kind: str, message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, **more}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self._answer(parts.path, dict(parse_qsl(parts.query)))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(self.path, dict(parse_qsl(body.decode())))

    def _answer(self, path: str, params: dict[str, str]) -> None:
        key = self.headers.get("idempotency-key", "") if self.command == "POST" else ""
        status, answer = self.stand_in.answer(self.command, path, params, key)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def stand_in() -> Iterator[StandIn]:
    """A running stand-in for Stripe."""
    made = StandIn()
    handler = type("Handler", (_Handler,), {"stand_in": made})
    with ThreadingHTTPServer(("127.0.0.1", free_port()), handler) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def configured(settings: Any) -> Iterator[StandIn]:
    """An installation that takes cards, at a stand-in for Stripe; `settings` are the test's."""
    with stand_in() as running:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, SECRET
        settings.STRIPE_API_BASE = running.url
        yield running


@contextlib.contextmanager
def localstripe(log: Path) -> Iterator[str]:
    """The address of a localstripe that knows nothing yet."""
    port = free_port()
    process = leash.start([sys.executable, "-m", "localstripe", "--from-scratch", "--port", str(port)], log=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url)
        yield url
    finally:
        process.stop()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url, timeout=2)
            return
        assert time.monotonic() < deadline, "localstripe does not answer"
        time.sleep(0.05)
