"""Compiled steps write what the plain ones write."""

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
def test_compiled_steps_take_the_fast_path_too(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_row_cpu, "SMALLEST", 1)
    model = pair("gpt2", seed, tmp_path)[1]
    plain = generate(model, [[5, 6, 7]], 10, stop=Stop(()))
    with fast.decoding(model) as paths:
        fixed = generate(model, [[5, 6, 7]], 10, stop=Stop(()), compiled=True)
    assert set(paths.taken.values()) == {"one row"}
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


def test_steps_are_traced_once(seed: int, tmp_path: Path) -> None:
    model = pair("gpt2", seed, tmp_path)[1]
    traces = []

    def backend(graph: Any, inputs: Any) -> Any:
        traces.append(graph)
        return graph.forward

    session = compiled.Session.start(model, prompts_of(seed), 12)
    steps = compiled.CompiledSteps(session)
    steps.run = torch.compile(model.forward, dynamic=False, backend=backend, fullgraph=True)
    for _ in range(12):
        steps.feed(steps.scores.argmax(-1, keepdim=True))
    assert len(traces) == 1


@pytest.mark.parametrize("kind", ["t5", "gpt_neo"])
def test_models_with_other_steps_are_refused(kind: str, seed: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="decoder-only models without banded layers"):
        generate(pair(kind, seed, tmp_path)[1], [[5, 6]], 5, compiled=True)
