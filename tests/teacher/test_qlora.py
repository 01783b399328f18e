"""Teachers in 4 bits, and decoders as teachers: padding, the last token, and an ordinary model in
the end.
"""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from helpers.models import saved
from helpers.stage import TRAINING, edit, new_project
from helpers.training import FLOAT32, training_params
from minnow.data import validation_extra
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models import adapters, folders, pairing, pretrained
from minnow.models.batching import encode
from minnow.models.inference import predict_logits
from minnow.models.packed import float_copy, packed_layers
from minnow.models.pretrained import Checkpoint
from minnow.stages import distill, teacher, teacher_states, teacher_unlabelled
from minnow.student import layers
from minnow.teacher import qlora
from minnow.training import loop
from minnow.training.fitting import Tables, fit_tables
from minnow.training.objective import Job, Objective, Schedule
from minnow.training.targets import Loss, Targets, hard_loss

CPU = torch.device("cpu")
TEXTS = ["a.com", "b.org/login/" + "long/" * 30, "user/verify", "x"]
SHAPE: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def decoder(kind: str, **options: Any) -> Any:
    """Return a causal language model, as bases come; tied embeddings, and no padding token."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SHAPE, "pad_token_id": None, **options})
    return AutoModelForCausalLM.from_config(config)


@pytest.fixture(scope="module")
def cutter(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    """A decoder's tokenizer: nothing around a text, a token for its end, none for padding; cuts and
    pads in front.
    """
    from tokenizers import Tokenizer

    content = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    content.post_processor = None
    # The shared tokenizer remembers how it was last called.
    content.no_padding()
    content.no_truncation()
    return PreTrainedTokenizerFast(
        tokenizer_object=content, eos_token="[SEP]", padding_side="left", truncation_side="left"
    )


@pytest.fixture(params=["llama", "qwen2"])
def checkpoint(
    request: pytest.FixtureRequest, tmp_path: Path, cutter: PreTrainedTokenizerBase
) -> Checkpoint:
    return Checkpoint("tiny", saved(decoder(request.param), cutter, tmp_path / "base"))


def loaded(checkpoint: Checkpoint) -> tuple[Any, PreTrainedTokenizerBase]:
    tokenizer = pretrained.base_tokenizer(checkpoint, max_length=16)
    model = pretrained.load_classifier(checkpoint)
    pairing.agree_on_padding(model, tokenizer)
    return model.eval(), tokenizer


def test_a_decoder_is_padded_and_cut_at_the_end_of_a_text(checkpoint: Checkpoint) -> None:
    """With the token that ends a text, unless the tokenizer's class brings a padding token, as
    Qwen's does.
    """
    model, tokenizer = loaded(checkpoint)
    own = model.config.model_type == "qwen2"
    assert tokenizer.pad_token == ("<|endoftext|>" if own else tokenizer.eos_token)
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("right", "right")
    encoded = encode(tokenizer, TEXTS)
    assert int(encoded.lengths.max()) == 16
    long, whole = (
        encoded.ids[encoded.starts[1] :][:16],
        tokenizer(TEXTS[1], truncation=False)["input_ids"],
    )
    assert long.tolist() == whole[:16]


def test_a_padded_batch_gives_the_logits_of_single_rows(checkpoint: Checkpoint) -> None:
    model, tokenizer = loaded(checkpoint)
    encoded = encode(tokenizer, TEXTS)
    assert len(set(encoded.lengths.tolist())) > 2
    with torch.inference_mode():
        batch = model(**encoded.batch(torch.arange(4), CPU)).logits
        single = torch.cat(
            [model(**encoded.batch(torch.tensor([row]), CPU)).logits for row in range(4)]
        )
    torch.testing.assert_close(batch, single, atol=1e-5, rtol=1e-4)
    assert float(batch.std(dim=0).min()) > 1e-3, "rows differ, so that a wrong token would show"


def test_another_padding_in_the_config_gives_way_to_the_tokenizers(
    tmp_path: Path, cutter: PreTrainedTokenizerBase
) -> None:
    """As Llama 2's config says 0, the unknown token, which no batch is padded with."""
    checkpoint = Checkpoint(
        "tiny", saved(decoder("llama", pad_token_id=0), cutter, tmp_path / "base")
    )
    model, tokenizer = loaded(checkpoint)
    assert model.config.pad_token_id == tokenizer.pad_token_id != 0


