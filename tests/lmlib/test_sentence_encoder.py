"""The sentence encoder gives the vectors of the library that its weights come from."""

import json
import random
import shutil
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from lmlib import hub
from lmlib.models import from_pretrained
from lmlib.models.sentence_encoder import SentenceEncoder
from tests.lmlib.models import parity

NAME = "all-MiniLM-L6-v2"
WORDS = [
    "the",
    "a",
    "river",
    "mountain",
    "baker",
    "sells",
    "bread",
    "quickly,",
    "because!",
    "(2024)",
    "中文",
    "句子",
    "naïve",
    "☕",
    "unaffable",
    "x",
]


@pytest.fixture(scope="module")
def ours() -> SentenceEncoder:
    encoder = from_pretrained(NAME)
    assert isinstance(encoder, SentenceEncoder)
    return encoder


@pytest.fixture(scope="module")
def peer() -> SentenceTransformer:
    return SentenceTransformer(str(hub.find_model(NAME)), device="cpu")


def draw_sentences(seed: int, n: int, longest: int) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(0, longest))) for _ in range(n)]


def test_vectors_equal_those_of_the_weights_own_library(
    ours: SentenceEncoder, peer: SentenceTransformer, seed: int
) -> None:
    sentences = draw_sentences(seed, 40, 12)
    parity.assert_close(ours.encode(sentences), peer.encode(sentences, convert_to_tensor=True))


def test_long_and_empty_sentences_equal_the_peers(ours: SentenceEncoder, peer: SentenceTransformer) -> None:
    sentences = ["", " ", "\x00", "word " * 600, "长句子" * 200, "a" * 500]
    parity.assert_close(ours.encode(sentences), peer.encode(sentences, convert_to_tensor=True))


def test_the_size_of_a_batch_and_the_order_of_sentences_change_nothing(ours: SentenceEncoder, seed: int) -> None:
    sentences = draw_sentences(seed, 9, 20)
    together = ours.encode(sentences, batch_size=9)
    parity.assert_close(ours.encode(sentences, batch_size=2), together)
    parity.assert_close(ours.encode(sentences[::-1]), together.flip(0))


def test_vectors_have_length_one_and_a_sentence_is_nearest_to_its_paraphrase(ours: SentenceEncoder) -> None:
    vectors = ours.encode(["A cat sits on the mat.", "There is a cat on the rug.", "Interest rates rose again."])
    assert torch.allclose(vectors.norm(dim=1), torch.ones(3), atol=1e-6)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.5 > similarity[0, 2]


def test_no_sentences_give_no_vectors(ours: SentenceEncoder) -> None:
    assert ours.encode([]).shape == (0, 384)


def test_attention_rows_sum_to_one_without_padding(ours: SentenceEncoder) -> None:
    seen = ours.attentions(["A short one.", "A sentence that is somewhat longer."])
    for sentence in seen:
        n_tokens = len(sentence.tokens)
        assert sentence.tokens[0] == "[CLS]"
        assert sentence.weights.shape == (6, 12, n_tokens, n_tokens)
        assert torch.allclose(sentence.weights.sum(-1), torch.ones(6, 12, n_tokens), atol=1e-5)


def test_attention_maps_equal_the_peers(ours: SentenceEncoder, peer: SentenceTransformer) -> None:
    sentence = "The baker sells bread."
    model = peer[0].auto_model
    model.set_attn_implementation("eager")
    reference = model(**peer.tokenize([sentence]), output_attentions=True).attentions
    parity.assert_close(list(ours.attentions([sentence])[0].weights[:, None]), list(reference))


def test_wrong_use_is_refused_with_a_reason(ours: SentenceEncoder) -> None:
    with pytest.raises(TypeError, match="a list of sentences; put the one sentence into a list"):
        ours.encode("one sentence")
    with pytest.raises(TypeError, match="a list of sentences"):
        ours.attentions("one sentence")
    with pytest.raises(ValueError, match="batch_size must be at least 1; got 0"):
        ours.encode(["a"], batch_size=0)


def test_another_way_of_pooling_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(hub.find_model(NAME), folder)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text("utf-8"))
    pooling |= {"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), "utf-8")
    with pytest.raises(ValueError, match=r"mean Pooling .* needed"):
        from_pretrained(folder)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling | {"pooling_mode_mean_tokens": True}), "utf-8")
    with pytest.raises(ValueError, match=r"mean Pooling .* needed"):  # both, side by side
        from_pretrained(folder)
