"""Recurrent language models against torch.nn.RNN and torch.nn.LSTM, weight for weight."""

import json
import random
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.recurrent import RecurrentConfig, RecurrentLM

PEERS = {"elman": nn.RNN, "lstm": nn.LSTM}


class Peer(nn.Module):
    """The same language model with torch's own recurrent layers."""

    def __init__(self, config: RecurrentConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.layers = PEERS[config.cell](config.d_model, config.d_model, config.n_layers, batch_first=True)
        self.output = nn.Linear(config.d_model, config.vocab_size)

    def forward(self, input_ids: Tensor, state=None):
        x, state = self.layers(self.embedding(input_ids), state)
        return self.output(x), state

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.state_dict(), folder / "model.safetensors")
        values = self.config.to_peer() | {"architectures": ["RecurrentLM"]}
        (folder / "config.json").write_text(json.dumps(values), "utf-8")


def drawn(seed: int, cell: str) -> tuple[Peer, Tensor]:
    """A tiny peer and token ids (B, T)."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    config = RecurrentConfig(draw.randint(5, 30), draw.randint(2, 12), draw.randint(1, 3), cell)
    return Peer(config), torch.randint(config.vocab_size, (draw.randint(2, 4), draw.randint(4, 9)))


def memory_of(state: Tensor | tuple[Tensor, Tensor]) -> list[Tensor]:
    """torch's (n_layers, B, C), one for each state, as our list over layers."""
    parts = state if isinstance(state, tuple) else (state,)
    return list(torch.stack(parts, dim=1))


def assert_close(ours: Tensor, reference: Tensor, bound: float = 1e-5) -> None:
    difference = (ours.float() - reference).abs().max()
    assert difference <= bound * (1 + reference.abs().max()), f"largest difference {difference:.2e}"


@pytest.fixture(params=["elman", "lstm"])
def pair(request, seed: int, tmp_path: Path) -> tuple[RecurrentLM, Peer, Tensor]:
    peer, ids = drawn(seed, request.param)
    peer.save_pretrained(tmp_path / "peer")
    return from_pretrained(tmp_path / "peer"), peer, ids


def test_logits_and_last_state_equal_those_of_torch(pair):
    ours, peer, ids = pair
    logits, state = peer(ids)
    out = ours(input_ids=ids)
    assert_close(out.logits, logits)
    for state_of_layer, reference in zip(out.memory, memory_of(state), strict=True):
        assert_close(state_of_layer, reference)


def test_the_gradients_equal_those_of_torch(pair):
    ours, peer, ids = pair
    ours(input_ids=ids).logits.square().mean().backward()
    peer(ids)[0].square().mean().backward()
    assert_close(ours.embedding.weight.grad, peer.embedding.weight.grad)
    assert_close(ours.layers[0].recurrent.weight.grad, peer.layers.weight_hh_l0.grad)


def test_bfloat16_stays_near_float32(pair):
    ours, peer, ids = pair
    assert_close(ours.bfloat16()(input_ids=ids).logits, peer.bfloat16().float()(ids)[0], bound=4e-2)


def test_float16_gives_finite_logits(pair):
    ours, _, ids = pair
    assert ours.half()(input_ids=ids).logits.isfinite().all()


def test_saved_weights_go_back_into_torch(pair, tmp_path: Path):
    ours, peer, ids = pair
    ours.save_pretrained(tmp_path / "ours")
    stored = load_file(tmp_path / "ours" / "model.safetensors")
    assert stored.keys() == peer.state_dict().keys()
    assert all(torch.equal(tensor, peer.state_dict()[name]) for name, tensor in stored.items())
    assert torch.equal(from_pretrained(tmp_path / "ours")(input_ids=ids).logits, ours(input_ids=ids).logits)


@pytest.mark.parametrize("change", ["missing", "unused", "misshapen"])
def test_a_weight_that_does_not_fit_is_named(pair, tmp_path: Path, change: str):
    ours, _, _ = pair
    ours.save_pretrained(tmp_path / "ours")
    file = tmp_path / "ours" / "model.safetensors"
    stored = load_file(file)
    tensor = stored.pop("layers.weight_hh_l0")
    if change == "unused":
        stored |= {"layers.weight_hh_l0": tensor, "layers.weight_hh_l0_reverse": tensor.clone()}
    if change == "misshapen":
        stored["layers.weight_hh_l0"] = torch.cat([tensor, tensor])
    save_file(stored, file)
    with pytest.raises(CheckpointError, match=rf"{change}: .*recurrent.weight|{change}: layers.weight_hh_l0"):
        from_pretrained(tmp_path / "ours")


