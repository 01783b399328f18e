"""Where every artefact lies. No other module spells a path of the project."""

from dataclasses import dataclass
from pathlib import Path

SPLITS = ("train", "validation", "test")
MODELS = ("teacher", "student", "quantized")


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

    def raw(self, preset: str) -> Path:
        return self.root / "data" / "raw" / preset

    def base(self, preset: str) -> Path:
        return self.root / "data" / "base" / preset

    @property
    def prepared(self) -> Path:
        return self.root / "data" / "prepared"

    def split(self, name: str) -> Path:
        return self.prepared / f"{name}.parquet"

    def model(self, name: str) -> Path:
        return self.root / "models" / name

    def manifest(self, model: str) -> Path:
        return self.model(model) / "manifest.json"

    def logits(self, model: str) -> Path:
        return self.root / "data" / "logits" / model

    def logits_of(self, model: str, split: str) -> Path:
        return self.logits(model) / f"{split}.parquet"

    @property
    def metrics_folder(self) -> Path:
        return self.root / "metrics"

    def metrics(self, name: str) -> Path:
        return self.metrics_folder / f"{name}.json"

    @property
    def plots(self) -> Path:
        return self.metrics_folder / "plots"

    def plot(self, name: str) -> Path:
        return self.plots / f"{name}.csv"

    @property
    def checkpoints(self) -> Path:
        """Unfinished trainings, outside every DVC out: DVC deletes outs before it runs a stage."""
        return self.root / ".minnow" / "checkpoints"
