"""Smaller vocabularies: the same pieces, nothing unknown that was not, and embeddings that belong
to them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from helpers.models import classifier, saved
from helpers.paths import SRC
from helpers.stage import edit, new_project
from minnow.core.files import check_manifest, read_json
from minnow.core.tables import read_table
from minnow.data import synthetic
from minnow.errors import MinnowError
from minnow.layout import Layout
from minnow.models import building, folders
from minnow.models.batching import encode
from minnow.models.inference import predict_logits
from minnow.stages import (
    distill,
    predict,
    prepare,
    quantize,
    recover,
    teacher,
    teacher_logits,
    teacher_states,
    teacher_unlabelled,
)
from minnow.student import adoption, vocabularies

TEXTS = synthetic.generate(300, seed=1)[0]
OTHER = synthetic.generate(300, seed=2)[0]
FEW = TEXTS[:60]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
MARKS = "./:-_?=&%@#~+é☃п"
BERT = ["[PAD]", "[unused]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    "login",
    "log",
    "##in",
    "##out",
    "pay",
    "##pal",
    "secure",
    "account",
    "##s",
    "example",
    "verify",
    "##update",
]
WORDS += [
    "com",
    "net",
    "www",
    "ac",
    "##count",
    "##ount",
    "co",
    "##m",
    "bank",
    "##ing",
    "xylophone",
    "##zzz",
]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
KINDS = ("wordpiece", "bert_processing", "byte_level", "roberta", "outside")


def wordpiece(vocabulary: list[str], special: list[str] = BERT) -> Tokenizer:
    """Return a lower-casing WordPiece as BERT has it, its special tokens not all in front."""
    tokenizer = Tokenizer(
        models.WordPiece({piece: n for n, piece in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in special if token != "[unused]"])
    return tokenizer


def bert(*, template: bool = True) -> PreTrainedTokenizerBase:
    characters = dict.fromkeys([*LETTERS, *MARKS, *(f"##{character}" for character in LETTERS)])
    tokenizer = wordpiece(
        [
            *BERT[:2],
            *WORDS[:5],
            *BERT[2:],
            *characters,
            *(w for w in WORDS[5:] if w not in characters),
        ]
    )
    cls, sep = ((name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = (
        processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[cls, sep]
        )
        if template
        else processors.BertProcessing(sep, cls)
    )
    tokenizer.enable_truncation(20)
    tokenizer.enable_padding(length=20)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=32, **building.SPECIAL_TOKENS
    )


def roberta() -> PreTrainedTokenizerBase:
    """Return a byte-level BPE whose mask stands last and takes the blank before it along."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=ROBERTA, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([*TEXTS, *OTHER], trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    names = {
        "bos_token": "<s>",
        "cls_token": "<s>",
        "eos_token": "</s>",
        "sep_token": "</s>",
        "pad_token": "<pad>",
    }
    names |= {"unk_token": "<unk>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32, **names)


def outside() -> PreTrainedTokenizerBase:
    """Return a byte-level BPE with tokens, special and not, that its model's vocabulary does not
    know.
    """
    tokenizer = byte_level()
    tokenizer.add_tokens(["<never>", "login", "<rare>"])
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra>"]})
    return tokenizer


def byte_level() -> PreTrainedTokenizerBase:
    return building.train_tokenizer([*TEXTS, *OTHER], vocabulary=600, max_length=32)


def made(kind: str) -> PreTrainedTokenizerBase:
    if kind == "bert_processing":
        return bert(template=False)
    makers = {"wordpiece": bert, "byte_level": byte_level, "roberta": roberta, "outside": outside}
    return makers[kind]()


@pytest.fixture(scope="module")
def tokenizers_of_all_kinds() -> dict[str, PreTrainedTokenizerBase]:
    return {kind: made(kind) for kind in KINDS}


@pytest.fixture(params=KINDS)
def old(
    request: pytest.FixtureRequest, tokenizers_of_all_kinds: dict[str, PreTrainedTokenizerBase]
) -> Any:
    return tokenizers_of_all_kinds[request.param]


def trim(
    old: PreTrainedTokenizerBase, texts: list[str], min_count: int = 1
) -> vocabularies.Vocabulary:
    return vocabularies.new_vocabulary(old, texts, method="trim", min_count=min_count, size=None)


def train(
    old: PreTrainedTokenizerBase, texts: list[str], size: int = 400
) -> vocabularies.Vocabulary:
    return vocabularies.new_vocabulary(old, texts, method="train", min_count=None, size=size)


def pieces(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[str]]:
    """Return each text's tokens, those around it too, nothing cut."""
    rows = tokenizer(texts, truncation=False, padding=False)["input_ids"]
    return [tokenizer.convert_ids_to_tokens(ids) for ids in rows]


def backend(text: str) -> PreTrainedTokenizerBase:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text))


