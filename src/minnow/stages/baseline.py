"""baseline: fit character n-grams with logistic regression, what a transformer has to clear."""

from pathlib import Path

from minnow.core.files import replacing
from minnow.core.params import StageParams
from minnow.core.tables import read_table
from minnow.errors import tell
from minnow.layout import BASELINE, Layout


class Params(StageParams):
    """What `baseline` reads of params.yaml: nothing."""


def main(root: Path) -> None:
    """Write the baseline's folder, and the logits of the model in it for validation and test, with
    ids.
    """
    Params.load(root)
    layout = Layout(root)
    from minnow.evaluation import baseline

    whole = read_table(layout.split("train"))
    # In the order of their ids, which are hashes: the first ones are a random sample.
    train = whole.head(baseline.MAX_ROWS)
    if train.height < whole.height:
        tell(
            f"the baseline is fitted on {train.height} of {whole.height} train rows, taken at"
            " random, to bound memory"
        )
    pipeline = baseline.fit_baseline(train["text"].to_list(), train["label"].to_list())
    with replacing(layout.model(BASELINE)) as folder:
        baseline.save_baseline(pipeline, folder)
    tables = {name: read_table(layout.split(name)) for name in ("validation", "test")}
    baseline.store_baseline_logits(layout.model(BASELINE), layout.logits(BASELINE), tables)
