"""The release: what lies in its folder, that it is the same bytes again, and that code from its
card really runs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

import minnow
from helpers.paths import ROOT
from helpers.release import TEXTS, hop, packable
from helpers.stage import tree
from minnow.core.files import (
    EMBEDDINGS_KEY,
    MANIFEST,
    check_manifest,
    read_json,
    write_json,
    write_manifest,
)
from minnow.core.runtime import Runtime
from minnow.core.tables import read_logits
from minnow.errors import LONGEST, MinnowError
from minnow.export import exported, stored
from minnow.export.classifiers import encoder_of
from minnow.export.packed import read_packed
from minnow.export.page.building import as_base64
from minnow.export.page.weights import kernel_bytes
from minnow.layout import Layout
from minnow.models import adapters, heads
from minnow.models.batching import encode
from minnow.models.folders import load_model
from minnow.models.inference import predict_logits, store_logits
from minnow.models.packed import packed_layers
from minnow.models.params import BuildParams
from minnow.quantization import rebuilding, recovery
from minnow.release.classifier import load_release
from minnow.serve import settings
from minnow.stages import package
from minnow.text import cleaning

FLOAT32 = Runtime(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def project(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> Path:
    root = packable(tmp_path_factory.mktemp("packed") / "project", tokenizer, shape)
    package.main(root)
    return root


@pytest.fixture
def copied(project: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project, tmp_path / "copy"))


@pytest.fixture
def folder(project: Path) -> Path:
    return Layout(project).release


def test_the_release_holds_a_page_for_a_browser(folder: Path) -> None:
    page = (folder / "page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "page.html" in read_json(folder / "manifest.json")["files"]


def test_a_model_that_no_page_can_hold_is_packed_without_one(
    copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: object) -> None:
        raise MinnowError("its architecture is electra")

    monkeypatch.setattr("minnow.export.classifiers.encoder_of", refuse)
    package.main(copied)
    assert not (Layout(copied).release / "page.html").exists()
    assert "no page.html for this model: its architecture is electra" in capsys.readouterr().out
    settings.check(Layout(copied).release)


def test_the_card_counts_rows_that_the_teacher_alone_labelled(copied: Path) -> None:
    report = {"file": None, "copies": {"asked": 9, "kept": 7}, "rows": 7}
    write_json(Layout(copied).unlabelled_report, report)
    package.main(copied)
    assert "7 altered copies" in (Layout(copied).release / settings.CARD).read_text()


# --- With an exported model -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_export(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project packaged with its quantized model exported, whose temperature and threshold are
    others.
    """
    root = Path(shutil.copytree(project, tmp_path_factory.mktemp("exported") / "project"))
    layout = Layout(root)
    made = exported.exported(layout.model("quantized"), "exact")
    shutil.rmtree(layout.model("exported"))
    exported.write_exported(made, read_json(layout.manifest("quantized")), layout.model("exported"))
    for name in ("calibration", "intervals"):
        found = read_json(layout.evidence(name))
        found["models"]["exported"] = deepcopy(found["models"]["quantized"])
        if name == "calibration":
            found["models"]["exported"]["temperature"] = 2.5
            found["models"]["exported"]["decision"]["threshold"] = -0.25
        write_json(layout.evidence(name), found)
    hops = read_json(layout.evidence("hops"))
    hops["hops"] += [hop("quantized", "exported"), hop("teacher", "exported")]
    write_json(layout.evidence("hops"), hops)
    size = sum(file["bytes"] for file in read_json(layout.manifest("exported"))["files"].values())
    figures = read_json(layout.metrics("quantized")) | {"f1": 0.7654, "size_mb": size / 1e6}
    write_json(layout.metrics("exported"), figures)
    package.main(root)
    return root


def test_the_release_holds_both_forms_of_the_model(with_export: Path) -> None:
    layout = Layout(with_export)
    folder = layout.release
    check_manifest(folder)
    for name in ("model.onnx", "tokenizer.json"):
        assert (folder / name).read_bytes() == (layout.model("exported") / name).read_bytes()
    assert (folder / "model.safetensors").read_bytes() == (
        layout.model("quantized") / "model.safetensors"
    ).read_bytes()
    assert read_json(folder / "minnow.json")["onnx"] == {
        "temperature": 2.5,
        "decision": {"threshold": -0.25, "probability": round(1 / (1 + np.exp(0.1)), 4)},
    }


