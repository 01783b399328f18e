"""Results to the model card of a release, a Hugging Face README.md. Pure; equal results give equal
bytes.

The words stand in templates/card.md.j2, its figures are made here. What comes from data or from the
user (names of slices, files and ids) stands in code spans, where it is neither markup nor a link.
No URL of the data is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from minnow.evaluation.params import Unit
from minnow.evaluation.records import (
    Estimates,
    Headline,
    Hop,
    Hops,
    OperatingPoint,
    Unmeasured,
    between,
)
from minnow.evaluation.results import (
    DataReport,
    Evidence,
    read_evidence,
    read_headline,
    read_record,
)
from minnow.layout import BASELINE, EXPORTED, SPLITS, Layout
from minnow.release import loading, phrases
from minnow.release.card_tables import (
    BEFORE,
    FINAL,
    broken_lines,
    extra_table,
    hurt_table,
    model_names,
    rare_table,
    sizes_table,
    weak_table,
)
from minnow.release.provenance import Origin
from minnow.report import verdicts
from minnow.report.formatting import (
    count,
    few_words,
    interval_text,
    megabytes,
    models_in_order,
    number,
    p_value,
    percent,
    rule_words,
    sample_words,
    signed,
)
from minnow.report.markdown import code, estimate, markdown_table
from minnow.serve.settings import FILE, Settings

TEMPLATES = Path(__file__).parent / "templates"
TEMPLATE = "card.md.j2"
# Of the metadata, in the names that the Hub knows.
RESULTS = {"f1": "F1", "accuracy": "Accuracy", "roc_auc": "ROC AUC"}
ESTIMATES = {
    "f1": "F1 (phishing)",
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "average_precision": "average precision",
    "tpr_at_fpr_1pct": "phishing found at 1 % false positives",
    "ece": "calibration error without what chance adds, before the temperature",
}
# ISO 639-2 for what has no linguistic content: URLs are no language.
LANGUAGE = "zxx"

Figures = dict[str, str]


@dataclass(frozen=True)
class Results:
    """What the card tells: how the data came about, every model's metrics, and the evidence."""

    data: DataReport
    headline: Mapping[str, Headline]
    evidence: Evidence

    @property
    def shipped(self) -> str:
        """The model whose figures stand in the metadata: model.onnx, where there is one."""
        return EXPORTED if EXPORTED in self.headline else FINAL


def read_results(layout: Layout) -> Results:
    """Return the results of a checkout; a MinnowError names a file that is missing or broken."""
    evidence = read_evidence(layout)
    return Results(
        data=read_record(DataReport, layout.metrics("prepare")),
        headline={model: read_headline(layout, model) for model in evidence.intervals.models},
        evidence=evidence,
    )


def card(results: Results, origin: Origin, settings: Settings) -> str:
    """Return the README.md of a release."""
    from huggingface_hub import ModelCard
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,  # Markdown; whatever is foreign has been made a code span
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    body = environment.get_template(TEMPLATE).render(
        synthetic=settings.synthetic,
        made=phrases.making(origin),
        exported=exported_figures(results, settings),
        **{name: sizes_of(results.headline[model]) for name, model in SIZED.items()},
        data=data_figures(results.data),
        metrics=metric_figures(results),
        threshold=threshold_figures(results, settings),
        limits=limit_figures(results.evidence),
        sizes=sizes_table(results.headline, results.evidence.hops.rows),
        loading=loading_figures(origin),
        licence=phrases.licence(results.data, origin),
    )
    return str(ModelCard(f"---\n{metadata(results, origin)}\n---\n\n{body}"))


SIZED = {"teacher": BEFORE, "student": "student", "final": FINAL}


