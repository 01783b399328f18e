"""A seeded grammar of labelled URLs: wide enough that something can be learned, and lost.

What tells the classes apart is mostly where a trait stands and what it stands with: a brand in its
own registered domain is safe, the same brand in another's sub-domain before a login path is not.
Brands and site names are invented, so no row accuses anyone.
"""

import re
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Family:
    """How often URLs of one form occur, in a thousand of each class."""

    phishing: int
    safe: int
    form: str


FAMILIES = (
    # Sites nobody knows: a login page is safe on a settled site, not on a throwaway one.
    Family(2, 191, "{front}{site}/{content}"),
    Family(2, 40, "{front}{site}/{login}"),
    Family(5, 1, "{front}{throwaway}/{content}"),
    Family(134, 2, "{front}{throwaway}/{lure}"),
    # A brand: in its own domain, in another's sub-domain, in another's path, in a domain of
    # anyone's.
    Family(1, 86, "{own}/{content}"),
    Family(1, 50, "{own}/{login}"),
    Family(1, 3, "{own}/{lure}"),
    Family(1, 40, "{tenant}/{content}"),
    Family(5, 2, "{tenant}/{login}"),
    Family(104, 1, "{tenant}/{lure}"),
    Family(93, 1, "{front}{site}/{brand}/{lure}"),
    Family(1, 83, "{front}{site}/{section}/{brand}-{slug}{query}"),
    Family(82, 1, "{combined}/{lure}"),
    Family(2, 48, "{combined}/{content}"),
    Family(65, 1, "{near}/{lure}"),
    Family(5, 2, "{near}/{login}"),
    Family(2, 30, "{near}/{content}"),
    # Deep sub-domains.
    Family(60, 1, "{service}.{brand}.{tld}.{host}/{lure}"),
    Family(1, 20, "{service}.{word}.{own}/{login}"),
    Family(2, 40, "{service}.{service}.{host}/{content}"),
    Family(20, 2, "{bait}.{service}.{id}.{throwaway}/{lure}"),
    # Hacked sites, and the software they run.
    Family(92, 1, "{front}{site}/{folder}/{lure}"),
    Family(1, 60, "{front}{site}/{wordpress}{query}"),
    # Free hosting.
    Family(67, 2, "{junk}.{free}/{lure}"),
    Family(1, 20, "{junk}.{free}/{content}"),
    Family(2, 82, "{name}.{free}/{content}"),
    Family(60, 1, "{brand}-{bait}{number}.{free}/{lure}"),
    Family(1, 35, "{brand}-{word}{number}.{free}/{content}"),
    # Shorteners, bare addresses, punycode.
    Family(8, 5, "{shortener}/{code}"),
    Family(40, 1, "{address}{port}/{lure}"),
    Family(1, 25, "{address}{port}/{content}"),
    Family(40, 1, "{puny_brand}.{tld}/{lure}"),
    Family(1, 25, "{puny_word}.{tld}/{content}"),
    # The same pieces in other places, as often in either class: character n-grams see next to
    # nothing of it. Where the brand stands in the registered domain, the URL is safe.
    Family(1, 30, "{front}{claim}.{tld}/{errand}{drop}{query}"),
    Family(30, 1, "{front}{errand}.{tld}/{claim}{drop}{query}"),
    Family(1, 12, "{service}.{desk}.{company}.{tld}/{path}"),
    Family(12, 1, "{service}.{company}.{desk}.{tld}/{path}"),
    Family(1, 52, "www.{company}.{tld}/{handover}www.{name}.{tld}"),
    Family(52, 1, "www.{name}.{tld}/{handover}www.{company}.{tld}"),
)
# Alternatives stand apart by white space and are drawn evenly: one written twice is drawn twice as
# often.
GRAMMAR = {
    "phishing": "https:// https:// https:// http:// http:// {none}",
    "safe": "https:// https:// https:// https:// https:// http:// http:// {none}",
    "brand": (
        """payvello zentrobank kloudimo norvibank mailumo shopazzo tradvia finoqua bankeloo
        cardivo walletra coinvexo streamoo netvidia postelio parcelio shipovia telvonda mobiquo
        simlora gridboxa docuvia signelo sharevo filemora boxenda chatiro linkovo friendavo
        pixelora gameluxo playvanti stormgema tunelia bookavio flyvento hotelmo tripovia rideluna
        foodavio insuvela taxowise govportalo mutuabank crediluma creditona alphabanka savingo
        lendavro brokeria exchavo ledgerixa vaultiro keyforta authena officely workmora crmvana
        inkvanta softumbra devimora"""
    ),
    "word": (
        """garden river studio travel kitchen market school music health sport design photo
        garage forest summer winter coffee bakery family church valley harbor castle bridge
        island mountain ocean sunset morning paper window yellow silver golden green little happy
        royal urban modern classic digital global local central north south east west home house
        office service center club team group media news daily weekly report review guide story
        people culture history science energy power water light sound video game board card table
        chair bike motor engine repair rental estate lawyer doctor dental clinic fitness yoga
        dance theater festival wedding flower fashion jewelry shoes beauty salon pizza wine beer
        cheese farm horse dog cat bird fish hunting camping outdoor marine cargo logistics steel
        wood stone glass textile print label bank credit pay secure cloud mail support help
        online account update portal"""
    ),
    "bait": "login secure verify support account help online service update team app pay id club",
    "service": "shop blog mail m app my support help docs news login secure id portal",
    "section": (
        """news blog articles products category docs shop events about forum thread wiki Help tag
        Archive"""
    ),
    "plugin": (
        "akismet contact-form elementor woocommerce jetpack seo-kit slider gallery backup cache"
    ),
    "tld": "com com com com com com com net net org org de co.uk fr nl it io com.br pl es ca in",
    "cheap": "xyz top online site live info click shop icu club biz store app",
    "mostly_tld": "{tld} {tld} {tld} {tld} {tld} {tld} {cheap}",
    "any_tld": "{tld} {tld} {cheap}",
    "free": (
        """github.io web.app firebaseapp.com blogspot.com onrender.com netlify.app vercel.app
        pages.dev herokuapp.com workers.dev gitlab.io wixsite.com"""
    ),
    "shortener": (
        "bit.ly tinyurl.com is.gd cutt.ly t.ly rb.gy ow.ly s.id v.gd shorturl.at goo.su tiny.cc"
    ),
    "onset": "b c d f g h k l m n p r s t v z br st tr ch",
    "vowel": "a e i o u",
    "coda": "{none} {none} n r s l x t nd",
    "digit": "0 1 2 3 4 5 6 7 8 9",
    "number": "{none} {digit} {digit}{digit} {digit}{digit}{digit}",
    "joint": "{none} {none} -",
    "year": "20{tens}{digit}",
    "tens": "0 1 1",
    "month": "01 02 03 04 05 06 07 08 09 10 11 12",
    "pseudo": "{onset}{vowel}{onset}{vowel}{coda} {onset}{vowel}{onset}{vowel}{onset}{vowel}{coda}",
    "name": (
        "{word}{joint}{word} {pseudo} {pseudo}{joint}{word} {pseudo}{joint}{word} {pseudo}{number}"
    ),
    "junk": "{id} {bait}-{id} {word}-{id}",
    "front": "{none} {none} {none} www. www. {service}.",
    "new_site": "{name}.{mostly_tld}",
    "new_throwaway": "{name}.{cheap} {name}.{any_tld} {junk}.{cheap} {junk}.{any_tld}",
    "host": "{site} {throwaway}",
    "own": "{front}{brand}.{tld} {front}{brand}.{tld} {front}{brand}{joint}{trade}.{tld}",
    "trade": "group app online shop club portal center team",
    "tenant": "{brand}.{host} {brand}.{host} {brand}-{bait}.{host}",
    "combined": (
        """{front}{brand}-{bait}.{any_tld} {front}{bait}-{brand}.{any_tld}
        {front}{brand}-{word}.{any_tld}"""
    ),
    "near": "{front}{look_alike}.{any_tld} {front}{look_alike}-{bait}.{any_tld}",
    "port": "{none} {none} :8080 :8443 :3000 :81",
    "query": (
        """{none} {none} {none} {none} {none} ?id={number}{digit} ?session={id} {redirect}
        ?lang={lang}&ref={code} #{word}"""
    ),
    "redirect": "?next=%2F{word}%2F{word} ?q={word}%20{word}",
    "lang": "en de fr es",
    "slug": "{word} {word}-{word} {word}-{word}-{word} {word}-{word}-{word}-{word}",
    "content": (
        """{none} {section}/{slug}{query} {section}/{slug}{query} {slug}/{query}
        {slug}.html{query} {slug}.php{query} {year}/{month}/{slug}/{query} {year}/{month}/{slug}
        {section}/{code}{query} {section}/{digit}{number}{query}"""
    ),
    "entry": (
        """login login login signin sign-in account accounts auth security password session sso
        oauth billing payment wallet customer user member my"""
    ),
    "urgent": "verify verification confirm update unlock secure suspended validate webscr restore",
    "page": "{none} {none} {none} / .php .html",
    "drop": "{none} / .php .php .html /index.php",
    "login": (
        """{entry}{page}{query} {entry}{page}{query} {entry}/{entry}{page}{query}
        {entry}/{entry}{page}{query} {section}/{entry}{page}{query} {id}/{entry}{page}{query}
        {urgent}/{entry}{page}{query} {entry}?next=%2F{word} {entry}/authorize?client_id={id}
        {lang}/{entry}/new{query} {lang}/{entry}?next=%2F{word}"""
    ),
    "lure": (
        """{urgent}{drop}{query} {urgent}/{entry}{drop}{query}
        {entry}/{urgent}{drop}{query} {entry}-{urgent}{drop}{query}
        {urgent}/{urgent}{drop}{query} {id}/{urgent}{drop}{query}
        {urgent}-{entry}{drop}?email={word}%40{name}.{tld}"""
    ),
    "folder": (
        """wp-content/plugins/{plugin} wp-includes wp-content/uploads wp-admin
        wp-content/plugins/{plugin}/{brand}"""
    ),
    "wordpress": (
        """wp-login.php wp-admin/admin.php wp-content/plugins/{plugin}/{word}.js
        wp-includes/js/{word}.js wp-content/uploads/{year}/{month}/{slug}.{file}"""
    ),
    # Words on either side of a brand hide from n-grams whether a host or a path goes on there.
    "opening": "my your the our get go new",
    "claim": "{opening}-{brand}-{trade}",
    "errand": "{opening}-{bait}-{trade}",
    "company": "{brand}-{word}",
    "desk": "{bait}-{word}",
    "path": "{login} {content} {lure}",
    "handover": (
        """{entry}?next= {entry}/?url= {entry}.php?to= {urgent}?return=
        {urgent}/{entry}?next="""
    ),
    "file": "jpg png pdf zip html",
}
# How many sites of a kind are live at once.
RING = 300
ALPHANUMERIC = "abcdefghijklmnopqrstuvwxyz0123456789"
MIXED_CASE = ALPHANUMERIC + "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TWINS = {"o": "0", "l": "1", "i": "1", "e": "3", "m": "rn", "a": "4", "w": "vv", "s": "5"}
ACCENTS = {"a": "á", "e": "é", "i": "í", "o": "ö", "u": "ü"}
# One alternative: its pieces in order, and whether a piece is the name of a symbol.
Alternative = list[tuple[bool, str]]


