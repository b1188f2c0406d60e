"""Which tokens are masked and what becomes of them, as distributions; whole words; causal labels; bad input."""

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats
from tokenizers import Tokenizer, models
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from lmlib.data.batching import Loader
from lmlib.data.world import make
from lmlib.pretraining import Causal, Masked, SpecialTokens, Words
from tests.lmlib.pretraining.tiny import FIRST, LAST, TOKENS, VOCABULARY, draw_text, framed, generator

ALPHA = 1e-6
KINDS = ("not chosen", "mask", "random", "kept")


def fates(batch: dict[str, torch.Tensor], ids: torch.Tensor) -> list[int]:
    """How many text tokens were not chosen, masked, replaced, kept."""
    text = TOKENS.is_text(ids)
    chosen, now = batch["labels"] != -100, batch["input_ids"]
    masked, same = now == TOKENS.mask, now == ids
    parts = (~chosen, chosen & masked, chosen & ~masked & ~same, chosen & same)
    return [int((part & text).sum()) for part in parts]


def peer_tokenizer() -> PreTrainedTokenizerFast:
    pieces = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]", *(f"w{i}" for i in range(5, VOCABULARY))]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", **names)


def texts(n: int, length: int, seed: int) -> torch.Tensor:
    """(n, length + 2) random text in special tokens."""
    ids = torch.randint(FIRST, LAST + 1, (n, length), generator=generator(seed))
    return torch.tensor([framed(row) for row in ids.tolist()])


def test_15_percent_are_chosen_of_which_80_10_10(seed):
    ids = texts(300, 100, seed)
    counts = fates(Masked(TOKENS, generator=generator(seed))(ids.tolist()), ids)
    by_chance = 0.1 / (LAST - FIRST + 1)  # a random token is the original one
    shares = np.array([0.85, 0.15 * 0.8, 0.15 * (0.1 - by_chance), 0.15 * (0.1 + by_chance)])
    assert stats.chisquare(counts, shares * sum(counts)).pvalue > ALPHA


def test_the_peer_draws_from_the_same_distribution(seed):
    ids = texts(300, 100, seed)
    ours = fates(Masked(TOKENS, generator=generator(seed))(ids.tolist()), ids)
    collate = DataCollatorForLanguageModeling(peer_tokenizer(), seed=seed % 2**31)
    theirs = fates(collate([{"input_ids": row} for row in ids.tolist()]), ids)
    assert stats.chi2_contingency([ours, theirs]).pvalue > ALPHA


def test_special_tokens_and_padding_are_never_chosen_nor_drawn(seed):
    rows = [framed(draw_text(n, generator(seed))) for n in (30, 12, 5)]
    rows[0][7] = 4  # unknown word
    batch = Masked(TOKENS, rate=1.0, mask_share=0.0, random_share=1.0, generator=generator(seed))(rows)
    assert (batch["labels"] != -100).sum() == 29 + 12 + 5
    assert TOKENS.is_text(batch["input_ids"][batch["labels"] != -100]).all()
    originals = TOKENS.batch(rows)[0]
    assert torch.equal(batch["input_ids"][batch["labels"] == -100], originals[batch["labels"] == -100])


def word_lengths(seed: int, n_rows: int) -> list[list[int]]:
    return torch.randint(1, 5, (n_rows, 20), generator=generator(seed)).tolist()


def words_of(lengths: list[int]) -> Words:
    """A text whose words have so many pieces each."""
    pieces = iter(range(10_000))
    words = [[FIRST + next(pieces) % (LAST - FIRST) for _ in range(n)] for n in lengths]
    return Words.encode(map(str, range(len(words))), lambda word: words[int(word)]).between(1, 2)


def test_all_pieces_of_a_word_are_chosen_or_none_each_word_as_likely_whatever_its_length(seed):
    lengths = word_lengths(seed, 400)
    batch = Masked(TOKENS, generator=generator(seed))([words_of(row) for row in lengths])
    counts = Counter()
    for row, of_row in enumerate(lengths):
        pieces = (batch["labels"][row] != -100)[1:].split([*of_row, batch["labels"].size(1) - 1 - sum(of_row)])
        for n, chosen in zip(of_row, pieces[:-1], strict=True):
            assert chosen.all() or not chosen.any()
            counts[n, bool(chosen.any())] += 1
    for n in (1, 2, 3, 4):
        hits, misses = counts[n, True], counts[n, False]
        assert stats.binomtest(hits, hits + misses, 0.15).pvalue > ALPHA


