"""The preset `hub` as it is shipped, against a stand-in for the Hub with small likenesses of what
it names: the real code loads them, in processes of their own.
"""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
import yaml
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory
from transformers import BertTokenizerFast

from helpers.hub import Hub, changed, instead, portal, refusal, running, taken_for_the_hub
from helpers.models import body, saved
from helpers.paths import ROOT
from helpers.stage import TRAINING, complaint, edit, in_process_of_its_own, new_project, tree
from minnow.core.files import check_manifest, read_json
from minnow.data import synthetic
from minnow.layout import Layout

SPLITS = {"train": 210, "validation": 45, "test": 45}
SHAPE = {"max_position_embeddings": 512, "vocab_size": 200}


def data_set() -> dict[str, bytes]:
    """Return files like those of the published data set: three splits, columns text and labels."""
    texts, labels = synthetic.generate(400, seed=1)
    rows = pl.DataFrame({"text": texts, "labels": labels}).unique("text", maintain_order=True)
    files, start = {}, 0
    for split, count in SPLITS.items():
        buffer = io.BytesIO()
        rows[start : start + count].write_parquet(buffer)
        files[f"data/{split}-00000-of-00001.parquet"] = buffer.getvalue()
        start += count
    listed = [{"split": split, "path": f"data/{split}-*"} for split in SPLITS]
    card = {"configs": [{"config_name": "default", "data_files": listed}]}
    return {"README.md": f"---\n{yaml.safe_dump(card)}---\n# URLs\n".encode(), **files}


def base(kind: str, folder: Path, **shape: int) -> dict[str, bytes]:
    """Return files like those of a published base, some in formats that are not read among them."""
    pieces = [chr(code) for code in range(33, 127)]
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *pieces,
        *(f"##{piece}" for piece in pieces),
    ]
    vocabulary = folder.with_suffix(".txt")
    vocabulary.write_text("\n".join(words) + "\n")
    saved(body(kind, **SHAPE, **shape), BertTokenizerFast(str(vocabulary)), folder)
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return {**files, "pytorch_model.bin": b"pickle", "onnx/model.onnx": b"onnx"}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A stand-in with likenesses of all that the preset names."""
    folder = tmp_path_factory.mktemp("bases")
    with running() as standing:
        standing.add("datasets", "shawhin/phishing-site-classification", data_set())
        standing.add("models", "google-bert/bert-base-uncased", base("bert", folder / "bert"))
        standing.add(
            "models",
            "distilbert/distilbert-base-uncased",
            base("distilbert", folder / "distilbert", layers=6, n_heads=8, hidden_dim=128),
        )
        yield standing


@pytest.fixture
def project(hub: Hub, tmp_path: Path) -> Path:
    """The preset with the stand-in's commits, trained for an epoch."""
    hub.forget()
    root = new_project(tmp_path / "project", "hub")
    shutil.copytree(ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__"))
    commits = {name: repository.commit for (_, name), repository in hub.repositories.items()}
    preset = yaml.safe_load((root / "params.yaml").read_text())["presets"]["hub"]
    pinned = {f"{block}.revision": commits[preset[block][key]] for block, key in NAMED}
    edit(root, pinned, "hub")
    short = {"max_length": 64, "training": TRAINING}
    edit(root, {f"{who}.{key}": short[key] for who in TRAINED for key in short}, "hub")
    edit(root, {"runtime.precision": "float32", "runtime.threads": 1}, "hub")
    return root


NAMED = (("data", "id"), ("teacher", "base"), ("student", "base"))
TRAINED = ("teacher", "student")


def separately(hub: Hub, root: Path, stage: str, **environment: str) -> tuple[int, str]:
    """Run a stage with the stand-in for the Hub and a cache of its own."""
    home = {"HF_ENDPOINT": hub.address, "HF_HOME": str(root.parent / "home")}
    code, said = in_process_of_its_own(root, stage, **home, HF_TOKEN="hf_sesame", **environment)
    assert "hf_sesame" not in said
    bars = ("%|", "examples/s", "Fetching")
    lines = [line for line in said.splitlines() if not any(bar in line for bar in bars)]
    return code, "\n".join(filter(None, lines))


def test_the_preset_runs_from_the_hub_and_then_without_it(
    hub: Hub,
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Path, str], tuple[int, str]],
) -> None:
    hub.misbehave(changed(cut=100), "GET store", 2)  # which is gone on from
    assert separately(hub, project, "prepare") == (0, "")
    rows = {split: len(pl.read_parquet(Layout(project).split(split))) for split in SPLITS}
    assert rows == SPLITS
    taken_for_the_hub(hub, project.parent / "home" / "hub", monkeypatch)
    for stage in ("teacher", "teacher_logits", "teacher_states", "teacher_unlabelled", "distill"):
        code, said = run(project, stage)
        assert code == 0, said
    set_client_factory(default_client_factory)
    commits = {name: repository.commit for (_, name), repository in hub.repositories.items()}
    for model, name in (("teacher", "google-bert/bert"), ("student", "distilbert/distilbert")):
        folder = Layout(project).model(model)
        check_manifest(folder)
        assert read_json(folder / "manifest.json")["commit"] == commits[f"{name}-base-uncased"]
    assert not any("pytorch_model" in asked.path or "onnx" in asked.path for asked in hub.asked)
    assert {asked.authorization for asked in hub.asked if asked.at == "store"} == {None}
    before = tree(project)
    hub.asked.clear()
    assert separately(hub, project, "prepare", HF_HUB_OFFLINE="1") == (0, "")
    assert tree(project) == before
    assert hub.asked == []


@pytest.mark.parametrize(
    ("fault", "where", "words"),
    [
        (portal, "", "sign in"),
        (instead(refusal(503)), "GET store", "HTTP 503"),
    ],
)
def test_a_hub_that_misbehaves_gets_one_line(
    hub: Hub, project: Path, fault: object, where: str, words: str
) -> None:
    hub.misbehave(fault, where)  # type: ignore[arg-type]
    before = tree(project)
    line = complaint("prepare", *separately(hub, project, "prepare"))
    assert words in line
    assert tree(project) == before


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_of_an_unknown_kind_gets_one_line(hub: Hub, project: Path, name: str) -> None:
    line = complaint(
        "prepare", *separately(hub, project, "prepare", **{name: "socks9://me:secret@x:1"})
    )
    assert f"a proxy that {name} names cannot be used" in line
    assert "secret" not in line


def test_settings_that_the_library_cannot_read_get_one_line(hub: Hub, project: Path) -> None:
    line = complaint("prepare", *separately(hub, project, "prepare", HF_HUB_ETAG_TIMEOUT="soon"))
    assert "one of the environment variables HF_... cannot be read" in line