# --- Trim -----------------------------------------------------------------------------------------


def test_the_texts_own_pieces_stay_the_same(old: PreTrainedTokenizerBase) -> None:
    new = vocabularies.retokenized(old, trim(old, FEW))
    assert pieces(new, FEW) == pieces(old, FEW)
    used = {token for row in pieces(old, FEW) for token in row}
    assert used <= new.get_vocab().keys() < old.get_vocab().keys()


@pytest.mark.parametrize("min_count", [1, 2, 20, 10**6])
def test_nothing_becomes_unknown_that_was_not(old: PreTrainedTokenizerBase, min_count: int) -> None:
    new = vocabularies.retokenized(old, trim(old, FEW, min_count))
    draw, alphabet = Random(min_count), LETTERS + "ABCÀ ./-_?☃漢"
    random = ["".join(draw.choices(alphabet, k=draw.randint(1, 30))) for _ in range(300)]
    random += [
        "".join(draw.choices([word.removeprefix("##") for word in WORDS], k=4)) for _ in range(300)
    ]
    unknown = old.unk_token
    for text, before, after in zip(
        [*OTHER, *random],
        pieces(old, [*OTHER, *random]),
        pieces(new, [*OTHER, *random]),
        strict=True,
    ):
        assert after.count(unknown) <= before.count(unknown), text
        if "##in" not in old.get_vocab():
            ids = new(text, truncation=False)["input_ids"]
            assert new.decode(ids, skip_special_tokens=True) == old.decode(
                old(text, truncation=False)["input_ids"], skip_special_tokens=True
            )
    assert any(unknown in row for row in pieces(old, random)) == ("##in" in old.get_vocab()), (
        "some were unknown before"
    )


def test_ids_are_without_gaps_and_keep_their_order(old: PreTrainedTokenizerBase) -> None:
    vocabulary = trim(old, TEXTS, 3)
    new, before = vocabularies.retokenized(old, vocabulary), old.get_vocab()
    ids = new.get_vocab()
    assert sorted(ids.values()) == list(range(len(new))) == list(range(len(vocabulary.sources)))
    assert [list(source) for source in vocabulary.sources] == [
        [before[t]] for t in sorted(ids, key=ids.__getitem__)
    ]
    assert vocabulary.sources == sorted(vocabulary.sources)


def test_a_token_must_be_used_often_enough() -> None:
    old, texts = bert(), ["login login logout", "xylophone", "LOGIN pay.pay"]
    kept = {
        n: set(vocabularies.retokenized(old, trim(old, texts, n)).get_vocab()) for n in (1, 2, 3, 4)
    }
    assert {"login", "pay", "log", "##out", "xylophone"} <= kept[1]
    assert kept[1] - kept[2] == {"log", "##out", "xylophone"}
    assert kept[2] - kept[3] == {"pay"}
    assert kept[3] - kept[4] == {"login"}
    assert {"account", "##in", "##zzz", "[unused]"}.isdisjoint(kept[1])
    assert {*LETTERS, *MARKS, *(f"##{letter}" for letter in LETTERS)} <= kept[4]
    rare = vocabularies.retokenized(old, trim(old, texts, 2))
    assert rare.tokenize("logout login") == ["l", "##o", "##g", "##o", "##u", "##t", "login"]


