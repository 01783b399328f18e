"""Where every artefact lies. No other module spells a path of the project."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
MODELS = ("teacher", "student", "quantized")
BASELINE = "baseline"
JUDGED = (BASELINE, *MODELS)
# Before and after: what is compared with what.
HOPS = (("teacher", "student"), ("student", "quantized"), ("teacher", "quantized"))
AGAINST_BASELINE = ((BASELINE, "teacher"), (BASELINE, "quantized"))
# The quantized model as it runs without torch: one more of every table, in a run that exports.
EXPORTED = "exported"
EVERY_MODEL = (*JUDGED, EXPORTED)
EXPORT_HOPS = (("quantized", EXPORTED), ("teacher", EXPORTED))


def hops_among(models: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the hops between these models, but for those from the baseline."""
    return tuple(hop for hop in (*HOPS, *EXPORT_HOPS) if {*hop} <= {*models})


@dataclass(frozen=True)
class Layout:
    """Paths of one checkout, all below `root`."""

    root: Path

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    @property
    def pipeline(self) -> Path:
        return self.root / "dvc.yaml"

    @property
    def lock(self) -> Path:
        return self.root / "dvc.lock"

    def raw(self, preset: str) -> Path:
        return self.root / "data" / "raw" / preset

    def base(self, preset: str) -> Path:
        return self.root / "data" / "base" / preset

    @property
    def prepared(self) -> Path:
        return self.root / "data" / "prepared"

    def split(self, name: str) -> Path:
        return self.prepared / f"{name}.parquet"

    @property
    def validation_extra(self) -> Path:
        """Rows of other origin that choose beside validation's; none by default."""
        return self.split("validation_extra")

    def model(self, name: str) -> Path:
        """A model's folder: one of EVERY_MODEL, or `packed`, the student as quantized, which
        recovery begins with.
        """
        return self.root / "models" / name

    def manifest(self, model: str) -> Path:
        return self.model(model) / "manifest.json"

    def logits(self, model: str) -> Path:
        return self.root / "data" / "logits" / model

    def logits_of(self, model: str, split: str) -> Path:
        return self.logits(model) / f"{split}.parquet"

    @property
    def teacher_states(self) -> Path:
        """The teacher's hidden states of the training split."""
        return self.root / "data" / "states" / "teacher"

    @property
    def teacher_states_index(self) -> Path:
        """Which layers are stored, none by default."""
        return self.teacher_states / "states.json"

    @property
    def unlabelled(self) -> Path:
        """Texts that the teacher alone labelled, its logits of them, and how they came about."""
        return self.root / "data" / "unlabelled"

    @property
    def unlabelled_texts(self) -> Path:
        return self.unlabelled / "texts.parquet"

    @property
    def unlabelled_logits(self) -> Path:
        return self.unlabelled / "logits.parquet"

    @property
    def unlabelled_report(self) -> Path:
        return self.unlabelled / "report.json"

    def extra(self, model: str) -> Path:
        """A model's logits of the test sets beside the split, with their labels."""
        return self.root / "data" / "extra" / model

    def extra_set(self, model: str, name: str) -> Path:
        return self.extra(model) / f"{name}.parquet"

    def extra_report(self, model: str) -> Path:
        return self.extra(model) / "report.json"

    def asked(self, name: str) -> Path:
        """What the first stage notes of params.yaml: of `preset`, or of a control."""
        return self.root / "data" / "asked" / f"{name}.json"

    def control(self, name: str) -> Path:
        """What a control run leaves: logits, labels, and facts; nothing but a note where it was not
        asked for.
        """
        return self.root / "data" / "controls" / name

    def control_scratch(self, name: str) -> Path:
        """Where a control's stages run as in a checkout of its own; ignored by git, kept only while
        it runs.
        """
        return self.root / ".minnow" / "controls" / name

    @property
    def release(self) -> Path:
        return self.model("release")

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def report(self, name: str) -> Path:
        return self.reports / f"{name}.html"

    @property
    def metrics_folder(self) -> Path:
        return self.root / "metrics"

    def metrics(self, name: str) -> Path:
        return self.metrics_folder / f"{name}.json"

    @property
    def evidence_folder(self) -> Path:
        return self.metrics_folder / "evidence"

    def evidence(self, name: str) -> Path:
        """What evaluation found out about all models together."""
        return self.evidence_folder / f"{name}.json"

    @property
    def plots(self) -> Path:
        return self.metrics_folder / "plots"

    def plot(self, name: str) -> Path:
        return self.plots / f"{name}.csv"

    @property
    def evaluation_plots(self) -> Path:
        """A table a figure, with a column for the model."""
        return self.plots / "evaluate"

    def evaluation_plot(self, name: str) -> Path:
        return self.evaluation_plots / f"{name}.csv"

    @property
    def results(self) -> Path:
        """Published results, in git: JSON files, from which the tables of docs/ are rendered."""
        return self.root / "docs" / "results"

    def kept_margins(self, name: str) -> Path:
        """The margins of a data set's published runs."""
        return self.results / "margins" / f"{name}.parquet"

    @property
    def checkpoints(self) -> Path:
        """Unfinished trainings, outside every DVC out: DVC deletes outs before it runs a stage."""
        return self.root / ".minnow" / "checkpoints"
