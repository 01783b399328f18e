"""Laws of altered copies: of the seed and the id alone, never an old URL, always a URL."""

from collections import Counter
from urllib.parse import urlsplit

import polars as pl
import pytest

from minnow.data import augmentation, cleaning, synthetic
from minnow.data.augmentation import OPERATIONS, Draw, Pool, Url, altered, copies, well_formed
from minnow.text import urls

NOTHING = pl.Series([], dtype=pl.String)
ODD = [
    "",
    "localhost",
    "10.0.0.1:8080/verify/account?id=1",
    "[2001:db8::1]:443/x",
    "http://user:pw@www.a.example.co.uk:81/p//q/?x=1&y=http://b.com/#top",
    "me.github.io",
    "github.io?",
    "a.com/?",
    "a.com#frag?no=query",
    "EXAMPLE.com/Path",
    "a@b.com",
    "a_b.c-d.org./x",
    "co.uk/a",
    "[broken/x",
    "пример.рф/путь",
]


def table(texts: list[str]) -> pl.DataFrame:
    """Return rows as `prepare` would, by their key."""
    rows, _ = cleaning.cleaned(pl.DataFrame({"text": texts}), move_scheme=False)
    return (
        rows.unique("key", maintain_order=True)
        .with_columns(pl.col("key").alias("id"))
        .filter(pl.col("key") != "")
    )


TRAIN = table(synthetic.generate(300, seed=3, label_noise=0.0)[0])


def made(
    rows: pl.DataFrame = TRAIN,
    *,
    number: int = 2,
    seed: int = 0,
    foreign: pl.Series = NOTHING,
    taken: pl.Series = NOTHING,
) -> pl.DataFrame:
    return copies(
        rows,
        TRAIN,
        number=number,
        seed=seed,
        taken=pl.concat([TRAIN["key"], taken]),
        foreign=foreign,
    )


def pool() -> Pool:
    return Pool.of(Url.of(*each) for each in TRAIN.select("text", "domain").rows())


def parsed(text: str) -> Url:
    return Url.of(text, urls.registered_domain(urls.host(pl.Series([text]))).item())


# --- URLs in parts --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*ODD, *TRAIN["text"].head(60)])
def test_parts_put_together_are_the_url(text: str) -> None:
    url = parsed(text)
    host = url.text[len(url.scheme + url.user) : len(url.text) - len(url.port + url.tail)]
    assert host == host.lower()
    assert url.text.replace(host, host.lower(), 1) == text.replace("EXAMPLE", "example")
    assert url.with_tail(url.tail) == url


def test_parts_by_hand() -> None:
    assert parsed("http://user:pw@www.a.example.co.uk:81/p//q/?x=1&y#top") == Url(
        "http://",
        "user:pw@",
        ("www", "a"),
        "example",
        ".co.uk",
        ":81",
        ("", "p", "", "q", ""),
        ("x=1", "y"),
        "#top",
    )
    assert parsed("10.0.0.1/") == Url("", "", (), "10.0.0.1", "", "", ("", ""), None, "")
    assert parsed("me.github.io") == Url("", "", (), "me", ".github.io", "", ("",), None, "")


# --- alterations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_alteration_changes_what_it_says_and_is_used(
    operation: augmentation.Alteration,
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

    def results(operation: augmentation.Alteration) -> set[str]:
        return {after.text for draw in draws if (after := operation(url, draw, parts)) is not None}

    assert results(augmentation.other_path) == {"www.example.com/cart/?id=7"}
    assert results(augmentation.other_host) == {
        "mail.shop.org/a/b?x=1&y=2",
        "paypal.com/a/b?x=1&y=2",
    }
    tail = "example.com/a/b?x=1&y=2"
    assert results(augmentation.subdomain) == {
        tail,
        f"mail.{tail}",
        f"mail.www.{tail}",
        f"www.mail.{tail}",
    }
    places = ["cart/b", "a/cart", "a", "b", "cart/a/b", "a/cart/b", "a/b/cart"]
    assert results(augmentation.path_segment) == {
        f"www.example.com/{path}?x=1&y=2" for path in places
    }
    queries = ["y=2", "x=1", "id=7&y=2", "x=1&id=7", "id=7&x=1&y=2", "x=1&id=7&y=2", "x=1&y=2&id=7"]
    assert results(augmentation.parameter) == {f"www.example.com/a/b?{query}" for query in queries}
    assert results(augmentation.numbers) == {
        f"www.example.com/a/b?x={x}&y={y}" for x in range(10) for y in range(10) if x == 1 or y == 2
    }
    assert results(augmentation.other_suffix) == {
        "www.example.org/a/b?x=1&y=2",
        "www.example.com/a/b?x=1&y=2",  # drawn as often as it occurs; another draw follows
    }
    assert results(augmentation.case) == {
        "www.example.com/A/b?x=1&y=2",
        "www.example.com/a/B?x=1&y=2",
        url.text,
    }
    assert results(augmentation.truncation) == {
        f"www.example.com{url.tail[:end]}" for end in range(len(url.tail))
    }
    forms = ["{}.www.example", "www.{}-example", "www.example-{}"]
    wanted = {
        f"{form.format(name)}.com/a/b?x=1&y=2" for form in forms for name in ("shop", "paypal")
    }
    wanted |= {f"www.example.com/{name}/a/b?x=1&y=2" for name in ("shop", "paypal")}
    assert results(augmentation.brand) == wanted
    typos = {text.split(".")[1] for text in results(augmentation.typo)}
    assert {"exmple", "exaample", "ecample", "examp1e", "3xample", "exarnple"} <= typos


