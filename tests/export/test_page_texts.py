"""The page's scripts against the package's own cleaning and the library `tokenizers`: the same
texts and the same ids, on every text that is drawn.
"""

import json
import random
import sys
import time
import unicodedata
from collections.abc import Iterator
from html.entities import html5
from typing import Any

import pytest
from tokenizers import (
    AddedToken,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerBase

from helpers.v8 import V8
from minnow.data.synthetic import generate
from minnow.export.page.building import escapes
from minnow.export.page.covered import misfit_of_tokenizer, surrounding_ids
from minnow.text import cleaning

LONGEST = 32
URLS = [
    *("https://login.evil.com/x.php", "hxxps[:]//a[.]b[.]co/x?u=http://c.d", "a.b/<i>"),
    *("http://[2001:db8::1]:443/x", "login(dot)evil(dot)com", "www . a . com/path", "a dot b"),
    *("meow://a[.]b", "h**p://a{.}b\\.c", "%5B.%5D", "http:\\\\a.b\\c\\d", "<<hxxp://a[.]b>>"),
    *("пример[.]рф/путь", "user[at]mail[.]com", "x[d]y(foo)z", "a?b=1&c=2", "日本語.jp/テスト"),
]
# What the rules of the cleaning look for, whole and in part.
SIGNS = [
    *("&amp;", "&amp;amp;", "&lt;", "&#38;", "&#x26;", "&#0;", "&#128;", "&#xD800;", "&#xFDD0;"),
    *("&#x110000;", "&#99999999999;", "&#000000000038;", "&nosuch;", "&zwnj;", "&am\u0301;", "&"),
    *("\xa0", " ", "  ", "'", '"', "`", "\u201c", "\ufffd", "\u200b", "\xad", "\0", "\x1f", "\x85"),
    *(
        "\ufeff",
        "\u2028",
        "\U000e0001",
        "\U00013430",
        "\ud800",
        "é",
        "😀",
        "中",
        "\u212a",
        "\u017f",
    ),
    *("http://", "HTTP://", "a+b://", "hxxp", "hXXps", "h..p", "h__p", "f_p", "meow", "xxxx"),
    *("[", "]", "(", ")", "{", "}", "<", ">", "[.]", "(.)", "[:]", "[://]", "\\", "^", "\\.", "/"),
    *(
        "//",
        "[/]",
        "[// ]",
        ":",
        "[dot]",
        "(punkt)",
        " dot ",
        " punto ",
        " . ",
        ".",
        "[,]",
        "[@]",
        "[at]",
    ),
    *("%5B", "%5d", "%2e", "[%2e]", "\u3002", "[\uff61]", "\uff3b", "\uff3d", "\uff1a", "\uff0f"),
    *("\uff3c", "\u3010", "[s]", "s", "p", "x", "t", "_", "[d]", "{D}", "[foo]", "[::1]", "?", "#"),
]
# Those of Unicode 3.2 as well: the library's own Unicode is old, and orders no younger ones.
MARKS, OLD_MARKS = (
    [chr(code) for code in range(sys.maxunicode) if known.category(chr(code))[0] == "M"]
    for known in (unicodedata, unicodedata.ucd_3_2_0)
)
LETTERS = [
    *(
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789-._~:/?#[]@!$&'()*+,;=%",
        "ABCÄÖÜßÉÑΣİ\u0131\u017f\u212a",
    ),
    *("äöüßéñçøåпривет中文字أهلا日本語한국", " \t\n\xa0\u2003\u3000\x85\u2028", "'s'll've'd'M'RE"),
    *("😀🏳\u200d🌈", "\u0301\u0300\u20dd\u0f71\u0344१२३Ⅻ½²①", "\u200b\ufeff\xad\0\ue000\ufffd"),
]
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "<mask>", " <mask> ", "##a", "foobar"]


@pytest.fixture(scope="module")
def engine() -> V8:
    found = V8()
    found.give("names", escapes())
    found.context.eval("globalThis.known = new Escapes(names);0")
    return found


