"""Results to the model card of a release, a Hugging Face README.md. Pure; equal results give equal
bytes.

What comes from data or from the user (names of slices, files and ids) stands in code spans, where
it is neither markup nor a link. No URL of the data is shown.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from minnow.core.files import read_json
from minnow.layout import JUDGED, SPLITS, Layout
from minnow.release.provenance import Origin
from minnow.report import verdicts
from minnow.report.formatting import (
    NONE,
    count,
    interval,
    megabytes,
    number,
    p_value,
    percent,
    signed,
)
from minnow.report.markdown import code, estimate, table
from minnow.serve.settings import FILE, Settings
from minnow.text.cleaning import normalise

FINAL, BEFORE, PLAIN = "quantized", "teacher", "baseline"
COLUMNS = (PLAIN, BEFORE, "student", FINAL)
# Of the metadata, in the names that the Hub knows.
RESULTS = {"f1": "F1", "accuracy": "Accuracy", "roc_auc": "ROC AUC"}
ESTIMATES = {
    "f1": "F1 (phishing)",
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "tpr_at_fpr_1pct": "phishing found at 1 % false positives",
    "ece": "calibration error, before the temperature",
}
SHOWN_SLICES = 5
# ISO 639-2 for what has no linguistic content: URLs are no language.
LANGUAGE = "zxx"
# How the student's vocabulary came about, by student.vocabulary.method.
VOCABULARIES = {
    "keep": "",
    "trim": " with only the tokens that its training texts use often enough",
    "train": " with a vocabulary of its own, byte pairs of its training texts",
}
# The notebook's own figures: MB, and what it says of them.
NOTEBOOK = {BEFORE: "438", "student": "211 (51 % smaller)", FINAL: "62.7 (7 times smaller)"}
NOTEBOOK_ROWS = "450"
# Parts that kept more bits than the others, named by the card.
MOST_PARTS = 6


@dataclass(frozen=True)
class Evidence:
    """What metrics/*.json say, each in its file's own shape; `headline` by model."""

    prepare: Mapping[str, Any]
    headline: Mapping[str, Mapping[str, Any]]
    intervals: Mapping[str, Any]
    hops: Mapping[str, Any]
    calibration: Mapping[str, Any]
    slices: Mapping[str, Any]
    extra: Mapping[str, Any]


def card(evidence: Evidence, origin: Origin, settings: Settings) -> str:
    """Return the README.md of a release."""
    from huggingface_hub import ModelCard

    sections = [
        "# Phishing URLs, told by a distilled and quantized classifier",
        *([SYNTHETIC] if settings.synthetic else []),
        introduction(evidence, origin),
        USES,
        data_section(evidence.prepare, origin),
        metrics_section(evidence),
        calibration_section(evidence, settings),
        limits_section(evidence),
        sizes_section(evidence),
        loading_section(origin),
        licence_section(evidence.prepare, origin),
    ]
    body = "\n\n".join(sections)
    return str(ModelCard(f"---\n{metadata(evidence, origin)}\n---\n\n{body}\n"))


SYNTHETIC = """\
> **This model is a demonstration and must not be deployed.** The URLs that it was trained and tested on are
> synthetic: a program made them up. Every figure below proves that the pipeline works and says nothing about
> real phishing."""
USES = """\
## Intended use, and what it is not for

It is meant as one signal among others, for example to rank URLs for a closer look in a mail gateway or a browser.
It reads the text of the URL alone and fetches nothing.

It is not meant:

- to block, delete or accuse by itself: at any threshold it calls safe sites phishing, and somebody owns them;
- as the only guard: what it calls safe is not safe;
- for other texts than URLs, or for URLs that were cleaned in another way than is shown below;
- for traffic unlike its test data without measuring it there first."""


def metadata(evidence: Evidence, origin: Origin) -> str:
    """Return the card's YAML. It names no licence: what the weights derive from decides that, and
    the user must.
    """
    from huggingface_hub import EvalResult, ModelCardData

    prepare, weights = evidence.prepare, origin.weights
    data_id, commit = _hub_data(prepare)
    tags = ["phishing", "url-classification", "bitsandbytes", origin.scheme]
    tags += ["distillation"] if origin.soft_weight or origin.states else []
    tags += ["synthetic-data", "demonstration"] if prepare["source"] == "synthetic" else []
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type=data_id or prepare["source"],
            dataset_name=data_id
            or {"synthetic": "Synthetic URLs"}.get(prepare["source"], "Own data"),
            dataset_revision=commit,
            dataset_split="test",
            metric_type=name,
            metric_name=title,
            metric_value=evidence.headline[FINAL][name],
        )
        for name, title in RESULTS.items()
    ]
    return str(
        ModelCardData(
            language=LANGUAGE,
            # The Hub shows code for the library named here; transformers cannot read what is our
            # own.
            library_name="minnow" if origin.embeddings or origin.adapters else "transformers",
            pipeline_tag="text-classification",
            base_model=weights.name if weights and weights.commit else None,
            datasets=[data_id] if data_id else None,
            tags=tags,
            metrics=list(RESULTS),
            model_name="minnow-quantized",
            eval_results=results,
        ).to_yaml()
    )


def introduction(evidence: Evidence, origin: Origin) -> str:
    """Return what the model is and how it was made."""
    teacher, student, final = (evidence.headline[name] for name in (BEFORE, "student", FINAL))
    came = (
        f"comes from {origin.teacher.words}" if origin.teacher else "was built without pretraining"
    )
    start = (
        f"a smaller cut of {origin.student.words}"
        if origin.student
        else "built without pretraining"
    )
    start = (
        f"{'narrowed ' if origin.narrowed else ''}layers of the teacher" if origin.copied else start
    )
    start += VOCABULARIES[origin.vocabulary]
    temperature = "" if origin.loss == "mse" else f", temperature {origin.temperature:g}"
    logits = f"the teacher's logits ({origin.loss}{temperature}, weight {origin.soft_weight:g})"
    inside = ["the states inside the teacher"] if origin.states else []
    given = ([logits] if origin.soft_weight else []) + inside
    learned = (
        "learned from"
        f" {', '.join(given)}{' and the labels' if origin.soft_weight < 1 else ', **not** from the labels'}"
    )
    if not given:
        learned = "learned from the labels alone, **not** from the teacher (weight 0)"
    unlabelled = " and ".join((["the teacher's logits"] if origin.soft_weight else []) + inside)
    learned += more_text(origin.unlabelled, unlabelled) if origin.unlabelled else ""
    tables = f" and its embeddings to {origin.embeddings} by Minnow" if origin.embeddings else ""
    tables += ", but for the parts named below" if origin.budget and origin.budget["raised"] else ""
    return f"""\
A classifier of URLs with two labels, safe and phishing. Minnow made it in three steps:

1. A *teacher* of {teacher["parameters"]:,} parameters and {megabytes(teacher["size_mb"])} MB; it {came}.
2. A *student* of {student["parameters"]:,} parameters and {megabytes(student["size_mb"])} MB, {start}, {learned}.
3. The student's linear layers were *quantized* to {origin.scheme} by bitsandbytes{tables}; what is left is in
   bfloat16, and the last layer computes in float32.{more_bits(origin.budget)}{recovery(origin)}

What lies here is the quantized student: {megabytes(final["size_mb"])} MB with tokenizer and config,
{final["compression_x"]:.1f} times smaller than the teacher. A MB is 10⁶ bytes."""


def more_text(report: Mapping[str, Any], given: str) -> str:
    """Return on how many rows without labels the student learned from what the teacher gave alone."""
    file, copies = report["file"], report["copies"]["kept"]
    parts = (
        [f"{file['kept']:,} of the file {code(PurePosixPath(file['name']).name)}"] if file else []
    )
    parts += [f"{copies:,} altered copies of URLs"] if copies else []
    return (
        f"; and from {given} alone on {report['rows']:,} URLs without labels, {' and '.join(parts)}"
    )


def recovery(origin: Origin) -> str:
    """Return what the student learnt after it was quantized, nothing where it did not."""
    if not origin.recovered:
        return ""
    beside = (
        f"; low-rank adapters (rank {origin.adapters}) lie beside the packed weights"
        if origin.adapters
        else ""
    )
    parts = (["logits"] if origin.soft_weight else []) + (
        ["labels"] if origin.soft_weight < 1 else []
    )
    given = " and ".join(parts)
    return (
        f" Then it learned\n   again from the same {given}, to recover what that had cost{beside}."
    )


def more_bits(budget: Mapping[str, Any] | None) -> str:
    """Return which parts kept more bits than the others under a budget of bytes."""
    if budget is None:
        return ""
    raised = [f"{code(name)} ({kept})" for name, kept in budget["raised"].items()]
    parts = ", ".join(raised[:MOST_PARTS]) + (
        f" and {len(raised) - MOST_PARTS} more" if raised[MOST_PARTS:] else ""
    )
    most = f"The budget of {megabytes(budget['bytes'] / 1e6)} MB"
    if not raised:
        return f"\n   {most} left no part more bits."
    return (
        f"\n   {most} left more bits to what loses most by having few: {parts}. `manifest.json`"
        " says it of each part."
    )


def data_section(prepare: Mapping[str, Any], origin: Origin) -> str:
    """Return where the data come from, rows per split, how they were split, and the leak."""
    data_id, commit = _hub_data(prepare)
    source = {
        "synthetic": "**Synthetic** URLs, made up by Minnow's generator.",
        "hub": (
            f"{code(data_id)} @ {code(commit)}."
            if data_id and commit
            else "A data set of the maker's own."
        ),
        "file": f"A file of the maker's own, {code(origin.file or '')}.",
    }[prepare["source"]]
    rows = [
        [split, *(f"{prepare['kept'][split][label]:,}" for label in ("safe", "phishing"))]
        for split in SPLITS
    ]
    return f"""\
## Data

{source} {prepare["rows_read"]:,} rows were read, and {sum(prepare["dropped"].values()):,} of them dropped as
unusable or duplicate.

{table(["split", "safe", "phishing"], rows)}

{splitting(prepare["carved"], prepare["split"])} {percent(prepare["leak"])} of the test rows have a domain
that stands in train."""


def splitting(carved: Sequence[str], method: str) -> str:
    """Return how the splits came about; `carved` are those that Minnow made, the others were
    published or given.
    """
    if not carved:
        return "The splits are as published or given."
    way = {
        "domain": "by registered domain, so that no domain of them stands in train",
        "random": (
            "at random by row, so that URLs of one site may stand on both sides, which flatters"
            " every model"
        ),
    }[method]
    rest = (
        ""
        if {"validation", "test"} <= set(carved)
        else " The other split is as published or given."
    )
    return (
        f"Minnow split off {' and '.join(split for split in SPLITS if split in carved)}"
        f" {way}.{rest}"
    )


def metrics_section(evidence: Evidence) -> str:
    """Return every model's estimates with intervals, and the verdicts."""
    intervals, hops = evidence.intervals, evidence.hops
    models = intervals["models"]
    rows = [
        [title, *(estimate(models[model][key]) for model in COLUMNS)]
        for key, title in ESTIMATES.items()
    ]
    rows.append(["MB", *(megabytes(evidence.headline[model]["size_mb"]) for model in COLUMNS)])
    total = sum(intervals["rows"].values())
    header = ["test split", "n-gram baseline", *COLUMNS[1:]]
    return f"""\
## Metrics

{table(header, rows)}

In brackets: {percent(intervals["confidence"], 0)} intervals from {intervals["resamples"]:,} bootstrap resamples of the
{total:,} test rows. They say what other rows of the same kind could have given; not what another training seed or other
data would give. They take rows of one domain for independent, so they are rather too narrow. {reasons(models)}The
baseline is logistic regression on character n-grams.

**{verdicts.headline(hops["hops"], hops["margin"], hops["rows"])}**

- From teacher to quantized student: {hop_words(hops, BEFORE)}
- From the baseline to the quantized student: {hop_words(hops, PLAIN)}{loss_at_low_rates(models, hops)}"""


def loss_at_low_rates(models: Mapping[str, Any], hops: Mapping[str, Any]) -> str:
    """Return a warning where the quantized student is shown to find less than the teacher at 1 %
    false positives.
    """
    change = _hop(hops["hops"], BEFORE).get("tpr_at_fpr_1pct")
    if change is None or change["high"] >= 0:
        return ""
    new, old = (models[model]["tpr_at_fpr_1pct"] for model in (FINAL, BEFORE))
    found = [
        f"{percent(each['value'])} (at {percent(each['test_fpr'])} false positives)"
        for each in (new, old)
    ]
    moved = (
        f"{signed(change['difference'])}, {percent(hops['confidence'], 0)} interval"
        f" {interval(change)}"
    )
    return (
        "\n- With the threshold that lets at most 1 % of the safe validation rows pass for"
        f" phishing, the quantized student finds {found[0]} of the phishing on test, the teacher"
        f" {found[1]}: a change of {moved}, which F1 does not measure."
    )


def hop_words(hops: Mapping[str, Any], before: str) -> str:
    """Return figures and meaning of the hop from `before` to the quantized student."""
    hop, confidence = _hop(hops["hops"], before), percent(hops["confidence"], 0)
    worse, better, agreement = count(hop["worse"]), count(hop["better"]), percent(hop["agreement"])
    return (
        f"F1 {signed(hop['f1']['difference'])} ({confidence} interval {interval(hop['f1'])})."
        f" {verdicts.meaning(hop, hops['margin'], hops['rows'])} {worse} rows that were right are"
        f" wrong now, and {better} the other way round (McNemar's exact"
        f" {p_value(hop['mcnemar_p'])}); the two agree on {agreement} of the rows."
    )


def calibration_section(evidence: Evidence, settings: Settings) -> str:
    """Return how a margin becomes a probability and a label, and what that does on the test split."""
    found = evidence.calibration["models"][FINAL]
    decision, test = found["decision"], found["test"]
    validation = evidence.prepare["kept"]["validation"]
    share = validation["phishing"] / sum(validation.values())
    wanted = evidence.calibration["wanted_fpr"]
    chosen = (
        f"chosen for at most {percent(wanted, 2)} false positives on validation"
        if wanted
        else "where either label is as likely"
    )
    called, caught = percent(decision["test_fpr"], 2), percent(decision["test_tpr"], 2)
    return f"""\
## Probability and threshold

The *margin* of a URL is its phishing logit minus its safe logit. Its probability is sigmoid(margin / temperature). The
temperature, {settings.temperature:g}, was fitted on validation; it takes the calibration error on the test split from
{number(test["before"]["ece"])} to {number(test["after"]["ece"])} ({evidence.calibration["ece_bins"]} bins of equal
mass).

A URL is called phishing if its margin lies above {settings.threshold:g}, a probability of
{settings.threshold_probability:.4f}, {chosen}. On the test split this calls {called} of the safe URLs phishing and
finds {caught} of the phishing.

Both hold where phishing is as frequent as in validation, {percent(share, 0)}. In real traffic it is far rarer: there,
most of what is called phishing may be safe, and the probabilities are too high until they are fitted anew."""


def limits_section(evidence: Evidence) -> str:
    """Return who is hurt most, how it does elsewhere, and what was not measured."""
    parts = ["## Limits", slices_part(evidence.slices)]
    if evidence.extra:
        parts.append(extra_part(evidence.extra))
    else:
        parts.append(
            "It was tested on no other data than its own test split: how far it falls elsewhere is"
            " unknown."
        )
    parts.append(
        "**Adversaries.** Who writes phishing URLs can try them against a copy of this model until"
        " one passes. Nothing here measures that. URLs change with the years, too, and the model"
        " does not."
    )
    return "\n\n".join(parts)


def slices_part(slices: Mapping[str, Any]) -> str:
    """Return the slices that compression hurts and those where the model is weakest; small ones are
    left out.
    """
    weak = [
        each for each in slices["slices"] if not each["small"] and each["models"][FINAL] is not None
    ]
    weak = sorted(weak, key=lambda each: (each["models"][FINAL], _slice(each)))[:SHOWN_SLICES]
    lost_rows = [
        [
            *_described(each),
            number(each["models"][BEFORE]),
            number(each["models"][FINAL]),
            signed(hop["change"]),
        ]
        for hop, each in verdicts.hurt(slices["slices"])[:SHOWN_SLICES]
    ]
    weak_rows = [
        [*_described(each), number(each["models"][BEFORE]), number(each["models"][FINAL])]
        for each in weak
    ]
    header = ["slice", "rows", "measure", "teacher", "quantized"]
    small = slices["small_below"]
    costs = f"**Whom compression hurts most**, of slices with {small} test rows or more:\n\n"
    costs += (
        table([*header, "change"], lost_rows) if lost_rows else "no such slice is shown to be hurt."
    )
    costs += f"\n\n{verdicts.chance_of_slices(len(verdicts.watched(slices['slices'])))}"
    return f"""\
{costs}

**Where it is weakest**, of the same slices:

{table(header, weak_rows) if weak_rows else f"no slice has {small} rows."}

The weakest of many slices looks bad by chance alone, in part. Recall stands where a slice holds phishing alone,
specificity where it holds safe URLs alone."""


def extra_part(extra: Mapping[str, Any]) -> str:
    """Return F1 on the test sets of other origin."""
    rows = []
    for name in sorted(extra):
        models = extra[name]["models"]
        scores = [estimate(models[model]["f1"]) if model in models else NONE for model in COLUMNS]
        rows.append([code(name), count(extra[name]["rows"]), *scores])
    header = ["F1 on", "rows", "n-gram baseline", *COLUMNS[1:]]
    return f"""\
**On data of other origin**, without the URLs that training or validation holds:

{table(header, rows)}"""


def sizes_section(evidence: Evidence) -> str:
    """Return our sizes beside those of the notebook that this task is known from."""
    teacher = evidence.headline[BEFORE]["size_mb"]
    ours = {
        model: megabytes(evidence.headline[model]["size_mb"])
        for model in (BEFORE, "student", FINAL)
    }
    ours["student"] += (
        f" ({percent(1 - evidence.headline['student']['size_mb'] / teacher, 0)} smaller)"
    )
    ours[FINAL] += f" ({evidence.headline[FINAL]['compression_x']:.1f} times smaller)"
    rows = [[f"{model}, MB", NOTEBOOK[model], ours[model]] for model in ours]
    rows.append(["test rows", NOTEBOOK_ROWS, f"{evidence.hops['rows']:,}"])
    return f"""\
## Sizes beside the well-known notebook's

{table(["", "notebook", "this model"], rows)}

The notebook distils BERT-base on 3,000 URLs. Data and models differ: the sizes stand side by side, and accuracies must
not be compared across the two columns."""


def loading_section(origin: Origin) -> str:
    """Return code that runs in the folder of the release: with Minnow, and where transformers can
    read it, without.
    """
    return f"""\
## How to load it

It needs `torch`, `transformers` 5 or later and `bitsandbytes`; a CPU is enough. `manifest.json` holds the SHA-256 of
every file, `{FILE}` the labels, temperature and threshold, the length at which texts are cut, and how they must be
cleaned.

Where Minnow is installed:

```python
{WITH_MINNOW}
```

{only_minnow(origin) if origin.embeddings or origin.adapters else without_minnow()}"""


def only_minnow(origin: Origin) -> str:
    """Return why there is no code without Minnow."""
    if origin.adapters:
        return """\
**There is no other way to load it.** Adapters lie beside its weights, in a format of Minnow's own: `from_pretrained` of
transformers alone finds no `model.safetensors` and stops. `recover.adapters: merged` makes a model without them."""
    return f"""\
**There is no other way to load it.** Its embeddings are packed in {origin.embeddings}, in a format of Minnow's own:
`from_pretrained` of transformers alone stops with a size mismatch of the embeddings. `ignore_mismatched_sizes=True`
would put random numbers in their place. `quantize.embeddings: none` makes a model that transformers loads by itself."""


def without_minnow() -> str:
    """Return code that needs no Minnow."""
    return f"""\
Without it:

```python
{stand_alone()}
```"""


WITH_MINNOW = """\
from minnow import release

classifier = release.load(".")  # or where these files lie, such as huggingface_hub.snapshot_download("owner/name")
urls = ["http://example.org/", "login.example.com/verify?account=1"]
probabilities, labels = classifier.predict(urls)
for url, probability, label in zip(urls, probabilities, labels):
    print(f"{label} {probability:.4f} {url}")"""
IMPORTS = """\
import html
import json
import re
import unicodedata
from html.entities import html5
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer"""
CALLS = f"""\
folder = Path(".")  # or where these files lie, such as huggingface_hub.snapshot_download("owner/name")
settings = json.loads((folder / "{FILE}").read_text(encoding="utf-8"))
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
*_, head = (layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == 2)
head.float()  # in bfloat16 many URLs would get the same logits
head.register_forward_pre_hook(lambda layer, inputs: (inputs[0].float(),))

urls = ["http://example.org/", "login.example.com/verify?account=1"]
texts = [normalise(url, move_scheme=settings["text"]["move_scheme"]) for url in urls]
batch = tokenizer(texts, truncation=True, padding=True, return_token_type_ids=False, return_tensors="pt")
with torch.inference_mode():
    logits = model(**batch.to(model.device)).logits.double()
margins = logits[:, 1] - logits[:, 0]
probabilities = torch.sigmoid(margins / settings["temperature"])
for url, margin, probability in zip(urls, margins, probabilities):
    label = settings["labels"][int(margin > settings["decision"]["threshold"])]
    print(f"{{label}} {{probability:.4f}} {{url}}")"""


def stand_alone() -> str:
    """Return code that needs no Minnow; its cleaning is the very function that Minnow's loader
    calls.
    """
    return f"{IMPORTS}\n\n\n{inspect.getsource(normalise)}\n\n{CALLS}"


def licence_section(prepare: Mapping[str, Any], origin: Origin) -> str:
    """Return what the user must look up before giving the model away."""
    data_id, _ = _hub_data(prepare)
    sources = [base.words for base in dict.fromkeys((origin.teacher, origin.student)) if base]
    if prepare["source"] != "synthetic":
        sources.append(f"the data set {code(data_id)}" if data_id else "the maker's own data")
    derived = "They derive from no other model and from generated data alone."
    if sources:
        derived = (
            f"They derive from {' and '.join(sources)}, whose licences and terms have not been"
            " checked here."
        )
    return f"""\
## Licence

None is granted here: whoever publishes the weights chooses one and writes it into the metadata of this card
(`license:`). {derived}
Minnow, the program that made them, is under the MIT licence."""


def reasons(models: Mapping[str, Mapping[str, Any]]) -> str:
    """Return why a value is missing in the table, once per reason."""
    shown = [models[model][key] for model in COLUMNS for key in ESTIMATES]
    return "".join(
        f"A dash: {reason}. "
        for reason in dict.fromkeys(each["reason"] for each in shown if "reason" in each)
    )


def _hop(hops: Sequence[Mapping[str, Any]], before: str) -> Mapping[str, Any]:
    found = verdicts.between(hops, before, FINAL)
    assert found is not None, "evaluate measures it"
    return found


def _slice(each: Mapping[str, Any]) -> str:
    return f"{each['slice']}: {each['value']}"


def _described(each: Mapping[str, Any]) -> list[str]:
    return [code(_slice(each)), f"{each['rows']:,}", each["measure"]]


def _hub_data(prepare: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return id and commit of a data set on the Hub; a folder has no commit."""
    commit = prepare.get("commit")
    return (prepare["id"], commit) if commit else (None, None)


def evidence_of(layout: Layout) -> "Evidence":
    """Return the metrics of all models."""
    pass  # no import left

    names = ("prepare", "intervals", "hops", "calibration", "slices", "extra")
    found: dict[str, Any] = {name: read_json(layout.metrics(name)) for name in names}
    return Evidence(**found, headline={model: read_json(layout.metrics(model)) for model in JUDGED})