def test_texts_are_counted_beyond_where_they_are_cut() -> None:
    """The saved tokenizer cuts and pads by itself; a token behind the cut is used all the same."""
    old = bert()
    assert (
        "xylophone"
        in vocabularies.retokenized(old, trim(old, [". " * 50 + "xylophone"])).get_vocab()
    )


def merging(*merges: tuple[str, str], **options: Any) -> Tokenizer:
    pieces = dict.fromkeys(
        ["<unk>", *"abcdef", *("".join(pair) for pair in merges), *options.pop("whole", [])]
    )
    ids = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(ids, list(merges), unk_token="<unk>", **options))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def left(
    tokenizer: Tokenizer, texts: list[str], min_count: int = 1
) -> tuple[set[str], list[tuple[str, str]]]:
    """Return the pieces of more than one letter that trimming leaves, and the merges."""
    result = vocabularies.trimmed_vocabulary(
        tokenizer.to_str(), texts, special=["<unk>"], min_count=min_count
    )
    model = json.loads(result.tokenizer)["model"]
    return {piece for piece in model["vocab"] if len(piece) > 1} - {"<unk>"}, [
        (a, b) for a, b in model["merges"]
    ]


def test_pieces_that_merges_go_through_stay() -> None:
    tokenizer = merging(("a", "b"), ("d", "e"), ("ab", "c"), ("c", "d"), ("abc", "de"))
    assert tokenizer.encode("abc").tokens == ["abc"]
    assert left(tokenizer, ["abc"]) == ({"ab", "abc"}, [("a", "b"), ("ab", "c")])
    assert left(tokenizer, ["abcde"])[0] == {"ab", "abc", "de", "abcde"}
    assert left(tokenizer, ["abc", "abcde", "abcde"], 2)[0] == {"ab", "abc", "de", "abcde"}
    assert left(tokenizer, ["abc", "cd cd"], 2) == ({"cd"}, [("c", "d")])


def test_every_way_to_make_a_piece_stays() -> None:
    tokenizer = merging(("b", "c"), ("a", "bc"), ("a", "b"), ("ab", "c"), ("e", "f"))
    assert left(tokenizer, ["abc"]) == (
        {"ab", "bc", "abc"},
        [("b", "c"), ("a", "bc"), ("a", "b"), ("ab", "c")],
    )


def test_a_piece_taken_whole_stays_without_merges() -> None:
    tokenizer = merging(("a", "b"), ignore_merges=True, whole=["fed"])
    assert tokenizer.encode("fed").tokens == ["fed"]
    assert left(tokenizer, ["fed"]) == ({"fed"}, [])


@pytest.mark.parametrize("seed", range(5))
def test_random_merges_cut_the_texts_as_before(seed: int) -> None:
    draw, known, merges = Random(seed), [*"abcdef"], []
    for _ in range(60):
        merges.append((draw.choice(known), draw.choice(known)))
        known.append("".join(merges[-1]))
    tokenizer = merging(*dict.fromkeys(merges))
    texts = ["".join(draw.choices("abcdef", k=draw.randint(1, 12))) for _ in range(20)]
    result = vocabularies.trimmed_vocabulary(
        tokenizer.to_str(), texts, special=["<unk>"], min_count=1
    )
    new = Tokenizer.from_str(result.tokenizer)
    assert [new.encode(text).tokens for text in texts] == [
        tokenizer.encode(text).tokens for text in texts
    ]
    assert new.get_vocab_size() < tokenizer.get_vocab_size()


# --- Train ----------------------------------------------------------------------------------------


def test_a_new_vocabulary_has_its_size_and_knows_everything(old: PreTrainedTokenizerBase) -> None:
    vocabulary = train(old, TEXTS)
    new = vocabularies.retokenized(old, vocabulary)
    assert len(new) == len(vocabulary.sources) == 400
    texts = ["пример.рф/ÿ?q=%20&x=☃", "a b\tc", *OTHER]
    for text, ids in zip(texts, new(texts, truncation=False)["input_ids"], strict=True):
        assert new.unk_token_id not in ids
        normalizer = old.backend_tokenizer.normalizer
        wanted = text if normalizer is None else normalizer.normalize_str(text)
        assert (
            new.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False) == wanted
        )


