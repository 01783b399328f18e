"""The page as one HTML file: template, style, scripts, kernel, tokenizer and weights.

Data becomes JSON without a `<`, which ends no element; the scripts and the style are ours, and the
policy in the page names their digests, so that a browser runs no others.
"""

import base64
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from html.entities import html5
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from minnow.errors import reason as reason_of
from minnow.export.classifiers import Encoder
from minnow.export.page.covered import misfit_of_tokenizer, surrounding_ids
from minnow.export.page.weights import kernel_bytes, misfit_of_kernel
from minnow.text.cleaning import escaped_sign, without_controls

HERE = Path(__file__).parent
KERNEL = "kernel.wasm"
# What runs without a page, in the order in which one builds on another; page.js comes behind.
SCRIPTS = ("cleaning.js", "signs.js", "tokenizer.js", "kernel.js", "lists.js")
OF_TOKENIZER = ("normalizer", "pre_tokenizer", "model", "added_tokens")
WINDOWS_LETTERS = range(0x80, 0xA0)
# What a browser can hold as one text, and numbers that the kernel may need to compute one URL.
MOST_BYTES, MOST_NUMBERS = 256_000_000, 2**27


@dataclass(frozen=True)
class PageFacts:
    """What the page needs to know of a model besides its weights, and what it says of it.

    `labels` stand in the order of the logits; the second is what the page looks for. `threshold`
    is a margin: logit of the second − logit of the first. `data_until` names the month or day up to
    which the data go. `limits` are sentences. `nothing` is the token of a text that has none, as
    export.json names it.
    """

    name: str
    labels: tuple[str, str]
    max_length: int
    move_scheme: bool
    temperature: float
    threshold: float
    synthetic: bool
    data_until: str | None = None
    limits: Sequence[str] = ()
    nothing: str | None = None


def build_page(encoder: Encoder, tokenizer: str, facts: PageFacts) -> tuple[str | None, str]:
    """Return the page, and no reason; or None, and why there is none: a line for the user.

    `tokenizer` is what stands in tokenizer.json.
    """
    content, misfit = _read_tokenizer(tokenizer)
    misfit = misfit or misfit_of_kernel(encoder) or misfit_of_tokenizer(content)
    misfit = misfit or _misfit_of_facts(encoder, facts)
    weights = b"" if misfit else kernel_bytes(encoder, longest=facts.max_length)
    if len(weights) > MOST_BYTES:
        misfit = f"its weights have {len(weights) / 1e6:.0f} MB, and a page takes 256"
    if misfit:
        return None, (
            f"there is no page.html for this model: {misfit}; run model.onnx with onnxruntime-web"
        )
    return _assembled(page_data(weights, content, _shown(facts))), ""


def _read_tokenizer(text: str) -> tuple[dict[str, Any], str]:
    """Return a tokenizer.json as the library writes it today, whatever version wrote it, and
    nothing; or what is wrong with it.
    """
    try:
        return json.loads(Tokenizer.from_str(text).to_str()), ""
    except Exception as error:  # the library raises Exception itself
        return {}, f"its tokenizer.json cannot be read ({reason_of(error)})"


def _misfit_of_facts(encoder: Encoder, facts: PageFacts) -> str:
    """Return what of a model's settings the page cannot hold, or nothing."""
    if facts.max_length > encoder.longest:
        return f"texts have up to {facts.max_length} tokens, and it knows {encoder.longest}"
    neurons = max((layer.up.weight.shape[0] for layer in encoder.layers), default=0)
    if facts.max_length * (6 * encoder.width + neurons) > MOST_NUMBERS:
        return f"a text of {facts.max_length} tokens takes more memory than the page has"
    if not (math.isfinite(facts.threshold) and 0 < facts.temperature < math.inf):
        return f"its threshold is {facts.threshold} and its temperature {facts.temperature}"
    return ""


def _shown(facts: PageFacts) -> PageFacts:
    """Return what is said of a model without signs that turn or hide text, or are half of one."""
    first, second = map(without_controls, facts.labels)
    limits = [without_controls(each) for each in facts.limits]
    return replace(facts, name=without_controls(facts.name), labels=(first, second), limits=limits)


def page_data(weights: bytes, content: dict[str, Any], facts: PageFacts) -> dict[str, Any]:
    """Return what the scripts read: settings, what is said of the model, and its numbers.

    `content` is that of a tokenizer.json that `misfit_of_tokenizer` finds nothing wrong with.
    """
    return {
        "settings": _settings(content, facts),
        "about": _about(len(weights), facts),
        "escapes": escapes(),
        "tokenizer": {name: content[name] for name in OF_TOKENIZER},
        "kernel": as_base64((HERE / KERNEL).read_bytes()),
        "weights": as_base64(weights),
    }


def _settings(content: dict[str, Any], facts: PageFacts) -> dict[str, Any]:
    before, behind = surrounding_ids(content) or ([], [])
    return {
        "labels": list(facts.labels),
        "temperature": facts.temperature,
        "threshold": facts.threshold,
        "moveScheme": facts.move_scheme,
        "maxLength": facts.max_length,
        "before": before,
        "behind": behind,
        "nothing": content["model"]["vocab"].get(facts.nothing, 0),
    }


def _about(size: int, facts: PageFacts) -> dict[str, Any]:
    until = facts.data_until or "not known"
    rows = [
        ("Name", facts.name),
        ("Weights", f"{size / 1e6:.2f} MB"),
        ("Data up to", "made-up URLs, of no date" if facts.synthetic else until),
        ("Reads", f"the first {facts.max_length} tokens of a URL"),
        ("Temperature", f"{facts.temperature:g}"),
    ]
    line = f"{facts.name}, {size / 1e6:.2f} MB, runs in this page."
    return {"line": line, "synthetic": facts.synthetic, "facts": rows, "limits": list(facts.limits)}


@cache
def escapes() -> dict[str, str]:
    """Return the HTML escapes by name, and what the cleaning makes of each; also of the numbers
    that HTML takes for letters of Windows.
    """
    names = [name.removesuffix(";") for name in html5 if name.endswith(";")]
    names += [f"#{code}" for code in WINDOWS_LETTERS]
    return {name: sign for name in names if (sign := escaped_sign(name)) is not None}


def library() -> str:
    """Return the scripts that clean, tokenise and classify, without the page around them."""
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)


def _assembled(data: dict[str, Any]) -> str:
    script = f'"use strict";\n{library()}\n{(HERE / "page.js").read_text(encoding="utf-8")}'
    style = (HERE / "page.css").read_text(encoding="utf-8")
    parts = {
        "policy": policy(script, style),
        "style": style,
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "script": script,
    }
    first, *rest = (HERE / "page.html").read_text(encoding="utf-8").split("{{")
    filled = [parts[name] + text for name, text in (each.split("}}", 1) for each in rest)]
    return first + "".join(filled)


def policy(script: str, style: str) -> str:
    """Return a Content-Security-Policy that lets this script and this style run, compile
    WebAssembly, and do nothing else.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_digest(script)} 'wasm-unsafe-eval'",
            f"style-src {_digest(style)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _digest(text: str) -> str:
    """Return how a policy names an inline element."""
    return f"'sha256-{as_base64(hashlib.sha256(text.encode()).digest())}'"


def as_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
