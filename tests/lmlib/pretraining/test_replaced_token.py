"""Replaced token detection equals the two models of the peer on the same batch; the generator's draws are its own."""

from collections import Counter

import numpy as np
import pytest
import torch
import transformers
from scipy import stats

from lmlib.models.bert import Bert, BertConfig
from lmlib.pretraining import GeneratorAndDiscriminator, ReplacedToken
from lmlib.pretraining.replaced_token import inverse_sample
from tests.lmlib.models import parity
from tests.lmlib.pretraining.tiny import SMALL, TOKENS, VOCABULARY, draw_text, framed, generator

ALPHA = 1e-6
WIDTHS = {"generator": 8, "discriminator": 16}


def peers(seed: int) -> tuple:
    """The peer's generator and discriminator."""
    found = []
    kinds = {"generator": transformers.ElectraForMaskedLM, "discriminator": transformers.ElectraForPreTraining}
    for side, kind in kinds.items():
        sizes = SMALL | {"hidden_size": WIDTHS[side], "embedding_size": WIDTHS[side]}
        torch.manual_seed(seed)
        found.append(parity.randomised(kind(transformers.ElectraConfig(vocab_size=VOCABULARY, **sizes)), seed))
    return tuple(found)


def bert(side: str, head: str | None) -> Bert:
    config = BertConfig(VOCABULARY, WIDTHS[side], n_layers=2, n_heads=2, d_ff=24)
    return Bert(config, head, pooler=False)


def ours_like(generator_peer, discriminator_peer) -> GeneratorAndDiscriminator:
    """Our two models with the peer's weights."""
    ours = GeneratorAndDiscriminator(bert("generator", "masked_lm"), bert("discriminator", None)).eval()
    names = {
        "electra.": "bert.",
        "generator_predictions.": "cls.predictions.transform.",
        "generator_lm_head.": "cls.predictions.decoder.",
    }
    stored = {}
    for name, tensor in generator_peer.state_dict().items():
        old = next(prefix for prefix in names if name.startswith(prefix))
        stored[names[old] + name.removeprefix(old)] = tensor
    stored["cls.predictions.bias"] = stored["cls.predictions.decoder.bias"]
    ours.generator.load_stored(stored)
    state = discriminator_peer.state_dict()
    backbone = {name.removeprefix("electra."): t for name, t in state.items() if name.startswith("electra.")}
    ours.discriminator.load_stored(backbone)
    head = discriminator_peer.discriminator_predictions
    ours.dense.load_state_dict(head.dense.state_dict())
    ours.replaced.load_state_dict(head.dense_prediction.state_dict())
    return ours


def batch_of(seed: int) -> dict[str, torch.Tensor]:
    rows = [framed(draw_text(n, generator(seed + n))) for n in (30, 12, 5)]
    return ReplacedToken(TOKENS, rate=0.4, generator=generator(seed))(rows)


@torch.no_grad()
def test_both_losses_are_the_peers(seed):
    writes, tells = peers(seed)
    out = ours_like(writes, tells)(**(batch := batch_of(seed)))
    masked = batch["labels"] != -100
    reference = writes(batch["input_ids"], attention_mask=batch["attention_mask"], labels=batch["labels"])
    parity.assert_close(out.generator_loss, reference.loss)
    originals = torch.where(masked, batch["labels"], batch["input_ids"])
    told = tells(out.corrupted, attention_mask=batch["attention_mask"], labels=(out.corrupted != originals).long())
    parity.assert_close(out.discriminator_loss, told.loss)
    parity.assert_close(out.logits, told.logits, where=batch["attention_mask"])
    parity.assert_close(out.loss, reference.loss + 50 * told.loss)


def test_only_masked_places_are_rewritten_and_a_lucky_draw_counts_as_original(seed):
    batch = batch_of(seed)
    model = ours_like(*peers(seed))
    masked = batch["labels"] != -100
    assert (batch["input_ids"][masked] == TOKENS.mask).all()
    with torch.no_grad():
        model.generator.masked_head.bias.fill_(-1e9)
        model.generator.masked_head.bias[int(batch["labels"][masked][0])] = 1e9  # it always writes this token
        out = model(**batch)
    assert torch.equal(out.corrupted[~masked], batch["input_ids"][~masked])
    assert (out.corrupted[masked] == batch["labels"][masked][0]).all()
    real = batch["attention_mask"].bool()
    replaced = masked & (batch["labels"] != batch["labels"][masked][0])
    by_hand = torch.nn.functional.softplus(torch.where(replaced, -out.logits, out.logits))[real].mean()
    parity.assert_close(out.discriminator_loss, by_hand)


def test_the_discriminator_teaches_the_generator_nothing(seed):
    """Drawn tokens carry no gradient: the generator learns from its own loss alone (section 2)."""
    model = ours_like(*peers(seed))
    model(**batch_of(seed)).discriminator_loss.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.generator.parameters())


def test_draws_follow_the_prediction_of_the_generator(seed):
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, -np.inf]])
    drawn = inverse_sample(logits.expand(4000, -1), torch.rand(4000, generator=generator(seed)))
    counts = Counter(drawn.tolist())
    assert set(counts) == {0, 1, 2, 3}
    expected = logits[0].double().softmax(-1).numpy()[:4] * 4000
    assert stats.chisquare([counts[i] for i in range(4)], expected).pvalue > ALPHA


def test_padding_has_no_part(seed):
    model, batch = ours_like(*peers(seed)), batch_of(seed)
    fill = {"input_ids": 9, "attention_mask": 0, "labels": -100, "draws": 0.7}
    longer = {name: torch.nn.functional.pad(t, (0, 3), value=fill[name]) for name, t in batch.items()}
    parity.assert_close(model(**longer).loss, model(**batch).loss)


def test_wrong_models_are_refused_with_a_reason():
    with pytest.raises(ValueError, match=r"head='masked_lm' and the discriminator head=None; got None and None"):
        GeneratorAndDiscriminator(bert("generator", None), bert("discriminator", None))
    other = Bert(BertConfig(VOCABULARY + 1, 16, 1, 2, 24))
    with pytest.raises(ValueError, match="one vocabulary; got 60 and 61 tokens"):
        GeneratorAndDiscriminator(bert("generator", "masked_lm"), other)
    with pytest.raises(ValueError, match="rate is a share above 0"):
        ReplacedToken(TOKENS, rate=0)([[1, 7, 2]])
