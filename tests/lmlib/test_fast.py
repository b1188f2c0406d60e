"""Fast paths: equal to the plain one within their bounds, exactly the plain one when switched off, restored after."""

import math
import os
import platform
import subprocess
import sys
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib import fast
from lmlib.attention import causal_mask, fused_attention
from lmlib.decoding import Stop, generate
from lmlib.fast import one_row_cpu, onednn, training
from lmlib.models.gpt2 import Gpt2
from lmlib.training import train
from tests.lmlib.training.small_models import batch_for, make
from tests.lmlib.training.tiny import VOCAB, config, counting_texts, padded, tiny_loader, tiny_model

ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 2**-8, torch.float16: 2**-11}  # of 8 and 11 bits that are kept


@pytest.fixture(autouse=True)
def switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(fast.SWITCH, raising=False)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop for one row, for layers of any size."""
    if not one_row_cpu.has_compiler():
        pytest.skip("needs a C++ compiler")
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 1)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def layer_of(dtype: torch.dtype, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(96, 160, bias=bias).to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(layer.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=i))
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 96), (1, 1, 96), (8, 1, 96), (2, 5, 96)])
@pytest.mark.parametrize(("dtype", "rows"), [(torch.float32, 1), (torch.float32, 8), (torch.bfloat16, 1)])
def test_the_same_weights_give_the_same_numbers_up_to_round_off(
    dtype: torch.dtype, rows: int, shape: tuple[int, ...], bias: bool
) -> None:
    layer, x = layer_of(dtype, bias), drawn(*shape, seed=9, dtype=dtype)
    given = None if layer.bias is None else layer.bias.double()
    exact = F.linear(x.double(), layer.weight.double(), given)
    with fast.decoding(layer, rows) as paths, torch.no_grad():
        assert paths.taken == {"": "in blocks"}, paths
        y = layer(x)
    assert (y.dtype, y.shape) == (dtype, exact.shape)
    torch.testing.assert_close(y.double(), exact, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n", [1, 7, 160])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_loop_for_one_row(dtype: torch.dtype, n: int, bias: bool, loop: None) -> None:
    layer = nn.Linear(96, n, bias=bias).to(dtype)
    given = None if layer.bias is None else layer.bias.double()
    with fast.decoding(layer) as paths, torch.no_grad():
        assert paths.taken == {"": "one row"}, paths
        text = drawn(1, 3, 96, seed=9, dtype=dtype)
        for x in (text, text[:, -1:], text[0, :1]):
            exact = F.linear(x.double(), layer.weight.double(), given)
            y = layer(x)
            assert (y.dtype, y.shape) == (dtype, exact.shape)
            torch.testing.assert_close(y.double(), exact, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])


def test_the_loop_inside_of_a_larger_program_takes_the_right_row(loop: None) -> None:
    layer, text = layer_of(torch.float32), drawn(1, 3, 96, seed=9)
    with fast.decoding(layer), torch.no_grad():
        program = torch.compile(lambda text: layer((text + 1)[:, -1:]) - 1, fullgraph=True)
        exact = F.linear(text[:, -1:].double() + 1, layer.weight.double(), layer.bias.double()) - 1
        torch.testing.assert_close(program(text).double(), exact, rtol=1e-5, atol=1e-5)


def test_the_loop_is_for_large_layers_and_where_there_is_a_compiler(
    loop: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 512 * 512)
    small, large = nn.Linear(96, 160), nn.Linear(512, 512)
    with fast.decoding(small) as first, fast.decoding(large) as second:
        assert (first.taken[""], second.taken[""]) == ("in blocks", "one row")

    def broken(*_: object) -> Tensor:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(one_row_cpu, "compiled", lambda: broken)
    monkeypatch.setattr(one_row_cpu, "has_compiler", one_row_cpu.has_compiler.__wrapped__)
    with fast.decoding(large) as paths:
        assert paths.taken == {"": "in blocks"}


def test_float64_is_not_summed_in_float32(loop: None) -> None:
    with fast.decoding(nn.Linear(96, 160).double()) as paths:
        assert paths.reasons == {"": "no path for torch.float64"}


def test_one_row_of_int8_rounds_only_the_weights(loop: None) -> None:
    layer, x = layer_of(torch.float32), drawn(1, 96, seed=9)
    x[0, 0] = 1000.0  # an input with one large feature
    weight = layer.weight.detach().double()
    s = weight.abs().amax(1, keepdim=True) / 127
    with fast.decoding(layer, weights="int8"), torch.no_grad():
        expected = F.linear(x.double(), (weight / s).round() * s, layer.bias.double())
        torch.testing.assert_close(layer(x).double(), expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int8_keeps_the_bound_that_it_states(dtype: torch.dtype) -> None:
    layer, x = layer_of(dtype), drawn(7, 96, seed=9, dtype=dtype)
    exact = F.linear(x.double(), layer.weight.double(), layer.bias.double())
    with fast.decoding(layer, weights="int8") as paths, torch.no_grad():
        assert paths.taken == {"": "int8"}
        y = layer(x)
    weight, rows = layer.weight.detach().double(), x.double()
    s, t = weight.abs().amax(1) / 127, rows.abs().amax(1, keepdim=True) / 127
    bound = s / 2 * rows.abs().sum(1, keepdim=True) + t / 2 * weight.abs().sum(1) + 96 * s * t / 4
    error = (y.double() - exact).abs() - (2**-8 * exact.abs() if dtype == torch.bfloat16 else 1e-5)
    assert (error <= bound).all()
    assert error.mean() < bound.mean() / 5, "the mean error is far below the worst case"
    assert error.max() > 0, "rounding was done"


def test_whole_numbers_survive_int8_exactly() -> None:
    layer = nn.Linear(16, 8)
    with torch.no_grad():
        layer.weight.copy_(torch.randint(-126, 127, (8, 16)).float())
        layer.weight[:, 0] = 127  # so that every scale is 1
        x = torch.randint(-126, 127, (3, 16)).float()
        x[:, 1] = -127
        expected = layer(x)
        with fast.decoding(layer, weights="int8"):
            assert torch.equal(layer(x), expected)
            assert torch.equal(layer(torch.zeros(2, 16)), layer.bias.expand(2, -1)), "a row of zeros has no scale"


@pytest.mark.parametrize(("family", "weights"), [("gpt2", "same"), ("llama", "same"), ("gpt2", "int8")])
@pytest.mark.parametrize("rows", [1, 3])
def test_decoding_writes_the_same_tokens_and_the_model_is_as_before(
    family: str, weights: str, rows: int, loop: None
) -> None:
    model: Any = make(family).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prompts = [[5, 7 + i] for i in range(rows)]
    plain = generate(model, prompts, 6, stop=Stop(()))
    with fast.decoding(model, rows, weights) as paths:
        written = generate(model, prompts, 6, stop=Stop(()))
    assert set(paths.taken.values()) == {"int8" if weights == "int8" else "one row" if rows == 1 else "in blocks"}
    assert len(paths.taken) == 2 * 4 + 1  # four a block, and the output
    if weights == "same":
        assert [row.tokens for row in written] == [row.tokens for row in plain]
    assert not any("forward" in vars(module) for module in model.modules())
    again = generate(model, prompts, 6, stop=Stop(()))
    assert [row.log_probs for row in again] == [row.log_probs for row in plain]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.fixture(scope="module")
def learned() -> Gpt2:
    """A model that has learned to count, so that its perplexity has something to lose."""
    model = tiny_model(dropout=0.0)
    train(model, tiny_loader(), config(60, warmup_steps=5))
    return model


def test_int8_changes_perplexity_by_less_than_one_percent(learned: Gpt2) -> None:
    batch = padded(counting_texts()[:20])
    with torch.no_grad():
        plain = math.exp(learned(**batch).loss)
        with fast.decoding(learned, weights="int8"):
            rounded = math.exp(learned(**batch).loss)
    assert plain < VOCAB / 4, "it has learned"
    assert rounded != plain
    assert rounded == pytest.approx(plain, rel=0.01)


def test_switched_off_exactly_the_plain_way_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(fast.SWITCH, "0")
    layer, x = layer_of(torch.float32), drawn(3, 96)
    expected = layer(x)
    for weights in fast.WEIGHTS:
        with fast.decoding(layer, weights=weights) as paths:
            assert torch.equal(layer(x), expected)
        assert str(paths) == "1 layers plain; plain: LMLIB_FAST=0 (1)"
    path = fast.TrainingPath(layer, torch.device("cpu"), "float32")
    assert path.reason == "LMLIB_FAST=0"
    with path.step(10**9, 10):
        assert torch.get_float32_matmul_precision() == "highest"


class Scaled(nn.Linear):
    """A layer that multiplies in another way."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Scaled(8, 8), "Scaled multiplies in a way of its own"),
        (nn.Linear(8, 8).half(), "no path for torch.float16"),
        (nn.Linear(8, 8, device="meta"), "the weights are on meta"),
    ],
)
def test_a_layer_without_a_path_says_why_and_runs_plainly(layer: nn.Linear, reason: str) -> None:
    with fast.decoding(layer) as paths:
        assert paths.reasons == {"": reason}
        assert "forward" not in vars(layer)