def metadata(results: Results, origin: Origin) -> str:
    """Return the card's YAML. It names no licence: what the weights derive from decides that, and
    the user must.
    """
    from huggingface_hub import EvalResult, ModelCardData

    data, weights = results.data, origin.weights
    published = data.id if data.commit else None
    name = published or {"synthetic": "Synthetic URLs"}.get(data.source, "Own data")
    tags = ["phishing", "url-classification", "bitsandbytes", origin.scheme]
    tags += ["distillation"] if origin.made.soft_weight or origin.made.whitebox else []
    tags += ["synthetic-data", "demonstration"] if data.source == "synthetic" else []
    metrics = [
        EvalResult(
            task_type="text-classification",
            task_name="Text classification",
            dataset_type=published or data.source,
            dataset_name=name,
            dataset_revision=data.commit,
            dataset_split="test",
            metric_type=metric,
            metric_name=title,
            metric_value=getattr(results.headline[results.shipped], metric),
        )
        for metric, title in RESULTS.items()
    ]
    return str(
        ModelCardData(
            language=LANGUAGE,
            # The Hub shows code for the library named here; transformers cannot read what is our
            # own.
            library_name="minnow" if origin.embeddings or origin.adapters else "transformers",
            pipeline_tag="text-classification",
            base_model=weights.name if weights and weights.commit else None,
            datasets=[published] if published else None,
            tags=tags,
            metrics=list(RESULTS),
            model_name="minnow-quantized",
            eval_results=metrics,
        ).to_yaml()
    )


def sizes_of(headline: Headline) -> Figures:
    """Return a model's parameters and bytes."""
    return {
        "parameters": f"{headline.parameters:,}",
        "mb": megabytes(headline.size_mb),
        "times_smaller": f"{headline.compression_x:.1f}",
    }


def data_figures(data: DataReport) -> Figures:
    """Return where the data come from, rows per split, how they were split, and the leak."""
    rows = [
        [split, f"{data.kept[split].safe:,}", f"{data.kept[split].phishing:,}"] for split in SPLITS
    ]
    return {
        "source": phrases.source(data),
        "read": f"{data.rows_read:,}",
        "dropped": f"{sum(data.dropped.values()):,}",
        "table": markdown_table(["split", "safe", "phishing"], rows),
        "splitting": phrases.splitting(data.carved, data.split),
        "leak": percent(data.leak),
    }


def metric_figures(results: Results) -> Figures:
    """Return every model's estimates with intervals, and the verdicts."""
    intervals, hops = results.evidence.intervals, results.evidence.hops
    models = intervals.models
    columns = models_in_order(models)
    rows = [
        [title, *(estimate(getattr(models[model], metric)) for model in columns)]
        for metric, title in ESTIMATES.items()
    ]
    rows.append(["MB", *(megabytes(results.headline[model].size_mb) for model in columns)])
    return {
        "table": markdown_table(["test split", *model_names(columns)], rows),
        "confidence": percent(intervals.confidence, 0),
        "resamples": f"{intervals.resamples:,}",
        "rows": f"{intervals.rows.total:,}",
        "unit": intervals.rows.unit,
        "sample": sample_words(intervals.rows),
        "worth": count(models[FINAL].effective_rows),
        "reasons": reasons(models),
        "verdict": verdicts.sentence(hops, results.evidence.extra, code),
        "from_teacher": hop_words(hops, BEFORE, intervals.rows.unit),
        "from_baseline": hop_words(hops, BASELINE, intervals.rows.unit),
        "at_low_rates": loss_at_low_rates(models, hops),
    }


def reasons(models: Mapping[str, Estimates]) -> str:
    """Return why a value is missing in the table, once per reason."""
    shown = (
        getattr(models[model], metric) for model in models_in_order(models) for metric in ESTIMATES
    )
    missing = dict.fromkeys(value.reason for value in shown if isinstance(value, Unmeasured))
    return "".join(f"A dash: {reason}. " for reason in missing)


def hop_to(hops: Hops, before: str, after: str = FINAL) -> Hop:
    """Return the hop from a model to another."""
    hop = between(hops.hops, before, after)
    assert hop is not None, "evaluate measures it"
    return hop


def hop_words(hops: Hops, before: str, unit: Unit, after: str = FINAL) -> str:
    """Return figures and meaning of a hop."""
    hop, confidence = hop_to(hops, before, after), percent(hops.confidence, 0)
    by_domain = f"by domain {p_value(hop.clustered_p)}; " if unit == "domain" else ""
    return (
        f"F1 {signed(hop.f1.difference)} ({confidence} interval {interval_text(hop.f1)})."
        f" {verdicts.meaning(hop, hops.margin, hops.rows)} {count(hop.worse)} rows that were right"
        f" are wrong now, and {count(hop.better)} the other way round"
        f" ({by_domain}by row, McNemar's exact {p_value(hop.mcnemar_p)}); the two"
        f" agree on {percent(hop.agreement)} of the rows."
    )


