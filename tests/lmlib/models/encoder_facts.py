"""Facts that hold for every family of BERT's kind, each against its peer; a family's test class inherits them."""

import random
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lmlib.models import family_of, from_pretrained
from lmlib.models.base import CheckpointError
from tests.lmlib.models import parity

LENGTHS = [7, 4, 1]


def draw_labels(head: str | None, mask: Tensor, vocab_size: int, n_labels: int, seed: int) -> dict[str, Tensor]:
    """Labels for a batch with this mask; those of padding, and one more, are ignored."""
    generator = torch.Generator().manual_seed(seed)

    def draw(high: int, *shape: int) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    n_rows, length = mask.shape
    if head in ("pretraining", "masked_lm", "tagging"):
        labels = draw(n_labels if head == "tagging" else vocab_size, n_rows, length).masked_fill(mask == 0, -100)
        labels[0, mask[0].argmax()] = -100
        pair = {"pair_labels": draw(2, n_rows)} if head == "pretraining" else {}
        return {"labels": labels, **pair}
    if head == "span":
        return {"start_positions": draw(length, n_rows), "end_positions": draw(length, n_rows)}
    return {} if head is None else {"labels": draw(2 if head == "next_sentence" else n_labels, n_rows)}


class EncoderFacts:
    """A family sets the four names; `peer_config` draws a tiny configuration."""

    MODEL_TYPE: ClassVar[str]
    HEADS: ClassVar[dict[str | None, Any]]  # head → class of the peer
    PAIR_LABELS: ClassVar[str] = ""  # what the peer calls the labels of a sentence pair
    TIED: ClassVar[tuple[str, str]]  # stored name of the output matrix, and of its source

    def peer_config(self, rng: random.Random) -> Any:
        raise NotImplementedError

    def draw(self, seed: int, head: str | None) -> Any:
        config = self.peer_config(random.Random(seed))
        config._attn_implementation = "eager"
        if head == "span":
            config.num_labels = 2  # first and last position
        torch.manual_seed(seed)
        return parity.randomised(self.HEADS[head](config), seed)

    def batch(self, peer: Any, seed: int, side: str) -> dict[str, Tensor]:
        """Ids, mask, positions and segments for three texts of different lengths."""
        ids, mask, positions = parity.padded_batch(seed, peer.config.vocab_size, LENGTHS, side, low=2)
        segments = torch.randint(peer.config.type_vocab_size, ids.shape, generator=torch.Generator().manual_seed(seed))
        return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "token_type_ids": segments}

    def compare(self, ours: Any, peer: Any, batch: dict[str, Tensor], head: str | None, seed: int) -> None:
        """Every output of both, at real positions."""
        mask = batch["attention_mask"]
        labels = draw_labels(head, mask, peer.config.vocab_size, peer.config.num_labels, seed)
        theirs = {self.PAIR_LABELS if name == "pair_labels" else name: value for name, value in labels.items()}
        with torch.no_grad():
            reference = peer(**batch, **theirs, output_hidden_states=True, output_attentions=True)
            if head == "span":
                labels = {"labels": torch.stack([labels["start_positions"], labels["end_positions"]], dim=1)}
            elif head == "next_sentence":
                labels = {"pair_labels": labels["labels"]}
            out = ours(**batch, **labels, inspect=True)
        parity.assert_close(out.hidden_states, list(reference.hidden_states), where=mask)
        parity.assert_close(out.last_hidden_state, reference.hidden_states[-1], where=mask)
        rows = [weights.transpose(1, 2) for weights in out.attentions]  # (B, T, H, S): padded queries left out
        parity.assert_close(rows, [weights.transpose(1, 2) for weights in reference.attentions], where=mask)
        self.compare_head(out, reference, head, mask)

    def compare_head(self, out: Any, reference: Any, head: str | None, mask: Tensor) -> None:
        if head is None:
            parity.assert_close(out.pooled, reference.pooler_output)
            assert out.logits is None
            return
        parity.assert_close(out.loss, reference.loss)
        if head == "pretraining":
            parity.assert_close(out.logits, reference.prediction_logits, where=mask)
            pair = next(value for name, value in reference.items() if name.startswith(("seq_rel", "sop")))
            parity.assert_close(out.pair_logits, pair)
        elif head == "span":
            ends = torch.stack([reference.start_logits, reference.end_logits], dim=-1)
            parity.assert_close(out.logits, ends, where=mask)
        elif head == "next_sentence":
            parity.assert_close(out.pair_logits, reference.logits)
        else:
            parity.assert_close(out.logits, reference.logits, where=None if head == "classification" else mask)

    def test_every_head_equals_the_peer_with_padding_on_both_sides(self, seed: int, tmp_path: Path) -> None:
        for head in self.HEADS:
            peer = self.draw(seed, head)
            ours = parity.loaded(peer, tmp_path / str(head))
            assert ours.head == head
            for side in ("right", "left"):
                self.compare(ours, peer, self.batch(peer, seed, side), head, seed)

    def test_defaults_are_the_peers(self) -> None:
        """A key that config.json leaves out means the same to both."""
        peer = type(self.peer_config(random.Random(0)))().to_dict()
        own = family_of(self.MODEL_TYPE).config_class().to_peer()
        assert own == {name: peer.get(name) for name in own} | {"id2label": own["id2label"]}

    def test_ids_alone_equal_the_peer(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        ours = parity.loaded(peer, tmp_path)
        ids = self.batch(peer, seed, "right")["input_ids"][:1]
        parity.assert_close(ours(ids).last_hidden_state, peer(ids).last_hidden_state)

    def test_bfloat16_stays_near_float32_on_the_same_weights(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, "masked_lm").bfloat16().float()
        batch = self.batch(peer, seed, "right")
        ours = parity.loaded(peer, tmp_path).bfloat16()
        parity.assert_close_in_half(ours(**batch).logits, peer(**batch).logits, batch["attention_mask"])

    def test_float16_runs_and_is_finite(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        out = parity.loaded(peer, tmp_path).half()(**self.batch(peer, seed, "left"))
        assert out.last_hidden_state.dtype == torch.float16
        assert out.last_hidden_state.isfinite().all()

    def test_what_we_save_the_peer_reads_back(self, seed: int, tmp_path: Path) -> None:
        for head in self.HEADS:
            peer = self.draw(seed, head)
            ours = parity.loaded(peer, tmp_path / "theirs" / str(head))
            parity.assert_peer_reads_back(ours, peer, tmp_path / "ours" / str(head))
            again = from_pretrained(tmp_path / "ours" / str(head))
            assert again.config.to_peer() == ours.config.to_peer()

    def test_sharded_weights_load(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, "masked_lm")
        parity.assert_sharded_loads(peer, tmp_path / "shards", parity.loaded(peer, tmp_path / "whole"))

    def test_a_weight_that_does_not_fit_is_named(self, seed: int, tmp_path: Path) -> None:
        self.draw(seed, "masked_lm").save_pretrained(tmp_path)
        parity.assert_strict(tmp_path, seed, derived=(self.TIED[0],))
        parity.assert_tied_must_agree(tmp_path, *self.TIED)
        parity.assert_other_family_named(tmp_path, "bert" if self.MODEL_TYPE == "albert" else "albert")

    def test_an_unknown_architecture_is_refused_with_the_known_ones(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        peer.save_pretrained(tmp_path)
        config = (tmp_path / "config.json").read_text("utf-8")
        name = type(peer).__name__
        (tmp_path / "config.json").write_text(config.replace(f'"{name}"', '"SomethingElse"'), "utf-8")
        with pytest.raises(CheckpointError, match=rf"SomethingElse.*{name}.*new_head="):
            from_pretrained(tmp_path)

    def test_a_new_head_starts_fresh_on_the_loaded_backbone(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, "masked_lm")
        peer.save_pretrained(tmp_path)
        ours = from_pretrained(tmp_path, new_head="classification", n_labels=5)
        batch = self.batch(peer, seed, "right")
        reference = peer.base_model(**batch).last_hidden_state
        out = ours(**batch)
        parity.assert_close(out.last_hidden_state, reference, where=batch["attention_mask"])
        assert out.logits.shape == (len(LENGTHS), 5)
        ours.save_pretrained(tmp_path / "tuned")
        again = self.HEADS["classification"].from_pretrained(tmp_path / "tuned").eval()
        parity.assert_close(out.logits, again(**batch).logits)

    def test_every_head_can_be_new_on_a_backbone_without_a_pooler(self, seed: int, tmp_path: Path) -> None:
        self.draw(seed, "masked_lm").save_pretrained(tmp_path)
        for head in (head for head in self.HEADS if head is not None):
            ours = from_pretrained(tmp_path, new_head=head, n_labels=2)
            ours.save_pretrained(tmp_path / head)
            again = from_pretrained(tmp_path / head)
            assert again.head == head
            for (name, one), (_, other) in zip(again.named_parameters(), ours.named_parameters(), strict=True):
                assert torch.equal(one, other), name

    def test_a_padded_batch_equals_one_by_one(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, None)
        ours = parity.loaded(peer, tmp_path)
        for side in ("right", "left"):
            batch = self.batch(peer, seed, side)
            together = ours(**batch).last_hidden_state
            for row, real in enumerate(batch["attention_mask"].bool()):
                alone = {name: value[row : row + 1, real] for name, value in batch.items()}
                parity.assert_close(together[row : row + 1, real], ours(**alone).last_hidden_state)

    def test_gradients_agree_with_finite_differences(self, seed: int, tmp_path: Path) -> None:
        peer = self.draw(seed, "tagging")
        ours = parity.loaded(peer, tmp_path, activation="gelu").double()  # relu has a kink
        batch = self.batch(peer, seed, "right")
        labels = draw_labels("tagging", batch["attention_mask"], 0, peer.config.num_labels, seed)
        names = ["encoder.blocks.0.attention.qkv.weight", "embeddings.segment.weight", "label_head.bias"]
        own = dict(ours.named_parameters())
        for name in names:
            loss = ours(**batch, **labels).loss
            (gradient,) = torch.autograd.grad(loss, own[name])
            direction = torch.randn(own[name].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
            with torch.no_grad():
                own[name] += 1e-6 * direction
                above = ours(**batch, **labels).loss
                own[name] -= 2e-6 * direction
                below = ours(**batch, **labels).loss
                own[name] += 1e-6 * direction
            numeric = (above - below) / 2e-6
            assert torch.isclose((gradient * direction).sum(), numeric, rtol=1e-5, atol=1e-8), name

    def test_classification_losses_equal_the_peers_for_values_and_for_many_labels(
        self, seed: int, tmp_path: Path
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        for n_labels, labels in ((1, torch.randn(3, generator=generator)), (4, torch.rand(3, 4, generator=generator))):
            config = self.peer_config(random.Random(seed))
            config.num_labels = n_labels
            peer = parity.randomised(self.HEADS["classification"](config), seed)
            ours = parity.loaded(peer, tmp_path / str(n_labels))
            batch = self.batch(peer, seed, "right")
            parity.assert_close(ours(**batch, labels=labels).loss, peer(**batch, labels=labels).loss)

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"input_ids": torch.zeros(3, 0, dtype=torch.long)}, ValueError, "at least one token"),
            ({"input_ids": torch.full((3, 7), 999)}, ValueError, r"token ids must lie in 0..\d+; got 999..999"),
            ({"input_ids": torch.zeros(7, dtype=torch.long)}, ValueError, r"integers \(B, T\).*\(7,\)"),
            ({"input_ids": torch.zeros(3, 7)}, ValueError, "integers.*float32"),
            ({"input_ids": torch.zeros(3, 99, dtype=torch.long)}, ValueError, "99 tokens, .* truncate"),
            ({"attention_mask": torch.ones(3, 6)}, ValueError, r"attention_mask must be \(3, 7\).*\(3, 6\)"),
            ({"attention_mask": torch.full((3, 7), -torch.inf)}, ValueError, "1 at real tokens"),
            ({"token_type_ids": torch.full((3, 7), 9)}, ValueError, r"token_type_ids must lie in 0..\d; got 9..9"),
            (
                {"token_type_ids": torch.zeros(3, 6, dtype=torch.long)},
                ValueError,
                r"token_type_ids .*\(3, 7\).*\(3, 6\)",
            ),
            ({"position_ids": torch.full((3, 7), 99)}, ValueError, "position_ids must lie in"),
            ({"labels": torch.zeros(3, 6, dtype=torch.long)}, ValueError, r"labels must be .*\(3, 7\).*\(3, 6\)"),
            ({"labels": torch.full((3, 7), 999)}, ValueError, r"labels must lie in 0..\d, or be -100.*got 999..999"),
            ({"labels": torch.full((3, 7), -100)}, ValueError, "no label is left to learn from"),
            ({"labels": torch.zeros(3, 7)}, ValueError, "int64.*float32"),
        ],
    )
    def test_wrong_input_is_refused_with_a_reason(
        self, change: dict[str, Tensor], error: type[Exception], message: str
    ) -> None:
        peer = self.draw(0, "tagging")
        ours = family_of(self.MODEL_TYPE)(
            family_of(self.MODEL_TYPE).config_class.from_peer(peer.config.to_dict()), "tagging"
        )
        with pytest.raises(error, match=message):
            ours(**(self.batch(peer, 0, "right") | change))

    def test_labels_without_a_head_are_refused(self) -> None:
        config = family_of(self.MODEL_TYPE).config_class.from_peer(self.peer_config(random.Random(0)).to_dict())
        ours = family_of(self.MODEL_TYPE)(config)
        with pytest.raises(ValueError, match=r"labels were given to a .* whose head=None has none"):
            ours(torch.tensor([[2, 3]]), labels=torch.tensor([[1, 1]]))
        with pytest.raises(ValueError, match="has no head 'singing'; it has"):
            family_of(self.MODEL_TYPE)(config, "singing")

    def test_a_checkpoint_may_keep_a_pooler_that_its_head_does_not_use(self, seed: int, tmp_path: Path) -> None:
        self.draw(seed, "masked_lm").save_pretrained(tmp_path)
        backbone = self.draw(seed, None).state_dict()
        tensors = load_file(tmp_path / "model.safetensors")
        prefix = family_of(self.MODEL_TYPE).PREFIX
        poolers = {prefix + name: tensor for name, tensor in backbone.items() if name.startswith("pooler.")}
        assert poolers
        save_file(tensors | poolers, tmp_path / "model.safetensors", {"format": "pt"})
        for head in ("masked_lm", "tagging"):
            ours = from_pretrained(tmp_path, new_head=None if head == "masked_lm" else head)
            assert torch.equal(ours.pooler.weight, poolers[next(n for n in poolers if n.endswith("weight"))])
        first = sorted(poolers)[0]
        save_file(tensors | {first: poolers[first]}, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=rf"missing: {re.escape(sorted(poolers)[1])}"):
            from_pretrained(tmp_path)
