"""Laws of what may be altered in a URL: each alteration changes what it names and nothing else."""

from collections import Counter

import pytest

from helpers.urls import ODD, parsed, pool
from minnow.data import alterations
from minnow.data.alterations import OPERATIONS, Draw, Pool, altered
from minnow.data.url_parts import Url


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_alteration_changes_what_it_says_and_is_used(
    operation: alterations.Alteration,
) -> None:
    """Over many draws: it fits most rows or some, alters them, and touches nothing else."""
    parts = pool()
    untouched = {
        "other_path": "scheme user labels name suffix port",
        "other_host": "scheme user segments query fragment",
        "subdomain": "scheme user name suffix port segments query fragment",
        "path_segment": "scheme user labels name suffix port query fragment",
        "parameter": "scheme user labels name suffix port fragment",
        "numbers": "scheme user labels suffix port",
        "other_suffix": "scheme user labels name port segments query fragment",
        "typo": "scheme user labels suffix port segments query fragment",
        "case": "scheme user labels name suffix port query fragment",
        "truncation": "scheme user labels name suffix port",
        "brand": "scheme user suffix port query fragment",
    }[operation.__name__].split()
    different = 0
    for number, url in enumerate(parts.urls):
        after = operation(url, Draw(number), parts)
        if after is not None:
            assert all(getattr(after, part) == getattr(url, part) for part in untouched)
            different += after != url
    assert different > len(parts.urls) / 20


def test_alterations_worked_by_hand() -> None:
    parts = Pool.of([parsed("mail.shop.org/cart/?id=7"), parsed("paypal.com")])
    url = parsed("www.example.com/a/b?x=1&y=2")
    draws = [Draw(number) for number in range(400)]

    def results(operation: alterations.Alteration) -> set[str]:
        return {after.text for draw in draws if (after := operation(url, draw, parts)) is not None}

    assert results(alterations.other_path) == {"www.example.com/cart/?id=7"}
    assert results(alterations.other_host) == {
        "mail.shop.org/a/b?x=1&y=2",
        "paypal.com/a/b?x=1&y=2",
    }
    tail = "example.com/a/b?x=1&y=2"
    assert results(alterations.subdomain) == {
        tail,
        f"mail.{tail}",
        f"mail.www.{tail}",
        f"www.mail.{tail}",
    }
    places = ["cart/b", "a/cart", "a", "b", "cart/a/b", "a/cart/b", "a/b/cart"]
    assert results(alterations.path_segment) == {
        f"www.example.com/{path}?x=1&y=2" for path in places
    }
    queries = ["y=2", "x=1", "id=7&y=2", "x=1&id=7", "id=7&x=1&y=2", "x=1&id=7&y=2", "x=1&y=2&id=7"]
    assert results(alterations.parameter) == {f"www.example.com/a/b?{query}" for query in queries}
    assert results(alterations.numbers) == {
        f"www.example.com/a/b?x={x}&y={y}" for x in range(10) for y in range(10) if x == 1 or y == 2
    }
    assert results(alterations.other_suffix) == {
        "www.example.org/a/b?x=1&y=2",
        "www.example.com/a/b?x=1&y=2",  # drawn as often as it occurs; another draw follows
    }
    assert results(alterations.case) == {
        "www.example.com/A/b?x=1&y=2",
        "www.example.com/a/B?x=1&y=2",
        url.text,
    }
    assert results(alterations.truncation) == {
        f"www.example.com{url.tail[:end]}" for end in range(len(url.tail))
    }
    forms = ["{}.www.example", "www.{}-example", "www.example-{}"]
    expected = {
        f"{form.format(name)}.com/a/b?x=1&y=2" for form in forms for name in ("shop", "paypal")
    }
    expected |= {f"www.example.com/{name}/a/b?x=1&y=2" for name in ("shop", "paypal")}
    assert results(alterations.brand) == expected
    typos = {text.split(".")[1] for text in results(alterations.typo)}
    assert {"exmple", "exaample", "ecample", "examp1e", "3xample", "exarnple"} <= typos


@pytest.mark.parametrize("text", ODD)
def test_junk_is_altered_without_an_error(text: str) -> None:
    parts = pool()
    for number in range(60):
        altered(parsed(text), Draw(number), parts)


def test_numbers_keep_letters_letters_and_addresses_addresses() -> None:
    for number in range(100):
        after = alterations.numbers(parsed("10.0.0.1/0a1b2c3d4e"), Draw(number), pool())
        assert after is not None
        assert all(
            1 <= int(octet) <= 254 or octet == "0" or octet == "10"
            for octet in after.name.split(".")
        )
        run = after.segments[1]
        assert [digit.isdigit() for digit in run] == [True, False] * 5
        assert set(run) <= set("0123456789abcdef")


def test_one_to_three_alterations_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def noted(operation: alterations.Alteration) -> alterations.Alteration:
        def call(url: Url, draw: Draw, parts: Pool) -> Url | None:
            after = operation(url, draw, parts)
            if after is not None:
                used.append(operation.__name__)
            return after

        return call

    monkeypatch.setattr(alterations, "OPERATIONS", [noted(operation) for operation in OPERATIONS])
    parts, counts = pool(), Counter[int]()
    for number in range(600):
        before = len(used)
        altered(parts.urls[number % len(parts.urls)], Draw(number), parts)
        counts[len(used) - before] += 1
    assert set(counts) == {1, 2, 3}
    assert all(150 < count < 250 for count in counts.values())
    shares = Counter(used)
    assert set(shares) == {operation.__name__ for operation in OPERATIONS}
    assert min(shares.values()) > len(used) / 40
