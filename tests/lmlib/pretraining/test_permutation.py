"""Permutation: the orders, what is seen at each turn, and which positions are predicted."""

from collections import Counter

import pytest
import torch
from scipy import stats

from lmlib.pretraining import Permutation
from tests.lmlib.pretraining.tiny import TOKENS, draw_text, framed, generator

ALPHA = 1e-6


def test_a_sixth_of_the_text_is_predicted_and_never_a_special_token(seed):
    rows = [framed(draw_text(n, generator(seed))) for n in (30, 12, 2)]
    batch = Permutation(TOKENS, generator=generator(seed))(rows)
    assert (batch["labels"] != -100).sum(1).tolist() == [5, 2, 1]
    for row, ids in enumerate(rows):
        places = batch["target_mapping"][row].nonzero().tolist()
        assert len({place for _, place in places}) == len(places)
        for target, place in places:
            assert batch["labels"][row, target] == ids[place]
            assert TOKENS.is_text(torch.tensor(ids[place]))


def test_context_sees_itself_and_each_target_sees_the_context_and_earlier_targets(seed):
    batch = Permutation(TOKENS, k=3, generator=generator(seed))([framed(draw_text(12, generator(seed)))])
    seen = ~batch["perm_mask"][0].bool()
    targets = batch["target_mapping"][0].argmax(1).tolist()
    assert len(targets) == 4
    context = [i for i in range(14) if i not in targets]
    for turn, target in enumerate(targets):
        assert seen[target].nonzero().flatten().tolist() == sorted(context + targets[:turn])
    for position in context:
        assert seen[position].nonzero().flatten().tolist() == context


def test_every_order_of_the_targets_is_as_likely(seed):
    objective = Permutation(TOKENS, k=1.5, generator=generator(seed))
    counts: Counter = Counter()
    for _ in range(900):
        targets = objective([[1, 7, 8, 9, 2]])["target_mapping"][0].argmax(1)
        counts[tuple(targets.tolist())] += 1
    assert set(counts) == {(a, b) for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    assert stats.chisquare(list(counts.values())).pvalue > ALPHA


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: Permutation(TOKENS, k=0.5), "k must be at least 1; got 0.5"),
        (lambda: Permutation(TOKENS)([]), "at least one sequence"),
        (lambda: Permutation(TOKENS)([[1, 2]]), "a token to predict and another to predict it from; got 0 of text"),
        (lambda: Permutation(TOKENS)([[7]]), "and another to predict it from; got 1 of text"),
        (lambda: Permutation(TOKENS, k=1)([[7, 8], [7, 8, 2]]), "and another to predict it from; got 2 of text"),
    ],
)
def test_bad_input_is_refused_with_a_reason(given, message):
    with pytest.raises(ValueError, match=message):
        given()