def parse(text: str) -> list[Alternative]:
    alternatives = (re.split(r"{(\w+)}", form) for form in text.split())
    return [
        [(at % 2 == 1, piece) for at, piece in enumerate(form) if piece] for form in alternatives
    ]


RULES: Mapping[str, Sequence[Alternative]] = {
    symbol: parse(text) for symbol, text in GRAMMAR.items()
}
FORMS = tuple(parse(family.form)[0] for family in FAMILIES)


@dataclass
class Generator:
    """Draws URLs, and keeps the sites that it may come back to.

    Only `Random.random` is called: it alone is promised to stay the same across Python versions.
    """

    random: Callable[[], float]
    sites: list[str] = field(default_factory=list)
    throwaways: list[str] = field(default_factory=list)

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.random() * len(items))]

    def text(self, alphabet: str, shortest: int, longest: int) -> str:
        return "".join(
            [self.pick(alphabet) for _ in range(self.pick(range(shortest, longest + 1)))]
        )

    def expand(self, symbol: str) -> str:
        return (
            TERMINALS[symbol](self) if symbol in TERMINALS else self.spell(self.pick(RULES[symbol]))
        )

    def spell(self, form: Alternative) -> str:
        return "".join([self.expand(piece) if named else piece for named, piece in form])

    def settled(self, ring: list[str], symbol: str, renewal: float) -> str:
        """A site that stays in the ring for about 1 / `renewal` URLs."""
        if len(ring) < RING:
            ring.append(self.expand(symbol))
            return ring[-1]
        slot = self.pick(range(RING))
        if self.random() < renewal:
            ring[slot] = self.expand(symbol)
        return ring[slot]