def test_an_encoder_keeps_its_own_padding(tokenizer: PreTrainedTokenizerBase) -> None:
    from helpers.models import classifier

    model = classifier("roberta", layers=1, pad_token_id=1)
    pairing.agree_on_padding(model, tokenizer)
    assert model.config.pad_token_id == 1


TRAIN = pl.DataFrame(
    {
        "text": [f"site-{n}.org/{('account', 'login')[n % 2]}" for n in range(64)],
        "label": [0, 1] * 32,
    }
)


def fitted(
    checkpoint: Checkpoint, folder: Path, *, loss: Loss = hard_loss
) -> tuple[Any, PreTrainedTokenizerBase, pl.DataFrame]:
    tokenizer = pretrained.base_tokenizer(checkpoint, max_length=24)
    torch.manual_seed(0)
    model = qlora.load_nf4(checkpoint, device=CPU, rank=4, alpha=8.0)
    pairing.agree_on_padding(model, tokenizer)
    curve = fit_tables(
        model,
        tokenizer,
        Tables(TRAIN, TRAIN),
        Objective(loss),
        Schedule(training_params(epochs=6, batch_size=16, learning_rate=1e-2), 0),
        Job("test", FLOAT32, folder / "qlora.pt"),
    )
    return model, tokenizer, curve


