"""What a run costs: recomputing changes memory and nothing else; tokens, operations and MFU are counted by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.llama import Llama, LlamaConfig
from lmlib.training import Log, train
from lmlib.training.loop import set_recompute
from lmlib.training.throughput import n_tokens, operations_per_token, peak_operations
from tests.lmlib.training.small_models import batch_for, make
from tests.lmlib.training.tiny import config, tiny_loader, tiny_model


def gradients(family: str, recompute: bool, precision: str) -> tuple[dict[str, Tensor], int]:
    """The gradients of a small model with dropout, and the bytes that forward kept for them outside of blocks."""
    model, kept = make(family, dropout=0.2), 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    set_recompute(model, recompute)
    torch.manual_seed(3)
    with (
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"),
    ):
        loss = model(**batch_for(family)).loss
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}, kept


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bert", "albert", "t5"])
def test_recomputing_gives_the_same_gradients_bit_for_bit_and_keeps_less(family: str, precision: str) -> None:
    plain, much = gradients(family, False, precision)
    again, little = gradients(family, True, precision)
    assert little < much / 2
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        assert torch.equal(gradient, again[name]), name


def test_a_run_with_recomputing_is_the_run_without(tmp_path: Any) -> None:
    plain, again = tiny_model(), tiny_model()
    logs = [train(m, tiny_loader(), config(5, recompute=r)) for m, r in ((plain, False), (again, True))]
    assert logs[0] == logs[1]
    for p, q in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_model_without_blocks_cannot_recompute() -> None:
    with pytest.raises(ValueError, match=r"recompute=True needs blocks of lmlib\.transformer; Linear has none"):
        set_recompute(nn.Linear(2, 2), True)


def test_operations_by_hand() -> None:
    sizes: dict[str, Any] = {"vocab_size": 50, "d_model": 8, "n_layers": 2, "n_heads": 2, "max_positions": 16}
    gpt2 = Gpt2(Gpt2Config(**sizes), "language_model")
    block = (8 * 24 + 24) + (8 * 8 + 8) + (8 * 32 + 32) + (32 * 8 + 8) + 4 * 8
    tied_output, final_norm = 50 * 8, 16  # positions are only looked up
    assert operations_per_token(gpt2, 10) == 6 * (2 * block + tied_output + final_norm) + 12 * 2 * 8 * 10
    llama = Llama(LlamaConfig(**sizes, d_ff=20, tied=False), "language_model")
    block = 8 * 24 + 8 * 8 + 3 * 8 * 20 + 2 * 8
    assert operations_per_token(llama, 10) == 6 * (2 * block + 50 * 8 + 8) + 12 * 2 * 8 * 10
    assert operations_per_token(nn.Linear(3, 5), 10) == 6 * 20


def test_padding_is_no_token() -> None:
    ids = torch.ones(2, 3, dtype=torch.long)
    assert n_tokens({"input_ids": ids}) == 6
    assert n_tokens({"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1], [1, 0, 0]])}) == 4
    assert n_tokens({"x": ids}) == 0


def test_peaks_are_found_by_the_name_that_torch_gives_and_unknown_ones_are_none() -> None:
    assert peak_operations("NVIDIA H100 80GB HBM3", "bfloat16") == 989e12
    assert peak_operations("NVIDIA H100 PCIe", "bfloat16") == 756e12
    assert peak_operations("NVIDIA L40S", "bfloat16") == 362e12
    assert peak_operations("NVIDIA L4", "bfloat16") == 121e12
    assert peak_operations("NVIDIA A100-SXM4-80GB", "float32") == 19.5e12
    for name in ("NVIDIA GeForce GTX 1050", "NVIDIA L40", "NVIDIA RTX A1000 Laptop GPU", "NVIDIA A10G"):
        assert peak_operations(name, "bfloat16") is None, name


def test_mfu_is_the_share_of_the_peak() -> None:
    log = Log(operations_per_token=6e9, peak=1e15)
    assert (log.tokens_per_second, log.mfu) == (None, None)
    assert log.describe_speed() == "tokens/s unknown, MFU unknown"
    for seconds in (30.0, 0.5, 0.5):  # the first compiles
        log.record(1.0, 1e-3, 1.0, 40_000, seconds)
    log.memory = 3 * 2**29
    assert log.tokens_per_second == 80_000
    assert log.mfu == pytest.approx(0.48)
    assert log.describe_speed() == "80,000 tokens/s, MFU 48.0%, 1.50 GiB"


def test_a_run_counts_its_tokens_and_knows_no_peak_of_a_processor() -> None:
    log = train(tiny_model(), tiny_loader(), config(3, accumulation=2))
    batches = tiny_loader()
    expected = [int(sum(next(batches)["attention_mask"].sum() for _ in range(2))) for _ in range(3)]
    assert log.tokens == expected
    assert all(seconds > 0 for seconds in log.seconds)
    assert log.memory is not None
    assert log.memory > 2**20
    assert log.mfu is None