@pytest.mark.parametrize("text", ODD)
def test_junk_is_altered_without_an_error(text: str) -> None:
    parts = pool()
    for number in range(60):
        altered(parsed(text), Draw(number), parts)


def test_numbers_keep_letters_letters_and_addresses_addresses() -> None:
    for number in range(100):
        after = augmentation.numbers(parsed("10.0.0.1/0a1b2c3d4e"), Draw(number), pool())
        assert after is not None
        assert all(
            1 <= int(octet) <= 254 or octet == "0" or octet == "10"
            for octet in after.name.split(".")
        )
        run = after.segments[1]
        assert [each.isdigit() for each in run] == [True, False] * 5
        assert set(run) <= set("0123456789abcdef")


def test_one_to_three_alterations_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []

    def noted(operation: augmentation.Alteration) -> augmentation.Alteration:
        def call(url: Url, draw: Draw, parts: Pool) -> Url | None:
            after = operation(url, draw, parts)
            if after is not None:
                used.append(operation.__name__)
            return after

        return call

    monkeypatch.setattr(augmentation, "OPERATIONS", [noted(each) for each in OPERATIONS])
    parts, counts = pool(), Counter[int]()
    for number in range(600):
        before = len(used)
        altered(parts.urls[number % len(parts.urls)], Draw(number), parts)
        counts[len(used) - before] += 1
    assert set(counts) == {1, 2, 3}
    assert all(150 < count < 250 for count in counts.values())
    shares = Counter(used)
    assert set(shares) == {each.__name__ for each in OPERATIONS}
    assert min(shares.values()) > len(used) / 40


# --- copies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_copies_are_new_urls_that_parse(seed: int) -> None:
    found = made(seed=seed)
    assert 0.95 * 2 * TRAIN.height < found.height <= 2 * TRAIN.height
    assert found["key"].n_unique() == found.height
    assert not set(found["key"]) & set(TRAIN["key"])
    assert found["key"].equals(urls.key(found["text"]).alias("key"))
    assert found["domain"].equals(urls.registered_domain(urls.host(found["text"])).alias("domain"))
    assert set(found["copy_of"]) <= set(TRAIN["id"])
    assert max(Counter(found["copy_of"]).values()) == 2
    for text in found["text"]:
        assert urlsplit(text if text.startswith(("http://", "https://")) else f"//{text}").hostname
        assert not any(each.isspace() for each in text)


def test_copies_depend_on_seed_and_id_and_not_on_the_order_of_rows() -> None:
    assert made().equals(made())
    backwards = TRAIN.reverse()
    shuffled = copies(
        backwards, backwards, number=2, seed=0, taken=TRAIN["key"].reverse(), foreign=NOTHING
    )
    assert shuffled.equals(made())
    assert len(set(made()["text"]) & set(made(seed=1)["text"])) < made().height / 10
    assert not made(TRAIN.with_columns(pl.col("id") + "x"))["text"].equals(made()["text"])


def test_copies_of_some_rows_are_those_that_they_get_among_all() -> None:
    some = TRAIN.head(40)
    among = made().filter(pl.col("copy_of").is_in(some["id"].implode()))
    assert set(among["text"]) <= set(made(some)["text"])
    assert set(made(number=1)["text"]) <= set(made(number=2)["text"])


def test_copies_keep_off_what_is_taken_and_off_foreign_domains() -> None:
    first = made()
    foreign = first["domain"].value_counts().sort("count", "domain")["domain"].tail(20)
    again = made(foreign=foreign, taken=first["key"].head(100))
    assert not set(again["domain"]) & set(foreign)
    assert not set(again["key"]) & set(first["key"].head(100))
    assert again.height > 0.9 * first.height, "other draws took their place"


def test_rows_that_no_draw_makes_a_url_of_get_no_copies() -> None:
    junk = table(["[broken/x", "a b c/ d", "-.-/x y z"])
    alone = copies(junk, junk, number=3, seed=0, taken=junk["key"], foreign=NOTHING)
    assert alone.is_empty()
    assert copies(TRAIN, TRAIN.clear(), number=1, seed=0, taken=NOTHING, foreign=NOTHING).is_empty()


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("example.com", True),
        ("a_b.example.com:80/x?y#z", True),
        ("http://10.0.0.1/x", True),
        ("[2001:db8::1]/x", True),
        ("пример.рф/путь", True),
        ("example.com/?u=http://b.com", True),
        ("", False),
        ("/only/path", False),
        ("a..b.com", False),
        ("-a.com", False),
        ("a-.com", False),
        (f"{'a' * 64}.com", False),
        ("a.com:99999/", False),
        ("a.com:port/", False),
        ("a.com/x y", False),
        ("a.com/\x00", False),
        ("[1:2", False),
        (f"a.com/{'x' * 2000}", False),
    ],
)
def test_well_formed(text: str, good: bool) -> None:
    assert well_formed(text) is good