def test_the_state_carried_over_gives_the_logits_of_the_whole_sequence(pair):
    ours, _, ids = pair
    whole = ours(input_ids=ids).logits
    memory, parts = None, []
    for piece in ids.split(2, dim=1):
        out = ours(input_ids=piece, memory=memory)
        memory = out.memory
        parts.append(out.logits)
    assert_close(torch.cat(parts, dim=1), whole, bound=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_neither_real_logits_nor_the_last_state(pair, side: str):
    ours, _, ids = pair
    padding = torch.zeros(len(ids), 3, dtype=torch.long)
    order = (padding, ids) if side == "left" else (ids, padding)
    mask = torch.cat([torch.full_like(part, part is ids) for part in order], dim=1)
    alone, padded = ours(input_ids=ids), ours(input_ids=torch.cat(order, dim=1), attention_mask=mask)
    assert_close(padded.logits[mask.bool()], alone.logits.flatten(0, 1), bound=1e-6)
    assert_close(torch.stack(padded.memory), torch.stack(alone.memory), bound=1e-6)


def test_future_tokens_cannot_change_past_logits(pair):
    ours, _, ids = pair
    changed = ids.clone()
    changed[:, 3:] = (ids[:, 3:] + 1) % ours.config.vocab_size
    before, after = ours(input_ids=ids).logits, ours(input_ids=changed).logits
    assert torch.equal(before[:, :3], after[:, :3])
    assert not torch.equal(before[:, 3:], after[:, 3:])


def test_the_loss_scores_each_position_on_the_next_label(pair):
    ours, _, ids = pair
    labels = ids.clone()
    labels[0, 2] = -100
    out = ours(input_ids=ids, labels=labels)
    log_p = F.log_softmax(out.logits, dim=-1)
    places = [(b, t) for b in range(ids.size(0)) for t in range(1, ids.size(1)) if (b, t) != (0, 2)]
    expected = -sum(log_p[b, t - 1, ids[b, t]] for b, t in places) / len(places)
    assert_close(out.loss, expected, bound=1e-6)


def test_inspect_returns_the_states_of_every_layer(pair):
    ours, _, ids = pair
    out = ours(input_ids=ids, inspect=True)
    assert len(out.hidden_states) == ours.config.n_layers + 1
    assert torch.equal(out.hidden_states[0], ours.embedding(ids))
    assert torch.equal(out.hidden_states[-1], out.last_hidden_state)


@pytest.mark.parametrize("cell", ["elman", "lstm"])
def test_gradients_agree_with_finite_differences(cell: str):
    torch.manual_seed(0)
    model = RecurrentLM(RecurrentConfig(4, 3, 1, cell)).double()
    x = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: model.layers[0](x), (x,))


def test_an_lstm_learns_to_copy_over_a_gap():
    """The last token repeats the first, three fillers before: only a state that is kept can know it."""
    torch.manual_seed(0)
    model = RecurrentLM(RecurrentConfig(8, 16, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(120):
        first = torch.randint(2, 8, (16, 1))
        ids = torch.cat([first, torch.zeros(16, 3, dtype=torch.long), first], dim=1)
        labels = torch.cat([torch.full((16, 4), -100), first], dim=1)
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1  # without memory it stays at ln 6 = 1.79


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model(input_ids=torch.tensor([[9]])), r"0\.\.4; got 9\.\.9"),
        (lambda model: model(input_ids=torch.ones(2)), "integers"),
        (lambda model: model(input_ids=torch.ones(0, 2).long()), "at least one token"),
        (
            lambda model: model(input_ids=torch.ones(2, 2).long(), attention_mask=torch.ones(2, 3)),
            "attention_mask must",
        ),
        (lambda model: model(input_ids=torch.ones(2, 2).long(), memory=[torch.zeros(1, 2, 3)]), r"shape \(2, 2, 3\)"),
        (lambda model: model(input_ids=torch.ones(2, 1).long(), labels=torch.ones(2, 1).long()), "no label is left"),
        (
            lambda model: model(input_ids=torch.ones(2, 2).long(), labels=torch.ones(2).long()),
            r"labels must be int64 of shape \(2, 2\)",
        ),
        (lambda model: RecurrentConfig(cell="gru"), "there is no cell 'gru'"),
        (lambda model: RecurrentConfig(n_layers=0), "at least 1"),
    ],
)
def test_wrong_input_is_refused_with_its_reason(call, message: str):
    model = RecurrentLM(RecurrentConfig(5, 3, 1))
    with pytest.raises(ValueError, match=message):
        call(model)
