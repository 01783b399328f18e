"""Results to the words and figures of the page's tables, section by section. Pure; the template
escapes all of it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from minnow.layout import BASELINE, HOPS, JUDGED, SPLITS
from minnow.report import formatting, verdicts
from minnow.report.formatting import (
    BITS,
    NONE,
    capital,
    count,
    judged,
    megabytes,
    most_sensitive,
    number,
    percent,
    signed,
)
from minnow.report.verdicts import subject
from minnow.text.display import plain

# Slices named as hurt most.
SHOWN_HURT = 6
# Of a metric: its key, its name on the page, and what helps to read it.
ESTIMATES = (
    ("f1", "F1", "of the class phishing"),
    ("accuracy", "Accuracy", ""),
    ("roc_auc", "ROC AUC", ""),
    ("average_precision", "Average precision", ""),
    (
        "tpr_at_fpr_1pct",
        "Phishing found at 1 % false alarms",
        "set on validation; last line: on test",
    ),
    ("tpr_at_fpr_0_1pct", "Phishing found at 0.1 % false alarms", "likewise"),
    ("brier", "Brier score", "less is better"),
    ("ece", "Calibration error", "less is better"),
)
SHORT_NAMES = {key: name for key, name, _ in ESTIMATES}


def tiles(
    final: Mapping[str, Any], f1: Mapping[str, Any], hops: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Return the few figures that stand in large type; `final` and `f1` are those of the quantized
    student.
    """
    shown = [
        (
            "Size",
            f"{megabytes(final['size_mb'])} MB",
            f"{final['compression_x']:.1f} times smaller than the teacher’s",
        ),
        ("F1", number(f1["value"], 3), f"{number(f1['low'], 3)} to {number(f1['high'], 3)}"),
    ]
    for before, title in (
        ("teacher", "F1 against the teacher"),
        (BASELINE, "F1 against the baseline"),
    ):
        hop = verdicts.between(hops, before, "quantized")
        if hop is not None:
            shown.append(
                (title, signed(hop["f1"]["difference"], 3), formatting.interval(hop["f1"], 3))
            )
    return [dict(zip(("title", "figure", "note"), each, strict=True)) for each in shown]


# Of headline figures without interval: name, note, and how it is spelled.
HEADLINE: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("Precision", "", lambda each: number(each["precision"], 3)),
    ("Recall", "", lambda each: number(each["recall"], 3)),
    (
        "F1 on validation",
        "chooses epochs and settings",
        lambda each: number(each["validation_f1"], 3),
    ),
    ("Size", "all that it needs to run", lambda each: f"{megabytes(each['size_mb'])} MB"),
    ("Parameters", "", lambda each: count(each["parameters"])),
    ("Smaller than the teacher", "", lambda each: f"{each['compression_x']:.1f} ×"),
)