def test_more_tokens_make_shorter_texts() -> None:
    old = bert()
    lengths = [
        sum(map(len, pieces(vocabularies.retokenized(old, train(old, TEXTS, n)), OTHER)))
        for n in (300, 400, 600)
    ]
    assert lengths == sorted(lengths, reverse=True)
    assert len(set(lengths)) == 3


def test_new_tokens_begin_as_the_former_pieces_of_their_text() -> None:
    old = bert()
    vocabulary = train(old, ["login loginx paypals"] * 9 + ["Verify-é"] * 9, 400)
    new, before = vocabularies.retokenized(old, vocabulary), old.get_vocab()
    begin = dict(
        zip(new.convert_ids_to_tokens(list(range(len(new)))), vocabulary.sources, strict=True)
    )
    assert begin["login"] == [before["login"]]
    assert begin["Ġpaypals"] == [before[piece] for piece in ("pay", "##pal", "##s")]
    assert begin["verify"] == [before["verify"]]
    assert "Verify" not in begin, "the normalizer stays"
    assert begin["Q"] == [before["q"]]
    assert begin["."] == [before["."]]
    assert begin["Ã"] == begin["Ġ"] == [before["[UNK]"]], (
        "half a character, and a blank, are no text"
    )
    assert begin["[CLS]"] == [before["[CLS]"]]


def test_new_tokens_of_a_byte_level_vocabulary_begin_as_the_very_bytes() -> None:
    old = roberta()
    vocabulary = train(old, OTHER, 450)
    new = vocabularies.retokenized(old, vocabulary)
    for number, source in enumerate(vocabulary.sources):
        assert "".join(old.convert_ids_to_tokens(list(source))) == new.convert_ids_to_tokens(number)
    assert max(map(len, vocabulary.sources)) > 1


def test_special_tokens_keep_their_place(old: PreTrainedTokenizerBase) -> None:
    for vocabulary in (trim(old, TEXTS), train(old, TEXTS)):
        new = vocabularies.retokenized(old, vocabulary)
        assert new.special_tokens_map == old.special_tokens_map
        for token in old.all_special_tokens:
            before, after = (each.convert_tokens_to_ids(token) for each in (old, new))
            assert vocabulary.special[before] == after
            assert list(vocabulary.sources[after]) == [before]
            assert new.decode([after], skip_special_tokens=True) == ""
        for texts in (TEXTS[:1], TEXTS[:2]):  # alone, and a pair
            before_row, after_row = (each(*texts)["input_ids"] for each in (old, new))
            assert (
                new.convert_ids_to_tokens(after_row[0])
                == old.convert_ids_to_tokens(before_row[0])
                == old.cls_token
            )
            assert (
                new.convert_ids_to_tokens(after_row[-1])
                == old.convert_ids_to_tokens(before_row[-1])
                == old.sep_token
            )


def test_a_mask_takes_the_blank_before_it_along_as_before() -> None:
    old = roberta()
    for vocabulary in (trim(old, TEXTS), train(old, TEXTS)):
        new = vocabularies.retokenized(old, vocabulary)
        assert (
            pieces(new, ["a <mask>b"])
            == pieces(old, ["a <mask>b"])
            == [["<s>", "a", "<mask>", "b", "</s>"]]
        )


