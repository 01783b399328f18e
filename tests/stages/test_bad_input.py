"""What a user gets wrong, through the entry point: one line with the remedy, exit code not 0, and
nothing touched.
"""

import errno
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from helpers.paths import ROOT
from helpers.stage import (
    COMMANDS,
    FILE,
    edit,
    entry_point,
    in_process_of_its_own,
    new_project,
    refused,
    tree,
)
from minnow.core import tables
from minnow.core.tables import read_table, write_table

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Run = Callable[[Path, str], tuple[int, str]]
BASE = "data/base/embedded/model"
GOOD = "url,label\n" + "".join(f"{number}.com,{number % 2}\n" for number in range(60))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose stages have all run once. Tests copy it."""
    root, stage = new_project(tmp_path_factory.mktemp("built") / "project"), entry_point()
    stage.ROOT, stage.prepare_process = root, lambda: None  # type: ignore[attr-defined]
    for command in COMMANDS:
        assert stage.main(command.split()) == 0
    return root


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """A copy of the project that was built."""
    return shutil.copytree(built, tmp_path / "project")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A project of preset `file`, its data still to be put there."""
    return new_project(tmp_path / "files", "file")


# --- Data -----------------------------------------------------------------------------------------

DATA: list[tuple[dict[str, Any], bytes | None, list[str]]] = [
    ({}, None, ["urls.csv is missing; put the file there and run `dvc add`"]),
    ({}, b"", ["urls.csv is empty; fill it, or name another file"]),
    ({}, b"url,label\n", ["urls.csv holds no rows; fill it"]),
    ({}, bytes(range(256)) * 40, ["urls.csv has no column 'url'"]),
    ({}, b"\x00\x1b[31m\xff\n\r" * 999, ["urls.csv has no column 'url'; it has: \ufffd\ufffd[31m"]),
    ({}, b"\xff\xfe" + b"\xd8" * 999, ["urls.csv"]),
    (
        {"path": f"{FILE}.gz"},
        b"\x1f\x8b junk",
        ["urls.csv.gz is packed, and cannot be unpacked", "get it anew"],
    ),
    (
        {"path": "data/raw/file/urls.parquet"},
        b"PAR1 junk PAR1",
        ["urls.parquet cannot be read as parquet"],
    ),
    ({"path": "data/raw/file/urls.jsonl"}, b"\x00\x01junk", ["urls.jsonl"]),
    ({"path": "data/raw/file/urls.xlsx"}, b"PK", ["is of no known kind; allowed: .csv"]),
    ({"path": "data/raw/file"}, None, ["is a folder, not a file; name a regular file"]),
    (
        {"path": "other/urls.csv"},
        GOOD.encode(),
        ["must lie in data/raw/file/", "move or copy it there"],
    ),
    ({"test_path": "data/raw/file/tset.csv"}, GOOD.encode(), ["tset.csv is missing"]),
    (
        {"text_column": "ulr"},
        GOOD.encode(),
        ["no column 'ulr'; it has: url, label; did you mean 'url'?"],
    ),
    ({"label_column": "labels"}, GOOD.encode(), ["no column 'labels'", "did you mean 'label'?"]),
    ({}, b"a,b\n1,2\n", ["no column 'url'; it has: a, b"]),
    (
        {},
        GOOD.replace(",0\n", ",1\n").encode(),
        ["one class only: column 'label' holds '1' (60 rows)", "give rows"],
    ),
    (
        {},
        GOOD.replace("label\n", "label\nx.com,2\n").encode(),
        ["'2' (1 rows)", "set negative_label, or remove"],
    ),
    (
        {"negative_label": 0},
        GOOD.replace("0.com,0", "0.com,7").encode(),
        ["remove the rows with labels other than"],
    ),
    (
        {"positive_label": "bad"},
        GOOD.encode(),
        ["positive_label 'bad' does not occur: column 'label' holds"],
    ),
    (
        {},
        b"url,label\na.com,1\nb.com,0\nc.com,1\n",
        ["too few rows", "3 rows in all", "give more rows, or set"],
    ),
]


@pytest.mark.parametrize(("change", "content", "words"), DATA)
def test_bad_data(
    files: Path, run: Run, change: dict[str, Any], content: bytes | None, words: list[str]
) -> None:
    edit(files, {f"data.{key}": value for key, value in change.items()}, "file")
    if content is not None:
        path = files / change.get("path", FILE)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    refused(files, run, "prepare", *words)