def test_the_peer_chooses_whole_words_as_often(seed):
    """The peer masks all that it chooses; so do we here. Words of one to four pieces, counted by length."""
    lengths = word_lengths(seed, 200)
    words = [words_of(row) for row in lengths]
    ours = Masked(TOKENS, mask_share=1.0, random_share=0.0, generator=generator(seed))(words)
    collate = DataCollatorForLanguageModeling(
        peer_tokenizer(), whole_word_mask=True, mask_replace_prob=1.0, random_replace_prob=0.0, seed=seed
    )
    features = []
    for of_row, text in zip(lengths, words, strict=True):
        starts = np.cumsum([0, *of_row])[:-1] + np.arange(len(of_row))  # a gap between words
        offsets = [(int(s) + i, int(s) + i + 1) for s, n in zip(starts, of_row, strict=True) for i in range(n)]
        special = [1] + [0] * len(offsets) + [1]
        features.append(
            {"input_ids": text.ids, "special_tokens_mask": special, "offset_mapping": [(0, 0), *offsets, (0, 0)]}
        )
    # the peer cannot pad offsets: one row at a time
    rows = [collate([feature]) for feature in features]
    table = [[0, 0], [0, 0]]
    for row, of_row in enumerate(lengths):
        first = np.cumsum([1, *of_row])[:-1]  # the first piece of each word
        for side, labels in enumerate((ours["labels"][row], rows[row]["labels"][0])):
            hits = int((labels[first] != -100).sum())
            table[side][0] += hits
            table[side][1] += len(of_row) - hits
    assert stats.chi2_contingency(table).pvalue > ALPHA


def test_chinese_words_of_several_characters_are_masked_whole():
    sentence = make(seed=0).stories(1, "train", "zh")[0].sentences[0]
    characters = {c: FIRST + i for i, c in enumerate(dict.fromkeys("".join(sentence.words)))}
    words = Words.encode(sentence.words, lambda word: [characters[c] for c in word])
    assert len(words.ids) > len(sentence.words)
    batch = Masked(SpecialTokens(100, pad=0, mask=3), rate=0.5, generator=generator(1))([words] * 50)
    numbers = torch.tensor(words.numbers)
    for chosen in batch["labels"] != -100:
        of_word = [chosen[numbers == number] for number in set(words.numbers)]
        assert all(part.all() or not part.any() for part in of_word)


def test_a_batch_in_which_nothing_was_chosen_is_drawn_again(seed):
    masked = Masked(TOKENS, rate=0.01, generator=generator(seed))
    assert all((masked([[1, 9, 2]])["labels"] != -100).sum() == 1 for _ in range(5))


def test_a_resumed_loader_gives_the_same_masks(seed):
    examples = [framed(draw_text(20, generator(seed + i))) for i in range(12)]
    loader, resumed = (Loader(examples, 3, Masked(TOKENS), seed=seed) for _ in range(2))
    for _ in range(5):
        next(loader)
    resumed.load_state_dict(loader.state_dict())
    for _ in range(4):
        one, other = next(loader), next(resumed)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_causal_labels_are_the_text_with_its_end_and_without_padding():
    batch = Causal(TOKENS)([[1, 8, 9, 2], [1, 7]])
    assert batch["input_ids"].tolist() == [[1, 8, 9, 2], [1, 7, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert batch["labels"].tolist() == [[1, 8, 9, 2], [1, 7, -100, -100]]


def test_padding_with_the_end_token_still_leaves_the_real_end_to_be_learned():
    """GPT-2 has no padding token of its own."""
    batch = Causal(SpecialTokens(20, pad=2, end=2))([[8, 9, 2], [7, 2]])
    assert batch["labels"].tolist() == [[8, 9, 2], [7, 2, -100]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Masked(SpecialTokens(9, pad=0)), "needs a mask token, and this tokenizer has none: .* mask="),
        (lambda: Masked(TOKENS, rate=0.0), "rate is a share above 0 and at most 1; got 0.0"),
        (lambda: Masked(TOKENS, rate=1.5), "rate is a share above 0 and at most 1; got 1.5"),
        (lambda: Masked(TOKENS, mask_share=0.8, random_share=0.3), "together at most 1; got 0.8 and 0.3"),
        (lambda: Masked(TOKENS, mask_share=-0.1), "together at most 1; got -0.1"),
        (lambda: Masked(TOKENS)([]), "at least one sequence"),
        (lambda: Masked(TOKENS)([[1, 8], []]), "each at least one token"),
        (lambda: Masked(TOKENS)([[1, 2], [1, 4, 2]]), "no token of the batch can be masked: all are special"),
        (lambda: Masked(TOKENS)([[1, 60, 2]]), r"token ids must lie in 0..59; got 1..60. Another tokenizer's\?"),
        (lambda: Masked(TOKENS)([Words([8, 9], [0])]), "a number for each token; got 2 ids, 1 numbers"),
        (lambda: Causal(TOKENS)([[1, 8], [7]]), "at least 2 tokens, one to predict the other from; got 1"),
        (lambda: Causal(TOKENS)([]), "at least one sequence"),
        (lambda: SpecialTokens(5, pad=0, mask=5), r"special tokens must lie in 0..4; got 5"),
        (lambda: SpecialTokens(2, pad=0, mask=1), "all 2 tokens are special; none is left for text"),
    ],
)
def test_bad_input_is_refused_with_a_reason(given, message):
    with pytest.raises(ValueError, match=message):
        given()
