"""XLNet equals its peer in both streams, with masks, memory and padding; the permutation objective is one."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from lmlib.models import from_pretrained
from lmlib.models.two_stream import permutation_masks
from lmlib.models.xlnet import Xlnet, XlnetConfig
from tests.lmlib.models import parity

LENGTHS = [7, 4, 2]
WITH_STATES = {"output_hidden_states": True, "output_attentions": True}
HEADS = {
    None: transformers.XLNetModel,
    "lm": transformers.XLNetLMHeadModel,
    "classification": transformers.XLNetForSequenceClassification,
    "tagging": transformers.XLNetForTokenClassification,
    "span": transformers.XLNetForQuestionAnsweringSimple,
}


def draw(seed: int, head: str | None, **changes: Any) -> Any:
    rng = random.Random(seed)
    n_heads = rng.choice([1, 2, 4])
    settings = {
        "vocab_size": rng.randint(20, 60),
        "n_head": n_heads,
        "d_model": n_heads * rng.choice([2, 4, 8]),
        "n_layer": rng.randint(1, 3),
        "d_inner": rng.randint(5, 40),
        "ff_activation": rng.choice(["gelu", "relu", "gelu_new"]),
        "clamp_len": rng.choice([-1, 3]),
        "mem_len": rng.choice([None, 0, 3, 20]),
        "reuse_len": rng.choice([None, 2]),
        "summary_type": rng.choice(["last", "first", "mean"]),
        "layer_norm_eps": rng.choice([1e-12, 1e-5]),
        "num_labels": 2 if head == "span" else rng.randint(2, 5),
    }
    return parity.randomised(HEADS[head](transformers.XLNetConfig(**(settings | changes))), seed)


def batch_of(peer: Any, seed: int, side: str = "left") -> dict[str, Tensor]:
    ids, mask, _ = parity.padded_batch(seed, peer.config.vocab_size, LENGTHS, side)
    segments = torch.randint(3, ids.shape, generator=torch.Generator().manual_seed(seed))
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}


def random_masks(mask: Tensor, seed: int, n_targets: int) -> dict[str, Tensor]:
    """perm_mask in which every query sees some real token, and a target_mapping of positions drawn with repetition."""
    generator = torch.Generator().manual_seed(seed)
    n_rows, length = mask.shape
    perm_mask = torch.rand(n_rows, length, length, generator=generator).round()
    for row in range(n_rows):
        perm_mask[row, :, mask[row].argmax()] = 0
    chosen = torch.randint(length, (n_rows, n_targets), generator=generator)
    return {"perm_mask": perm_mask, "target_mapping": torch.nn.functional.one_hot(chosen, length).float()}


def assert_streams_equal(out: Any, reference: Any) -> None:
    """Hidden states and weights of the content and the query stream."""
    parity.assert_close(out.hidden_states, list(reference.hidden_states[::2]))
    parity.assert_close(out.query_hidden_states, list(reference.hidden_states[1::2]))
    content, query = zip(*reference.attentions, strict=True)
    parity.assert_close(out.attentions, content)
    parity.assert_close(out.query_attentions, query)


@pytest.mark.parametrize("side", ["left", "right"])
def test_both_streams_equal_the_peer_under_random_masks(side: str, seed: int, tmp_path: Path) -> None:
    peer = draw(seed, "lm")
    ours = parity.loaded(peer, tmp_path)
    batch = batch_of(peer, seed, side)
    extra = random_masks(batch["attention_mask"], seed, 3)
    labels = torch.randint(peer.config.vocab_size, (3, 3), generator=torch.Generator().manual_seed(seed))
    labels[0, 0] = -100
    reference = peer(**batch, **extra, labels=labels, **WITH_STATES)
    out = ours(**batch, **extra, labels=labels, inspect=True)
    assert_streams_equal(out, reference)
    parity.assert_close(out.logits, reference.logits)
    parity.assert_close(out.loss, reference.loss)
    fused = ours(**batch, **extra)
    parity.assert_close(fused.logits, reference.logits)
    assert fused.hidden_states is fused.query_attentions is None


def test_memory_equals_the_peers_over_three_texts(seed: int, tmp_path: Path) -> None:
    for changes in ({"mem_len": 3}, {"mem_len": None}, {"mem_len": 5, "reuse_len": 2}, {"mem_len": 20}):
        peer = draw(seed, "lm", **changes)
        ours = parity.loaded(peer, tmp_path / str(changes))
        memory, mems = None, None
        for step in range(3):
            batch = batch_of(peer, seed + step)
            extra = random_masks(batch["attention_mask"], seed + step, 2)
            reference = peer(**batch, **extra, mems=mems, use_mems=True, **WITH_STATES)
            out = ours(**batch, **extra, memory=memory, keep_memory=True, inspect=True)
            mems, memory = reference.mems, out.memory
            assert_streams_equal(out, reference)
            parity.assert_close(out.logits, reference.logits)
            parity.assert_close([layer.transpose(0, 1) for layer in memory], list(mems))


def test_memory_itself_equals_the_peers(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, None, mem_len=4, reuse_len=None)
    ours = parity.loaded(peer, tmp_path)
    ids = torch.randint(peer.config.vocab_size, (2, 3, 3), generator=torch.Generator().manual_seed(seed))
    reference = peer(ids[0], use_mems=True)
    out = ours(ids[0], keep_memory=True)
    parity.assert_close([m.transpose(0, 1) for m in out.memory], list(reference.mems))
    reference, out = peer(ids[1], mems=reference.mems, use_mems=True), ours(ids[1], memory=out.memory, keep_memory=True)
    parity.assert_close([m.transpose(0, 1) for m in out.memory], list(reference.mems))
    assert not any(m.requires_grad for m in out.memory)
    parity.assert_close(out.last_hidden_state, reference.last_hidden_state)
    assert ours(ids[0]).memory is None


@pytest.mark.parametrize("kind", ["bi", "uni"])
def test_every_head_equals_the_peer(kind: str, seed: int, tmp_path: Path) -> None:
    for head, summary in [*((head, "last") for head in HEADS), ("classification", "first"), ("classification", "mean")]:
        peer = draw(seed, head, attn_type=kind, summary_type=summary)
        ours = parity.loaded(peer, tmp_path / f"{head} {summary}")
        assert ours.head == head
        row = random.Random(seed).randrange(3)  # the peer's one-way attention takes masks for one row only
        rows = slice(row, row + 1) if kind == "uni" else slice(0, 3)
        batch = {name: value[rows] for name, value in batch_of(peer, seed).items()}
        compare_head(ours, peer, batch, head, seed)


def compare_head(ours: Any, peer: Any, batch: dict[str, Tensor], head: str | None, seed: int) -> None:
    """Every output of both, at padding too: a token always sees itself, so there the peer has sense as well."""
    n_rows, length = batch["input_ids"].shape
    high = {"lm": peer.config.vocab_size, "span": length}.get(head or "", peer.config.num_labels)
    shape = {"classification": (n_rows,), "span": (n_rows, 2)}.get(head or "", (n_rows, length))
    labels = torch.randint(high, shape, generator=torch.Generator().manual_seed(seed))
    theirs = {} if head is None else {"labels": labels}
    if head == "span":
        theirs = {"start_positions": labels[:, 0], "end_positions": labels[:, 1]}
    reference = peer(**batch, **theirs, **WITH_STATES)
    out = ours(**batch, labels=None if head is None else labels, inspect=True)
    parity.assert_close(out.hidden_states, list(reference.hidden_states))
    parity.assert_close(out.attentions, list(reference.attentions))
    if head is None:
        parity.assert_close(out.last_hidden_state, reference.last_hidden_state)
        return
    parity.assert_close(out.loss, reference.loss)
    if head == "span":
        reference.logits = torch.stack([reference.start_logits, reference.end_logits], dim=-1)
    parity.assert_close(out.logits, reference.logits)


def test_the_two_masks_of_padding_are_each_others_opposite(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, None)
    ours = parity.loaded(peer, tmp_path)
    batch = batch_of(peer, seed)
    mask = batch.pop("attention_mask")
    reference = peer(**batch, input_mask=1 - mask).last_hidden_state
    parity.assert_close(ours(**batch, input_mask=1 - mask).last_hidden_state, reference, where=mask)
    parity.assert_close(ours(**batch, attention_mask=mask).last_hidden_state, reference, where=mask)
    with pytest.raises(ValueError, match="not both"):
        ours(**batch, attention_mask=mask, input_mask=1 - mask)


def test_what_we_save_the_peer_reads_back(seed: int, tmp_path: Path) -> None:
    for head in HEADS:
        peer = draw(seed, head)
        ours = parity.loaded(peer, tmp_path / "theirs" / str(head))
        parity.assert_peer_reads_back(ours, peer, tmp_path / "ours" / str(head))
        assert from_pretrained(tmp_path / "ours" / str(head)).config.to_peer() == ours.config.to_peer()


def test_weights_that_do_not_fit_are_named_and_shards_load(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, "lm")
    reference = parity.loaded(peer, tmp_path / "whole")
    parity.assert_sharded_loads(peer, tmp_path / "shards", reference)
    parity.assert_strict(tmp_path / "whole", seed, derived=("lm_loss.weight",))
    parity.assert_tied_must_agree(tmp_path / "whole", "lm_loss.weight", "transformer.word_embedding.weight")
    parity.assert_other_family_named(tmp_path / "whole", "bert")


def test_defaults_are_the_peers() -> None:
    peer, own = transformers.XLNetConfig().to_dict(), XlnetConfig().to_peer()
    assert own == {name: peer.get(name) for name in own} | {"id2label": own["id2label"]}


def test_bfloat16_stays_near_float32_and_float16_runs(seed: int, tmp_path: Path) -> None:
    peer = draw(seed, "lm").bfloat16().float()
    ours = parity.loaded(peer, tmp_path)
    batch = batch_of(peer, seed)
    extra = random_masks(batch["attention_mask"], seed, 2)
    reference = peer(**batch, **extra).logits
    parity.assert_close_in_half(ours.bfloat16()(**batch, **extra).logits, reference)
    assert ours.half()(**batch, **extra).logits.isfinite().all()


def tiny(seed: int, head: str | None = "lm", **changes: Any) -> Any:
    """Our own model, in float64, with weights large enough that everything matters."""
    config = XlnetConfig(**({"vocab_size": 11, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_ff": 9} | changes))
    return parity.randomised(Xlnet(config, head).double(), seed)


def test_a_padded_batch_equals_one_by_one(seed: int) -> None:
    ours = tiny(seed, None)
    for side in ("left", "right"):
        ids, mask, _ = parity.padded_batch(seed, 11, LENGTHS, side)
        together = ours(ids, mask).last_hidden_state
        for row, real in enumerate(mask.bool()):
            parity.assert_close(together[row : row + 1, real], ours(ids[row : row + 1, real]).last_hidden_state)


def test_a_text_in_two_parts_with_memory_equals_the_whole(seed: int) -> None:
    ours = tiny(seed, attention_type="uni", memory_length=None)
    ids = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(seed))
    whole = ours(ids).logits
    first = ours(ids[:, :4], keep_memory=True)
    second = ours(ids[:, 4:], memory=first.memory)
    parity.assert_close(torch.cat([first.logits, second.logits], dim=1), whole)


def test_a_target_is_blind_to_itself_and_to_what_comes_later_in_the_order(seed: int) -> None:
    ours = tiny(seed)
    generator = torch.Generator().manual_seed(seed)
    length = 6
    order = torch.randperm(length, generator=generator)[None]
    perm_mask, target_mapping = permutation_masks(order, 3)
    ids = torch.randint(11, (1, length), generator=generator)
    before = ours(ids, perm_mask=perm_mask, target_mapping=target_mapping).logits[0]
    for step in range(length):
        changed = ids.clone()
        changed[0, order[0, step]] = (ids[0, order[0, step]] + 1) % 11
        after = ours(changed, perm_mask=perm_mask, target_mapping=target_mapping).logits[0]
        same = (after == before).all(-1).tolist()
        assert same == [step >= target for target in range(length - 3, length)], f"step {step}: {same}"


def test_probabilities_over_any_order_sum_to_one_over_all_texts(seed: int) -> None:
    """Equation 1 holds in every order: a leak of a token into its own prediction would break the sum."""
    ours = tiny(seed, vocab_size=3)
    texts = torch.tensor(list(itertools.product(range(3), repeat=4)))  # (81, 4)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed)).expand(81, 4)
    perm_mask, target_mapping = permutation_masks(order, 4)
    log_p = ours(texts, perm_mask=perm_mask, target_mapping=target_mapping).logits.log_softmax(-1)  # (81, 4, 3)
    of_texts = log_p.gather(-1, texts.gather(1, order)[..., None]).sum((1, 2))
    assert torch.isclose(of_texts.exp().sum(), torch.tensor(1.0, dtype=torch.float64))


def test_the_first_of_an_order_sees_nothing_and_stays_finite(seed: int) -> None:
    ours = tiny(seed).train()
    perm_mask, target_mapping = permutation_masks(torch.tensor([[2, 0, 1]]), 3)
    out = ours(torch.tensor([[4, 5, 6]]), perm_mask=perm_mask, target_mapping=target_mapping, inspect=True)
    assert out.query_attentions[0][0, :, 2].eq(0).all()
    out.logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in ours.parameters())


def test_permutation_masks_of_a_small_order_worked_by_hand() -> None:
    perm_mask, target_mapping = permutation_masks(torch.tensor([[2, 0, 1]]), 2)
    # third, then first, then second position; rows look, columns are looked at, 1 is hidden
    assert perm_mask.int().tolist() == [[[1, 1, 0], [0, 1, 0], [1, 1, 1]]]
    assert target_mapping.tolist() == [[[1, 0, 0], [0, 1, 0]]]


def test_segments_are_relative(seed: int) -> None:
    """Only whether two tokens share a segment counts, not which it is."""
    ours = tiny(seed, None)
    ids = torch.tensor([[1, 2, 3, 4]])
    one = ours(ids, token_type_ids=torch.tensor([[0, 0, 1, 1]])).last_hidden_state
    assert torch.equal(one, ours(ids, token_type_ids=torch.tensor([[5, 5, 2, 2]])).last_hidden_state)
    assert not torch.allclose(one, ours(ids, token_type_ids=torch.tensor([[0, 1, 1, 1]])).last_hidden_state)


def test_gradients_agree_with_finite_differences(seed: int) -> None:
    ours = tiny(seed)
    perm_mask, target_mapping = permutation_masks(torch.tensor([[2, 0, 1, 3]]), 2)
    own = dict(ours.named_parameters())
    names = ["unseen", "blocks.0.attention.relative", "blocks.1.attention.segment_bias", "blocks.0.attention.segments"]

    def loss(*values: Tensor) -> Tensor:
        changed = dict(zip(names, values, strict=True))
        inputs = {
            "input_ids": torch.tensor([[4, 5, 6, 7]]),
            "token_type_ids": torch.tensor([[0, 0, 1, 1]]),
            "perm_mask": perm_mask,
            "target_mapping": target_mapping,
            "labels": torch.tensor([[4, 7]]),
        }
        return torch.func.functional_call(ours, changed, args=(), kwargs=inputs).loss

    assert torch.autograd.gradcheck(loss, [own[name].detach().requires_grad_() for name in names], fast_mode=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_ids": torch.full((2, 3), 99)}, "token ids must lie in"),
        ({"attention_mask": torch.ones(2, 4)}, r"attention_mask must be \(2, 3\)"),
        ({"token_type_ids": torch.zeros(2, 4)}, r"token_type_ids must be \(2, 3\); got \(2, 4\)"),
        ({"perm_mask": torch.zeros(2, 3)}, r"perm_mask must be \(2, 3, 3\); got \(2, 3\)"),
        ({"perm_mask": torch.full((2, 3, 3), -torch.inf)}, "perm_mask must hold 1 .* and 0"),
        ({"target_mapping": torch.zeros(2, 1, 4)}, r"target_mapping must be \(2, P, 3\); got \(2, 1, 4\)"),
        ({"target_mapping": torch.zeros(2, 0, 3)}, r"target_mapping must be \(2, P, 3\)"),
        ({"memory": [torch.zeros(2, 5, 8)]}, r"memory must be 2 tensors \(2, M, 8\); got \[\(2, 5, 8\)\]"),
        ({"memory": []}, "memory must be 2 tensors"),
        ({"labels": torch.zeros(2, 4).long()}, "labels must be"),
        ({"labels": torch.full((2, 3), 11)}, r"labels must lie in 0..10"),
    ],
)
def test_wrong_input_is_refused_with_a_reason(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(0)(**({"input_ids": torch.ones(2, 3).long()} | change))


def test_wrong_settings_are_refused_with_a_reason() -> None:
    with pytest.raises(ValueError, match=r"order must hold every position 0..2 once; got \[\[0, 0, 1\]\]"):
        permutation_masks(torch.tensor([[0, 0, 1]]), 1)
    with pytest.raises(ValueError, match=r"n_targets must lie in 1..3; got 4"):
        permutation_masks(torch.tensor([[0, 2, 1]]), 4)
    with pytest.raises(ValueError, match="attention_type must be one of bi, uni; got 'both'"):
        XlnetConfig(attention_type="both")
    with pytest.raises(ValueError, match="must be even and split into n_heads=2"):
        XlnetConfig(d_model=9, n_heads=2)
    with pytest.raises(ValueError, match="bi_data=False; the config asks for True"):
        XlnetConfig.from_peer({"bi_data": True})
    with pytest.raises(ValueError, match="whose head=None has none"):
        tiny(0, None)(torch.tensor([[1]]), labels=torch.tensor([[1]]))


def test_a_new_output_bias_is_zero_and_the_biases_of_attention_are_drawn() -> None:
    ours = Xlnet(XlnetConfig(vocab_size=11, d_model=8, n_layers=1, n_heads=2, d_ff=9), "lm")
    assert (ours.lm_bias == 0).all()
    assert ours.blocks[0].attention.content_bias.std() > 0