def test_what_export_could_read_and_the_page_cannot_is_an_error(
    with_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is damaged, then: a release without a page would hide that."""
    before = read_json(Layout(with_export).release / MANIFEST)

    def refuse(_: object) -> None:
        raise MinnowError("quantized lacks a tensor")

    monkeypatch.setattr("minnow.export.classifiers.encoder_of", refuse)
    with pytest.raises(MinnowError, match="lacks a tensor"):
        package.main(with_export)
    assert read_json(Layout(with_export).release / MANIFEST) == before


def test_the_page_is_of_the_quantized_weights_and_cuts_where_model_onnx_does(
    with_export: Path,
) -> None:
    layout = Layout(with_export)
    page = (layout.release / "page.html").read_text(encoding="utf-8")
    data = json.loads(page.split('id="data">', 1)[1].split("</script>", 1)[0])
    found = data["settings"]
    assert (found["temperature"], found["threshold"]) == (2.5, -0.25)
    assert (found["labels"], found["maxLength"]) == (["safe", "phishing"], 32)
    encoder = encoder_of(read_packed(layout.model("quantized")))
    assert data["weights"] == as_base64(kernel_bytes(encoder, longest=32))


def test_each_form_answers_as_its_own_stored_logits_say(
    with_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    layout, ids = Layout(with_export), [str(place) for place in range(len(TEXTS))]
    table = pl.DataFrame({"id": ids, "text": TEXTS})
    stored.store_exported_logits(layout.model("exported"), {"test": table}, tmp_path / "logits")
    logits = read_logits(tmp_path / "logits" / "test.parquet", ids).astype(float)
    margins = logits[:, 1] - logits[:, 0]
    probabilities, labels = minnow.load(layout.release).predict(TEXTS)
    assert probabilities == pytest.approx(1 / (1 + np.exp(-margins / 2.5)))
    assert labels == [("safe", "phishing")[int(margin > -0.25)] for margin in margins]
    torchs = minnow.load(layout.release, backend="torch")
    assert (torchs.settings.temperature, torchs.settings.threshold) == (1.25, 0.0)
    without = load_release(package_without(with_export, tmp_path / "without"))
    assert torchs.margins(TEXTS) == without.margins(TEXTS)


def package_without(with_export: Path, root: Path) -> Path:
    """Return the release of the same model without an export, whose tokenizer is the quantized
    model's own.
    """
    shutil.copytree(with_export, root)
    layout = Layout(root)
    write_manifest(layout.model("exported"), {"mode": "none"})
    calibration = read_json(layout.evidence("calibration"))
    del calibration["models"]["exported"]
    write_json(layout.evidence("calibration"), calibration)
    package.main(root)
    assert not (layout.release / "model.onnx").exists()
    return layout.release


def test_a_damaged_exported_model_is_not_released(with_export: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(with_export, tmp_path / "project"))
    graph = Layout(root).model("exported") / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"!")
    before = tree(root)
    with pytest.raises(MinnowError, match=r"model\.onnx differs from its manifest"):
        package.main(root)
    assert tree(root) == before


def test_the_card_tells_of_both_forms(with_export: Path) -> None:
    folder = Layout(with_export).release
    text = (folder / "README.md").read_text()
    assert "exported (`model.onnx`)" in text
    assert "temperature\n2.5, and phishing above a margin of -0.25" in text
    assert {
        result.metric_value for result in ModelCard.load(folder / "README.md").data.eval_results
    } > {0.7654}
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert [("import onnxruntime" in block, "import torch" in block) for block in blocks] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_a_card_without_export_names_no_other_file(folder: Path) -> None:
    assert "onnx" not in (folder / "README.md").read_text()


def test_the_card_runs_model_onnx_as_minnow_does(with_export: Path, tmp_path: Path) -> None:
    folder = Layout(with_export).release
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    said = [
        subprocess.run(
            [sys.executable, "-c", block],
            cwd=folder,
            env=environment,
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        ).stdout
        for block in blocks[:2]
    ]
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == 2


# --- The folder -----------------------------------------------------------------------------------


def test_the_release_holds_the_model_its_settings_and_its_card(project: Path, folder: Path) -> None:
    quantized = Layout(project).model("quantized")
    of_model = {file.name for file in quantized.iterdir()} - {MANIFEST}
    assert {file.name for file in folder.iterdir()} == of_model | {
        "minnow.json",
        "README.md",
        "page.html",
        "manifest.json",
    }
    for name in of_model:
        assert (folder / name).read_bytes() == (quantized / name).read_bytes()
    manifest = read_json(folder / MANIFEST)
    assert set(manifest["files"]) == of_model | {"minnow.json", "README.md", "page.html"}
    assert manifest["parameters"] == read_json(quantized / MANIFEST)["parameters"]
    check_manifest(folder)
    assert read_json(folder / "minnow.json") == {
        "labels": ["safe", "phishing"],
        "max_length": 32,
        "synthetic": True,
        "temperature": 1.25,
        "decision": {"threshold": 0.0, "probability": 0.5},
        "text": {"move_scheme": True, "cleaning": [*cleaning.CLEANING, cleaning.MOVE_SCHEME]},
    }
    assert ModelCard.load(folder / "README.md").data.library_name == "transformers"


def test_the_same_results_give_the_same_bytes_and_name_no_place(
    project: Path, tmp_path: Path
) -> None:
    root = tmp_path / "elsewhere"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns("release"))
    package.main(root)
    assert tree(Layout(root).release) == tree(Layout(project).release)
    for file in Layout(root).release.iterdir():
        assert str(tmp_path).encode() not in file.read_bytes()
        assert str(ROOT).encode() not in file.read_bytes()


def test_it_never_imports_torch(copied: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
from minnow.stages import package
package.main(Path({str(copied)!r}))
assert not {{"torch", "transformers", "sklearn", "datasets"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_settings_follow_results(copied: Path) -> None:
    layout = Layout(copied)
    prepare, path = read_json(layout.metrics("prepare")), layout.evidence("calibration")
    write_json(layout.metrics("prepare"), {**prepare, "move_scheme": False})
    calibration = read_json(path)
    fitted = calibration["models"]["quantized"]
    fitted["temperature"], fitted["decision"]["threshold"] = 2.5, -1.25
    write_json(path, calibration)
    package.main(copied)
    found = settings.read_settings(layout.release)
    assert (found.move_scheme, found.temperature, found.threshold) == (False, 2.5, -1.25)
    steps = read_json(layout.release / "minnow.json")["text"]["cleaning"]
    assert cleaning.MOVE_SCHEME not in steps


@pytest.mark.parametrize("made", [None, {"loss": "mse"}])
def test_a_student_that_does_not_say_how_it_was_made_is_refused(
    copied: Path, made: dict[str, str] | None
) -> None:
    path = Layout(copied).manifest("student")
    write_json(path, {**read_json(path), "made": made})
    with pytest.raises(MinnowError, match=r"student/manifest\.json is not what .*`dvc repro`"):
        package.main(copied)


def test_a_damaged_model_is_not_released(copied: Path) -> None:
    weights = Layout(copied).model("quantized") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0\0")
    before = tree(copied)
    with pytest.raises(MinnowError, match="differs from its manifest"):
        package.main(copied)
    assert tree(copied) == before


def test_the_card_names_the_budget_of_the_manifest(copied: Path) -> None:
    path = Layout(copied).manifest("quantized")
    budget = {"bytes": 12_000_000, "predicted": {"bytes": 1, "kl": 0.1}, "raised": {"a.b": "int8"}}
    write_json(path, {**read_json(path), "budget": budget})
    package.main(copied)
    assert "12.0 MB left more bits" in (Layout(copied).release / settings.CARD).read_text()
    write_json(path, {**read_json(path), "budget": {"bytes": 12_000_000}})
    with pytest.raises(MinnowError, match=r"quantized/manifest\.json is not what .*raised"):
        package.main(copied)


# --- Calling it -----------------------------------------------------------------------------------


def test_the_loader_gives_what_the_pipeline_judged(
    project: Path, folder: Path, tmp_path: Path
) -> None:
    """Logits as `predict` stores them; probability and label worked out here."""
    table = pl.DataFrame({"id": [str(row) for row in range(len(TEXTS))], "text": TEXTS})
    store_logits(Layout(project).model("quantized"), tmp_path / "logits", {"all": table}, FLOAT32)
    logits = read_logits(tmp_path / "logits" / "all.parquet", table["id"].to_list()).astype(
        "float64"
    )
    margins = (logits[:, 1] - logits[:, 0]).tolist()
    classifier = load_release(folder, device="cpu")
    middle = sum(sorted(margins)[1:3]) / 2
    classifier = replace(classifier, settings=replace(classifier.settings, threshold=middle))
    assert classifier.margins([f"http://{text}" for text in TEXTS]) == margins
    probabilities, labels = classifier.predict(TEXTS)
    expected = torch.sigmoid(torch.tensor(margins, dtype=torch.float64) / 1.25).tolist()
    assert probabilities == pytest.approx(expected, abs=1e-12)
    assert labels == ["phishing" if margin > middle else "safe" for margin in margins]
    assert sorted(labels) == ["phishing", "phishing", "safe", "safe"]


@pytest.mark.parametrize(
    "device", ["banana", "", "meta", "cuda:99", "cpu:7", "x\n" * 400, 3, torch.device("meta")]
)
def test_a_device_that_is_not_here_is_named(folder: Path, device: Any) -> None:
    with pytest.raises(MinnowError, match=r"^device is .*; allowed here: cpu") as caught:
        minnow.load(folder, device=device)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= LONGEST
    assert isinstance(device, int) or repr(str(device))[:40] in str(caught.value)


def test_no_gpu_is_no_reason_to_download_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MinnowError, match=r"^device is 'cuda'; allowed here: cpu(, mps)?; give "):
        minnow.load(folder, device="cuda")


def blocks(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("place", [0, 1])
def test_the_code_of_the_card_runs_and_agrees_with_the_loader(folder: Path, place: int) -> None:
    """As it stands there, in the folder; the first with Minnow on the path, the second without."""
    path = {"PYTHONPATH": str(ROOT / "src")} if place == 0 else {"PYTHONPATH": ""}
    code = blocks(folder)[place]
    assert ("import minnow\n" in code) == (place == 0)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(" ") for line in done.stdout.splitlines()]
    asked = ["http://example.org/", "login.example.com/verify?account=1"]
    probabilities, labels = load_release(folder).predict(asked)
    assert [(label, url) for label, _, url in rows] == list(zip(labels, asked, strict=True))
    # printed with four decimals, of the same float32 layer; the two pad their batches differently
    assert [float(probability) for _, probability, _ in rows] == pytest.approx(
        probabilities, abs=0.01
    )


def test_without_minnow_the_margins_are_the_same(folder: Path) -> None:
    """All but its output stand as in the card: run here, on one URL, so that no padding comes
    in.
    """
    code = blocks(folder)[1].replace('Path(".")', f"Path({str(folder)!r})")
    asked = ["login.example.com/verify?account=1"]
    code = code.replace(re.search(r"^urls = .*$", code, re.MULTILINE)[0], f"urls = {asked}")  # type: ignore[index]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["margins"].tolist() == load_release(folder, device="cpu").margins(asked)


def test_a_release_carries_adapters_and_says_so(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> None:
    root = packable(tmp_path / "project", tokenizer, shape)
    layout, cpu = Layout(root), torch.device("cpu")
    layout.model("quantized").rename(layout.model("packed"))
    folders = rebuilding.Folders(
        layout.model("packed"), layout.model("student"), layout.model("quantized")
    )
    layers = packed_layers(rebuilding.load_packed(folders.packed, cpu))
    shipped_adapters = {
        name: adapters.Adapter(
            torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2), 0.5
        )
        for name, layer in layers.items()
    }
    learnt = rebuilding.Learnt({}, shipped_adapters)
    model = rebuilding.rebuilt(folders, learnt, shipped=True, device=cpu)
    recovery.write_recovered(folders, recovery.recovered_as(model), {"kept": True})
    package.main(root)
    card = (layout.release / "README.md").read_text()
    assert "adapters (rank 2) lie beside the packed weights" in card
    assert "finds no `model.safetensors` and stops" in card
    assert ModelCard.load(layout.release / "README.md").data.library_name == "minnow"
    ours, plain = load_release(layout.release, device="cpu"), load_model(folders.packed)
    shipped = heads.with_float32_logits(load_model(layout.model("quantized")))
    texts = ["example.org", "login.example.com/verify?account=1"]
    logits = predict_logits(shipped, encode(tokenizer, texts), device=cpu).double()
    assert ours.margins(texts) == (logits[:, 1] - logits[:, 0]).tolist()
    assert not torch.equal(
        logits, predict_logits(plain, encode(tokenizer, texts), device=cpu).double()
    )


@pytest.mark.parametrize("packed", ["int8", "nf4"])
def test_a_release_with_packed_embeddings_loads_in_one_call(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams, packed: str
) -> None:
    """And its card shows no other way, since transformers alone refuses it."""
    root = packable(tmp_path / "project", tokenizer, shape, packed=packed)
    package.main(root)
    folder = Layout(root).release
    (code,) = blocks(folder)
    card = (folder / "README.md").read_text()
    assert f"to nf4 by bitsandbytes and its embeddings to {packed} by Minnow" in card
    assert f"packed in {packed}, in a format of Minnow's own" in card
    assert ModelCard.load(folder / "README.md").data.library_name == "minnow"
    with pytest.raises(RuntimeError, match="ignore_mismatched_sizes"):
        AutoModelForSequenceClassification.from_pretrained(folder)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    asked = ["http://example.org/", "login.example.com/verify?account=1"]
    probabilities, labels = load_release(folder, device="cpu").predict(asked)
    rows = [line.split(" ") for line in done.stdout.splitlines()]
    assert [(label, url) for label, _, url in rows] == list(zip(labels, asked, strict=True))
    assert [float(probability) for _, probability, _ in rows] == pytest.approx(
        probabilities, abs=1e-3
    )


def test_an_older_release_still_loads(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase, shape: BuildParams
) -> None:
    """Its config.json names the function that was to be called then."""
    root = packable(tmp_path / "project", tokenizer, shape, packed="nf4")
    package.main(root)
    folder = Layout(root).release
    today = minnow.load(folder, device="cpu").predict(TEXTS)
    config, manifest = read_json(folder / "config.json"), read_json(folder / MANIFEST)
    assert config[EMBEDDINGS_KEY]["load_with"] == "minnow.load"
    config[EMBEDDINGS_KEY]["load_with"] = "minnow.models.load_for_inference"
    write_json(folder / "config.json", config)
    write_manifest(folder, {name: fact for name, fact in manifest.items() if name != "files"})
    assert minnow.load(str(folder), device="cpu").predict(TEXTS) == today


def test_nothing_asked_is_nothing_answered_and_one_text_is_refused(folder: Path) -> None:
    classifier = load_release(folder, device="cpu")
    assert classifier.predict([]) == ([], [])
    assert (
        classifier.predict(np.array(TEXTS))
        == classifier.predict(pl.Series(TEXTS))
        == classifier.predict(TEXTS)
    )
    with pytest.raises(MinnowError, match=r"takes a list of URLs, given the text 'example\.org'"):
        classifier.predict("example.org")
    assert len(classifier.predict(["", "http://", "\udcff"])[0]) == 3
    assert classifier.margins(["hxxps://example[.]org"]) == classifier.margins(["example.org"])
    with pytest.raises(MinnowError, match=r"position 1 of 2 \(counted from 0\) is float nan: "):
        replace(classifier, model=None).predict(pd.Series(["example.org", float("nan")]))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["model.safetensors", "minnow.json", "tokenizer.json"])
def test_a_damaged_release_is_not_loaded(copied: Path, name: str) -> None:
    folder = Layout(copied).release
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    with pytest.raises(MinnowError, match=f"{name} differs from its manifest: download"):
        load_release(folder)
    (folder / name).unlink()
    with pytest.raises(MinnowError, match=r"is missing: download|is no release"):
        load_release(folder)


def test_the_owner_may_write_a_licence_into_the_card(copied: Path) -> None:
    card = Layout(copied).release / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nlicense: mit\n", 1))
    settings.check(card.parent)
    card.unlink()
    settings.check(card.parent)


@pytest.mark.parametrize("content", ["[]", "{}", '{"files": []}'])
def test_a_release_whose_manifest_lists_nothing_is_refused(copied: Path, content: str) -> None:
    folder = Layout(copied).release
    (folder / MANIFEST).write_text(content)
    with pytest.raises(MinnowError, match=r"manifest\.json lists no files: download"):
        load_release(folder)


@pytest.mark.parametrize("content", ['{"files": {"config.json": {}}}', None])
def test_a_damaged_manifest_is_one_line(copied: Path, content: str | None) -> None:
    folder = Layout(copied).release
    (folder / MANIFEST).unlink()
    if content is not None:
        (folder / MANIFEST).write_text(content)
    with pytest.raises(MinnowError, match=r"json .*: download the release, or build it, again"):
        load_release(folder)