def loss_at_low_rates(models: Mapping[str, Estimates], hops: Hops) -> str:
    """Return a warning where the quantized student is shown to find less than the teacher at 1 %
    false positives.
    """
    change = hop_to(hops, BEFORE).tpr_at_fpr_1pct
    new, old = (models[model].tpr_at_fpr_1pct for model in (FINAL, BEFORE))
    if change is None or change.high >= 0:
        return ""
    assert isinstance(new, OperatingPoint), "there is a change"
    assert isinstance(old, OperatingPoint), "there is a change"
    now, then = (
        f"{percent(point.value)} (at {percent(point.test_fpr.value)} false positives)"
        for point in (new, old)
    )
    return (
        "With the threshold that lets at most 1 % of the safe validation rows pass for phishing,"
        f" the quantized student finds {now} of the phishing on test, the teacher {then}: a change"
        f" of {signed(change.difference)}, {percent(hops.confidence, 0)} interval"
        f" {interval_text(change)}, which F1 does not measure."
    )


def threshold_figures(results: Results, settings: Settings) -> Figures:
    """Return how a margin becomes a probability and a label, and what that does on test."""
    calibrations = results.evidence.calibration
    fitted = calibrations.models[FINAL]
    validation, rule = results.data.kept["validation"], rule_words(calibrations)
    return {
        "temperature": f"{settings.temperature:g}",
        "ece_before": number(fitted.test.before.ece),
        "ece_after": number(fitted.test.after.ece),
        "ece_null": number(fitted.test.after.ece_null),
        "bins": str(calibrations.ece_bins),
        "margin": f"{settings.threshold:g}",
        "probability": f"{settings.threshold_probability:.4f}",
        "chosen": f"on validation {rule}" if rule else "where either label is as likely",
        "false_alarms": percent(fitted.decision.test_fpr, 2),
        "found": percent(fitted.decision.test_tpr, 2),
        "share": percent(validation.phishing / validation.total, 0),
        "few": few_words(calibrations),
        "rare": rare_table(results.evidence.intervals.models),
    }


def limit_figures(evidence: Evidence) -> Figures:
    """Return who is hurt most, where the model is weakest, and how it does elsewhere."""
    slices = evidence.slices
    return {
        "small_below": str(slices.small_below),
        "hurt": hurt_table(slices),
        "chance": verdicts.chance_of_slices(len(slices.watched), evidence.intervals.rows.unit),
        "weak": weak_table(slices),
        "elsewhere": extra_table(evidence.extra),
        "broken": broken_lines(evidence.extra),
    }


def loading_figures(origin: Origin) -> dict[str, str | int | None]:
    """Return code that runs in the folder of the release, and what only Minnow can read of it."""
    return {
        "file": FILE,
        "with_minnow": loading.WITH_MINNOW,
        "adapters": origin.adapters,
        "embeddings": origin.embeddings,
        "stand_alone": loading.stand_alone(),
        "with_onnx": loading.with_onnx(),
    }


def exported_figures(results: Results, settings: Settings) -> Figures | None:
    """Return what is told of model.onnx beside the quantized student, None where there is none."""
    if settings.onnx is None:
        return None
    hops, unit = results.evidence.hops, results.evidence.intervals.rows.unit
    decision = results.evidence.calibration.models[EXPORTED].decision
    return {
        "mb": megabytes(results.headline[EXPORTED].size_mb),
        "from_quantized": hop_words(hops, FINAL, unit, EXPORTED),
        "from_teacher": hop_words(hops, BEFORE, unit, EXPORTED),
        "temperature": f"{settings.onnx.temperature:g}",
        "margin": f"{settings.onnx.threshold:g}",
        "probability": f"{settings.onnx.threshold_probability:.4f}",
        "false_alarms": percent(decision.test_fpr, 2),
        "found": percent(decision.test_tpr, 2),
    }