def models_table(
    estimated: Mapping[str, Mapping[str, Any]], headline: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return a row per metric: its name, a note, and a cell per model."""
    models = judged(estimated)
    rows = [
        {
            "name": name,
            "note": note,
            "cells": [estimate(estimated[model].get(key)) for model in models],
        }
        for key, name, note in ESTIMATES
    ]
    for name, note, spell in HEADLINE:
        cells = [{"value": spell(headline[model]), "below": []} for model in models]
        rows.append({"name": name, "note": note, "cells": cells})
    return rows


def estimate(entry: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a cell: the value, and below it the interval and the false-positive rate that came of
    it on test.
    """
    if entry is None or entry["value"] is None:
        return {"value": NONE, "below": []}
    below = [f"{number(entry['low'], 3)}–{number(entry['high'], 3)}"]
    if "test_fpr" in entry:
        below.append(f"at {percent(entry['test_fpr'], 2)}")
    return {"value": number(entry["value"], 3), "below": below}


def reasons(models: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return, once each, why a metric could not be said."""
    found = {
        f"{SHORT_NAMES[key]}: {entry['reason']}."
        for estimates in models.values()
        for key, entry in estimates.items()
        if isinstance(entry, Mapping)
        and entry.get("value") is None
        and entry.get("reason")
        and key in SHORT_NAMES
    }
    return sorted(found)


def hop_cards(hops: Sequence[Mapping[str, Any]], margin: float, rows: int) -> list[dict[str, Any]]:
    """Return each hop in words and figures."""
    cards = []
    for hop in hops:
        word, role = verdicts.label(hop)
        f1, auc, few = hop["f1"], hop["roc_auc"], hop.get("tpr_at_fpr_1pct")
        cards.append(
            {
                "before": words(hop["before"]),
                "after": words(hop["after"]),
                "word": word,
                "role": role,
                "meaning": verdicts.meaning(hop, margin, rows),
                "facts": [
                    ("F1", f"{signed(f1['difference'])} ({formatting.interval(f1)})"),
                    ("ROC AUC", f"{signed(auc['difference'])} ({formatting.interval(auc)})"),
                    *(
                        [
                            (
                                "Found at 1 %",
                                f"{signed(few['difference'])} ({formatting.interval(few)})",
                            )
                        ]
                        if few
                        else []
                    ),
                    ("Flips", f"{count(hop['worse'])} to wrong, {count(hop['better'])} to right"),
                    ("Agreement", f"{percent(hop['agreement'], 2)} of rows"),
                    ("McNemar", formatting.p_value(hop["mcnemar_p"])),
                    ("Mean |Δp|", number(hop["mean_abs_dp"])),
                ],
            }
        )
    return cards


CALIBRATION: tuple[tuple[str, str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("Temperature", "fitted on validation", lambda each: number(each["temperature"], 2)),
    ("Calibration error", "test, before → after", lambda each: before_after(each, "ece")),
    ("Brier score", "test, before → after", lambda each: before_after(each, "brier")),
    ("Log loss", "test, before → after", lambda each: before_after(each, "nll")),
    (
        "Threshold",
        "probability before temperature",
        lambda each: number(each["decision"]["probability_before_temperature"], 3),
    ),
    (
        "False alarms on validation",
        "share of safe rows",
        lambda each: percent(each["decision"]["validation_fpr"], 2),
    ),
    (
        "False alarms on test",
        "share of safe rows",
        lambda each: percent(each["decision"]["test_fpr"], 2),
    ),
    (
        "Phishing found on test",
        "share of phishing rows",
        lambda each: percent(each["decision"]["test_tpr"], 2),
    ),
)


def calibration_table(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return temperatures, what they did on test, and the decision thresholds: a row per figure, a
    cell per model.
    """
    models = judged(found["models"])
    rows = [
        {"name": name, "note": note, "cells": [spell(found["models"][model]) for model in models]}
        for name, note, spell in CALIBRATION
    ]
    wanted = found["wanted_fpr"]
    return {
        "models": models,
        "rows": rows,
        "wanted_fpr": None if wanted is None else f"{100 * wanted:g} %",
    }


def before_after(each: Mapping[str, Any], key: str) -> str:
    """Return a figure on test before and after the temperature."""
    test = each["test"]
    return f"{number(test['before'][key], 3)} → {number(test['after'][key], 3)}"


def hurt(found: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return in words the slices that compression is shown to hurt, the greatest loss first."""
    return [
        {
            "name": f"{plain(str(each['slice']), 40)}: {plain(str(each['value']), 40)}",
            "text": (
                f"{'F1' if each['measure'] == 'f1' else each['measure']} {signed(hop['change'])};"
                f" of its {count(each['rows'])} rows {count(hop['worse'])} turned wrong and"
                f" {count(hop['better'])} right"
            ),
        }
        for hop, each in verdicts.hurt(found)[:SHOWN_HURT]
    ]


def slice_groups(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the slices by trait."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        groups.setdefault(plain(str(each["slice"]), 40), []).append(slice_row(each))
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def slice_row(each: Mapping[str, Any]) -> dict[str, Any]:
    """Return one slice as a row: its scores by model, and what each hop changed."""
    hops = {(hop["before"], hop["after"]): hop for hop in each["hops"]}
    return {
        "value": plain(str(each["value"]), 40),
        "rows": count(each["rows"]),
        "small": each["small"],
        "measure": "F1" if each["measure"] == "f1" else each["measure"],
        "scores": [number(each["models"].get(model), 3) for model in JUDGED],
        "changes": [change(hops.get(hop)) for hop in HOPS],
    }


def change(hop: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what a hop did to a slice: the change of its score, and the rows that turned either
    way.
    """
    if hop is None or hop["change"] is None:
        return {"value": NONE, "below": ""}
    return {
        "value": signed(hop["change"], 3),
        "below": f"{count(hop['worse'])}↓ {count(hop['better'])}↑",
    }


def other_set(name: str, found: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """Return a further test set: what it holds, its models and its hops."""
    kept = found["kept"]
    facts = [
        f"{count(found['rows_read'])} rows read",
        f"{count(kept['safe'])} safe and {count(kept['phishing'])} phishing kept",
        f"{count(found['removed_seen'])} removed because training or validation holds them",
        *(f"{count(rows)} dropped: {words(why)}" for why, rows in found["dropped"].items() if rows),
        f"{percent(found['leak'])} of the rows have a domain that training has too",
    ]
    return {"name": plain(name), "facts": facts, **comparison(found, margin)}


def comparison(found: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """Return the models and hops on rows of their own."""
    models = found["models"]
    names = [*judged(models), *sorted(set(models) - set(JUDGED))]
    keys = [key for key, _, _ in ESTIMATES if any(key in models[model] for model in names)]
    return {
        "models": [words(each) for each in names],
        "metrics": [
            {
                "name": SHORT_NAMES[key],
                "note": "",
                "cells": [estimate(models[model].get(key)) for model in names],
            }
            for key in keys
        ],
        "hops": hop_cards(found["hops"], margin, found["rows"]),
        "reasons": reasons(models),
    }


CONTROLS = {
    "no_teacher": (
        "The same student, trained on the labels alone: what learning from the teacher adds."
    ),
    "random_split": (
        "The same run under a split by row, which puts domains on both sides: how far that"
        " inflates."
    ),
}


def control(name: str, found: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """Return a control run: what it is, its models and hops, and all its other figures by name."""
    return {
        "name": words(name),
        "about": CONTROLS.get(name, ""),
        "against": [
            against_pipeline(model, moved)
            for model, moved in found.get("against_pipeline", {}).items()
        ],
        "facts": [(words(key), value) for key, value in flattened(found["facts"])],
        **comparison(found, margin),
    }


def against_pipeline(model: str, moved: Mapping[str, Any]) -> str:
    """Return in a sentence how far a control's model lies from the pipeline's, on other test rows."""
    f1 = moved["f1"]
    sure = "" if f1["low"] > 0 or f1["high"] < 0 else "; the interval holds zero"
    return (
        f"{capital(subject(model))}: {signed(f1['difference'])} of F1 against this pipeline’s own"
        f" split ({signed(f1['low'])} to {signed(f1['high'])}, two independent samples){sure}."
    )


def data_facts(prepare: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was read, dropped and kept, and how far the splits leak."""
    splits = [
        {
            "name": split,
            "cells": [
                count(sum(prepare["kept"][split].values())),
                count(prepare["kept"][split]["phishing"]),
                count(prepare["kept"][split]["safe"]),
                count(prepare["domains"][split]),
            ],
        }
        for split in SPLITS
    ]
    return {
        "rows_read": count(prepare["rows_read"]),
        "dropped": [(words(why), count(rows)) for why, rows in prepare["dropped"].items()],
        "cleaned": [
            (words(what), count(rows)) for what, rows in prepare.get("cleaned", {}).items()
        ],
        "splits": splits,
        "leak": percent(prepare["leak"]),
        "by_domain": prepare["split"] == "domain",
        "source": plain(str(prepare["source"])),
    }


def sensitivity(found: Mapping[str, Any], formats: Mapping[str, str]) -> dict[str, Any]:
    """Return a row per part, the one that loses most in few bits first; `formats` are what is
    shipped, by part.
    """
    rows = [
        {
            "name": plain(part["name"], 80),
            "weights": count(part["weights"]),
            "shipped": plain(formats.get(part["name"], NONE)),
            "cells": [in_bits(part["in_bits"].get(bits)) for bits in BITS],
        }
        for part in most_sensitive(found["parts"])
    ]
    return {
        "rows": rows,
        "measured_on": count(found["rows"]),
        "f1": number(found["validation_f1"], 3),
        "bits": BITS,
    }


def in_bits(each: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what a part costs in some number of bits."""
    if each is None:
        return {"value": NONE, "below": ""}
    flips = f"{count(each['flips'])} flips, " if each["flips"] else ""
    return {
        "value": f"{each['kl']:.1e}" if each["kl"] else "0",
        "below": f"{flips}{megabytes(each['bytes'] / 1e6)} MB in {plain(each['format'])}",
    }


def words(key: str) -> str:
    """Return a key as words."""
    return plain(key).replace("_", " ")


def params_tables(params: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters in force, a table per block, its keys dotted."""
    return [{"name": plain(name), "rows": list(flattened(block))} for name, block in params.items()]


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
        return ", ".join(spelled(each) for each in value) or "none"
    return "none" if isinstance(value, Mapping) else plain(str(value), 120)