def test_special_tokens_are_matched_as_before() -> None:
    """Their blanks, their words' ends and their letters' case are the former tokenizer's."""
    cutter = wordpiece([*BERT, *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abc")])
    cutter.add_special_tokens(
        [AddedToken("url", single_word=True, rstrip=True, normalized=True, special=True)]
    )
    vocabulary = train(backend(cutter.to_str()), TEXTS)
    entry = next(
        each
        for each in json.loads(vocabulary.tokenizer)["added_tokens"]
        if each["content"] == "url"
    )
    assert {key: value for key, value in entry.items() if key != "id"} == {
        "content": "url",
        "single_word": True,
        "lstrip": False,
        "rstrip": True,
        "normalized": True,
        "special": True,
    }


def test_tokens_are_counted_over_all_chunks_without_those_that_a_template_adds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabularies, "CHUNK", 2)
    old = bert()
    counts = vocabularies.token_counts(old.backend_tokenizer.to_str(), ["a b", "a", "a", "b", "a"])
    assert counts.shape == (len(old),)
    assert {old.convert_ids_to_tokens(int(n)): int(counts[n]) for n in counts.nonzero()[0]} == {
        "a": 4,
        "b": 2,
    }


def test_a_new_vocabulary_is_the_same_in_every_process() -> None:
    code = """
from minnow.data import synthetic
from minnow.models import building
from minnow.student import vocabularies
texts = synthetic.generate(300, seed=1)[0]
old = building.train_tokenizer(texts, vocabulary=300, max_length=32)
for method, min_count, size in (("trim", 2, None), ("train", None, 350)):
    made = vocabularies.new_vocabulary(old, texts, method=method, min_count=min_count, size=size)
    print(made.tokenizer, made.sources)
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(SRC), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10_000


# --- Round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [trim, train])
def test_round_trips_as_a_normal_folder(
    tmp_path: Path, old: PreTrainedTokenizerBase, change: Any
) -> None:
    new = vocabularies.retokenized(old, change(old, TEXTS))
    model = classifier("roberta" if "<pad>" in old.get_vocab() else "bert", vocab_size=len(new))
    folders.save(model, new, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.get_vocab() == new.get_vocab()
    for options in (
        {"truncation": False},
        {"truncation": True},
        {"truncation": True, "padding": True},
    ):
        assert loaded(OTHER, **options)["input_ids"] == new(OTHER, **options)["input_ids"]
    long = loaded(". " * 99, truncation=True)["input_ids"]
    assert (len(long), long[0], long[-1]) == (32, loaded.cls_token_id, loaded.sep_token_id)
    assert loaded.pad_token_id == new.convert_tokens_to_ids(old.pad_token)
    assert loaded.special_tokens_map == old.special_tokens_map
    assert (loaded.padding_side, loaded.model_input_names) == (
        old.padding_side,
        old.model_input_names,
    )
    # and `tokenizers` alone reads it
    plain = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    assert [plain.encode(text).ids for text in OTHER] == new(OTHER, truncation=False)["input_ids"]


# --- What is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokenizer", "said"),
    [
        (Tokenizer(models.Unigram([("a", -1.0)])), "is a Unigram of a kind"),
        (Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), "is a WordLevel of a kind"),
        (
            Tokenizer(models.BPE({"a": 0}, [])),
            "is a BPE of a kind whose vocabulary Minnow cannot change",
        ),
    ],
)
@pytest.mark.parametrize("change", [trim, train])
def test_other_kinds_are_refused(tokenizer: Tokenizer, said: str, change: Any) -> None:
    with pytest.raises(MinnowError, match=said) as caught:
        change(backend(tokenizer.to_str()), ["a"])
    assert "set student.vocabulary.method to keep" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_suffix_at_words_ends_is_refused() -> None:
    with pytest.raises(MinnowError, match="is a BPE of a kind"):
        trim(backend(merging(("a", "b"), end_of_word_suffix="</w>").to_str()), ["ab"])


@pytest.mark.parametrize(("piece", "missing"), [("ab", "##b"), ("ba", "b"), ("##ab", "##b")])
def test_a_wordpiece_without_single_characters_is_refused(piece: str, missing: str) -> None:
    """ "ab" is known and would be unknown without its piece, whatever else is there."""
    tokenizer = backend(wordpiece([*BERT, "a", "##a", piece]).to_str())
    with pytest.raises(MinnowError, match=f"lacks {missing} as a part of {piece}") as caught:
        trim(tokenizer, ["a"])
    assert str(caught.value).endswith("take keep or train")


def test_of_the_characters_that_lack_three_are_named() -> None:
    tokenizer = backend(wordpiece([*BERT, "a", "abcdef"]).to_str())
    with pytest.raises(MinnowError, match="lacks ##b, ##c, ##d and 2 more as a part of abcdef"):
        trim(tokenizer, ["a"])


def test_a_prefix_by_itself_is_characters_like_any_others() -> None:
    """ "##" is no continuation: it begins with "#", and goes on with "###"."""
    cutter = wordpiece([*BERT, "a", "#", "##"])
    cutter.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(MinnowError, match="lacks ### as a part of ##"):
        trim(backend(cutter.to_str()), ["a"])


def test_pieces_that_cannot_occur_need_no_single_characters() -> None:
    """BERT splits at brackets and lowers case: whatever stands in such pieces never makes a text
    known.
    """
    cutter = wordpiece([*BERT, "a", "##a", "[unused7]", "##A", "a.a"])
    assert set(
        vocabularies.retokenized(
            backend(cutter.to_str()), trim(backend(cutter.to_str()), ["a"])
        ).get_vocab()
    ) == {
        *BERT,
        "a",
        "##a",
        "##A",
    } - {"[unused]"}
    cutter.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    with pytest.raises(MinnowError, match="lacks"):
        trim(backend(cutter.to_str()), ["a"])


def test_a_tokenizer_without_json_is_refused() -> None:
    with pytest.raises(MinnowError, match=r"is a object, which has no tokenizer\.json"):
        trim(object(), ["a"])  # type: ignore[arg-type]


# --- Embeddings and models ------------------------------------------------------------------------


def test_embeddings_are_means_of_rows() -> None:
    rows = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    wanted = torch.tensor([[4.0, 40.0], [1.5, 15.0], [3.0, 30.0], [8 / 3, 80 / 3]])
    torch.testing.assert_close(
        adoption.mean_embeddings(rows, [[2], [0, 1], [1, 2], [0, 1, 2, 2, 2]][:3]), wanted[:3]
    )
    torch.testing.assert_close(
        adoption.mean_embeddings(rows, [[0, 2, 2, 2, 0, 2]]), torch.tensor([[3.0, 30.0]])
    )


def test_one_source_is_copied_bit_for_bit() -> None:
    rows = torch.randn(500, 33)
    order = torch.randperm(500)
    assert torch.equal(adoption.mean_embeddings(rows, [[int(row)] for row in order]), rows[order])


def scores(model: Any, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> Tensor:
    return predict_logits(model, encode(tokenizer, texts), device=torch.device("cpu"))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra", "modernbert"])
def test_a_model_with_fewer_tokens_says_the_same(kind: str) -> None:
    old = roberta() if kind == "roberta" else bert()
    model = classifier(kind, vocab_size=len(old) + 7, pad_token_id=old.pad_token_id)
    before, weights = scores(model, old, TEXTS), model.num_parameters()
    vocabulary = trim(old, TEXTS)
    new = vocabularies.retokenized(old, vocabulary)
    adoption.adopt(model, vocabulary)
    assert torch.equal(scores(model, new, TEXTS), before)
    assert before.std() > 0.01
    assert model.num_parameters() == weights - (len(old) + 7 - len(new)) * 64
    assert (model.config.vocab_size, model.config.pad_token_id) == (len(new), new.pad_token_id)


@pytest.mark.parametrize("change", [trim, train])
def test_a_config_gets_the_new_ids_of_special_tokens(change: Any) -> None:
    old = bert()
    ids = {f"{name}_token_id": getattr(old, f"{name}_token_id") for name in ("pad", "cls", "sep")}
    model = classifier(
        "modernbert",
        vocab_size=len(old),
        **ids,
        bos_token_id=None,
        eos_token_id=ids["sep_token_id"],
    )
    vocabulary = change(old, TEXTS)
    new = vocabularies.retokenized(old, vocabulary)
    adoption.adopt(model, vocabulary)
    config = model.config
    assert (config.pad_token_id, config.cls_token_id, config.sep_token_id) == (
        0,
        new.cls_token_id,
        new.sep_token_id,
    )
    assert (config.bos_token_id, config.eos_token_id) == (None, new.sep_token_id)
    assert new.sep_token_id != old.sep_token_id
    embedding: Any = model.get_input_embeddings()
    assert (embedding.num_embeddings, embedding.padding_idx) == (len(new), 0)


def test_a_model_that_counts_positions_from_padding_keeps_its_padding_or_is_refused() -> None:
    old = roberta()
    model = classifier("roberta", vocab_size=len(old), pad_token_id=old.pad_token_id)
    for change in (trim, train):
        adoption.adopt(model, change(old, TEXTS))
        assert model.config.pad_token_id == old.pad_token_id == 1
        old = vocabularies.retokenized(old, trim(old, TEXTS))
        model = classifier("roberta", vocab_size=len(old), pad_token_id=1)
    moved = bert()
    model = classifier("roberta", vocab_size=len(moved), pad_token_id=moved.mask_token_id)
    with pytest.raises(
        MinnowError,
        match="a 'roberta' model counts positions from the id of its padding token, 10, which",
    ):
        adoption.adopt(model, trim(moved, TEXTS))


# --- Through the stages ---------------------------------------------------------------------------

STUDENTS: dict[str, dict[str, Any]] = {
    "teacher": {},
    "checkpoint": {
        "student.init": "checkpoint",
        "student.base": "data/base/embedded/base",
        "student.architecture": None,
    },
    "scratch": {
        "student.init": "scratch",
        "student.layers": None,
        "student.architecture": None,
        "student.dropout": None,
        "student.build": {
            "architecture": "distilbert",
            "layers": 1,
            "heads": 2,
            "hidden_size": 64,
            "intermediate_size": 64,
            "dropout": 0.0,
        },
    },
}
WANTED = {
    "trim": {"method": "trim", "min_count": 20, "size": None},
    "trim the unused": {"method": "trim", "min_count": 1, "size": None},
    "train": {"method": "train", "min_count": None, "size": 320},
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a tiny teacher of 700 tokens, its logits, and a WordPiece base."""
    root = new_project(tmp_path_factory.mktemp("taught"))
    edit(root, {"teacher.vocabulary": 700}, "embedded")
    for stage in (prepare, teacher, teacher_logits, teacher_states, teacher_unlabelled):
        stage.main(root)
    base = bert()
    saved(
        classifier("bert", vocab_size=len(base), intermediate_size=64),
        base,
        root / "data/base/embedded/base",
    )
    return root


@pytest.mark.parametrize("method", WANTED)
@pytest.mark.parametrize("init", STUDENTS)
def test_a_student_with_a_smaller_vocabulary(taught: Path, init: str, method: str) -> None:
    """The stages share a project: each run writes its student anew."""
    params = (taught / "params.yaml").read_text()
    edit(taught, {"student.vocabulary": WANTED[method], **STUDENTS[init]}, "embedded")
    try:
        distill.main(taught)
        quantize.main(taught)
        recover.main(taught)
        for model in ("student", "quantized"):
            predict.main(taught, model)
    finally:
        (taught / "params.yaml").write_text(params)
    layout = Layout(taught)
    before = bert() if init == "checkpoint" else folders.load_tokenizer(layout.model("teacher"))
    for name in ("student", "quantized"):
        folder = layout.model(name)
        config = read_json(folder / "config.json")
        check_manifest(folder)
        tokenizer, model = folders.load_tokenizer(folder), folders.load_model(folder)
        embedding = model.get_input_embeddings()
        assert len(tokenizer) == config["vocab_size"] == len(embedding.weight)
        assert config["pad_token_id"] == tokenizer.pad_token_id == 0
        assert tokenizer.model_max_length == 16
        assert read_json(folder / "manifest.json")["parameters"] == folders.count_parameters(model)
        train_texts = read_table(layout.split("train"))["text"].to_list()
        if method == "train":
            assert len(tokenizer) == 320 != len(before)
        else:
            assert tokenizer.get_vocab().keys() <= before.get_vocab().keys()
            assert tokenizer.unk_token_id not in [
                i for row in tokenizer(train_texts)["input_ids"] for i in row
            ]
            same = [tokenizer.tokenize(text) == before.tokenize(text) for text in train_texts]
            if method == "trim":
                assert len(tokenizer) < len(before)
            else:
                assert all(same)
