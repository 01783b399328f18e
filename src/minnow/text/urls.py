"""Pure functions over columns of URLs: scheme, host, registered domain, and the key that finds
duplicates.

URLs are data here, junk included: no function raises on any text.
"""

from functools import cache
from itertools import product

import polars as pl
from tldextract import TLDExtract

from minnow.text.hosts import ODD, canonical_host

_SCHEME = r"^([A-Za-z][A-Za-z0-9+-]*)://"
_SCHEMES = r"^(?:[A-Za-z][A-Za-z0-9+-]*://)+"
# Letters are ASCII alone, here and in cleaning: U+017F folds to s, the Kelvin sign to k.
# Browsers take backslashes for slashes, and need none after `http:`.
_LEAD = r"^(?:[Hh][Tt][Tt][Pp][Ss]?\.*:[/\\]*|(?:[A-Za-z][A-Za-z0-9+-]*:)?//|[:/.\\])+"
_PARTS = (
    r"(?s)^(?<user>[^/?\\]*@)?(?<host>\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*\]|[^:/?\\\[]*)"
    r"(?<port>[^/?\\]*)(?<rest>.*)$"
)
_FINAL_DOTS = r"([^.])\.+$"
_DEFAULT_PORT = r"^(?::(?:0*(?:80|443))?\.?)+$"
_WWW = r"^(?:www\.)+([^.]+\..)"  # `www.com` is a site of its own
_EMPTY_QUERY = r"^([^?]*)\?$"
_PATH_SLASHES = r"(?s)^([^?]*?)/+(\?.*)?$"
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")


def split_scheme(urls: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return each URL's scheme in lower case ("" when it has none) and what follows `://`.

    Of `http://http://x` both go: what is left never begins with a scheme.
    """
    schemes = urls.str.extract(_SCHEME).fill_null("").str.to_lowercase()
    return schemes, urls.str.replace(_SCHEMES, "")


def key(urls: pl.Series) -> pl.Series:
    """Return the normal form under which two spellings of one URL are equal; `key(key(x)) ==
    key(x)`.

    Gone are the scheme, leading `www.`, ports 80 and 443, the fragment, slashes that end the path,
    and an empty query; the host is in lower case; backslashes of the path are slashes;
    percent-escapes of unreserved characters are decoded, others in upper case.
    """
    parts = _parts(urls.fill_null(""))
    host = _one_form(parts["host"].str.replace(_WWW, "$1"))  # of `www.127.1` an address is left
    rest = (
        _with_slashes(parts["rest"])
        .str.replace(_EMPTY_QUERY, "$1")
        .str.replace(_PATH_SLASHES, "$1$2")
    )
    port = parts["port"].str.replace(_DEFAULT_PORT, "")
    return (parts["user"] + host + port + rest).rename(urls.name)


def _with_slashes(rests: pl.Series) -> pl.Series:
    """Write each backslash of a path as the slash that browsers take it for."""
    paths = rests.str.extract(r"(?s)^([^?]*)").str.replace_all("\\", "/", literal=True)
    return paths + rests.str.extract(r"(?s)(\?.*)$").fill_null("")


def host(urls: pl.Series) -> pl.Series:
    """Return the host in lower case, without user, port and final dot; an IPv6 address keeps its
    brackets.
    """
    return _parts(urls.fill_null(""))["host"].str.strip_chars().rename(urls.name)


def registered_domain(hosts: pl.Series) -> pl.Series:
    """Return what someone registered: `x.co.uk` of `a.x.co.uk`, and `me.github.io` of itself
    (private suffixes count).

    Under an unknown suffix these are the last two labels; an IP address, and a bare suffix, is its
    own domain.
    """
    names = hosts.unique()
    domains = [_registered(name) for name in names.to_list()]
    return hosts.replace_strict(names, pl.Series(domains, dtype=pl.String), return_dtype=pl.String)


def known_domains(domains: pl.Series) -> pl.Series:
    """Return the registered domains of some rows, each once; a row without one adds none, so that
    no two rows share the lack of it.
    """
    return domains.filter(domains != "").unique()


def has_private_suffix(hosts: pl.Series) -> pl.Series:
    """Return where a host or registered domain lies under a suffix that a company lets others
    register at.

    These are the private ones of the public suffix list: `me.github.io`, `x.web.app`; mostly free
    hosting.
    """
    names = hosts.unique()
    private = [_extractor()(name).is_private for name in names.to_list()]
    return hosts.replace_strict(
        names, pl.Series(private, dtype=pl.Boolean), return_dtype=pl.Boolean
    )


def _parts(urls: pl.Series) -> pl.DataFrame:
    """Return columns `user` (with its `@`), `host`, `port` (with its `:`) and `rest`, without
    scheme and fragment.
    """
    bare = _decoded(urls).str.replace(r"(?s)#.*$", "").str.replace(_LEAD, "")
    parts = (
        bare.rename("url").to_frame().select(pl.col("url").str.extract_groups(_PARTS)).unnest("url")
    )
    hosts = parts["host"].str.to_lowercase().str.replace(_FINAL_DOTS, "$1")
    return parts.with_columns(pl.col("user").fill_null(""), _one_form(hosts))


def _one_form(hosts: pl.Series) -> pl.Series:
    """Return hosts in their one form; most have it already."""
    odd = hosts.str.contains(ODD)
    if not odd.any():
        return hosts
    names = hosts.filter(odd).unique()
    forms = pl.Series([canonical_host(name) for name in names.to_list()], dtype=pl.String)
    return hosts.scatter(odd.arg_true(), hosts.filter(odd).replace_strict(names, forms))


def _decoded(urls: pl.Series) -> pl.Series:
    """Decode escapes of unreserved characters until none is left (`%%341` holds one in another)."""
    escaped = urls.str.contains("%", literal=True)
    if not escaped.any():
        return urls
    rows = urls.filter(escaped).str.replace_many(_escapes())
    nested = rows != rows.str.replace_many(_escapes())
    deep = pl.Series([_decoded_deeply(text) for text in rows.filter(nested)], dtype=pl.String)
    return urls.scatter(escaped.arg_true(), rows.scatter(nested.arg_true(), deep))


def _decoded_deeply(text: str) -> str:
    """Decode nested escapes in one pass from the end, where the innermost begin.

    No `%` stands inside an escape, so no two overlap, and any order gives the same text.
    """
    first, *pieces = text.split("%")
    after: list[str] = []  # characters, the last one first
    for piece in reversed(pieces):
        after.extend(reversed(piece))
        escape = "%" + "".join(after[-1:-3:-1])
        plain = _escapes().get(escape, escape)
        del after[len(after) - len(escape) + 1 :]
        after.extend(reversed(plain))
    return first + "".join(reversed(after))


@cache
def _escapes() -> dict[str, str]:
    """Map every spelling of a percent-escape to its normal form."""
    digits = "0123456789abcdefABCDEF"
    codes = {f"%{high}{low}": int(high + low, 16) for high, low in product(digits, digits)}
    return {
        text: chr(code) if code in _UNRESERVED else text.upper() for text, code in codes.items()
    }


@cache
def _extractor() -> TLDExtract:
    """The bundled suffix list, private suffixes included: no network, no cache folder."""
    return TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)


def _registered(name: str) -> str:
    host = _extractor()(name)
    if host.suffix:
        return host.top_domain_under_public_suffix or name
    return ".".join([*host.subdomain.split(".")[-1:], host.domain]).lstrip(".") or name
