"""Greedy and beam search give the tokens of transformers' generate; the filters of samplers its scores."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation import logits_process as peer_filters

from lmlib.decoding import Continuation, Stop, beam_search, generate, sampling
from lmlib.decoding.session import padded
from tests.lmlib.decoding.tiny import PEERS, READERS, STOP, VOCAB, pair, prompts_of

NEW = 12


def peer_tokens(peer: Any, prompts: list[list[int]], **options: Any) -> tuple[list[list[int]], Any]:
    """New tokens of each sequence up to its stop token, and what generate returned."""
    ids, mask = padded(prompts, "left", torch.device("cpu"))
    mask = torch.ones_like(ids) if mask is None else mask.long()
    given = {"max_new_tokens": NEW, "do_sample": False, "return_dict_in_generate": True, "output_scores": True}
    out = peer.generate(ids, attention_mask=mask, **given | options)
    rows = out.sequences[:, ids.size(1) :].tolist()
    return [row[: row.index(STOP) + 1] if STOP in row else row for row in rows], out


@pytest.mark.parametrize("kind", READERS)
def test_encoder_decoder_gives_the_tokens_of_generate(kind: str, seed: int, tmp_path: Path) -> None:
    peer, ours = pair(kind, seed, tmp_path)
    sources = prompts_of(seed)
    ids, mask = padded(sources, "right", torch.device("cpu"))
    given = {"attention_mask": None if mask is None else mask.long(), "max_new_tokens": NEW, "do_sample": False}
    for penalty in (1.0, 1.7):
        greedy = generate(ours, sources, NEW, penalty=penalty)
        assert_rows(greedy, peer.generate(ids, repetition_penalty=penalty, num_beams=1, **given))
    for length_penalty in (0.0, 2.0):
        beams = beam_search(ours, sources, NEW, n_beams=3, n=2, length_penalty=length_penalty, early_stopping=True)
        options = {"num_beams": 3, "num_return_sequences": 2, "length_penalty": length_penalty, "early_stopping": True}
        assert_rows(beams, peer.generate(ids, **options, **given))


def assert_rows(written: list[Continuation], sequences: Tensor) -> None:
    """The new tokens after the start token, up to the stop token."""
    rows = sequences[:, 1:].tolist()
    assert [w.tokens for w in written] == [row[: row.index(STOP) + 1] if STOP in row else row for row in rows]


def drawn(seed: int, n: int) -> Tensor:
    return 3 * torch.randn(n, VOCAB, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", PEERS)
@pytest.mark.parametrize("penalty", [1.0, 1.7])
def test_greedy_gives_the_tokens_of_generate(kind: str, penalty: float, seed: int, tmp_path: Path) -> None:
    peer, ours = pair(kind, seed, tmp_path)
    for prompts in (prompts_of(seed), prompts_of(seed + 1, 1)):
        expected = []
        for prompt in prompts:  # one by one: in a padded batch generate penalises the padding token as well
            expected += peer_tokens(peer, [prompt], repetition_penalty=penalty)[0]
        written = generate(ours, prompts, NEW, penalty=penalty)
        assert [w.tokens for w in written] == expected
        assert [w.stopped_by for w in written] == ["token" if t[-1] == STOP else "length" for t in expected]


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.0])
@pytest.mark.parametrize("early_stopping", [True, False, "never"])
def test_beam_search_gives_the_tokens_and_scores_of_generate(
    length_penalty: float, early_stopping: Any, seed: int, tmp_path: Path
) -> None:
    peer, ours = pair(random.Random(seed).choice(list(PEERS)), seed, tmp_path)
    prompts, n_beams, n = prompts_of(seed), 4, 3
    options = {"length_penalty": length_penalty, "early_stopping": early_stopping}
    expected, out = peer_tokens(peer, prompts, num_beams=n_beams, num_return_sequences=n, **options)
    written = beam_search(ours, prompts, NEW, n_beams=n_beams, n=n, **options)
    assert [w.tokens for w in written] == expected
    assert torch.tensor([w.score for w in written]) == pytest.approx(out.sequences_scores, abs=1e-4)
    assert [w.prompt for w in written] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_beam_search_with_several_stop_tokens_gives_those_of_generate(seed: int, tmp_path: Path) -> None:
    peer, ours = pair("gpt2", seed, tmp_path)
    prompts, stops = prompts_of(seed), [STOP, 5, 9]
    _, out = peer_tokens(peer, prompts, num_beams=3, eos_token_id=stops, max_new_tokens=8)
    written = beam_search(ours, prompts, 8, n_beams=3, stop=Stop(stops))
    longest = max(map(len, prompts))
    for row, ours_row in zip(out.sequences[:, longest:].tolist(), written, strict=True):
        assert row[: len(ours_row.tokens)] == ours_row.tokens
        assert ours_row.tokens[-1] in stops or len(ours_row.tokens) == 8


def test_one_beam_is_greedy(seed: int, tmp_path: Path) -> None:
    _, ours = pair("gpt2", seed, tmp_path)
    prompts = prompts_of(seed)
    one, greedy = beam_search(ours, prompts, NEW, n_beams=1), generate(ours, prompts, NEW)
    assert [w.tokens for w in one] == [w.tokens for w in greedy]


@pytest.mark.parametrize("value", [0.05, 0.3, 0.9, 0.99])
def test_filters_keep_what_those_of_generate_keep(value: float, seed: int) -> None:
    scores, no_ids = drawn(seed, 200), torch.zeros(200, 1, dtype=torch.long)
    k = 1 + int(value * VOCAB)
    pairs = [
        (sampling.top_k(scores, k), peer_filters.TopKLogitsWarper(k)),
        (sampling.top_p(scores, value), peer_filters.TopPLogitsWarper(value)),
        (sampling.min_p(scores, value), peer_filters.MinPLogitsWarper(value)),
        (sampling.typical(scores, value), peer_filters.TypicalLogitsWarper(value)),
    ]
    for ours, peer in pairs:
        torch.testing.assert_close(ours, peer(no_ids, scores.clone()))


def test_filters_follow_one_another_as_in_generate(seed: int) -> None:
    scores, no_ids = drawn(seed, 100), torch.zeros(100, 1, dtype=torch.long)
    chain = LogitsProcessorList(
        [
            peer_filters.TemperatureLogitsWarper(0.7),
            peer_filters.TopKLogitsWarper(9),
            peer_filters.TopPLogitsWarper(0.9),
            peer_filters.MinPLogitsWarper(0.02),
            peer_filters.TypicalLogitsWarper(0.8),
        ]
    )
    ours = sampling.Sampling(0.7, top_k=9, top_p=0.9, min_p=0.02, typical_p=0.8).probabilities(scores)
    torch.testing.assert_close(ours, chain(no_ids, scores.clone()).softmax(-1))


def test_repetition_penalty_is_that_of_generate(seed: int) -> None:
    scores = drawn(seed, 50)
    ids = torch.randint(0, VOCAB, (50, 6), generator=torch.Generator().manual_seed(seed))
    seen = torch.zeros(50, VOCAB, dtype=torch.bool).scatter(1, ids, True)
    expected = peer_filters.RepetitionPenaltyLogitsProcessor(1.3)(ids, scores.clone())
    torch.testing.assert_close(sampling.repetition_penalty(scores, seen, 1.3), expected)
