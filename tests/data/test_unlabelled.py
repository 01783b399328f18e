"""More text than labels: what is kept of a file, what the teacher says of it, and what the student
makes of that.
"""

import gzip
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from helpers.data import FILE
from helpers.data import project as data_project
from helpers.data import run as split_run
from helpers.paths import ROOT
from helpers.stage import edit, in_process_of_its_own, new_project, refused, tree
from minnow.controls import definitions
from minnow.core import runtime
from minnow.core.files import read_json
from minnow.core.tables import read_logits, read_table, write_table
from minnow.data import (
    augmentation,
    cleaning,
    columns,
    sources,
    synthetic,
    unlabelled,
    validation_extra,
)
from minnow.data.splits import row_ids
from minnow.distill import losses
from minnow.distill.params import check_teacher_rows
from minnow.errors import MinnowError
from minnow.layout import SPLITS, Layout
from minnow.models import inference
from minnow.stages import (
    control,
    distill,
    prepare,
    teacher_logits,
    teacher_states,
    teacher_unlabelled,
    validate,
)
from minnow.stages import teacher as teacher_module
from minnow.text import urls
from minnow.training import checkpoints, fitting, loop
from minnow.training.targets import NO_LABEL, Targets, hard_loss

Run = Callable[[Path, str], tuple[int, str]]
MORE = "data/raw/embedded/more.csv"
COPIES = {"teacher_unlabelled.copies": 1}


def split(*texts: str) -> pl.DataFrame:
    rows, _ = cleaning.cleaned(pl.DataFrame({"text": texts}), move_scheme=True)
    return rows.select(
        row_ids(rows["key"]).alias("id"), "text", pl.lit(0).alias("label"), "domain", "scheme"
    )


HELD = {
    "train": split("train.com/a", "both.com/train", "shop.co.uk/x"),
    "validation": split("val.org/login", "both.com/val"),
    "test": split("x.github.io/t", "10.0.0.1/t"),
}


# --- The file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("more.csv", b"n,url\n1,a.com\n2,b.com/x?y=1\n"),
        ("more.csv.gz", gzip.compress(b"n,url\n1,a.com\n2,b.com/x?y=1\n", mtime=0)),
        ("more.tsv", b"url\tn\na.com\t1\nb.com/x?y=1\t2\n"),
        ("more.jsonl", b'{"url": "a.com"}\n{"url": "b.com/x?y=1"}\n'),
        ("more.txt", b"a.com\r\n\r\nb.com/x?y=1\n"),
        ("more.txt", b"a.com\rb.com/x?y=1"),
        ("more.txt.gz", gzip.compress(b"\xef\xbb\xbfa.com\nb.com/x?y=1", mtime=0)),
    ],
)
def test_texts_of_every_kind_of_file(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    assert sources.load_texts(tmp_path / name, "url", folder=tmp_path).to_dict(as_series=False) == {
        "text": ["a.com", "b.com/x?y=1"]
    }


def test_a_line_ends_where_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("a.com/\u2028x\nb.com/\x0cy\n")
    assert sources.load_texts(tmp_path / "more.txt", "url", folder=tmp_path)["text"].to_list() == [
        "a.com/\u2028x",
        "b.com/\x0cy",
    ]


def test_texts_of_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"label": [1], "url": ["a.com"]}).write_parquet(tmp_path / "more.parquet")
    assert sources.load_texts(tmp_path / "more.parquet", "url", folder=tmp_path)[
        "text"
    ].to_list() == ["a.com"]


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        (
            "more.csv",
            None,
            ["more.csv is missing; did you mean 'mere.csv'?", "its folder holds mere.csv"],
        ),
        ("more.csv", b"", ["more.csv is empty"]),
        ("more.csv", b"url\n", ["more.csv holds no rows"]),
        ("more.txt", b"\n \n", ["more.txt holds no rows"]),
        (
            "more.csv",
            b"urls,n\na.com,1\n",
            ["has no column 'url'", "it has: urls, n", "mean 'urls'", "rename the column"],
        ),
        ("more.jsonl", b'{"url": ["a.com"]}\n', ["column 'url' holds a list in record 1"]),
        ("more.xlsx", b"x", ["no known kind", ".parquet", ".txt"]),
        ("more.parquet", b"x", ["cannot be read as parquet"]),
    ],
)
def test_bad_files(tmp_path: Path, name: str, raw: bytes | None, words: list[str]) -> None:
    (tmp_path / "mere.csv").write_text("x")
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(MinnowError) as refusal:
        sources.load_texts(tmp_path / name, "url", folder=tmp_path)
    assert [word for word in words if word not in str(refusal.value)] == []


