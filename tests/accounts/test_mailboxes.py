"""Addresses of one person, however they are written."""

from __future__ import annotations

import pytest

from accounts.mailboxes import digest_of, mailbox_of


@pytest.mark.parametrize(
    ("address", "mailbox"),
    [
        pytest.param("Dana@Example.COM", "dana@example.com", id="case"),
        pytest.param("dana+trial@example.com", "dana@example.com", id="tag"),
        pytest.param("dana+a+b@example.com", "dana@example.com", id="two tags"),
        pytest.param("+dana@example.com", "+dana@example.com", id="nothing but a tag"),
        pytest.param("da.na@example.com", "da.na@example.com", id="dots that count"),
        pytest.param("d.a.n.a@gmail.com", "dana@gmail.com", id="dots of gmail"),
        pytest.param("d.ana+x@googlemail.com", "dana@gmail.com", id="the same under another name"),
        pytest.param("d_a-na@protonmail.com", "dana@proton.me", id="proton"),
        pytest.param("dana-shop@yahoo.com", "dana@yahoo.com", id="yahoo"),
        pytest.param("dana-shop@example.com", "dana-shop@example.com", id="a hyphen that counts"),
        pytest.param('"dana"@example.com', "dana@example.com", id="quoted"),
        pytest.param('"d\\ana"@example.com', "dana@example.com", id="quoted with a character that needs none"),
        pytest.param('"dana+trial"@example.com', "dana@example.com", id="quoted tag"),
        pytest.param('"d\\.a.na"@gmail.com', "dana@gmail.com", id="quoted dots of gmail"),
        pytest.param("dana@example.com.", "dana@example.com", id="root"),
        pytest.param("dana@bücher.example", "dana@xn--bcher-kva.example", id="letters of the domain"),
        pytest.param("\N{FULLWIDTH LATIN SMALL LETTER D}ana@example.com", "dana@example.com", id="wide letters"),
        pytest.param(f"dana@{'x' * 70}.example", f"dana@{'x' * 70}.example", id="label too long"),
        pytest.param("dana", "@dana", id="no address"),
    ],
)
def test_mailbox_is_one_way_of_writing_it(address: str, mailbox: str) -> None:
    assert mailbox_of(address) == mailbox


def test_what_is_remembered_is_no_address() -> None:
    assert digest_of("Dana+1@example.com") == digest_of("dana@example.com") != digest_of("danb@example.com")
    assert "dana" not in digest_of("dana@example.com")