def test_a_file_that_may_not_be_read(
    files: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / FILE).write_text(GOOD)
    if os.geteuid():
        (files / FILE).chmod(0)
    else:  # root may read everything

        def denied(path: Path) -> bytes:
            if path.suffix == ".csv":
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            with path.open("rb") as file:
                return file.read()

        monkeypatch.setattr(Path, "read_bytes", denied)
        monkeypatch.setattr("helpers.stage.tree", lambda _: {})
    refused(
        files, run, "prepare", "urls.csv cannot be read: Permission denied; name a readable file"
    )


def test_bad_data_in_a_process_of_its_own(files: Path) -> None:
    shutil.copytree(
        ROOT / "src", files / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    refused(files, in_process_of_its_own, "prepare", "urls.csv is missing", str(files / FILE))


# --- Params ---------------------------------------------------------------------------------------

PARAMS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("distill", {"distill.temperature": -1.0}, ["distill.temperature is -1.0", "greater than 0"]),
    (
        "distill",
        {"distill.soft_weight": 1.5},
        ["distill.soft_weight is 1.5", "less than or equal to 1"],
    ),
    (
        "distill",
        {"distill.temprature": 2.0},
        ["distill.temprature is unknown", "did you mean 'temperature'?"],
    ),
    (
        "distill",
        {"distill": None},
        ["distill is null", "must be a block with the keys", "loss, beta, temperature"],
    ),
    (
        "distill",
        {"distill.loss": "forwards_kl"},
        ["distill.loss is 'forwards_kl'", "did you mean 'forward_kl'?"],
    ),
    ("distill", {"distill.loss": None}, ["distill.loss is null", "'mse'"]),
    ("quantize", {"quantize.scheme": "nf5"}, ["quantize.scheme is 'nf5'", "did you mean 'nf4'?"]),
    (
        "quantize",
        {"quantize.embeddings": "fp4"},
        ["quantize.embeddings is 'fp4'", "did you mean 'nf4'?"],
    ),
    (
        "quantize",
        {"quantize.embeddings": None},
        ["quantize.embeddings is null", "must be 'none', 'int8' or 'nf4'"],
    ),
    (
        "quantize",
        {"quantize.keep_float": ["nothing"]},
        ["keep_float must name the classification layer"],
    ),
    (
        "sensitivity",
        {"quantize.keep_float": ["nothing"]},
        ["keep_float must name the classification layer"],
    ),
    (
        "sensitivity",
        {"quantize.scheme": "nf5"},
        ["quantize.scheme is 'nf5'", "did you mean 'nf4'?"],
    ),
    ("quantize", {"quantize.budget_mb": 0}, ["quantize.budget_mb is 0", "greater than 0"]),
    (
        "quantize",
        {"quantize.budget_mb": "4"},
        ["quantize.budget_mb is '4'", "it is text, take off the quotes"],
    ),
    (
        "quantize",
        {"quantize.budget_mb": 0.01},
        ["budget_mb is 0.01, and the smallest", "MB", "give that or more"],
    ),
    (
        "quantize",
        {"quantize.budget": 4.0},
        ["quantize.budget is unknown", "did you mean 'budget_mb'?"],
    ),
    (
        "recover",
        {"recover.training.epochs": -1},
        ["recover.training.epochs is -1", "greater than or equal to 0"],
    ),
    (
        "recover",
        {"recover.adapters": "merge"},
        ["recover.adapters is 'merge'", "did you mean 'merged'?"],
    ),
    (
        "recover",
        {"recover.lora.rank": 2.5},
        ["recover.lora.rank is 2.5", "must be a valid integer"],
    ),
    ("recover", {"recover.lora.alpha": 0}, ["recover.lora.alpha is 0", "greater than 0"]),
    (
        "recover",
        {"recover.training.epoch": 1},
        ["recover.training.epoch is unknown", "did you mean 'epochs'?"],
    ),
    (
        "compare",
        {"compare.model": "studnet"},
        ["compare.model is 'studnet'", "did you mean 'student'?"],
    ),
    (
        "teacher",
        {"preset": "embeded"},
        ["preset is 'embeded'; allowed: embedded, hub, file; did you mean 'embedded'?"],
    ),
    (
        "teacher",
        {"presets.embedded.teacher.training.epochs": 0},
        ["teacher.training.epochs is 0", "equal to 1"],
    ),
    ("teacher", {"presets.embedded.teacher.training.learning_rate": "1e-4"}, ["off the quotes"]),
    ("teacher", {"presets.embedded.runtime.device": "cdua"}, ["did you mean 'cuda'?"]),
    (
        "teacher",
        {"presets.embedded.teacher.build.heads": 3},
        ["heads is 3, which does not divide hidden_size 64"],
    ),
    ("distill", {"presets.embedded.student.layers": 9}, ["9", "2"]),
    ("distill", {"presets.embedded.student.heads": 3}, ["3", "64"]),
    (
        "distill",
        {"presets.embedded.student.max_length": 500},
        ["student.max_length is 500", "has 16 positions"],
    ),
    ("prepare", {"presets.embedded.data.rows": 3}, ["rows"]),
    ("prepare", {"presets.embedded.data.test": 1.5}, ["data.test is 1.5", "less than 1"]),
    ("check", {"distill.seed": -1, "more": 1}, ["distill.seed is -1", "more is unknown"]),
]


