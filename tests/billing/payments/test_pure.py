"""Coins, memo codes and the text of a VietQR code: plain calculations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vietnam_qr_pay import QRPay

from billing.payments import memos, units, vietqr

DOLLAR, DONG = 10**9, 10**6


@pytest.mark.parametrize(
    ("amount", "currency", "coins"),
    [
        (20 * DOLLAR, "USD", 2000), (DOLLAR // 100, "USD", 1), (500_000 * DONG, "VND", 500_000), (DONG, "VND", 1),
    ],
)  # fmt: skip
def test_p8_coins_are_those_of_the_currency(amount: int, currency: str, coins: int) -> None:
    assert units.to_coins(amount, currency) == coins
    assert units.to_ledger(coins, currency) == amount


@pytest.mark.parametrize(("amount", "currency"), [(DOLLAR // 100 + 1, "USD"), (DONG - 1, "VND"), (1, "USD")])
def test_what_is_finer_than_a_coin_cannot_be_paid(amount: int, currency: str) -> None:
    with pytest.raises(ValueError, match="cannot be paid exactly"):
        units.to_coins(amount, currency)


@pytest.mark.parametrize(("amount", "up"), [(0, 0), (1, 10**7), (10**7, 10**7), (10**7 + 1, 2 * 10**7)])
def test_up_to_the_next_cent(amount: int, up: int) -> None:
    assert units.up_to_coin(amount, "USD") == up


@pytest.mark.parametrize(
    ("dollars", "rate", "dong"),
    [(20 * DOLLAR, 25_500_500_000, 510_010), (DOLLAR, 25_500_500_001, 25_501), (DOLLAR // 100, 25_000_000_000, 250)],
)
def test_price_in_dong_is_rounded_up(dollars: int, rate: int, dong: int) -> None:
    assert units.price_in(dollars, "USD", "VND", rate) == dong


@given(st.integers(1, 10**13), st.integers(10**10, 10**11))
def test_p6_never_more_is_credited_than_was_paid(amount: int, rate: int) -> None:
    coins = units.price_in(amount, "USD", "VND", rate)

    assert units.worth_of(coins, "USD", "VND", rate) >= amount
    assert units.worth_of(coins - 1, "USD", "VND", rate) < amount
    assert units.worth_of(coins, "USD", "VND", rate) * rate <= coins * DONG * DOLLAR


# --- memo codes ------------------------------------------------------------------------------------------------------


def test_new_codes_are_sound_and_differ() -> None:
    codes = {memos.new() for _code in range(500)}
    assert len(codes) == 500
    assert all(memos.is_sound(code) and len(code) == 10 for code in codes)


@pytest.mark.parametrize("alike", ["0OQ", "1I", "2Z", "5S", "8B", "6G", "UV"])
def test_of_characters_that_look_alike_one_is_there_at_most(alike: str) -> None:
    assert len(set(alike) & set(memos.ALPHABET)) <= 1


codes = st.text(memos.ALPHABET, min_size=7, max_size=7).map(lambda text: "CR" + text + memos._check(text))


@given(codes, st.integers(2, 9), st.sampled_from(memos.ALPHABET))
def test_one_wrong_character_is_noticed(code: str, place: int, character: str) -> None:
    wrong = code[:place] + character + code[place + 1 :]
    assert memos.is_sound(wrong) is (wrong == code)


@given(codes, st.integers(2, 8))
def test_two_characters_that_changed_places_are_noticed(code: str, place: int) -> None:
    wrong = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert memos.is_sound(wrong) is (wrong == code)


@pytest.mark.parametrize(
    "text", ["{}", "  {} ", "MBVCB.1234567.{}.CT tu 0123 toi 456", "nap tien {}", "{}CK", "FT26{}"]
)
def test_code_is_found_among_the_banks_own_words(text: str) -> None:
    code = memos.new()
    assert memos.found_in(text.format(code)) == [code]
    assert memos.found_in(text.format(code).lower()) == [code]


@given(codes)
def test_code_is_found_with_spaces_and_dots_in_it(code: str) -> None:
    assert memos.found_in(f"{code[:4]} {code[4:7]}.{code[7:]}") == [code]


@pytest.mark.parametrize("text", ["", "thanks", "CR", "CR1234567", "CR" + "A" * 7])
def test_text_without_a_code(text: str) -> None:
    assert memos.found_in(text) == []


# --- VietQR ----------------------------------------------------------------------------------------------------------


def test_checksum_is_the_published_one() -> None:
    assert vietqr.crc(b"123456789") == 0x29B1  # the check value of CRC-16/CCITT-FALSE


@given(
    st.from_regex(r"[0-9]{6}", fullmatch=True),
    st.from_regex(r"[0-9A-Z]{1,19}", fullmatch=True),
    st.integers(1, 10**12),
    codes,
)
def test_payload_is_what_another_package_writes_and_reads(bank: str, account: str, amount: int, memo: str) -> None:
    text = vietqr.payload(bank=bank, account=account, amount=amount, memo=memo)

    assert text == QRPay.init_viet_qr(bank_bin=bank, bank_number=account, amount=str(amount), purpose=memo).build()
    read = QRPay(text)
    assert (read.is_valid, read.amount, read.currency, read.nation) == (True, str(amount), "704", "VN")
    assert (read.consumer.bank_bin, read.consumer.bank_number) == (bank, account)
    assert (read.provider.guid, read.provider.service) == ("A000000727", "QRIBFTTA")
    assert read.additional_data.purpose == memo


def test_code_is_drawn_with_a_quiet_zone_and_without_style_elements() -> None:
    drawn = vietqr.svg(vietqr.payload(bank="970436", account="1023456789", amount=510_010, memo=memos.new()))

    assert drawn.startswith("<svg ")
    assert "viewBox" in drawn
    assert "<style" not in drawn


@pytest.mark.parametrize(
    ("part", "whole", "of", "share"), [(1, 3, 100, 33), (2, 3, 100, 67), (1, 2, 5, 3), (3, 3, 7, 7), (0, 3, 7, 0)]
)
def test_share_is_rounded_once_half_up(part: int, whole: int, of: int, share: int) -> None:
    assert units.share(part, whole, of) == share


def test_codes_that_were_given_out_stay_sound() -> None:
    """By hand: 8 times the value of 4 (1), and what is missing to 23 is 15, which is N."""
    assert memos.is_sound("CR3333334N")
    assert not memos.is_sound("CR3333334E")