def test_adapters_learn_over_frozen_4_bit_weights_and_merge_into_an_ordinary_model(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    fresh = float_copy(qlora.load_nf4(checkpoint, device=CPU, rank=4, alpha=8.0)).state_dict()
    model, tokenizer, curve = fitted(checkpoint, tmp_path)
    assert len(packed_layers(model)) == 2 * 7, "all linear layers of two blocks"
    assert curve["validation_f1"].max() > 0.9
    expected = predict_logits(model, encode(tokenizer, TRAIN["text"].to_list()), device=CPU)
    result = qlora.merged(model)
    for name, value in result.state_dict().items():
        linear, moved = name.endswith("_proj.weight"), not torch.equal(value, fresh[name])
        assert value.dtype == torch.float32
        assert moved == (linear or name == "score.weight"), name
    folders.save(result, tokenizer, tmp_path / "teacher")
    again = folders.load_model(tmp_path / "teacher")
    assert "quantization_config" not in again.config.to_dict()
    logits = predict_logits(again, encode(tokenizer, TRAIN["text"].to_list()), device=CPU)
    # 4-bit layers compute in bfloat16, the merged ones in float32
    assert float((logits - expected).abs().max()) < 0.1 * float(expected.std())
    assert torch.equal(logits.argmax(dim=1), expected.argmax(dim=1))


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("checkpoint", ["llama"], indirect=True)
def test_a_killed_training_goes_on_to_the_same_weights(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = qlora.merged(fitted(checkpoint, tmp_path / "whole")[0]).state_dict()
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    steps = iter(range(1000))

    def killed(logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        if next(steps) == 10:
            raise KilledError
        return hard_loss(logits, targets)

    with pytest.raises(KilledError):
        fitted(checkpoint, tmp_path / "killed", loss=killed)
    assert (tmp_path / "killed" / "qlora.pt").is_file()
    resumed = qlora.merged(fitted(checkpoint, tmp_path / "killed")[0]).state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_validation_leaves_the_packed_weights_alone(checkpoint: Checkpoint) -> None:
    """A CPU's kernel repacks them in eval mode and rounds their scales."""
    model = qlora.load_nf4(checkpoint, device=CPU, rank=4, alpha=8.0)
    before = float_copy(model).state_dict()
    tokenizer = pretrained.base_tokenizer(checkpoint, max_length=16)
    predict_logits(model, encode(tokenizer, TEXTS[:1]), device=CPU)
    assert all(
        torch.equal(value, before[name]) for name, value in float_copy(model).state_dict().items()
    )


def test_layers_that_nf4_cannot_hold_stay_float_and_are_adapted(
    tmp_path: Path, cutter: PreTrainedTokenizerBase
) -> None:
    base = saved(decoder("llama", intermediate_size=80), cutter, tmp_path / "base")
    checkpoint = Checkpoint("tiny", base)
    heads, ragged, packed = qlora.layers(checkpoint)
    assert heads == ["score"]
    assert {name.split(".")[-1] for name in ragged} == {"gate_proj", "up_proj", "down_proj"}
    model = qlora.load_nf4(checkpoint, device=CPU, rank=2, alpha=2.0)
    assert {adapters.plain_name(f"{name}.") for name in packed_layers(model)} == {
        f"{name}." for name in packed
    }
    assert set(adapters.layer_adapters(model)) == {*ragged, *packed}


def test_layers_of_another_kind_are_refused(
    tmp_path: Path, cutter: PreTrainedTokenizerBase
) -> None:
    """GPT-2's are not linear ones but convolutions of length 1."""
    model = decoder("gpt2", n_embd=64, n_layer=1, n_head=4, bos_token_id=0, eos_token_id=0)
    checkpoint = Checkpoint("tiny", saved(model, cutter, tmp_path / "base"))
    with pytest.raises(
        MinnowError, match=r"tiny \(GPT2ForSequenceClassification\) has no linear layers that qlora"
    ):
        qlora.load_nf4(checkpoint, device=CPU, rank=4, alpha=8.0)


def test_a_layer_of_a_decoder_makes_a_student(checkpoint: Checkpoint) -> None:
    model, tokenizer = loaded(checkpoint)
    student = layers.shrink(model, layers=1, heads=None, copy_layers=None, dropout=None)
    assert student.config.num_hidden_layers == 1
    assert predict_logits(student, encode(tokenizer, TEXTS), device=CPU).shape == (4, 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "qlora"}, "method 'qlora' needs lora"),
        ({"lora": {"rank": 4, "alpha": 8.0}}, "method 'full' has no lora: set it to null"),
        ({"method": "qlora", "lora": {"rank": 0, "alpha": 8.0}}, "lora.rank is 0"),
    ],
)
def test_lora_goes_with_qlora(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    root = new_project(tmp_path, "file")
    edit(root, {f"teacher.{name}": value for name, value in changes.items()}, "file")
    with pytest.raises(MinnowError, match=words):
        teacher.Params.load(root)


def test_the_stages_make_an_ordinary_teacher_and_distil_from_it(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from minnow.core.tables import write_logits, write_table

    root = new_project(tmp_path / "project", "file")
    checkpoint.folder.rename(root / "data/base/file/tiny")
    wanted = {
        "runtime": {"device": "cpu", "precision": "float32", "threads": 1, "kernels": "native"},
        "teacher.method": "qlora",
        "teacher.lora": {"rank": 4, "alpha": 8.0},
        "teacher.base": "data/base/file/tiny",
        "teacher.revision": None,
        "teacher.max_length": 24,
        "teacher.training": TRAINING,
        "student.layers": 1,
        "student.max_length": 24,
        "student.training": TRAINING,
    }
    edit(root, wanted, "file")
    layout = Layout(root)
    ids = [f"{row:04}" for row in range(TRAIN.height)]
    for split in ("train", "validation"):
        write_table(layout.split(split), TRAIN.with_columns(pl.Series("id", ids)))
    write_table(layout.validation_extra, validation_extra.no_part().rows)
    teacher.main(root)
    model = folders.load_model(layout.model("teacher"))
    assert "quantization_config" not in model.config.to_dict()
    logits = predict_logits(
        model,
        encode(folders.load_tokenizer(layout.model("teacher")), TRAIN["text"].to_list()),
        device=CPU,
    )
    write_logits(layout.logits_of("teacher", "train"), ids, logits.numpy())
    teacher_states.main(root)
    teacher_unlabelled.main(root)
    distill.main(root)
    assert folders.load_config(layout.model("student")).num_hidden_layers == 1
