"""Tokens of two tokenizers: matched by characters, by hand and as laws."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from conftest import TEXTS
from minnow.distill import alignment
from minnow.distill.alignment import Tokens, matrix, same_spans, tokens
from minnow.errors import MinnowError
from minnow.models import building
from minnow.models.batching import encode
from minnow.student import vocabularies

ROWS = torch.arange(len(TEXTS))


@pytest.fixture(scope="module")
def coarse() -> PreTrainedTokenizerBase:
    """A byte-level BPE of another vocabulary than the fixture `tokenizer`."""
    return building.train_tokenizer(TEXTS * 5, vocabulary=420, max_length=32)


def wordpiece(pieces: list[str], *, max_length: int = 32) -> PreTrainedTokenizerBase:
    """Return a lower-casing WordPiece of these pieces and BERT's special tokens."""
    vocabulary = {
        piece: number for number, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *pieces])
    }
    made = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))  # type: ignore[call-arg]
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=max_length,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def weights(student: Tokens, teacher: Tokens, rows: Tensor = ROWS) -> Tensor:
    return matrix(student.batch(rows), teacher.batch(rows))


def test_a_matrix_worked_by_hand() -> None:
    # "loginx": the student reads log + inx, the teacher login + x. Of the three characters of inx
    # two are login's.
    student = tokens(wordpiece(["log", "##inx"]), ["loginx"])
    teacher = tokens(wordpiece(["login", "##x"]), ["loginx"])
    assert student.spans.tolist() == [[-2, -1], [0, 3], [3, 6], [-4, -3]]
    assert teacher.spans.tolist() == [[-2, -1], [0, 5], [5, 6], [-4, -3]]
    torch.testing.assert_close(
        weights(student, teacher, torch.tensor([0])),
        torch.tensor([[[1, 0, 0, 0], [0, 1, 0, 0], [0, 2 / 3, 1 / 3, 0], [0, 0, 0, 1.0]]]),
    )
    torch.testing.assert_close(
        weights(teacher, student, torch.tensor([0])),
        torch.tensor([[[1, 0, 0, 0], [0, 3 / 5, 2 / 5, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]]),
    )


def test_characters_are_those_of_the_text_whatever_the_normalizer() -> None:
    lower = tokens(wordpiece(["login"]), ["LOGIN"])
    assert lower.spans.tolist() == [[-2, -1], [0, 5], [-4, -3]]


def test_rows_sum_to_1(tokenizer: PreTrainedTokenizerBase, coarse: PreTrainedTokenizerBase) -> None:
    fine, other = tokens(tokenizer, TEXTS), tokens(coarse, TEXTS)
    assert not same_spans(fine, other)
    for student, teacher in ((fine, other), (other, fine)):
        lengths = student.encoded.lengths
        sums = weights(student, teacher).sum(dim=-1)
        counterpart = sums > 0
        assert counterpart.sum() > 0.7 * lengths.sum()
        torch.testing.assert_close(sums[counterpart], torch.ones(int(counterpart.sum())))
        padding = torch.arange(int(lengths.max())) >= lengths[:, None]
        assert not bool(sums[padding].any())


def test_special_tokens_match_in_their_order(
    tokenizer: PreTrainedTokenizerBase, coarse: PreTrainedTokenizerBase
) -> None:
    student, teacher = tokens(tokenizer, TEXTS), tokens(coarse, TEXTS)
    found = weights(student, teacher)
    for row, (ours, theirs) in enumerate(
        zip(student.encoded.lengths, teacher.encoded.lengths, strict=True)
    ):
        for our_place, their_place in ((0, 0), (int(ours) - 1, int(theirs) - 1)):
            expected = torch.zeros(found.shape[2])
            expected[their_place] = 1
            assert torch.equal(found[row, our_place], expected)


def test_the_same_tokenization_is_the_identity(tokenizer: PreTrainedTokenizerBase) -> None:
    one, other = tokens(tokenizer, TEXTS), tokens(tokenizer, TEXTS)
    assert same_spans(one, other)
    for row, length in enumerate(one.encoded.lengths.tolist()):
        assert torch.equal(weights(one, other, torch.tensor([row]))[0], torch.eye(length))


def test_a_trimmed_vocabulary_that_cuts_alike_needs_no_matrix(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    used = TEXTS[1:3]
    smaller = vocabularies.new_vocabulary(tokenizer, used, method="trim", min_count=1, size=None)
    trimmed = vocabularies.retokenized(tokenizer, smaller)
    assert not torch.equal(encode(trimmed, used).ids, encode(tokenizer, used).ids)
    assert same_spans(tokens(trimmed, used), tokens(tokenizer, used))


def test_where_the_teacher_was_cut_off_there_is_no_counterpart() -> None:
    student = tokens(wordpiece(list("abcdef") + [f"##{c}" for c in "abcdef"]), ["abcdef"])
    teacher = tokens(
        wordpiece(list("abcdef") + [f"##{c}" for c in "abcdef"], max_length=5), ["abcdef"]
    )
    sums = weights(student, teacher, torch.tensor([0])).sum(dim=-1)
    # [CLS] a b c d e f [SEP] and [CLS] a b c [SEP]
    assert sums.tolist() == [[1, 1, 1, 1, 0, 0, 0, 1]]
    assert weights(student, teacher, torch.tensor([0]))[0, 7].tolist() == [0, 0, 0, 0, 1]


def test_bytes_of_one_character_share_what_stands_for_it(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    student, teacher = tokens(tokenizer, ["ü"]), tokens(wordpiece(["u"]), ["ü"])
    assert student.spans.tolist() == [[-2, -1], [0, 1], [0, 1], [-4, -3]]
    assert weights(student, teacher, torch.tensor([0]))[0, 1:-1].tolist() == [[0, 1, 0]] * 2


def test_batches_stand_for_their_rows(
    tokenizer: PreTrainedTokenizerBase, coarse: PreTrainedTokenizerBase
) -> None:
    student, teacher = tokens(tokenizer, TEXTS), tokens(coarse, TEXTS)
    both = weights(student, teacher, torch.tensor([2, 1]))
    alone = weights(student, teacher, torch.tensor([1]))[0]
    assert torch.equal(both[1, : alone.shape[0], : alone.shape[1]], alone)
    assert not bool(both[1, alone.shape[0] :].any())


def test_long_lists_are_tokenised_in_chunks(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tokens(tokenizer, TEXTS)
    monkeypatch.setattr(alignment, "ENCODE_CHUNK", 3)
    assert torch.equal(tokens(tokenizer, TEXTS).spans, whole.spans)


def test_a_tokenizer_without_spans_is_refused(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(
        MinnowError,
        match=r"does not tell which characters its tokens cover.*set their weights to 0",
    ):
        tokens(tokenizer, TEXTS)
