"""Texts that a tokenizer or a cleaning could read in two ways: written by hand, and drawn."""

from collections.abc import Sequence

import numpy as np

# Special tokens as text, blanks, escapes, accents in one and two characters, emoji of several
# characters, scripts from right to left, ideographs, and what is invisible.
WRITTEN = (
    *("", " ", "\t\n", ".", "/", "a", "A.B/C", "[SEP]", "x[SEP]y", "[CLS]a[MASK]", "<s></s><pad>"),
    *("[UNK] [PAD]", "example.org/%5BSEP%5D", "a" * 1000, "ab." * 400, "/" * 300, "1" * 500),
    *("caf\u00e9.fr/e\u0301", "\u0130stanbul.tr", "stra\u00dfe.de", "\ufb01n.org", "\u212b.no"),
    *("\U0001f468\u200d\U0001f469\u200d\U0001f467.ws", "\U0001f1e9\U0001f1ea", "a\u0300\u0323b"),
    *(
        "\u05d0\u05d1.co.il/\u05d2",
        "\u0627\u0644\u0639.eg",
        "\u4f8b\u5b50.cn/\u9875",
        "\u0e01\u0e33",
    ),
    *("hxxp://a[.]b/c", "https://user:p%40ss@h.io:8080/?q=1&r=a+b#f", "&amp;&#x41;", "don't's"),
    *(
        "\x00\x1f\x7f",
        "\ufeffa\u200bb\u00adc",
        "\ud7ff\ue000\ufffd",
        "a\u2028b\u00a0c",
        "\U0010ffff",
    ),
)
# What drawn texts are made of, a piece as likely as another.
PIECES = (
    *"abcxyzABZ0189./?&=%-_:@#~+ '\"[]<>()",
    *(
        "http://",
        "www.",
        ".com",
        "login",
        "[SEP]",
        "</s>",
        "&amp;",
        "%2F",
        "xn--",
        "\u00e9",
        "e\u0301",
    ),
    *("\u0430", "\u4e2d", "\U0001f600", "\u200d", "\u0000", "\u00df", "\u0130", "\u3000", "\uff0e"),
)
DRAWN, LONGEST = 1_000, 60


def odd_texts(count: int = DRAWN) -> Sequence[str]:
    """Return the written texts and `count` drawn ones, always the same."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(1, LONGEST, count)
    rows = (draw.integers(0, len(PIECES), length) for length in lengths)
    return [*WRITTEN, *("".join(PIECES[piece] for piece in row) for row in rows)]