# --- Cleaning -------------------------------------------------------------------------------------


def hostile_text(draw: random.Random) -> str:
    """Return a URL with signs put into it, now and then thousands of one."""
    text = draw.choice(URLS) if draw.random() < 0.7 else ""
    for _ in range(draw.randint(0, 8)):
        place = draw.choice([0, len(text), draw.randint(0, len(text))])
        times = draw.choice([50, 1999, 2000, 4001]) if draw.random() < 0.01 else 1
        text = text[:place] + draw.choice(SIGNS) * times + text[place:]
    return text


def assert_cleaned_alike(engine: V8, texts: list[str]) -> None:
    found = engine.each("normalise(x, known, i % 3 !== 0)", texts)
    wanted = [cleaning.normalise(text, move_scheme=i % 3 != 0) for i, text in enumerate(texts)]
    differing = [three for three in zip(texts, found, wanted, strict=True) if three[1] != three[2]]
    assert differing[:3] == []


def test_hostile_texts_are_cleaned_alike(engine: V8) -> None:
    draw = random.Random(0)
    assert_cleaned_alike(engine, [hostile_text(draw) for _ in range(8_000)])


def test_every_escape_and_every_sign_is_cleaned_alike(engine: V8) -> None:
    names = [f"a&{name}" for name in html5]
    numbers = [f"&#{code};" for code in [*range(300), 0xFDD0, 0xFFFE, 0x1FFFF, 0x10FFFF]]
    signs = [f"{sign}x{sign}y{sign}" for sign in map(chr, range(0x3100))]
    around = [f"a{sign}[d]x" for sign in map(chr, range(0x80, 0x2000))]
    astral = [f"a{chr(code)}b" for code in range(0x10000, 0xE0200, 61)]
    assert_cleaned_alike(engine, [*names, *numbers, *signs, *around, *astral])


def test_what_is_counted_is_characters_and_not_utf_16_units(engine: V8) -> None:
    """At each limit of the cleaning, with characters of two units before it."""
    texts = [
        f"{before}{'😀' * count}[.]x{after}"
        for before in ("", "hxxp://", "hxxp:\\\\")
        for count in (1996, 1997, 1998, 1999, 2000, 2001, 3990, 3996, 3999, 4000)
        for after in ("", "/a[.]b\\c", "[/]c")
    ]
    assert_cleaned_alike(engine, [text for text in texts for _ in range(3)])


def test_cleaning_takes_time_that_grows_with_the_text(engine: V8) -> None:
    hostile = [
        "'",
        "<'",
        "h[",
        "http://",
        "&#38;lt;",
        "&amp;",
        "[.]",
        "\\",
        "hxxp[:]//",
        "a.",
        "&#",
    ]
    texts = [sign * (60_000 // len(sign)) for sign in hostile]
    engine.context.eval(f"globalThis.long = {json.dumps(texts)};0")
    spent = engine.run(
        "long.map((x) => { const began = Date.now(); normalise(x, known, true);"
        " return Date.now() - began; })"
    )
    assert max(spent) < 3_000, dict(zip(hostile, spent, strict=True))
    assert_cleaned_alike(engine, texts)


# --- Tokenizers -----------------------------------------------------------------------------------


def word_piece(texts: list[str], *, lowercase: bool, strip_accents: bool | None) -> Tokenizer:
    """Return BERT's tokenizer over the signs of these texts and some longer pieces."""
    signs = sorted({sign for text in texts for sign in text})
    longer = ["http", "login", "##in", "##ing", "##og", "exam", "ex", "##ample", "##12", "##345"]
    pieces = [*SPECIAL[:5], *signs[::2], *(f"##{sign}" for sign in signs[:900]), *longer]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=20))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(SPECIAL[:5])
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def byte_pairs(json_text: str, **changes: Any) -> Tokenizer:
    """Return a byte-level BPE with other parts."""
    made = Tokenizer.from_str(json_text)
    for name, part in changes.items():
        setattr(made, name, part)
    return made


