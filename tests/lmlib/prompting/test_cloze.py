"""Words in a gap, scored by a masked model, against the peer library filling one mask after the other."""

from itertools import permutations

import pytest
import torch

from lmlib.prompting import Demonstration, Mask, Prompt, Template, Verbaliser, cloze_scores
from lmlib.prompting.cloze import gap
from tests.lmlib.models.parity import assert_close
from tests.lmlib.prompting import words
from tests.lmlib.prompting.words import masked_pair

MASK = Mask(1, "[MASK]")


def encode(text: str) -> list[int]:
    """[CLS] (0) the words, of which a mask is one, [SEP] (2)."""
    parts = text.split(MASK.text)
    ids = [words.encode(part.rstrip(" ")) for part in parts]  # a mask takes the space before it, as RoBERTa's does
    joined = ids[0]
    for part in ids[1:]:
        joined = [*joined, MASK.id, *part]
    return [0, *joined, 2]


SENTIMENT = Verbaliser({"no": (" bad", " so bad"), "yes": " very very good"})
PROMPT = Prompt(Template("{text} is{answer} film."), SENTIMENT)
EXAMPLES = [{"text": text} for text in ("The film", "so", "The very film is so good. The film", "The")]


def peer_fill(peer, ids: list[int], start: int, wanted: list[int]) -> float:
    """ln P of the wanted tokens: the surest is filled first, and so on; one text at a time."""
    ids, left, total = list(ids), {start + i: token for i, token in enumerate(wanted)}, 0.0
    while left:
        with torch.no_grad():
            log_p = peer(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        place = max(left, key=lambda i: float(log_p[i, left[i]]))
        ids[place] = left[place]
        total += float(log_p[place, left.pop(place)])
    return total


def test_scores_equal_the_peers_filled_one_by_one(seed: int, tmp_path):
    peer, model = masked_pair(seed, tmp_path)
    scores = cloze_scores(model, encode, MASK, PROMPT, EXAMPLES, batch_size=5)
    expected = []
    for example in EXAMPLES:
        before, after = encode(example["text"] + " is")[:-1], encode(" film.")[1:]
        tokens = [words.encode(word) for word in SENTIMENT.words]
        filled = [peer_fill(peer, [*before, *[MASK.id] * len(t), *after], len(before), t) for t in tokens]
        expected.append([float(torch.tensor(filled[:2]).logsumexp(0)), filled[2]])
    assert_close(scores, torch.tensor(expected))


def test_the_order_of_filling_matters_so_the_test_above_can_see_it(tmp_path):
    peer, _ = masked_pair(0, tmp_path)
    ids, wanted = [0, 3, MASK.id, MASK.id, MASK.id, 2], [5, 6, 7]
    log_p = []
    for order in permutations(range(3)):
        filled, total = list(ids), 0.0
        for i in order:
            with torch.no_grad():
                total += float(peer(torch.tensor([filled])).logits[0, 2 + i].log_softmax(-1)[wanted[i]])
            filled[2 + i] = wanted[i]
        log_p.append(total)
    assert max(log_p) - min(log_p) > 1e-3


def test_a_word_gets_as_many_masks_as_it_has_tokens():
    one = gap(encode, MASK, "The film is", " very very good", ".")
    assert one.ids.count(MASK.id) == 3
    assert words.decode(one.wanted) == " very very good"
    assert one.ids[: one.start] == encode("The film is")[:-1]


def test_single_words_of_an_example_are_scored_in_one_reading(tmp_path, monkeypatch):
    _, model = masked_pair(0, tmp_path)
    rows = []
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **batch: rows.append(len(batch["input_ids"])) or forward(**batch))
    verbaliser = Verbaliser({0: " bad", 1: " good", 2: " so"})
    cloze_scores(model, encode, MASK, Prompt(Template("{text}{answer}."), verbaliser), EXAMPLES[:2])
    assert rows == [2]


def test_demonstrations_stand_before_the_gap(seed: int, tmp_path):
    _, model = masked_pair(seed, tmp_path)
    shown = Prompt(PROMPT.template, SENTIMENT, [Demonstration({"text": "The"}, "no")], "\n")
    by_hand = Prompt(Template("The is bad film.\n{text} is{answer} film."), SENTIMENT)
    assert_close(*(cloze_scores(model, encode, MASK, one, EXAMPLES[:1]) for one in (shown, by_hand)))


def test_what_does_not_fit_is_refused_with_its_reason(tmp_path):
    _, model = masked_pair(0, tmp_path)
    alike = Prompt(PROMPT.template, Verbaliser({0: " actor", 1: " plot"}))
    cases = [
        (lambda: cloze_scores(model, encode, MASK, PROMPT, []), "no example to score"),
        (lambda: cloze_scores(model, encode, Mask(9), PROMPT, EXAMPLES), r"must be token 9 once .* it is so 0 times"),
        (lambda: cloze_scores(model, encode, MASK, PROMPT, [{"text": "[MASK]"}]), "it is so 2 times"),
        (lambda: cloze_scores(model, encode, MASK, alike, EXAMPLES), "' actor' and ' plot' the same tokens"),
        (lambda: gap(encode, MASK, "The", "film", "."), "the tokens of 'film' run into the text around it"),
        (lambda: cloze_scores(model.train(), encode, MASK, PROMPT, EXAMPLES), r"call model.eval\(\) first"),
    ]
    for call, message in cases:
        with pytest.raises(ValueError, match=message):
            call()


def test_a_model_without_scores_for_words_is_refused(tmp_path):
    from lmlib.models.bert import Bert, BertConfig

    sizes = {"vocab_size": 23, "d_model": 8, "n_layers": 1, "n_heads": 2, "d_ff": 8, "max_positions": 40}
    tagger = Bert(BertConfig(**sizes), head="classification").eval()
    with pytest.raises(ValueError, match=r"Bert \(head='classification'\) does not score the words"):
        cloze_scores(tagger, encode, MASK, PROMPT, EXAMPLES)
