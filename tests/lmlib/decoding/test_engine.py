"""The engine: batches, stops, streams, and what it says to wrong requests."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lmlib.decoding import OneOf, Sampling, Stop, beam_search, generate, stream, unpadded
from lmlib.decoding.session import Session
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from tests.lmlib.decoding.tiny import PEERS, POSITIONS, READERS, VOCAB, pair, prompts_of


@pytest.fixture
def model(seed: int, tmp_path: Path) -> Any:
    return pair("gpt2", seed, tmp_path)[1]


def letters(tokens: list[int]) -> str:
    """Token 0 is a, 1 is b, and so on."""
    return "".join(chr(ord("a") + token) for token in tokens)


def test_log_probs_are_those_of_the_model(model: Any, seed: int) -> None:
    for prompt, row in zip(prompts_of(seed), generate(model, prompts_of(seed), 8), strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + row.tokens])).logits[0].log_softmax(-1)
        expected = [logits[len(prompt) - 1 + i, token].item() for i, token in enumerate(row.tokens)]
        assert row.log_probs == pytest.approx(expected, abs=1e-4)
        assert row.score == pytest.approx(sum(expected), abs=1e-3)


def test_log_probs_in_bfloat16_are_near_those_of_the_model(model: Any, seed: int) -> None:
    prompt, half = prompts_of(seed, 1), model.bfloat16()
    row = generate(half, prompt, 8, stop=Stop(()))[0]
    with torch.no_grad():
        logits = half(torch.tensor([prompt[0] + row.tokens])).logits[0].float().log_softmax(-1)
    expected = [logits[len(prompt[0]) - 1 + i, token].item() for i, token in enumerate(row.tokens)]
    assert row.log_probs == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("kind", PEERS | READERS)
def test_sampling_among_one_token_is_greedy_for_every_copy_of_a_prompt(kind: str, seed: int, tmp_path: Path) -> None:
    model, prompts = pair(kind, seed, tmp_path)[1], prompts_of(seed)
    greedy = [w.tokens for w in generate(model, prompts, 8)]
    copies = generate(model, prompts, 8, sampling=Sampling(top_k=1), n=2)
    assert [w.tokens for w in copies] == [tokens for tokens in greedy for _ in range(2)]
    assert [w.prompt for w in copies] == [0, 0, 1, 1, 2, 2]


def test_a_prompt_is_continued_the_same_alone_and_in_a_batch(model: Any, seed: int) -> None:
    prompts = prompts_of(seed, 5)
    together = generate(model, prompts, 8)
    alone = [generate(model, [prompt], 8)[0] for prompt in prompts]
    assert [w.tokens for w in together] == [w.tokens for w in alone]
    assert [w.prompt for w in together] == [0, 1, 2, 3, 4]


def test_stream_gives_the_tokens_of_generate_one_at_a_time(model: Any, seed: int) -> None:
    request: dict[str, Any] = {"sampling": Sampling(), "n": 2, "seed": seed, "stop": Stop(range(5))}
    written = generate(model, prompts_of(seed), 9, **request)
    streamed: list[list[int]] = [[] for _ in written]
    for tokens in stream(model, prompts_of(seed), 9, **request):
        for row, token in zip(streamed, tokens, strict=True):
            row += [] if token is None else [token]
    assert streamed == [w.tokens for w in written]


def test_stop_tokens_end_a_row_and_stand_last_in_it(model: Any, seed: int) -> None:
    stops = list(range(0, VOCAB, 2))
    for row in generate(model, prompts_of(seed, 6), 20, stop=Stop(stops, decode=letters)):
        assert not set(row.tokens[:-1]) & set(stops)
        assert (row.tokens[-1] in stops) == (row.stopped_by == "token")
        assert row.text == letters(row.tokens[:-1] if row.stopped_by == "token" else row.tokens)


def test_stop_strings_end_a_row_and_are_cut_from_its_text(model: Any, seed: int) -> None:
    plain = generate(model, prompts_of(seed), 12, stop=Stop((), decode=letters))
    wanted = plain[0].text[3:5]
    stop = Stop((), strings=(wanted,), decode=letters)
    for before, row in zip(plain, generate(model, prompts_of(seed), 12, stop=stop), strict=True):
        found = before.text.find(wanted)
        if found < 0:
            assert (row.tokens, row.stopped_by) == (before.tokens, "length")
        else:
            assert row.stopped_by == "string"
            assert row.text == before.text[:found]
            assert row.tokens == before.tokens[: found + 2]
    assert wanted not in beam_search(model, prompts_of(seed), 12, stop=stop)[0].text


def test_cache_is_allocated_once_and_written_in_place(model: Any, seed: int) -> None:
    session = Session.start(model, prompts_of(seed), 6)
    places = [layer.key.data_ptr() for layer in session.cache.layers]
    for _ in range(6):
        session.feed(session.scores.argmax(-1, keepdim=True))
    assert [layer.key.data_ptr() for layer in session.cache.layers] == places
    assert session.cache.length == session.cache.layers[0].key.size(2)


def test_prompts_come_as_lists_or_as_a_tensor_or_from_a_padded_batch(model: Any) -> None:
    prompts = [[5, 6, 7], [8, 9, 3]]
    expected = [w.tokens for w in generate(model, prompts, 5)]
    assert [w.tokens for w in generate(model, torch.tensor(prompts), 5)] == expected
    ids, mask = torch.tensor([[5, 6, 7, 0], [0, 8, 9, 3]]), torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    assert unpadded(ids, mask) == prompts


def test_all_of_the_positions_can_be_used(model: Any) -> None:
    written = generate(model, [[5] * 10], POSITIONS - 10, stop=Stop(()))
    assert len(written[0].tokens) == POSITIONS - 10


@pytest.mark.parametrize(
    ("prompts", "n_new", "request_", "message"),
    [
        ([], 5, {}, "each prompt needs at least one token; got none"),
        ([[5], []], 5, {}, r"empty prompts \[1\]"),
        ("text", 5, {}, "encode the text first"),
        ([5, 6], 5, {}, "one list for each prompt"),
        (torch.ones(2, 2), 5, {}, r"integers \(B, T\); got torch.float32"),
        ([[5, VOCAB]], 5, {}, f"must lie in 0..{VOCAB - 1}"),
        ([[5] * 30], 11, {}, "need 41 positions; the model has 40"),
        ([[5]], 0, {}, "max_new_tokens must be a whole number of 1 or more; got 0"),
        ([[5]], 2.5, {}, "max_new_tokens must be a whole number"),
        ([[5]], 5, {"n": 0, "sampling": Sampling()}, "n=0"),
        ([[5]], 5, {"n": 2}, "more than one only with sampling="),
        ([[5]], 5, {"penalty": 0.0}, "penalty must be above 0"),
        ([[5]], 5, {"stop": Stop([VOCAB])}, rf"stop tokens must lie in 0..{VOCAB - 1}; got \[{VOCAB}\]"),
        ([[5]], 5, {"constraint": OneOf([[VOCAB + 4]])}, f"the constraint asks for token {VOCAB + 4}"),
    ],
)
def test_wrong_requests_are_refused(model: Any, prompts: Any, n_new: Any, request_: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generate(model, prompts, n_new, **request_)


@pytest.mark.parametrize("options", [{"n_beams": 0}, {"n_beams": 2, "n": 3}, {"early_stopping": "soon"}])
def test_wrong_beams_are_refused(model: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"n_beams|early_stopping"):
        beam_search(model, [[5]], 5, **options)


def test_stop_strings_need_a_way_to_make_text() -> None:
    with pytest.raises(ValueError, match="give decode="):
        Stop(strings=("end",))
    with pytest.raises(TypeError, match="put it in a tuple"):
        Stop(strings="end", decode=letters)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty stop string"):
        Stop(strings=("",), decode=letters)


def tiny(head: str | None) -> Gpt2:
    return Gpt2(Gpt2Config(vocab_size=20, d_model=8, n_layers=1, n_heads=2, max_positions=12), head)


def test_model_that_cannot_write_is_refused() -> None:
    with pytest.raises(ValueError, match="no language model head"):
        generate(tiny(None).eval(), [[5]], 3)
    with pytest.raises(ValueError, match=r"call model.eval\(\) first"):
        generate(tiny("language_model"), [[5]], 3)


def test_broken_weights_are_an_error_and_not_a_text() -> None:
    model = tiny("language_model").eval()
    torch.nn.init.constant_(model.decoder.final_norm.weight, float("nan"))
    for write in (generate, beam_search):
        with pytest.raises(ValueError, match="NaN"):
            write(model, [[5]], 3)


def test_stop_tokens_come_from_any_iterable_and_more_than_once(model: Any, seed: int) -> None:
    stops = range(0, VOCAB, 2)
    expected = [w.tokens for w in generate(model, prompts_of(seed), 12, stop=Stop(stops))]
    stop = Stop(i for i in stops)
    for _ in range(2):
        assert [w.tokens for w in generate(model, prompts_of(seed), 12, stop=stop)] == expected