def test_labelled_data_are_no_text_file(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("a.com\n")
    with pytest.raises(
        MinnowError,
        match=r"no known kind; allowed: \.csv, \.tsv, .*, \.arrow, also packed: \.gz",
    ):
        sources.load_file(
            tmp_path / "urls.txt", None, folder=tmp_path, columns=columns.Columns("url", "label", 1)
        )


# --- What is kept ---------------------------------------------------------------------------------


def test_what_is_dropped_by_hand() -> None:
    file = pl.DataFrame(
        {
            "text": [
                *("", None, " '' "),  # empty
                *("http://TRAIN.com/a/", "www.train.com/a#x"),  # in train, in other spellings
                "https://val.org/login?",  # in validation
                "http://10.0.0.1:80/t",  # in test
                *(
                    "mail.val.org",
                    "both.com/new",
                    "x.github.io",
                    "10.0.0.1/new",
                ),  # of a domain held out
                *("new.com/1", "http://www.new.com/1/"),  # the same URL twice
                *("train.com/b", "y.github.io", "new.com/2&amp;x"),
            ]
        }
    )
    kept, dropped = unlabelled.new_texts(file, HELD, move_scheme=True)
    assert sorted(kept["text"]) == ["new.com/1", "new.com/2&x", "train.com/b", "y.github.io"]
    assert dropped == {
        "empty": 3,
        "in_train": 2,
        "in_validation": 1,
        "in_test": 1,
        "domain_in_validation_or_test": 4,
        "duplicate": 1,
    }
    assert kept["id"].to_list() == sorted(row_ids(kept["key"]).to_list())
    assert unlabelled.new_texts(file.reverse(), HELD, move_scheme=True)[0].equals(kept)


def test_the_scheme_stays_where_prepare_leaves_it() -> None:
    file = pl.DataFrame({"text": ["http://new.com/1"]})
    assert unlabelled.new_texts(file, HELD, move_scheme=False)[0]["text"].to_list() == [
        "http://new.com/1"
    ]
    assert unlabelled.new_texts(file, HELD, move_scheme=True)[0]["text"].to_list() == ["new.com/1"]


def generated() -> tuple[unlabelled.TextFile, dict[str, pl.DataFrame]]:
    texts, labels = synthetic.generate(500, seed=5, label_noise=0.0)
    rows = pl.DataFrame(
        {"text": texts, "label": labels, "split": [None] * 500},
        schema_overrides={"split": pl.String},
    )
    made = split_run(sources.Source(rows.with_columns(pl.col("label").cast(pl.Int8))))
    texts, _ = synthetic.generate(300, seed=6, label_noise=0.0)
    return unlabelled.TextFile("more.csv", pl.DataFrame({"text": texts})), made.splits


def test_rows_of_the_file_and_copies_keep_off_what_is_held_out() -> None:
    file, splits = generated()
    texts = unlabelled.texts_to_label(file, splits, move_scheme=True, copies=2, seed=0)
    assert texts.report.file is not None
    assert texts.report.copies is not None
    keys = urls.key(texts.rows["text"])
    domains = set(urls.registered_domain(urls.host(texts.rows["text"])))
    assert keys.n_unique() == texts.rows["id"].n_unique() == texts.rows.height == texts.report.rows
    for name, table in splits.items():
        assert not set(keys) & set(urls.key(table["text"]))
        assert bool(domains & set(table["domain"])) == (name == "train")
    of_file = texts.rows.filter(pl.col("copy_of").is_null())
    assert of_file.height == texts.report.file.kept > 50
    assert set(texts.rows["copy_of"].drop_nulls()) <= set(of_file["id"]) | set(
        splits["train"]["id"]
    )
    assert texts.report.copies.asked == 2 * (of_file.height + splits["train"].height)
    assert 0.9 < texts.report.copies.kept / texts.report.copies.asked <= 1
    assert (
        texts.report.file.rows_read
        == 300
        == of_file.height + sum(texts.report.file.dropped.values())
    )
    shuffled = {
        name: table.sample(fraction=1, shuffle=True, seed=1) for name, table in splits.items()
    }
    again = unlabelled.texts_to_label(
        unlabelled.TextFile("more.csv", file.texts.reverse()),
        shuffled,
        move_scheme=True,
        copies=2,
        seed=0,
    )
    assert again.rows.equals(texts.rows)
    assert again.report == texts.report


def test_a_file_does_not_change_the_copies_of_train() -> None:
    """They borrow from train alone; only where a row of the file is a copy, another one takes its
    place.
    """
    file, splits = generated()
    alone = unlabelled.texts_to_label(None, splits, move_scheme=True, copies=1, seed=0)
    beside = unlabelled.texts_to_label(file, splits, move_scheme=True, copies=1, seed=0)
    assert alone.report.file is None
    lost = set(alone.rows["text"]) - set(beside.rows["text"])
    assert len(lost) <= 3


def test_a_text_without_a_domain_shares_none_with_what_is_held_out() -> None:
    held = {**HELD, "test": split("?id=1", "10.0.0.1/t")}
    file = pl.DataFrame({"text": ["?id=2", "?id=1", "10.0.0.1/new"]})
    kept, dropped = unlabelled.new_texts(file, held, move_scheme=True)
    assert kept["text"].to_list() == ["?id=2"]
    assert (dropped["in_test"], dropped["domain_in_validation_or_test"]) == (1, 1)


def test_nothing_left_says_why() -> None:
    texts = pl.DataFrame({"text": ["train.com/a", "mail.val.org", ""]})
    file = unlabelled.TextFile("more.csv", texts)
    words = (
        r"no row is left of the 3 read \(dropped: 1 empty, 1 in_train, 1"
        r" domain_in_validation_or_test\); give URLs"
    )
    with pytest.raises(MinnowError, match=words):
        unlabelled.texts_to_label(file, HELD, move_scheme=True, copies=1, seed=0)
    junk = {**HELD, "train": split("not a url")}
    with pytest.raises(
        MinnowError, match=r"no row of train could be altered into another URL; set copies to 0"
    ):
        unlabelled.texts_to_label(None, junk, move_scheme=True, copies=1, seed=0)


# --- The loss of rows without a label -------------------------------------------------------------

STUDENT = torch.tensor([[0.5, -1.0], [2.0, 1.0], [-0.3, 0.7], [0.0, 3.0]])
TEACHER = torch.tensor([[1.5, -1.0], [0.0, 1.0], [-2.0, 2.0], [1.0, 1.5]])


def reference(labels: list[int], *, temperature: float, soft_weight: float) -> float:
    """Return the loss in float64, row by row: soft for each, hard where there is a label, over all
    rows.
    """

    def log_softmax(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows - np.log(np.exp(rows).sum(axis=1, keepdims=True)))

    student, teacher = STUDENT.double().numpy(), TEACHER.double().numpy()
    p, q = log_softmax(teacher / temperature), log_softmax(student / temperature)
    total = 0.0
    for row, label in enumerate(labels):
        total += soft_weight * temperature**2 * float((np.exp(p[row]) * (p[row] - q[row])).sum())
        total -= (
            0.0
            if label == NO_LABEL
            else (1 - soft_weight) * float(log_softmax(student)[row, label])
        )
    return total / len(labels)


@pytest.mark.parametrize("labels", [[1, 0, 1, 0], [1, NO_LABEL, NO_LABEL, 0], [NO_LABEL] * 4])
@pytest.mark.parametrize("soft_weight", [0.25, 1.0])
def test_the_mixed_loss_equals_a_plain_one(labels: list[int], soft_weight: float) -> None:
    loss = losses.distillation(loss="forward_kl", temperature=2.0, soft_weight=soft_weight)
    value = loss(STUDENT, Targets(torch.tensor(labels), TEACHER))
    assert value.item() == pytest.approx(
        reference(labels, temperature=2.0, soft_weight=soft_weight), abs=1e-6
    )


def test_hard_loss_by_hand() -> None:
    # Logits (0, 0) give ln 2 whatever the label. Two of four rows have one: 2 ln 2 / 4.
    value = hard_loss(torch.zeros(4, 2), Targets(torch.tensor([0, NO_LABEL, 1, NO_LABEL])))
    assert value.item() == pytest.approx(np.log(2) / 2, abs=1e-7)


def test_a_labelled_row_pulls_the_same_whoever_stands_beside_it() -> None:
    gradients = []
    for labels in ([1, 0, 1, 0], [1, NO_LABEL, NO_LABEL, 0]):
        student = STUDENT.clone().requires_grad_()
        hard_loss(student, Targets(torch.tensor(labels))).backward()
        gradients.append(student.grad)
    full, part = gradients
    assert full is not None
    assert part is not None
    torch.testing.assert_close(part[[0, 3]], full[[0, 3]])
    assert not part[[1, 2]].any()


def test_a_batch_without_labels_has_no_hard_loss() -> None:
    student = STUDENT.clone().requires_grad_()
    value = hard_loss(student, Targets(torch.full((4,), NO_LABEL)))
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert not student.grad.any()


def test_with_labels_everywhere_it_is_torchs_own_mean_to_the_bit() -> None:
    draw = torch.Generator().manual_seed(0)
    for rows in (1, 7, 64):
        student = torch.randn(rows, 2, generator=draw, requires_grad=True)
        labels = torch.randint(0, 2, (rows,), generator=draw)
        (mine,) = torch.autograd.grad(hard_loss(student, Targets(labels)), student)
        (plain,) = torch.autograd.grad(torch.nn.functional.cross_entropy(student, labels), student)
        assert torch.equal(mine, plain)


def test_train_with_unlabelled_rows() -> None:
    train = HELD["train"].with_columns(pl.col("label").cast(pl.Int8))
    teacher_rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    tables = fitting.Tables(train, HELD["validation"], teacher_rows)
    more = tables.with_unlabelled(["x.com"], np.full((1, 2), 9, np.float32))
    assert more.teacher_logits is not None
    assert more.validation is tables.validation
    assert more.train.rows() == [*train.select("text", "label").rows(), ("x.com", NO_LABEL)]
    assert more.teacher_logits.tolist() == [[0, 1], [2, 3], [4, 5], [9, 9]]
    assert more.teacher_logits.dtype == np.float32
    same = tables.with_unlabelled([], np.zeros((0, 2), np.float32))
    assert same.train.equals(train.select("text", "label"))
    assert np.array_equal(same.teacher_logits, teacher_rows)


# --- The stages -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project whose teacher has labelled its splits. Not to be changed: copy it."""
    root = new_project(tmp_path_factory.mktemp("unlabelled") / "project")
    pl.DataFrame({"text": synthetic.generate(60, seed=9, label_noise=0.0)[0]}).write_csv(
        root / MORE
    )
    for stage in (prepare, teacher_module, teacher_logits):
        stage.main(root)
    return root


@pytest.fixture
def project(taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(taught, tmp_path / "project"))


def student_of(root: Path) -> bytes:
    """Return the student's weights, from the rows that the teacher labels by these params."""
    teacher_states.main(root)
    teacher_unlabelled.main(root)
    distill.main(root)
    return (Layout(root).model("student") / "model.safetensors").read_bytes()


def test_by_default_it_writes_an_empty_table_and_loads_no_torch(project: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from minnow.stages import teacher_unlabelled as s; "
    )
    code += "s.main(Path('.')); print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=project, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr
    layout = Layout(project)
    assert read_table(layout.unlabelled_texts).schema == dict.fromkeys(
        ("id", "text", "copy_of"), pl.String
    )
    assert read_logits(layout.unlabelled_logits, []).shape == (0, 2)
    assert read_json(layout.unlabelled_report) == {"rows": 0}


def test_its_logits_are_the_teachers_of_what_is_asked_for(project: Path, tmp_path: Path) -> None:
    edit(project, {"teacher_unlabelled.file": MORE, **COPIES})
    layout = Layout(project)
    before = tree(project)
    teacher_unlabelled.main(project)
    made = tree(project)
    assert {path for path in made if path not in before} == {
        "data/unlabelled",
        *(f"data/unlabelled/{name}" for name in ("texts.parquet", "logits.parquet", "report.json")),
    }
    rows, report = read_table(layout.unlabelled_texts), read_json(layout.unlabelled_report)
    splits = {name: read_table(layout.split(name)) for name in SPLITS}
    expected = unlabelled.texts_to_label(
        unlabelled.TextFile(MORE, pl.read_csv(project / MORE)),
        splits,
        move_scheme=True,
        copies=1,
        seed=0,
    )
    assert rows.equals(expected.rows)
    assert report == expected.report.as_json()
    run = runtime.start(teacher_unlabelled.Params.load(project).runtime)
    inference.store_logits(layout.model("teacher"), tmp_path / "again", {"logits": rows}, run)
    assert (
        tmp_path / "again" / "logits.parquet"
    ).read_bytes() == layout.unlabelled_logits.read_bytes()
    teacher_unlabelled.main(project)
    assert tree(project) == made


def test_an_augmentation_that_fails_is_not_blamed_on_the_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(*_: object, **__: object) -> pl.DataFrame:
        return pl.DataFrame(schema=dict.fromkeys(("id", "text", "copy_of", "key"), pl.String))

    edit(project, {"teacher_unlabelled.file": MORE, **COPIES})
    monkeypatch.setattr(augmentation, "copies", nothing)
    with pytest.raises(
        MinnowError, match=r"^teacher_unlabelled\.copies: no row of train could be altered"
    ):
        teacher_unlabelled.main(project)


def test_the_student_learns_from_more_text_and_is_what_it_was_without(project: Path) -> None:
    plain = student_of(project)
    edit(project, COPIES)
    teacher_unlabelled.main(project)
    more = student_of(project)
    assert more != plain
    assert student_of(project) == more
    edit(project, {"teacher_unlabelled.seed": 1})
    teacher_unlabelled.main(project)
    assert student_of(project) != more
    edit(project, {"teacher_unlabelled.copies": 0})
    assert student_of(project) == plain


def test_a_training_killed_halfway_goes_on_to_the_same_bytes(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project, COPIES)
    teacher_unlabelled.main(project)
    whole = student_of(project)
    save, steps = loop._Run.save_if_due, []

    def killed(run: loop._Run) -> None:
        save(run)
        steps.append(run)
        if len(steps) == 3:
            sys.exit(143)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0)
        patch.setattr(loop._Run, "save_if_due", killed)
        with pytest.raises(SystemExit):
            distill.main(project)
    assert student_of(project) == whole
    assert "resuming a killed training at epoch 1, batch 4" in capsys.readouterr().err


