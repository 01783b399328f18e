"""Numbers and names as readers see them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from minnow.evaluation.calibration_records import Calibrations
from minnow.evaluation.records import Difference, Estimate, SampleFacts
from minnow.evaluation.results import SensitivePart
from minnow.layout import EVERY_MODEL
from minnow.text.display import defanged, plain

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
NO_INTERVAL = "no interval"


def number(value: float | None, decimals: int = 4) -> str:
    """Return a number with a true minus sign; a dash for none."""
    return NONE if value is None else f"{value:.{decimals}f}".replace("-", MINUS)


def signed(value: float, decimals: int = 4) -> str:
    """Return a difference with its sign; zero has none."""
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def interval_text(change: Difference, decimals: int = 4) -> str:
    """Return an interval of differences, `low to high`; that none can be had, where it is all
    there is.
    """
    if (change.low, change.high) == (-1, 1):
        return NO_INTERVAL
    return f"{signed(change.low, decimals)} to {signed(change.high, decimals)}"


def bounds(metric: Estimate, decimals: int = 4, between: str = " to ") -> str:
    """Return an estimate's interval; that none can be had, where it is all there is."""
    if (metric.low, metric.high) == (0, 1):
        return NO_INTERVAL
    return f"{number(metric.low, decimals)}{between}{number(metric.high, decimals)}"


def harmless_domain(name: str) -> str:
    """Return a domain that nobody can follow by mistake and that is no markup, HTML's or
    Markdown's.
    """
    return re.sub(r"[^\w.:\[\]-]", "?", defanged(name, 60)) or NONE


def sample_words(sample: SampleFacts) -> str:
    """Return in a few sentences how rows lie in their domains, and why no interval can be had,
    where none can.
    """
    domains = sample.domains
    lie = (
        ["Each row is taken for independent of all others."]
        if domains is None
        else [
            f"The {count(sample.total)} rows stand in {count(domains.count)} domains; the largest,"
            f" {harmless_domain(domains.largest)}, has {percent(domains.largest_share)} of them."
            f" They weigh as much as {count(domains.equal)} domains of equal size."
        ]
    )
    why = [f"No interval can be had: {sample.no_interval}."] if sample.no_interval else []
    return " ".join(lie + why)


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share in per cent."""
    return NONE if share is None else f"{100 * share:.{decimals}f} %"


def rule_words(calibrations: Calibrations) -> str:
    """Return what each model's threshold is on validation, nothing where it is probability 0.5."""
    wanted = calibrations.wanted_precision
    if calibrations.wanted_fpr is not None:
        return f"the one that at most {100 * calibrations.wanted_fpr:g} % of the safe rows pass"
    if calibrations.wanted_f1:
        return "the one with the best F1"
    if wanted is not None:
        return (
            f"the lowest where {100 * wanted.wanted:g} % of what is called phishing would be, if"
            f" {100 * wanted.prevalence:g} % of the URLs were, or, if none is, the one that comes"
            " nearest"
        )
    return ""


def few_words(calibrations: Calibrations) -> str:
    """Return a sentence where validation has too few domains for what it set, else nothing."""
    few = calibrations.few_domains
    told = "How far off what is fitted may be on other domains cannot be told"
    return f"{told}: of validation {few}." if few else ""


def count(rows: float) -> str:
    """Return a count with its thousands apart."""
    return f"{rows:,.0f}"


def megabytes(size_mb: float) -> str:
    """Return a size in MB (10⁶ bytes), without its unit, with three digits or the whole number."""
    return f"{size_mb:.{0 if size_mb >= 100 else 1 if size_mb >= 10 else 2}f}"


def p_value(p: float) -> str:
    """Return `p = 0.0310`, or that it lies below what four decimals can say."""
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.4f}"


def short(value: float) -> str:
    """Return a number without needless decimals."""
    return f"{value:.4f}".rstrip("0").rstrip(".")


def capital(sentence: str) -> str:
    """Return a sentence with its first letter in upper case."""
    return sentence[:1].upper() + sentence[1:]


def arrow(before: str, after: str) -> str:
    """Return the name of a hop."""
    return f"{before} → {after}"


# Of metrics/sensitivity.json.
BITS = ("4", "8", "16")


def models_in_order(models: Iterable[str]) -> list[str]:
    """Return the models there are, in the order of the tables."""
    there = set(models)
    return [model for model in EVERY_MODEL if model in there]


def most_sensitive(parts: Sequence[SensitivePart]) -> list[SensitivePart]:
    """Return the parts of metrics/sensitivity.json, the one that loses most in its fewest bits
    first.
    """
    return sorted(
        parts,
        key=lambda part: -next(part.in_bits[bits].kl for bits in BITS if bits in part.in_bits),
    )


def words(key: str) -> str:
    """Return a key as words."""
    return plain(key).replace("_", " ")


def flattened(value: Any, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield each leaf as (dotted key, text); an empty block is a leaf."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flattened(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield plain(prefix), spelled(value)


def spelled(value: Any) -> str:
    """Return a value as params.yaml spells it."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(spelled(item) for item in value) or "none"
    return "none" if isinstance(value, Mapping) else plain(str(value), 120)
