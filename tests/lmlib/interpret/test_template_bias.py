"""Template bias: scores by hand from models whose probabilities are known, and against the peer's masked model."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmlib.interpret.template_bias import causal_score, masked_score, preference, template_bias
from lmlib.models.bert import Bert, BertConfig
from lmlib.text.wordpiece import WordPiece

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "she", "he", "is", "a", "baker", "mill", "##er", "."]
TOKENIZER = WordPiece({word: i for i, word in enumerate(WORDS)})
TEMPLATE = "{target} is a {attribute}."
SHE, HE, BAKER, MILL = (WORDS.index(word) for word in ("she", "he", "baker", "mill"))
P_BAKER = {SHE: 0.6, HE: 0.1}  # what follows "a", by who stands at the start


def encode(text: str) -> list[int]:
    """Without [CLS] and [SEP]."""
    return TOKENIZER.encode(text)[1:-1]


class CausalTable(nn.Module):
    """After "a" comes "baker" or "mill" with a probability that depends on the first token; all else is as likely."""

    def forward(self, input_ids: Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, len(WORDS))
        for row, first in enumerate(input_ids[:, 0].tolist()):
            p = P_BAKER[first]
            after = torch.full((len(WORDS),), -math.inf)
            after[BAKER], after[MILL] = math.log(p), math.log(1 - p)
            logits[row, 2] = after
        return SimpleNamespace(logits=logits)


class MaskedTable(nn.Module):
    """[MASK] at the start is "she" with 0.8 where a baker is seen, 0.3 beside a miller, 0.5 where neither is."""

    def forward(self, input_ids: Tensor) -> Any:
        logits = torch.zeros(*input_ids.shape, len(WORDS)) - math.inf
        for row, ids in enumerate(input_ids.tolist()):
            p = 0.8 if BAKER in ids else 0.3 if MILL in ids else 0.5
            logits[row, :, SHE], logits[row, :, HE] = math.log(p), math.log(1 - p)
        return SimpleNamespace(logits=logits)


def test_causal_score_is_the_likelihood_of_the_attribute_and_the_rest() -> None:
    score = causal_score(CausalTable().eval(), encode)
    rest = -math.log(len(WORDS))  # each token after the first piece of the attribute
    assert score(TEMPLATE, "she", "baker") == pytest.approx(math.log(0.6) + rest, abs=1e-5)
    assert score(TEMPLATE, "he", "miller") == pytest.approx(math.log(0.9) + 2 * rest, abs=1e-5)


def test_masked_score_compares_the_target_with_its_prior() -> None:
    score = masked_score(MaskedTable().eval(), encode, "[MASK]")
    assert score(TEMPLATE, "she", "baker") == pytest.approx(math.log(0.8 / 0.5), abs=1e-5)
    assert score(TEMPLATE, "he", "miller") == pytest.approx(math.log(0.7 / 0.5), abs=1e-5)
    assert score("A {attribute} is {target}.", "he", "baker") == pytest.approx(math.log(0.2 / 0.5), abs=1e-5)


def test_masked_score_equals_two_calls_of_the_model_with_the_masks_put_by_hand(seed: int) -> None:
    torch.manual_seed(seed)
    config = BertConfig(len(WORDS), 8, 2, 2, 12, max_positions=16, initializer_std=0.5)
    model = Bert(config, "masked_lm").eval()
    seen = torch.tensor([[2, 4, 7, 8, 10, 11, 12, 3]])  # [CLS] [MASK] is a mill ##er . [SEP]
    hidden = torch.tensor([[2, 4, 7, 8, 4, 4, 12, 3]])
    with torch.no_grad():
        log_p, prior = (model(ids).logits[0, 1].log_softmax(-1)[HE] for ids in (seen, hidden))
    found = masked_score(model, TOKENIZER.encode, "[MASK]")(TEMPLATE, "he", "miller")
    assert found == pytest.approx(float(log_p - prior), abs=1e-5)


def test_preference_and_bias_by_hand() -> None:
    score = causal_score(CausalTable().eval(), encode)
    assert preference(score, [TEMPLATE], (["she"], ["he"]), "baker") == pytest.approx(math.log(6), abs=1e-4)
    table = {("she", "a"): 3.0, ("he", "a"): 1.0, ("she", "b"): 2.5, ("he", "b"): 1.5, ("she", "c"): 0.0}
    table |= {("he", "c"): 2.0, ("she", "d"): 1.0, ("he", "d"): 2.0}
    found = template_bias(
        lambda template, target, attribute: table[target, attribute],
        ["{target} {attribute}"],
        (["she"], ["he"]),
        (["a", "b"], ["c", "d"]),
    )
    assert found.difference == pytest.approx((2 + 1) / 2 - (-2 + -1) / 2)
    assert found.p == pytest.approx(1 / 6)


def test_exchanging_the_targets_turns_the_sign() -> None:
    score = masked_score(MaskedTable().eval(), encode, "[MASK]")
    one, other = (preference(score, [TEMPLATE], sides, "baker") for sides in ((["she"], ["he"]), (["he"], ["she"])))
    assert one == pytest.approx(-other)


def test_bad_input_is_named() -> None:
    masked, causal = masked_score(MaskedTable().eval(), encode, "[MASK]"), causal_score(CausalTable().eval(), encode)
    with pytest.raises(ValueError, match="the target 'miller' must be one token"):
        masked(TEMPLATE, "miller", "baker")
    with pytest.raises(ValueError, match=r"needs \{target\} and \{attribute\}, each once; got 'She is.'"):
        masked("She is.", "she", "baker")
    with pytest.raises(ValueError, match="the target must come first"):
        causal("A {attribute} is {target}.", "she", "baker")
    with pytest.raises(ValueError, match="a target on each side, are needed"):
        preference(causal, [TEMPLATE], (["she"], []), "baker")
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        masked_score(MaskedTable(), encode, "[MASK]")