def tokenizers_of(byte_level: str, texts: list[str]) -> Iterator[tuple[str, Tokenizer]]:
    mask = AddedToken("<mask>", lstrip=True, normalized=False)
    yield "byte-level BPE", byte_pairs(byte_level)
    yield "under BERT's normalizer", byte_pairs(byte_level, normalizer=normalizers.BertNormalizer())
    roberta = byte_pairs(
        byte_level,
        pre_tokenizer=pre_tokenizers.ByteLevel(add_prefix_space=True),
        post_processor=processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2)),
    )
    roberta.add_special_tokens([mask])
    yield "RoBERTa's", roberta
    bare = byte_pairs(byte_level, post_processor=processors.ByteLevel())
    bare.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
    bare.add_tokens(["foo", "foobar"])
    yield "with nothing around texts", bare
    yield "uncased WordPiece", word_piece(texts, lowercase=True, strip_accents=None)
    yield "cased WordPiece", word_piece(texts, lowercase=False, strip_accents=None)
    yield "WordPiece with accents", word_piece(texts, lowercase=True, strip_accents=False)


def odd_text(draw: random.Random, urls: list[str]) -> str:
    """Return a URL with letters of many scripts and special tokens put into it."""
    text = draw.choice(urls) if draw.random() < 0.9 else ""
    for _ in range(draw.randint(0, 6)):
        place, letters = draw.randint(0, len(text)), draw.choice(LETTERS)
        put = "".join(draw.choice(letters) for _ in range(draw.randint(1, 6)))
        if draw.random() < 0.15:
            put = draw.choice(SPECIAL)
        if draw.random() < 0.2:  # any sign that this Python's Unicode knows
            put = chr(draw.choice([draw.randint(32, 0xD7FF), draw.randint(0xE000, 0x1FFFF)]))
        put *= draw.randint(2, 90) if draw.random() < 0.02 else 1
        text = text[:place] + put + text[place:]
    return "".join(sign for sign in text if unicodedata.category(sign) != "Cn")


def odd_marks(draw: random.Random, marks: list[str]) -> str:
    """Return a letter under a long row of marks, of which few or all kinds are there."""
    few = draw.sample(marks, draw.randint(2, 12)) if draw.random() < 0.5 else marks
    return "a" + "".join(draw.choice(few) for _ in range(draw.randint(60, 200)))


def test_marks_in_a_row_are_ordered_as_unicode_says(engine: V8) -> None:
    draw = random.Random(0)
    texts = [odd_marks(draw, MARKS) for _ in range(300)]
    assert all(engine.each("decomposed(x) === x.normalize('NFD')", texts))
    assert engine.each("decomposed(x)", texts) == [unicodedata.normalize("NFD", x) for x in texts]


def test_rows_of_marks_take_time_that_grows_with_them(engine: V8) -> None:
    """Sorted by insertion, a row of 250,000 took a minute."""
    said = {"lowercase": True, "clean_text": True, "handle_chinese_chars": True}
    engine.give("said", {**said, "strip_accents": None})
    for pair in ("\u0301\u0323", "\U0001d165\U0001d16d"):
        began = time.perf_counter()
        row = f"{json.dumps(pair)}.repeat(125_000)"
        assert engine.run(f"bertNormalised('x' + {row}, said).length") in (1, 500_001)
        assert time.perf_counter() - began < 5


def test_a_vocabulary_may_have_more_pieces_than_a_call_takes_arguments(engine: V8) -> None:
    pieces = "Object.fromEntries(Array.from({ length: 300_000 }, (_, i) => ['w' + i, i]))"
    assert engine.run(f"new WordPiece({{ vocab: {pieces}, unk_token: 'w0' }}).longestPiece") == 7


def test_a_text_without_tokens_gets_the_one_that_stands_for_it(
    tokenizer: PreTrainedTokenizerBase, engine: V8
) -> None:
    engine.give("content", json.loads(tokenizer.backend_tokenizer.to_str()))
    around = "{ before: [], behind: [], nothing: 7, maxLength: 5 }"
    assert engine.run(f"new Tokenizer(content, {around}).encode('')") == [7]