@pytest.mark.parametrize(("stage", "change", "words"), PARAMS)
def test_bad_params(
    project: Path, run: Run, stage: str, change: dict[str, Any], words: list[str]
) -> None:
    edit(project, change)
    refused(project, run, stage, *words)


@pytest.mark.parametrize("command", ["prepare", "check", "compare"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["params.yaml is missing; bring it back with `git checkout -- params.yaml`"]),
        (b"preset: [", ["params.yaml", "line", "is not valid YAML"]),
        (b"\xff\xfe\x00", ["params.yaml", "is not"]),
        (b"", ["params.yaml must be a mapping"]),
        (b"preset: embedded\npreset: file\n", ["preset is written twice"]),
        (b"preset: embedded\n", ["presets is missing"]),
    ],
)
def test_bad_params_files(
    tmp_path: Path, run: Run, command: str, content: bytes | None, words: list[str]
) -> None:
    if content is not None:
        (tmp_path / "params.yaml").write_bytes(content)
    refused(tmp_path, run, command, *words)


def test_a_folder_for_params(tmp_path: Path, run: Run) -> None:
    (tmp_path / "params.yaml").mkdir()
    refused(tmp_path, run, "prepare", "params.yaml cannot be read: Is a directory")


# --- Names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["no stage named; stages: baseline, compare, control, distill"]),
        (
            "distil",
            [
                "unknown stage 'distil'; did you mean 'distill'?; stages: baseline, compare,"
                " control, distill"
            ],
        ),
        ("../stage", ["unknown stage '../stage'", "tools: check"]),
        ("__init__", ["unknown stage '__init__'"]),
        ("predict", ["takes one of student, quantized, given ''"]),
        ("predict studnet", ["given 'studnet'; did you mean 'student'?"]),
        ("predict teacher", ["takes one of student, quantized, given 'teacher'"]),
        ("predict student quantized", ["given 'student quantized'; it takes model"]),
        ("distill --now", ["given '--now'; it takes no arguments"]),
    ],
)
def test_bad_names(tmp_path: Path, run: Run, command: str, words: list[str]) -> None:
    refused(tmp_path, run, command, *words)


# --- Base models ----------------------------------------------------------------------------------


def of_another_kind(folder: Path) -> None:
    from transformers import CLIPConfig

    CLIPConfig().save_pretrained(folder)


def with_three_labels(folder: Path) -> None:
    from helpers.models import classifier

    classifier(num_labels=3).save_pretrained(folder)


def with_pickles_alone(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_code(folder: Path) -> None:
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    (folder / "config.json").write_text(
        '{"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}}'
    )


def cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5000])


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