def test_another_text_is_another_checkpoint(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named: list[Path] = []
    monkeypatch.setattr(
        checkpoints, "checkpoint_of", lambda *given: named.append(given[3]) or sys.exit(1)
    )
    edit(project, COPIES)
    with pytest.raises(SystemExit):
        student_of(project)
    layout = Layout(project)
    assert {layout.unlabelled_texts, layout.unlabelled_logits} <= set(named[0])


REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    (
        {"teacher_unlabelled.file": "data/raw/embedded/mroe.csv"},
        "teacher_unlabelled",
        ["mroe.csv is missing", "its folder holds more.csv"],
    ),
    (
        {"teacher_unlabelled.file": "elsewhere/more.csv"},
        "teacher_unlabelled",
        ["must lie in data/raw/embedded/"],
    ),
    (
        {"teacher_unlabelled.file": "data/raw/embedded/seen.csv"},
        "teacher_unlabelled",
        ["teacher_unlabelled.file: no row is left", "in_t"],
    ),
    (
        {"teacher_unlabelled.file": "data/raw/embedded/url.csv"},
        "teacher_unlabelled",
        ["no column 'text'", "it has: url"],
    ),
    (
        {"teacher_unlabelled.file": 3},
        "teacher_unlabelled",
        ["teacher_unlabelled.file is 3", "must be a valid string"],
    ),
    (
        {"teacher_unlabelled.copies": -1},
        "teacher_unlabelled",
        ["copies is -1", "greater than or equal to 0"],
    ),
    (
        {"teacher_unlabelled.copies": 21},
        "teacher_unlabelled",
        ["copies is 21", "less than or equal to 20"],
    ),
    (
        {"teacher_unlabelled.copy": 1},
        "teacher_unlabelled",
        ["copy is unknown", "did you mean 'copies'"],
    ),
    (
        {"teacher_unlabelled": 1},
        "teacher_unlabelled",
        ["teacher_unlabelled is 1", "a block with the keys file, copies, seed"],
    ),
    (
        {"teacher_unlabelled.fil": MORE},
        "teacher_unlabelled",
        ["fil is unknown", "did you mean 'file'"],
    ),
    ({**COPIES}, "distill", ["data/unlabelled/texts.parquet is missing; `dvc repro` makes it"]),
]


