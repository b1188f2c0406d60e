"""Compiled steps write what the plain ones write."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib import fast
from lmlib.decoding import Sampling, Stop, compiled, generate
from lmlib.fast import one_row_cpu
from tests.lmlib.decoding.tiny import pair, prompts_of


def assert_same(model: Any, seed: int) -> None:
    ends = Stop(tuple(range(0, model.config.vocab_size, 8)))  # rows end at different steps
    for prompts, n, stop in ((prompts_of(seed), 3, Stop(())), ([[5, 6, 7]], 1, Stop(())), (prompts_of(seed), 3, ends)):
        request: dict[str, Any] = {"sampling": Sampling(), "n": n, "seed": seed, "stop": stop}
        plain, fixed = (generate(model, prompts, 10, compiled=switch, **request) for switch in (False, True))
        assert [row.tokens for row in plain] == [row.tokens for row in fixed]
        for one, other in zip(plain, fixed, strict=True):
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-4)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_steps_of_fixed_shape_write_the_same_tokens(
    kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "eager")
    assert_same(pair(kind, seed, tmp_path)[1], seed)


@pytest.mark.long
def test_compiled_steps_write_the_same_tokens(seed: int, tmp_path: Path) -> None:
    assert_same(pair("llama", seed, tmp_path)[1], seed)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize(("rows", "path"), [(1, "one row"), (3, "in blocks")])
def test_compiled_steps_take_the_fast_path_too(
    kind: str, rows: int, path: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 1)
    model = pair(kind, seed, tmp_path)[1]
    prompts = [[5, 6, 7 + i] for i in range(rows)]
    for n in (10, 14, 9):  # the second length compiles for all
        plain = generate(model, prompts, n, stop=Stop(()))
        with fast.decoding(model, rows) as paths:
            fixed = generate(model, prompts, n, stop=Stop(()), compiled=True)
        assert set(paths.taken.values()) == {path}
        assert [row.tokens for row in plain] == [row.tokens for row in fixed]


@pytest.mark.long
def test_compiled_steps_of_int8_write_what_the_others_do(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 1)
    model = pair("gpt2", seed, tmp_path)[1]
    with fast.decoding(model, weights="int8"):
        plain, fixed = (generate(model, [[5, 6, 7]], 10, stop=Stop(()), compiled=c) for c in (False, True))
    assert [row.tokens for row in plain] == [row.tokens for row in fixed]


@pytest.mark.gpu
def test_cuda_graphs_write_the_same_tokens(seed: int, tmp_path: Path) -> None:
    assert_same(pair("llama", seed, tmp_path)[1].cuda(), seed)


@pytest.mark.gpu
def test_cuda_graphs_of_the_fast_path_write_the_same_tokens(seed: int, tmp_path: Path) -> None:
    model = pair("gpt2", seed, tmp_path)[1].cuda()
    plain = generate(model, [[5, 6, 7]], 10, stop=Stop(()))
    with fast.decoding(model) as paths:
        fixed = generate(model, [[5, 6, 7]], 10, stop=Stop(()), compiled=True)
    assert set(paths.taken.values()) == {"one row"}
    assert [row.tokens for row in plain] == [row.tokens for row in fixed]


@pytest.mark.parametrize("is_fast", [False, True])
def test_steps_are_traced_once(is_fast: bool, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 1)
    torch.compiler.reset()  # else the programs of other tests count
    model = pair("gpt2", seed, tmp_path)[1]
    traces = []

    def backend(graph: Any, inputs: Any) -> Any:
        traces.append(graph)
        return graph.forward

    prompts = [[5, 6, 7]] if is_fast else prompts_of(seed)
    with torch.no_grad(), fast.decoding(model) if is_fast else nullcontext():
        steps = compiled.CompiledSteps(compiled.Session.start(model, prompts, 12))
        steps.run = torch.compile(model.forward, dynamic=False, backend=backend, fullgraph=True)
        for _ in range(12):
            steps.feed(steps.scores.argmax(-1, keepdim=True))
    assert len(traces) == 1


@pytest.mark.parametrize("kind", ["t5", "gpt_neo"])
def test_models_with_other_steps_are_refused(kind: str, seed: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="decoder-only models without banded layers"):
        generate(pair(kind, seed, tmp_path)[1], [[5, 6]], 5, compiled=True)