@pytest.mark.parametrize("stage", ["teacher", "distill"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (shutil.rmtree, ["there is no such folder; put the model below data/base/embedded/"]),
        (
            of_another_kind,
            ["is a 'clip' model, of which Minnow makes no classifier; take a BERT-like encoder"],
        ),
        (
            with_three_labels,
            ["classifies into 3 labels and Minnow needs 2; take the model that it was fine-tuned"],
        ),
        (with_pickles_alone, ["has no .safetensors weights here; pickle weights", "are refused"]),
        (with_code, ["brings code of its own, which Minnow never runs"]),
        (cut_short, ["cannot be loaded (SafetensorError", "get them anew"]),
        (without_tokenizer, ["has no tokenizer"]),
    ],
)
def test_bad_bases(
    project: Path,
    run: Run,
    tokenizer: "PreTrainedTokenizerBase",
    stage: str,
    spoil: Callable[[Path], None],
    words: list[str],
) -> None:
    from helpers.models import classifier, saved

    spoil(saved(classifier(), tokenizer, project / BASE))
    teacher = {"base": BASE, "build": None, "vocabulary": None}
    student = {"init": "checkpoint", "base": BASE, "architecture": None}
    blocks = {f"teacher.{key}": value for key, value in teacher.items()}
    edit(project, blocks | {f"student.{key}": value for key, value in student.items()}, "embedded")
    refused(project, run, stage, f"base model '{BASE}'", *words)
    assert not (project / BASE / "ran").exists()


