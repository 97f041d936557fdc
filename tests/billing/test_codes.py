"""Redemption codes: how they are made and typed, what they give, and when they are refused."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import secrets
import threading
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import User
from billing import codes
from billing.books import Books
from billing.codes import ALPHABET, CannotRedeem
from billing.models import Code, CodeBatch, CodeTry, LedgerEntry
from tests.bookkeeping import Account, account, assert_books_add_up, race


@pytest.fixture
def user(database: str) -> User:
    return User.objects.create_user(f"{secrets.token_hex(6)}@example.com")


def batch(**fields: Any) -> CodeBatch:
    given: dict[str, Any] = {"label": "Hackathon", "amount": 70, "currency": "USD", "number": 3, "per_tenant": 3}
    return CodeBatch(**(given | fields))


def redeem(rich: Account, code: str, user: User) -> LedgerEntry:
    return codes.redeem(code, balance=rich.wallet, user=user)


# --- how a code is written -------------------------------------------------------------------------------------------


def test_codes_are_distinct_long_and_of_an_alphabet_that_nobody_mixes_up(database: str) -> None:
    made = codes.make(batch(number=200))
    assert len(set(made)) == 200
    assert {tuple(len(group) for group in code.split("-")) for code in made} == {(5, 5, 5, 5)}
    assert set("".join(made)) <= set(ALPHABET) | {"-"}
    assert len(ALPHABET) ** 19 > 2**90
    assert not set("01OIL") & set(ALPHABET)


def test_code_is_understood_however_it_is_typed() -> None:
    code = codes.generate()
    shown = codes.grouped(code)
    for typed in (shown, shown.lower(), f"  {code}\n", shown.replace("-", " "), code[:3] + "-" + code[3:]):
        assert codes.normalized(typed) == code


def test_any_wrong_character_and_any_swap_of_neighbours_is_noticed() -> None:
    code = codes.generate()
    wrong = {code[:at] + other + code[at + 1 :] for at in range(20) for other in ALPHABET if other != code[at]}
    swapped = {code[:at] + code[at + 1] + code[at] + code[at + 2 :] for at in range(18)} - {code}
    assert {codes.normalized(typed) for typed in wrong | swapped} == {None}


@pytest.mark.parametrize("typed", ["", "ABCDE", "A" * 21, "\N{LATIN CAPITAL LETTER E WITH ACUTE}" * 20, "0" * 20])
def test_what_is_no_code_is_refused_before_it_is_looked_up(typed: str) -> None:
    assert codes.normalized(typed) is None


def test_check_character_is_a_weighted_sum() -> None:
    """2 is worth 0 and 3 worth 1: one 3 at the second place weighs 2, which is a 4."""
    assert codes.normalized("23" + "2" * 17 + "4") == "23" + "2" * 17 + "4"


def test_codes_are_kept_as_digests_alone(database: str) -> None:
    (code,) = codes.make(batch(number=1))
    row = Code.objects.latest("pk")
    bare = code.replace("-", "")
    assert row.digest not in {bare, hashlib.sha256(bare.encode()).hexdigest()}
    assert len(row.digest) == 64


# --- what it gives ---------------------------------------------------------------------------------------------------


def test_code_gives_its_credit(rich: Account, user: User) -> None:
    made = batch(priority=-2, grant_days=30)
    code = codes.make(made)[0]

    entry = redeem(rich, code, user)

    row = Code.objects.get(entry=entry)
    assert (entry.kind, entry.amount, entry.reference) == ("grant", 70, f"code:{row.pk}")
    assert (entry.priority, entry.note, entry.created_by) == (-2, "Hackathon", user)
    assert entry.expires_at is not None
    assert row.redeemed_at is not None
    assert entry.expires_at - row.redeemed_at == dt.timedelta(days=30)
    assert (row.tenant, row.batch, rich.available) == (rich.tenant, made, 1070)
    assert_books_add_up()


def test_credit_of_a_code_without_days_never_expires(rich: Account, user: User) -> None:
    assert redeem(rich, codes.make(batch())[0], user).expires_at is None


def test_code_made_under_an_older_pepper_still_holds(rich: Account, user: User, settings: Any) -> None:
    code = codes.make(batch())[0]
    settings.KEY_PEPPERS = [b"n" * 32, *settings.KEY_PEPPERS]
    assert redeem(rich, code, user).amount == 70


# --- when it is refused ----------------------------------------------------------------------------------------------


def _refused(rich: Account, code: str, user: User, words: str) -> None:
    before = rich.available, LedgerEntry.objects.count(), Code.objects.filter(redeemed_at=None).count()
    with pytest.raises(CannotRedeem, match=words):
        redeem(rich, code, user)
    assert before == (rich.available, LedgerEntry.objects.count(), Code.objects.filter(redeemed_at=None).count())


def test_second_time_is_refused(rich: Account, other: Account, user: User) -> None:
    code = codes.make(batch())[0]
    redeem(rich, code, user)
    _refused(rich, code, user, "redeemed already")
    _refused(other, code, user, "redeemed already")


def test_code_that_nobody_made_is_refused(rich: Account, user: User) -> None:
    _refused(rich, codes.generate(), user, "no such code")
    _refused(rich, "AAAAA-AAAAA-AAAAA-AAAA2", user, "mistyped")


def test_code_after_its_time_is_refused(rich: Account, user: User) -> None:
    _refused(rich, codes.make(batch(expires_at=timezone.now()))[0], user, "has expired")
    in_time = codes.make(batch(expires_at=timezone.now() + dt.timedelta(minutes=1)))[0]
    assert redeem(rich, in_time, user).amount == 70


def test_e20_code_of_another_currency_is_refused(rich: Account, user: User) -> None:
    _refused(rich, codes.make(batch(currency="VND"))[0], user, "worth VND; your wallet holds USD")


def test_code_of_a_revoked_batch_is_refused_and_what_was_redeemed_stays(rich: Account, user: User) -> None:
    made = batch()
    first, second, _third = codes.make(made)
    redeem(rich, first, user)
    assert [codes.revoke(made), codes.revoke(made)] == [True, False]
    _refused(rich, second, user, "no longer valid")
    assert rich.available == 1070


def test_tenant_redeems_as_many_as_it_may(rich: Account, other: Account, user: User) -> None:
    first, second, third = codes.make(batch(per_tenant=2))
    redeem(rich, first, user)
    redeem(rich, second, user)
    _refused(rich, third, user, "as many codes")
    assert redeem(other, third, user).amount == 70


def test_guessing_ends_after_ten_wrong_codes_in_an_hour(rich: Account, other: Account, user: User) -> None:
    code = codes.make(batch())[0]
    for _guess in range(10):
        _refused(rich, codes.generate(), user, "no such code")
    _refused(rich, code, user, "Too many")
    assert redeem(other, code, user).amount == 70


def test_guesses_are_counted_by_the_database_and_forgotten_after_an_hour(rich: Account, user: User) -> None:
    code = codes.make(batch())[0]
    hour = dt.timedelta(hours=1)
    by_others = [CodeTry(balance=rich.wallet, at=timezone.now() - hour * part) for part in (2, 1.001, *[0.99] * 10)]
    CodeTry.objects.bulk_create(by_others)
    _refused(rich, code, user, "Too many")
    assert CodeTry.objects.filter(balance=rich.wallet).count() == 12

    CodeTry.objects.filter(balance=rich.wallet, pk=by_others[-1].pk).delete()
    _refused(rich, codes.generate(), user, "no such code")
    assert CodeTry.objects.filter(balance=rich.wallet).count() == 10
    _refused(rich, code, user, "Too many")
    CodeTry.objects.filter(balance=rich.wallet).update(at=timezone.now() - hour)
    assert redeem(rich, code, user).amount == 70


def test_right_codes_are_not_counted_as_guesses(rich: Account, user: User) -> None:
    for code in codes.make(batch(number=12, per_tenant=12)):
        redeem(rich, code, user)
    assert rich.available == 1000 + 12 * 70


# --- at once ---------------------------------------------------------------------------------------------------------


def test_one_of_twenty_connections_redeems_a_code(database: str, user: User) -> None:
    code = codes.make(batch())[0]
    accounts = [account(1) for _tenant in range(20)]
    numbers = itertools.count()
    won: list[LedgerEntry] = []
    together = threading.Barrier(20)

    def story(_books: Books) -> None:
        mine = accounts[next(numbers)]
        together.wait()
        try:
            won.append(redeem(mine, code, user))
        except CannotRedeem:
            assert mine.available == 1

    race(story, 20)

    assert len(won) == 1
    assert sorted(each.available for each in accounts) == [1] * 19 + [71]
    assert_books_add_up()


def test_limit_of_a_tenant_holds_against_itself(rich: Account, user: User) -> None:
    made = codes.make(batch(number=6, per_tenant=2))
    numbers = itertools.count()

    def story(_books: Books) -> None:
        try:
            redeem(rich, made[next(numbers)], user)
        except CannotRedeem:
            pass

    race(story, 6)

    assert rich.available == 1000 + 2 * 70
    assert Code.objects.filter(tenant=rich.tenant).count() == 2
