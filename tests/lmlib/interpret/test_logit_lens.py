"""The logit lens: the head of the peer on the hidden states of the peer, and the model's own logits at the end."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from lmlib.interpret.logit_lens import logit_lens, rank_of, top_tokens
from lmlib.models.gpt import Gpt, GptConfig
from lmlib.models.nanochat import NanoChat, NanoChatConfig
from tests.lmlib.decoding import tiny
from tests.lmlib.interpret import by_hand
from tests.lmlib.models.parity import assert_close, loaded, randomised


def ids_of(seed: int) -> torch.Tensor:
    return torch.randint(3, tiny.VOCAB, (2, 7), generator=torch.Generator().manual_seed(seed))


def tiny_bert(seed: int) -> Any:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    return randomised(BertForMaskedLM(BertConfig(vocab_size=tiny.VOCAB, **sizes)), seed)


def assert_lens_equals(lens: torch.Tensor, peer: Any, states: Any, read: Any) -> None:
    assert len(lens) == len(states)
    for ours, state in zip(lens[:-1], states[:-1], strict=True):
        assert_close(ours, read(state))


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_each_layer_of_a_causal_model_reads_as_with_the_peers_weights(kind: str, seed: int, tmp_path: Path) -> None:
    peer, ours = tiny.pair(kind, seed, tmp_path)
    norm = peer.transformer.ln_f if kind == "gpt2" else peer.model.norm
    out = peer(ids_of(seed), output_hidden_states=True)
    lens = logit_lens(ours, input_ids=ids_of(seed))
    assert_lens_equals(lens, peer, out.hidden_states, lambda state: peer.lm_head(norm(state)))
    assert_close(lens[-1], out.logits)


def test_each_layer_of_a_masked_model_reads_as_with_the_peers_weights(seed: int, tmp_path: Path) -> None:
    peer, ours = tiny_bert(seed), loaded(tiny_bert(seed), tmp_path)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    out = peer(ids_of(seed), attention_mask=mask, output_hidden_states=True)
    lens = logit_lens(ours, input_ids=ids_of(seed), attention_mask=mask)
    for ours_at, state in zip(lens, out.hidden_states, strict=True):
        assert_close(ours_at, peer.cls(state), where=mask)


def test_a_model_without_a_final_norm_is_read_as_it_is(seed: int) -> None:
    torch.manual_seed(seed)
    model = Gpt(GptConfig(tiny.VOCAB, 16, 2, 2, 16), "language_model").eval()
    out = model(ids_of(seed), inspect=True)
    lens = logit_lens(model, input_ids=ids_of(seed))
    assert torch.equal(lens[-1], out.logits)
    assert torch.equal(lens[0], out.hidden_states[0] @ model.word.weight.T)


def test_the_lens_shows_at_which_layer_a_copying_model_knows() -> None:
    text = torch.tensor([[by_hand.START, 3, 7, 5, 1, 2, 9, 3, 7]])  # 5 follows 7
    lens = logit_lens(by_hand.copying_model(), input_ids=text)[:, 0, -1]  # (L + 1, V)
    ids, probability = top_tokens(lens)
    assert ids.tolist() == [7, 7, 5]  # the token itself, until the induction head has written
    assert probability[-1] == pytest.approx(float(lens[-1].softmax(-1).max()))
    assert rank_of(lens, torch.tensor([5, 5, 5]))[-1] == 0
    assert rank_of(lens, torch.tensor([7, 7, 7])).tolist() == [0, 0, 1]


def test_a_model_without_a_head_over_the_vocabulary_is_refused(seed: int, tmp_path: Path) -> None:
    _, bart = tiny.pair("bart", seed, tmp_path)
    with pytest.raises(ValueError, match="got Bart with head="):
        logit_lens(bart, input_ids=ids_of(seed))
    with pytest.raises(ValueError, match="got Gpt with head=None"):
        logit_lens(Gpt(GptConfig(tiny.VOCAB, 16, 2, 2, 16)).eval(), input_ids=ids_of(seed))


def test_scores_of_every_layer_are_bent_as_those_of_the_model_are(seed: int) -> None:
    sizes = {"vocab_size": tiny.VOCAB, "d_model": 16, "n_layers": 2, "n_heads": 2, "d_ff": 24, "max_positions": 16}
    model = randomised(NanoChat(NanoChatConfig(**sizes, score_cap=0.5), "language_model"), seed)
    lens, out = logit_lens(model, input_ids=ids_of(seed)), model(ids_of(seed), inspect=True)
    assert lens.abs().max() <= 0.5
    assert_close(lens[0], model.scores(model.decoder.final_norm(out.hidden_states[0])))