def test_a_base_without_a_head_is_no_ready_made_teacher(
    project: Path, run: Run, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    from helpers.models import body, saved

    saved(body(), tokenizer, project / BASE)
    block = {
        "teacher.base": BASE,
        "teacher.build": None,
        "teacher.vocabulary": None,
        "teacher.method": "none",
    }
    edit(project, block, "embedded")
    refused(
        project,
        run,
        "teacher",
        "has no trained classification head",
        "teacher.method: full or head",
    )


# --- The Hub --------------------------------------------------------------------------------------

# What a line begins with where nobody answers, and where nobody is to be asked.
AWAY = ("cannot reach the Hub for", "HF_HUB_OFFLINE is set and the cache lacks")


@pytest.mark.parametrize("offline", ["0", "1"])
def test_the_hub_preset_without_a_network_ends_within_seconds(tmp_path: Path, offline: str) -> None:
    root = new_project(tmp_path / "hub", "hub")
    shutil.copytree(
        ROOT / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    start = time.monotonic()

    def run(root: Path, command: str) -> tuple[int, str]:
        away = {
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": offline,
        }
        return in_process_of_its_own(root, command, **away)

    refused(
        root,
        run,
        "prepare",
        f"{AWAY[offline == '1']} data set 'shawhin/phishing-site-classification'",
        "--revision 534e34c",
        "hf download --repo-type dataset",
        "preset `embedded` or `file`",
    )
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("stage", ["teacher", "distill"])
def test_a_base_without_a_network(
    built: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    offline: bool,
    stage: str,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    root = new_project(tmp_path / "hub", "hub")
    folders = ("data/prepared", "data/logits", "data/states", "data/unlabelled", "models")
    for folder in folders:
        shutil.copytree(built / folder, root / folder)
    base = {
        "teacher": "google-bert/bert-base-uncased",
        "distill": "distilbert/distilbert-base-uncased",
    }[stage]
    refused(
        root,
        run,
        stage,
        f"{AWAY[offline]} base model '{base}'",
        "put a model below data/base/, or copy the cache",
    )


# --- What other stages have left ------------------------------------------------------------------


def change(path: Path, how: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    write_table(path, how(read_table(path)))


LOGITS: list[tuple[Any, list[str]]] = [
    (
        lambda table: table.with_columns(pl.col("id").str.reverse()),
        ["belongs to other rows", "run `dvc repro`"],
    ),
    (lambda table: table.head(9), ["belongs to other rows: ", "ids are missing and 0 are foreign"]),
    (lambda table: table.vstack(table.head(1)), ["holds an id more than once, and DVC's cache"]),
    (lambda table: table.drop("id"), ["holds no logits with ids, and DVC's cache"]),
    (
        lambda table: table.with_columns(pl.int_range(pl.len()).alias("id")),
        ["holds no logits with ids"],
    ),
    (lambda table: table.with_columns(pl.lit("x").alias("logit_0")), ["holds no logits with ids"]),
]


@pytest.mark.parametrize(("how", "words"), LOGITS)
@pytest.mark.parametrize(
    ("stage", "split"), [("distill", "train"), ("teacher_eval", "test"), ("evaluate", "test")]
)
def test_logits_of_other_rows(
    project: Path, run: Run, stage: str, split: str, how: Any, words: list[str]
) -> None:
    change(project / "data" / "logits" / "teacher" / f"{split}.parquet", how)
    before = set(tree(project))
    line = complaint_of(project, run, stage)
    assert [word for word in words if word not in line] == [], line
    assert set(tree(project)) == before


def complaint_of(project: Path, run: Run, stage: str) -> str:
    from helpers.stage import complaint

    return complaint(stage.split()[0], *run(project, stage))


@pytest.mark.parametrize(
    ("stage", "file"),
    [
        ("teacher", "data/prepared/train.parquet"),
        ("teacher_logits", "data/prepared/test.parquet"),
        ("teacher_logits", "models/teacher/manifest.json"),
        ("distill", "data/logits/teacher/train.parquet"),
        ("sensitivity", "models/student/manifest.json"),
        ("quantize", "models/student/manifest.json"),
        ("recover", "models/packed/manifest.json"),
        ("predict quantized", "models/quantized/manifest.json"),
        ("compare", "metrics/student.json"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b"\x00junk\xff", "folder"])
def test_an_input_that_is_missing_or_junk(
    project: Path, run: Run, stage: str, file: str, content: bytes | str | None
) -> None:
    path = project / file
    path.unlink()
    if isinstance(content, str):
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    refused(project, run, stage, file, "dvc repro`")


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"files": 1}'])
def test_a_manifest_that_lists_nothing(project: Path, run: Run, content: str) -> None:
    (project / "models" / "student" / "manifest.json").write_text(content)
    refused(project, run, "quantize", "manifest.json lists no files")


@pytest.mark.parametrize(
    ("stage", "model"),
    [
        ("teacher_logits", "teacher"),
        ("distill", "teacher"),
        ("quantize", "student"),
        ("recover", "packed"),
        ("predict student", "student"),
        ("predict quantized", "quantized"),
    ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_model_with_a_flipped_byte(
    project: Path, run: Run, stage: str, model: str, file: str
) -> None:
    path = project / "models" / model / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(project, run, stage, f"{file} differs from its manifest", "makes DVC check its cache")


# --- Disk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["teacher", "distill"])
def test_too_little_disk_is_told_before_training(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, used=10**9, free=10**5)
    )
    refused(
        project,
        run,
        stage,
        "has 0 MB free and about",
        "MB are needed",
        "dvc cache dir --local PATH",
    )


@pytest.mark.parametrize("stage", ["prepare", "teacher_logits", "predict student"])
def test_a_disk_that_fills_up_while_a_table_is_written(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    written = tables.write_parquet

    def half(file: Path, table: pl.DataFrame) -> None:
        written(file, table)
        if file.name.startswith("test"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tables, "write_parquet", half)
    refused(project, run, stage, "no space left", "then `dvc repro`; nothing half-written was kept")


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize(
    ("stage", "outs", "kilobytes"),
    [
        ("prepare", ["data/prepared", "metrics/prepare.json"], 8),
        ("teacher", ["models/teacher", "metrics/plots/teacher_training.csv"], 8),
        ("teacher", ["models/teacher", "metrics/plots/teacher_training.csv"], 200),
        ("teacher_logits", ["data/logits/teacher"], 4),
        ("distill", ["models/student", "metrics/plots/student_training.csv"], 150),
        ("quantize", ["models/packed"], 50),
        ("recover", ["models/quantized", "metrics/plots/recovery_training.csv"], 50),
        ("predict quantized", ["data/logits/quantized"], 4),
    ],
)
def test_a_disk_that_is_really_full(
    built: Path,
    small_disk: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    outs: list[str],
    kilobytes: int,
) -> None:
    from minnow.core.files import discard

    monkeypatch.setattr("minnow.training.fitting.require_space", lambda *_: None)
    for left in small_disk.iterdir():
        discard(left)
    root = shutil.copytree(built, small_disk / "project", ignore=shutil.ignore_patterns(".minnow"))
    for out in outs:
        discard(root / out)
    (small_disk / "filler").write_bytes(
        bytes(shutil.disk_usage(small_disk).free - 1024 * kilobytes)
    )
    refused(root, run, stage, "no space left for files of", "nothing half-written was kept")
    assert not list(root.rglob("*.partial"))
