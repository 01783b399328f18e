"""What a URL looks like: its length, path, host, suffix. Every row has one value of each trait."""

from collections.abc import Iterator, Mapping

import polars as pl

from minnow.text import urls

# Characters without the scheme. In three sets, real and synthetic, no class holds fewer than 2 % of
# the rows.
LENGTHS = {
    "under 20": (0, 20),
    "20 to 39": (20, 40),
    "40 to 79": (40, 80),
    "80 and more": (80, None),
}
# Top-level domains that have a slice of their own; the rest share one.
NAMED_SUFFIXES = 8
OTHER = "other"
# Months of the test rows that have a slice of their own.
NAMED_MONTHS = 24
IPV4 = r"^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|$)){4}$"


def traits(
    texts: pl.Series, domains: pl.Series, train_domains: pl.Series, times: pl.Series | None = None
) -> Iterator[tuple[str, Mapping[str, pl.Series]]]:
    """Yield each trait with its values and where they hold; of each a row has just one value."""
    hosts = urls.host(texts)
    is_address = hosts.str.contains(IPV4) | hosts.str.starts_with("[")
    lengths = urls.split_scheme(texts)[1].str.len_chars()
    yield "length", {name: within(lengths, *bounds) for name, bounds in LENGTHS.items()}
    # The key has lost slashes that end the path, empty queries and fragments. A query counts as a
    # path.
    yield "path", two("with path", "without path", urls.key(texts).str.contains(r"[/?\\]"))
    yield "host", two("IP address", "name", is_address)
    yield "hosting", two("free", "own domain or address", urls.has_private_suffix(domains))
    yield "punycode", two("in the host", "none", hosts.str.contains(r"(?:^|\.)xn--"))
    seen = domains.is_in(urls.known_domains(train_domains).implode())
    yield "domain", two("seen in train", "unseen in train", seen)
    yield "top-level domain", suffixes(hosts, is_address)
    if times is not None:
        yield "month", months(times)


def two(yes: str, no: str, holds: pl.Series) -> dict[str, pl.Series]:
    """Return where a trait holds and where it does not."""
    return {yes: holds, no: ~holds}


def within(numbers: pl.Series, low: int, high: int | None) -> pl.Series:
    """Return where low ≤ number < high."""
    return (numbers >= low) & (numbers < high) if high is not None else numbers >= low


def months(times: pl.Series) -> dict[str, pl.Series]:
    """Return the rows of each of the last months, from the first of them on; all that is earlier is
    one value.
    """
    month = times.dt.strftime("%Y-%m")
    names = month.unique().sort().tail(NAMED_MONTHS).to_list()
    values = {name: month == name for name in names}
    return {f"before {names[0]}": month < names[0], **values} if names else {}


def suffixes(hosts: pl.Series, is_address: pl.Series) -> dict[str, pl.Series]:
    """Return the rows of the most frequent last labels, by falling number and then by name, and of
    all others.
    """
    labels = hosts.str.extract(r"\.([^.]+)$").rename("suffix").set(is_address, None)
    counts = (
        labels.drop_nulls()
        .value_counts(name="rows")
        .sort("rows", "suffix", descending=[True, False])
    )
    named = counts["suffix"].head(NAMED_SUFFIXES).to_list()
    values = {f".{name}": (labels == name).fill_null(False) for name in named}
    return {**values, OTHER: ~labels.is_in(named).fill_null(False)}