@pytest.mark.gpu
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n", "k"), [(160, 96), (7, 768), (33, 2048), (5, 5000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_row_on_a_gpu(dtype: torch.dtype, n: int, k: int, bias: bool) -> None:
    layer = nn.Linear(k, n, bias=bias, device="cuda", dtype=dtype)
    given = None if layer.bias is None else layer.bias.double()
    with fast.decoding(layer) as paths, torch.no_grad():
        assert paths.taken == {"": "one row"}, paths
        for shape in ((1, k), (1, 1, k), (3, k)):
            x = drawn(*shape, dtype=dtype).cuda()
            exact = F.linear(x.double(), layer.weight.double(), given)
            torch.testing.assert_close(layer(x).double(), exact, rtol=ROUNDING[dtype], atol=ROUNDING[dtype])
    with fast.decoding(layer, 2) as paths:
        assert paths.reasons == {"": "on a GPU, 2 rows are no faster than by the plain way"}


def test_without_onednn_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn, "missing", lambda dtype: "torch was built without oneDNN")
    layer = layer_of(torch.bfloat16)
    with fast.decoding(layer) as paths, torch.no_grad():
        layer(drawn(1, 96, dtype=torch.bfloat16))
    assert paths.reasons == {"": "torch was built without oneDNN"}