def test_ids_are_those_of_the_library(tokenizer: PreTrainedTokenizerBase, engine: V8) -> None:
    draw, urls = random.Random(0), [*URLS, *generate(300, seed=1, label_noise=0.0)[0]]
    texts = [odd_text(draw, urls) for _ in range(3_000)]
    texts += [odd_marks(draw, OLD_MARKS) for _ in range(100)]
    texts += ["", " ", "'", "a" * 3_000, "ab" * 20_000, "https://" * 30]
    for name, reference in tokenizers_of(tokenizer.backend_tokenizer.to_str(), texts):
        content = json.loads(reference.to_str())
        assert misfit_of_tokenizer(content) == "", name
        before, behind = surrounding_ids(content) or ([], [])
        engine.give("content", content)
        around = {"before": before, "behind": behind, "nothing": 7, "maxLength": LONGEST}
        engine.give("around", around)
        engine.context.eval("globalThis.tokenizer = new Tokenizer(content, around);0")
        found = engine.each("tokenizer.encode(x)", texts)
        reference.enable_truncation(LONGEST)
        wanted = [encoding.ids or [7] for encoding in reference.encode_batch(texts)]
        differing = [text for text, a, b in zip(texts, found, wanted, strict=True) if a != b]
        assert differing[:3] == [], name
        assert len({id_ for ids in wanted for id_ in ids}) > 150, "the texts must differ"


def test_signs_are_the_librarys(engine: V8) -> None:
    """Each sign that anybody could take for a mark, for punctuation or for nothing."""
    signs = [
        chr(code) for code in [*range(0xD800), *range(0xE000, 0x1F000), *range(0xE0000, 0xE0200)]
    ]
    plain = dict.fromkeys(("handle_chinese_chars", "lowercase"), False)
    stripped = normalizers.BertNormalizer(clean_text=False, strip_accents=True, **plain)
    cleaned = normalizers.BertNormalizer(clean_text=True, strip_accents=False, **plain)
    marks = engine.each("new RegExp(`^[${NONSPACING_MARKS}]$`, 'u').test(x)", signs)
    removed = engine.each("new RegExp(`^[${REMOVED}]$`, 'u').test(x)", signs)
    punctuation = engine.each("new RegExp(`^[${PUNCTUATION}]$`, 'u').test(x)", signs)
    words = pre_tokenizers.BertPreTokenizer()
    for sign, mark, nothing, point in zip(signs, marks, removed, punctuation, strict=True):
        if unicodedata.normalize("NFD", sign) == sign:
            assert mark == (stripped.normalize_str(f"a{sign}") == "a"), hex(ord(sign))
        assert nothing == (cleaned.normalize_str(f"a{sign}a") == "aa"), hex(ord(sign))
        assert point == (len(words.pre_tokenize_str(f"a{sign}a")) == 3), hex(ord(sign))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"normalizer": {"type": "NFC"}}, "normalizer is NFC"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer is Metaspace"),
        ({"pre_tokenizer": None}, "pre_tokenizer is None"),
        ({"model": {"type": "Unigram"}}, "model is Unigram"),
        ({"truncation": {"direction": "Left"}}, "at their beginning"),
        ({"post_processor": {"type": "Odd"}}, "around a text"),
    ],
)
def test_a_tokenizer_that_the_page_does_not_know_is_named(
    tokenizer: PreTrainedTokenizerBase, change: dict[str, Any], named: str
) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    assert misfit_of_tokenizer(content) == ""
    assert named in misfit_of_tokenizer(content | change)


def test_a_bpe_of_another_kind_is_named(tokenizer: PreTrainedTokenizerBase) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content["model"]["byte_fallback"] = True
    assert "not byte-level BPE" in misfit_of_tokenizer(content)
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    content["added_tokens"][0]["single_word"] = True
    assert "in words only" in misfit_of_tokenizer(content)