def test_the_inside_of_the_teacher_is_something_to_learn_from(project: Path) -> None:
    """A student may learn rows without labels from white-box terms alone."""
    edit(project, {"distill.soft_weight": 0.0, "distill.hidden_weight": 1.0})
    terms = distill.Params.load(project).distill
    check_teacher_rows(terms, more_texts=True, stored_states=False)
    with pytest.raises(MinnowError, match=r"^teacher_states\.layers stores hidden states of the"):
        check_teacher_rows(terms, more_texts=True, stored_states=True)


def test_without_a_term_of_the_teachers_its_rows_are_refused(project: Path, run: Run) -> None:
    edit(project, {**COPIES, "distill.soft_weight": 0.0})
    teacher_states.main(project)
    teacher_unlabelled.main(project)
    words = ["distill.soft_weight is 0", "nothing to learn", "teacher_unlabelled.copies to 0"]
    refused(project, run, "distill", *words)


@pytest.mark.parametrize(("changes", "stage", "words"), REFUSED)
def test_refusals(
    project: Path, run: Run, changes: dict[str, Any], stage: str, words: list[str]
) -> None:
    train = read_table(Layout(project).split("train"))
    train.select("text").write_csv(project / "data/raw/embedded/seen.csv")
    (project / "data/raw/embedded/url.csv").write_text("url\na.com\n")
    edit(project, changes)
    refused(project, run, stage, *words)


