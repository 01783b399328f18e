"""What a released model was made from, by the manifests of the pipeline's models."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minnow.core.files import ADAPTERS_KEY, EMBEDDINGS_KEY, read_json
from minnow.core.made import Made
from minnow.evaluation.calibration_records import Calibration
from minnow.evaluation.results import Foreign, from_json, read_record
from minnow.layout import EXPORTED, Layout
from minnow.report.markdown import code
from minnow.serve.settings import Fitted, Settings


def settings_of(
    model: Path,
    *,
    calibrations: Mapping[str, Calibration],
    move_scheme: bool,
    synthetic: bool,
) -> Settings:
    """Return the settings for the quantized model's folder; `calibrations` are by model those in
    metrics/evidence/calibration.json.
    """
    own, exported = fitted(calibrations["quantized"]), calibrations.get(EXPORTED)
    labels = read_json(model / "config.json")["id2label"]
    return Settings(
        labels=(labels["0"], labels["1"]),
        max_length=read_json(model / "tokenizer_config.json")["model_max_length"],
        move_scheme=move_scheme,
        temperature=own.temperature,
        threshold=own.threshold,
        synthetic=synthetic,
        onnx=fitted(exported) if exported else None,
    )


def fitted(calibration: Calibration) -> Fitted:
    """Return what validation set for a model."""
    return Fitted(calibration.temperature, calibration.decision.threshold)


def quantization(model: Path) -> Mapping[str, Any]:
    """Return how a model's folder says that it was quantized."""
    config: Mapping[str, Any] = read_json(model / "config.json")["quantization_config"]
    return config


def embeddings(model: Path) -> str | None:
    """Return the scheme, or schemes, that a model's folder says its embeddings are packed in, None
    if none are.
    """
    described = read_json(model / "config.json").get(EMBEDDINGS_KEY) or []
    blocks = described if isinstance(described, list) else [described]
    return " and ".join(block["scheme"] for block in blocks) or None


def adapters(model: Path) -> int | None:
    """Return the rank of the adapters that lie beside a model's weights, None if there are none."""
    described: Mapping[str, int] | None = read_json(model / "config.json").get(ADAPTERS_KEY)
    return described["rank"] if described else None


@dataclass(frozen=True)
class Base:
    """A pretrained model that weights come from; `commit` is the Hub's, None for a folder of the
    user's.
    """

    name: str
    commit: str | None

    @property
    def words(self) -> str:
        """How the card names it."""
        return (
            f"{code(self.name)} @ {code(self.commit)}"
            if self.commit
            else f"the local model {code(self.name)}"
        )


@dataclass(frozen=True)
class KeptTexts(Foreign):
    """How many texts were kept of a file of texts without labels, or of altered copies."""

    kept: int
    name: str = ""


@dataclass(frozen=True)
class MoreTexts(Foreign):
    """data/unlabelled/report.json: the rows that the teacher alone labelled; files are named."""

    rows: int
    file: KeptTexts | None = None
    copies: KeptTexts | None = None


@dataclass(frozen=True)
class SpentBudget(Foreign):
    """`budget` of a quantized student's manifest: the bytes allowed, and the format of each part
    that it left more bits.
    """

    bytes: int
    raised: Mapping[str, str]


@dataclass(frozen=True)
class Origin:
    """What a released model was made from.

    The bases of teacher and student, how the student was made, and the quantization config.
    `embeddings` is the scheme that they are packed in, None where they are float. `unlabelled`
    reports on the rows that the teacher alone labelled, None where there are none. `recovered` says
    whether the student learned again after it was quantized, and `adapters` is the rank of those
    beside its weights. `budget` is what the manifest says of the bytes that it had to stay within.
    """

    teacher: Base | None
    student: Base | None
    made: Made
    quantization: Mapping[str, Any]
    embeddings: str | None = None
    unlabelled: MoreTexts | None = None
    recovered: bool = False
    adapters: int | None = None
    budget: SpentBudget | None = None

    @property
    def weights(self) -> Base | None:
        """The base whose weights the shipped model descends from."""
        return self.student or (self.teacher if self.made.init == "teacher" else None)

    @property
    def scheme(self) -> str:
        """nf4, fp4 or int8."""
        return (
            "int8"
            if self.quantization["load_in_8bit"]
            else str(self.quantization["bnb_4bit_quant_type"])
        )


def base(manifest: Mapping[str, Any]) -> Base | None:
    """Return what a model's manifest says that it was made from."""
    return Base(manifest["base"], manifest["commit"]) if manifest.get("base") else None


def recovered(manifest: Mapping[str, Any]) -> bool:
    """Return whether the manifest of a quantized student says that it kept what it learnt after
    quantization.
    """
    return bool(manifest.get("recovery", {}).get("kept"))


def made_of(manifest: Mapping[str, Any], path: Path) -> Made:
    """Return how a student was made; a MinnowError says that its manifest does not tell."""
    return from_json(Made, manifest.get("made"), str(path))


def budget_of(manifest: Mapping[str, Any], path: Path) -> SpentBudget | None:
    """Return the budget that a quantized student had to stay within, None if it had none."""
    budget = manifest.get("budget")
    return None if budget is None else from_json(SpentBudget, budget, str(path))


def origin_of(layout: Layout) -> Origin:
    """Return what the model was made from, by the manifests of the pipeline's models."""
    student, final = layout.manifest("student"), layout.model("quantized")
    manifest = read_json(layout.manifest("quantized"))
    unlabelled = read_record(MoreTexts, layout.unlabelled_report)
    return Origin(
        teacher=base(read_json(layout.manifest("teacher"))),
        student=base(read_json(student)),
        made=made_of(read_json(student), student),
        quantization=quantization(final),
        embeddings=embeddings(final),
        adapters=adapters(final),
        recovered=recovered(manifest),
        budget=budget_of(manifest, layout.manifest("quantized")),
        unlabelled=unlabelled if unlabelled.rows else None,
    )