def look_alike(draw: Generator) -> str:
    """A brand with a letter doubled, a letter dropped, or a letter's twin."""
    brand = draw.expand("brand")
    kind, at = draw.random(), draw.pick(range(1, len(brand)))
    if kind < 0.2:
        return brand[:at] + brand[at - 1 :]
    if kind < 0.4:
        return brand[:at] + brand[at + 1 :]
    letter = draw.pick([letter for letter in brand if letter in TWINS])
    return brand.replace(letter, TWINS[letter], 1)


def punycode(draw: Generator, word: str) -> str:
    letter = draw.pick([letter for letter in word if letter in ACCENTS])
    return "xn--" + word.replace(letter, ACCENTS[letter], 1).encode("punycode").decode()


TERMINALS: Mapping[str, Callable[[Generator], str]] = {
    "none": lambda draw: "",
    "id": lambda draw: draw.text(ALPHANUMERIC, 4, 12),
    "code": lambda draw: draw.text(MIXED_CASE, 5, 9),
    "address": lambda draw: ".".join([str(draw.pick(range(11, 224))) for _ in range(4)]),
    "site": lambda draw: draw.settled(draw.sites, "new_site", 0.25),
    "throwaway": lambda draw: draw.settled(draw.throwaways, "new_throwaway", 0.6),
    "look_alike": look_alike,
    "puny_brand": lambda draw: punycode(draw, draw.expand("brand")),
    "puny_word": lambda draw: punycode(draw, draw.expand("pseudo")),
}


def generate(rows: int, *, seed: int, label_noise: float = 0.02) -> tuple[list[str], list[int]]:
    """`rows` URLs and their labels (1 phishing, 0 safe), of which about a `label_noise` share is
    flipped.
    """
    if rows < 1:
        raise ValueError(f"rows must be at least 1, not {rows}")
    if not 0 <= label_noise < 0.5:
        raise ValueError(f"label_noise must be in [0, 0.5), not {label_noise}")
    draw = Generator(Random(seed).random)
    phishing = list(accumulate(family.phishing for family in FAMILIES))
    safe = list(accumulate(family.safe for family in FAMILIES))
    urls, labels = [], []
    for _ in range(rows):
        kind, upto = draw.pick((("safe", safe), ("phishing", phishing)))
        form = FORMS[bisect(upto, draw.random() * upto[-1])]
        urls.append(draw.expand(kind) + draw.spell(form))
        labels.append(int((kind == "phishing") != (draw.random() < label_noise)))
    return urls, labels