def test_gradients_and_changed_weights_are_refused_and_an_error_restores_the_layers() -> None:
    layer, x = layer_of(torch.float32), drawn(1, 96)
    with fast.decoding(layer):
        with pytest.raises(RuntimeError, match="has no gradients"):
            layer(x)
        with torch.no_grad():
            layer.weight.mul_(2)
            with pytest.raises(RuntimeError, match="the weights have changed"):
                layer(x)
    with pytest.raises(KeyError), fast.decoding(layer):
        raise KeyError
    assert "forward" not in vars(layer)
    with (
        pytest.raises(ValueError, match="weights must be one of same, int8; got 'int4'"),
        fast.decoding(layer, 1, "int4"),
    ):
        pass


def test_layers_inside_of_another_fast_path_are_left_to_it() -> None:
    layer = layer_of(torch.float32)
    with fast.decoding(layer), fast.decoding(layer) as inner:
        assert inner.taken == {"": "plain"}
    assert "forward" not in vars(layer)


def test_training_by_the_fast_path_is_training_by_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = fast.TrainingPath.step
    monkeypatch.setattr(training, "LARGE_PRODUCT", 1)
    monkeypatch.setattr(fast.TrainingPath, "step", lambda self, *size: seen.append(size) or real(self, *size))
    batches = [batch_for("llama", seed) for seed in range(4)]
    plain, faster = make("llama"), make("llama")
    logs = [train(m, batches, config(4, fast=f)) for m, f in ((plain, False), (faster, True))]
    assert seen == [(28, 7)] * 4
    assert logs[1].losses == pytest.approx(logs[0].losses, rel=1e-5)
    for p, q in zip(plain.parameters(), faster.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    assert torch.get_float32_matmul_precision() == "highest"


def test_only_large_float32_products_on_a_processor_of_float32_precision_are_sent_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, cpu = nn.Linear(1000, 100), torch.device("cpu")
    monkeypatch.setattr(training, "error_of_medium", lambda: 1e-7)
    path = fast.TrainingPath(model, cpu, "float32")
    assert path.reason is None
    for n_rows, precision in ((1999, "highest"), (2000, "medium")):
        with path.step(n_rows, 10):
            assert torch.get_float32_matmul_precision() == precision
    assert "float32 on the CPU; the run has bfloat16" in str(fast.TrainingPath(model, cpu, "bfloat16").reason)
    monkeypatch.setattr(training, "error_of_medium", lambda: 3e-3)
    assert "an error of 3e-03, as of bfloat16" in str(fast.TrainingPath(model, cpu, "float32").reason)


def attended(path: fast.TrainingPath, dtype: torch.dtype, length: int = 24) -> tuple[str, Tensor, Tensor]:
    """The backward of the attention that runs inside of a step, its output and the gradient of its input."""
    x = drawn(2, length, 3 * 32, seed=3, dtype=dtype).requires_grad_()
    query, key, value = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in x.split(32, dim=-1))
    mask = causal_mask(length) & (torch.arange(length) != 0)  # the first position may attend nothing
    with path.step(2 * length, length):
        out = fused_attention(query, key, value, mask)
    (gradient,) = torch.autograd.grad(out, x, drawn(*out.shape, seed=4, dtype=dtype))
    return type(out.grad_fn).__name__, out, gradient