def test_the_column_is_the_presets(tmp_path: Path) -> None:
    root = data_project(tmp_path, FILE)
    layout = Layout(root)
    for name, table in HELD.items():
        write_table(layout.split(name), table)
    write_table(layout.validation_extra, validation_extra.no_part().rows)
    (layout.raw("file") / "more.csv").write_text("url,text\nnew.com,old.com\n")
    params = teacher_unlabelled.Params.model_validate(
        {
            "preset": "file",
            "teacher_unlabelled": {"file": "data/raw/file/more.csv", "copies": 0, "seed": 0},
            "data": FILE,
            "runtime": {"device": "cpu", "precision": "float32", "threads": 1, "kernels": "native"},
        }
    )
    assert teacher_unlabelled.gathered(params, layout).rows["text"].to_list() == ["new.com"]


# --- Controls -------------------------------------------------------------------------------------


def controlled(project: Path, name: str) -> None:
    edit(project, {"controls": [name]})
    validate.main(project)
    control.main(project, name)


def test_the_control_without_teacher_has_no_rows_of_the_teachers(project: Path) -> None:
    edit(project, {**COPIES, "teacher_unlabelled.file": MORE})
    teacher_unlabelled.main(project)
    controlled(project, "no_teacher")
    run = definitions.read_control(Layout(project), "no_teacher")
    gone = {
        "distill.soft_weight": 0.0,
        "teacher_unlabelled.file": None,
        "teacher_unlabelled.copies": 0,
    }
    assert run.facts["changed"] == gone
    edit(
        project,
        {
            "teacher_unlabelled.copies": 0,
            "teacher_unlabelled.file": None,
            "distill.soft_weight": 0.0,
        },
    )
    student_of(project)
    control.predict_student(project)
    table = read_table(Layout(project).split("test"))
    wanted = read_logits(Layout(project).logits_of("student", "test"), table["id"].to_list())
    assert np.array_equal(run.logits["student"]["test"], wanted)


def test_the_control_with_a_random_split_labels_more_text_anew(
    project: Path, tmp_path: Path
) -> None:
    edit(project, {**COPIES, "teacher_unlabelled.file": MORE})
    controlled(project, "random_split")
    other = Path(shutil.copytree(project, tmp_path / "other"))
    edit(other, {"data.split": "random"}, "embedded")
    for stage in (prepare, teacher_module, teacher_logits):
        stage.main(other)
    student_of(other)
    control.predict_student(other)
    kept = Layout(project).control("random_split") / "student" / "test.parquet"
    assert kept.read_bytes() == Layout(other).logits_of("student", "test").read_bytes()


def test_it_runs_in_a_process_of_its_own(project: Path) -> None:
    shutil.copytree(
        ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    assert in_process_of_its_own(project, "teacher_unlabelled", PYTHONPATH="") == (0, "")
