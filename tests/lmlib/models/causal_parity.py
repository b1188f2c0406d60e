"""What every decoder-only family must do, as one class of tests that a family's test file inherits."""

import copy
import random
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from lmlib.models import from_pretrained
from tests.lmlib.models.parity import (
    assert_close,
    assert_close_in_half,
    assert_other_family_named,
    assert_peer_reads_back,
    assert_sharded_loads,
    assert_strict,
    assert_tied_must_agree,
    loaded,
    padded_batch,
    randomised,
)

VOCAB = 61
POSITIONS = 24
LENGTHS = [9, 5, 1, 7]


class CausalParity:
    """Subclasses give the peer's classes, `peer_config`, and where its word embedding is stored."""

    PEERS: ClassVar[dict[str | None, Any]]  # head → class in transformers
    WORD: ClassVar[str]  # stored name of the word embedding, beside a head
    OTHER_FAMILY = "bert"
    PEER_HAS_CACHE = True
    COMMON: ClassVar[dict[str, Any]] = {
        "vocab_size": VOCAB,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "num_labels": 3,
    }

    def peer_config(self, draw: random.Random) -> Any:
        """A tiny configuration, other sizes at each seed."""
        raise NotImplementedError

    def build(self, seed: int, head: str | None = "language_model", **changes: Any) -> Any:
        """A peer with random weights that reports its attention weights."""
        config = self.peer_config(random.Random(seed))
        for name, value in changes.items():
            setattr(config, name, value)
        config._attn_implementation = "eager"
        return randomised(self.PEERS[head](config), seed)

    @pytest.fixture
    def peer(self, seed: int) -> Any:
        return self.build(seed)

    @pytest.fixture
    def ours(self, peer: Any, tmp_path: Path) -> Any:
        return loaded(peer, tmp_path / "peer")

    @pytest.fixture
    def ids(self, seed: int) -> Tensor:
        return torch.randint(3, VOCAB, (3, 11), generator=torch.Generator().manual_seed(seed))

    def test_logits_loss_states_and_weights_equal_the_peer(self, peer: Any, ours: Any, ids: Tensor) -> None:
        labels = ids.clone()
        labels[:, 4:6] = -100
        reference = peer(ids, labels=labels, output_hidden_states=True, output_attentions=True)
        out = ours(ids, labels=labels, inspect=True)
        assert_close(out.logits, reference.logits)
        assert_close(out.loss, reference.loss)
        assert_close(out.hidden_states, reference.hidden_states)
        assert_close(out.attentions, reference.attentions)
        assert_close(ours(ids).logits, reference.logits)  # the fused form
        assert_close(ours(ids, last_only=True).logits, reference.logits[:, -1:])

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padded_batch_equals_the_peer_at_real_positions(self, peer: Any, ours: Any, seed: int, side: str) -> None:
        ids, mask, positions = padded_batch(seed, VOCAB, LENGTHS, side)
        labels = ids.masked_fill(mask == 0, -100)
        reference = peer(ids, attention_mask=mask, position_ids=positions, labels=labels, output_hidden_states=True)
        out = ours(ids, attention_mask=mask, labels=labels, inspect=True)
        assert_close(out.logits, reference.logits, where=mask)
        assert_close(out.hidden_states, reference.hidden_states, where=mask)
        if (
            side == "right"
        ):  # on the left the peer's loss has the score of a padding position in it, as a label's source
            assert_close(out.loss, reference.loss)
        assert_close(ours(ids, attention_mask=mask).logits, reference.logits, where=mask)

    def test_cached_steps_equal_the_peer(self, peer: Any, ours: Any, seed: int) -> None:
        ids, mask, positions = padded_batch(seed, VOCAB, LENGTHS, "left")
        whole = peer(ids, attention_mask=mask, position_ids=positions).logits
        past, cache = DynamicCache(), ours.decoder.allocate_cache(len(ids), POSITIONS)
        for start, end in [(0, 5), (5, 6), (6, 9)]:
            reference = whole[:, start:end]
            if self.PEER_HAS_CACHE:
                given = {"attention_mask": mask[:, :end], "position_ids": positions[:, start:end]}
                reference = peer(ids[:, start:end], past_key_values=past, use_cache=True, **given).logits
            out = ours(ids[:, start:end], attention_mask=mask[:, :end], cache=cache)
            assert_close(out.logits, reference, where=mask[:, start:end])

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_classification_equals_the_peer(self, seed: int, tmp_path: Path, side: str) -> None:
        peer = self.build(seed, "classification")
        ours = loaded(peer, tmp_path / "peer")
        ids, mask, positions = padded_batch(seed, VOCAB, LENGTHS, side)
        labels = torch.tensor([0, 1, 2, 1])
        reference = peer(ids, attention_mask=mask, position_ids=positions, labels=labels)
        out = ours(ids, attention_mask=mask, labels=labels)
        assert_close(out.logits, reference.logits)
        assert_close(out.loss, reference.loss)
        if side == "right":
            assert_close(ours(ids).logits, peer(ids).logits)  # the padding token tells where a row ends
        assert_peer_reads_back(ours, peer, tmp_path / "ours")

    def test_model_without_a_head_gives_hidden_states(self, seed: int, ids: Tensor, tmp_path: Path) -> None:
        peer = self.build(seed, None)
        ours = loaded(peer, tmp_path / "peer")
        out = ours(ids)
        assert_close(out.last_hidden_state, peer(ids).last_hidden_state)
        assert out.logits is None
        assert_peer_reads_back(ours, peer, tmp_path / "ours")
        with pytest.raises(ValueError, match="without a head"):
            ours(ids, labels=ids)

    def test_bfloat16_stays_within_its_bound(self, peer: Any, ours: Any, ids: Tensor) -> None:
        half = copy.deepcopy(ours).bfloat16()
        rounded = copy.deepcopy(peer).bfloat16().float()
        assert_close_in_half(half(ids).logits, rounded(ids).logits)
        assert_close_in_half(half(ids, inspect=True).logits, rounded(ids).logits)

    def test_float16_stays_within_its_bound(self, peer: Any, ours: Any, seed: int) -> None:
        ids, mask, positions = padded_batch(seed, VOCAB, LENGTHS, "left")
        half = copy.deepcopy(ours).half()
        reference = copy.deepcopy(peer).half().float()(ids, attention_mask=mask, position_ids=positions).logits
        assert_close_in_half(half(ids, attention_mask=mask).logits, reference, where=mask)

    def test_gradients_equal_the_peer(self, peer: Any, ours: Any, ids: Tensor) -> None:
        peer(ids, labels=ids).loss.backward()
        ours(ids, labels=ids).loss.backward()
        assert_close(ours.word.weight.grad, peer.get_input_embeddings().weight.grad)

    def test_gradient_is_that_of_finite_differences(self, peer: Any, ids: Tensor, seed: int, tmp_path: Path) -> None:
        model = loaded(peer, tmp_path, activation="gelu").double()  # a difference across relu's kink is no gradient
        generator = torch.Generator().manual_seed(seed)
        names = [name for name, _ in model.named_parameters()]
        directions = {
            name: torch.randn(p.shape, generator=generator, dtype=torch.double) for name, p in model.named_parameters()
        }

        def loss(step: Tensor) -> Tensor:
            moved = {name: model.get_parameter(name).detach() + step * directions[name] for name in names}
            return torch.func.functional_call(model, moved, (ids,), {"labels": ids}).loss

        assert torch.autograd.gradcheck(loss, torch.zeros((), dtype=torch.double, requires_grad=True))

    def test_future_tokens_cannot_change_past_logits(self, ours: Any, ids: Tensor) -> None:
        changed = ids.clone()
        changed[:, 6:] = (changed[:, 6:] + 7) % VOCAB
        before, after = ours(ids).logits, ours(changed).logits
        assert_close(after[:, :6], before[:, :6])
        assert not torch.allclose(after[:, 6:], before[:, 6:])

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padded_batch_equals_one_by_one(self, ours: Any, seed: int, side: str) -> None:
        ids, mask, _ = padded_batch(seed, VOCAB, LENGTHS, side)
        logits = ours(ids, attention_mask=mask).logits
        for row, length in enumerate(LENGTHS):
            alone = ours(ids[row][mask[row].bool()][None]).logits[0]
            assert alone.size(0) == length
            assert_close(logits[row][mask[row].bool()], alone)

    def test_cached_equals_uncached_in_steps_of_any_size(self, ours: Any, ids: Tensor, seed: int) -> None:
        whole = ours(ids).logits
        draw, cache, start = random.Random(seed), ours.decoder.allocate_cache(len(ids), POSITIONS), 0
        while start < ids.size(1):
            end = min(start + draw.choice([1, 1, 2, 5]), ids.size(1))
            assert_close(ours(ids[:, start:end], cache=cache).logits, whole[:, start:end])
            start = end

    def test_peer_reads_back_every_weight(self, ours: Any, peer: Any, tmp_path: Path) -> None:
        assert_peer_reads_back(ours, peer, tmp_path / "ours")

    def test_output_matrix_of_its_own(self, seed: int, ids: Tensor, tmp_path: Path) -> None:
        peer = self.build(seed, tie_word_embeddings=False)
        ours = loaded(peer, tmp_path / "peer")
        assert_close(ours(ids).logits, peer(ids).logits)
        assert_peer_reads_back(ours, peer, tmp_path / "ours")

    def test_shared_output_matrix(self, seed: int, ids: Tensor, tmp_path: Path) -> None:
        peer = self.build(seed, tie_word_embeddings=True)
        ours = loaded(peer, tmp_path / "peer")
        assert_close(ours(ids).logits, peer(ids).logits)
        assert ours.output.weight is ours.word.weight
        assert_tied_must_agree(tmp_path / "peer", "lm_head.weight", self.WORD)

    def test_shards_load_the_same(self, peer: Any, ours: Any, tmp_path: Path) -> None:
        assert_sharded_loads(peer, tmp_path / "sharded", ours)

    def test_each_weight_is_accounted_for(self, ours: Any, tmp_path: Path, seed: int) -> None:
        assert_strict(tmp_path / "peer", seed)

    def test_another_family_is_refused_by_its_weights(self, ours: Any, tmp_path: Path) -> None:
        assert_other_family_named(tmp_path / "peer", self.OTHER_FAMILY)

    def test_new_head_starts_fresh_on_loaded_states(self, ours: Any, ids: Tensor, tmp_path: Path) -> None:
        fresh = from_pretrained(tmp_path / "peer", new_head="classification", n_labels=4)
        assert fresh(ids).logits.shape == (3, 4)
        assert torch.equal(fresh(ids).last_hidden_state, ours(ids).last_hidden_state)