def test_short_texts_in_bfloat16_are_attended_with_stored_weights() -> None:
    cpu, layer = torch.device("cpu"), nn.Linear(8, 8)
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    path = fast.TrainingPath(layer, cpu, "bfloat16")
    plain = fast.TrainingPath(layer, cpu, "float32")
    kernel, out, gradient = attended(path, torch.bfloat16)
    fused, *_ = attended(plain, torch.bfloat16)
    assert ("Flash" in kernel, "Flash" in fused) == (False, True)
    assert "Flash" in attended(path, torch.bfloat16, length=training.SHORT + 1)[0], "longer texts go by the kernel"
    _, exact, exact_gradient = attended(plain, torch.float64)
    torch.testing.assert_close(out.double(), exact, rtol=0.02, atol=0.02)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=0.05, atol=0.05)
    assert torch.equal(out[:, :, 0], torch.zeros_like(out[:, :, 0])), "a query that may attend nothing gets zeros"
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == before


FAULTS = """
import resource, torch
from lmlib.fast.training import keep_freed_memory
def faults():
    for _ in range(20):
        kept = [torch.ones(2**20) for _ in range(8)]  # 4 MB each
        del kept
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
start, plain = faults(), faults()
assert keep_freed_memory()
warm, kept = faults(), faults()
print(plain - start, kept - warm)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux with glibc")
def test_freed_memory_is_kept() -> None:
    gives_back = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}  # by itself it does so only at times
    run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, env=gives_back)
    plain, kept = map(int, run.stdout.split())
    assert kept < plain / 10, (plain, kept)


def test_the_error_of_medium_is_measured() -> None:
    assert 0 < training.error_of_medium() < 1e-2


@pytest.mark.parametrize("rows", [1, 4])
def test_inputs_of_another_dtype_as_of_autocast_take_the_plain_way(rows: int) -> None:
    layer, x = layer_of(torch.float32), drawn(rows, 96, seed=9, dtype=torch.bfloat16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = layer(x)
        with fast.decoding(layer, rows):
            torch.testing.assert_close(layer(x), expected)
