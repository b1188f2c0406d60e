"""InfoNCE equals the peer's loss and a sum worked by hand; SimCSE's pairs differ by dropout alone."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer import losses
from torch import nn

from lmlib.models.bert import Bert, BertConfig
from lmlib.models.sentence_encoder import SentenceEncoder
from lmlib.pretraining import Contrastive, info_nce
from lmlib.text.wordpiece import WordPiece
from tests.lmlib.models import parity
from tests.lmlib.pretraining.tiny import TOKENS, VOCABULARY, draw_text, framed, generator

WORDS = WordPiece({piece: i for i, piece in enumerate(["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"])})


def vectors(seed: int, n: int, k: int) -> list[torch.Tensor]:
    return list(torch.randn(k, n, 6, generator=generator(seed)))


def encoder(dropout: float) -> SentenceEncoder:
    torch.manual_seed(0)
    config = BertConfig(VOCABULARY, 16, 2, 2, 24, dropout=dropout, attention_dropout=dropout)
    return SentenceEncoder(Bert(config), WORDS, max_length=64)


@pytest.mark.parametrize("n_negatives", [0, 1, 3])
def test_the_loss_is_that_of_multiple_negatives_ranking(n_negatives, seed):
    texts = vectors(seed, 5, 2 + n_negatives)
    peer = losses.MultipleNegativesRankingLoss(nn.Identity(), scale=1 / 0.07)
    reference = peer.compute_loss_from_embeddings(texts, torch.empty(0))
    negatives = torch.cat(texts[2:]) if n_negatives else None
    parity.assert_close(info_nce(texts[0], texts[1], negatives, temperature=0.07), reference)


def test_the_loss_is_the_formula(seed):
    """In NumPy's float64, from equation 1 of Gao et al. 2021."""
    a, b = (x.double().numpy() for x in vectors(seed, 4, 2))
    cosines = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    e = np.exp(cosines / 0.2)
    expected = np.mean([-np.log(e[i, i] / e[i].sum()) for i in range(4)])
    assert float(info_nce(torch.tensor(a), torch.tensor(b), temperature=0.2)) == pytest.approx(expected, rel=1e-12)


def test_equal_vectors_everywhere_cost_the_logarithm_of_the_candidates():
    same = torch.ones(4, 3)
    assert float(info_nce(same, same)) == pytest.approx(np.log(4))
    assert float(info_nce(same, same, torch.ones(12, 3))) == pytest.approx(np.log(16))


def test_a_batch_holds_anchor_positive_and_negatives_side_by_side_and_its_loss_is_theirs(seed):
    g = generator(seed)
    examples = [tuple(framed(draw_text(n, g)) for n in lengths) for lengths in ((5, 8, 3), (4, 2, 9), (7, 7, 1))]
    objective, model = Contrastive(TOKENS, temperature=0.1), encoder(0.0).eval()
    batch = objective(examples)
    assert batch["input_ids"].shape == (3, 3, 11)
    alone = [torch.cat([model(*TOKENS.batch([text])) for text in texts]) for texts in zip(*examples, strict=True)]
    parity.assert_close(objective.loss(model, batch), info_nce(alone[0], alone[1], alone[2], 0.1))


def test_padding_has_no_part(seed):
    g = generator(seed)
    objective, model = Contrastive(TOKENS), encoder(0.0).eval()
    batch = objective([(framed(draw_text(n, g)), framed(draw_text(n + 2, g))) for n in (4, 6, 9)])
    ids, mask = (nn.functional.pad(batch[name], (0, 4)) for name in ("input_ids", "attention_mask"))
    longer = {"input_ids": ids.masked_fill(mask == 0, 11), "attention_mask": mask}
    parity.assert_close(objective.loss(model, longer), objective.loss(model, batch))


def test_a_text_and_itself_differ_by_dropout_alone(seed):
    texts = [framed(draw_text(8, generator(seed + i))) for i in range(4)]
    batch = Contrastive(TOKENS)([(text, text) for text in texts])
    for dropout, differ in ((0.0, False), (0.3, True)):
        model = encoder(dropout).train()
        a, b = model(batch["input_ids"].flatten(0, 1), batch["attention_mask"].flatten(0, 1)).view(4, 2, -1).unbind(1)
        assert (not torch.allclose(a, b, atol=1e-5)) == differ


def states(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A model that gives a vector for each token, (B, T, 2), where one for the text is wanted."""
    return torch.ones(*ids.shape, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda: info_nce(torch.ones(2, 3), torch.ones(3, 3)), r"must be \(B, C\) both; got \(2, 3\), \(3, 3\)"),
        (lambda: info_nce(torch.ones(2, 3), torch.ones(2, 3), temperature=0), "temperature must be above 0; got 0"),
        (lambda: info_nce(torch.ones(1, 3), torch.ones(1, 3)), "a pair alone has no negatives"),
        (lambda: Contrastive(TOKENS)([]), "got no example"),
        (lambda: Contrastive(TOKENS)([([7],)]), r"an anchor, a positive and perhaps negatives.*got \[1\]"),
        (lambda: Contrastive(TOKENS)([([7], [8]), ([7], [8], [9])]), r"as many in each of the batch; got \[2, 3\]"),
        (
            lambda: Contrastive(TOKENS).loss(states, Contrastive(TOKENS)([([7], [8])])),
            r"one vector a text, \(B, C\); got \(2, 1, 2\)",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_with_a_reason(given, message):
    with pytest.raises(ValueError, match=message):
        given()
