"""A tokenizer of words with the space before them, and tiny models over it."""

import re
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertForMaskedLM

from tests.lmlib.decoding import tiny
from tests.lmlib.models.parity import loaded, randomised

WORDS = ["\n", ".", ":", "Answer", " bad", " good", " very", " film", "The", " is", " so", " Answer", " "]
IDS = {word: i + 3 for i, word in enumerate(WORDS)}
PIECES = re.compile(r" ?\w+|[^\w\s]|\s")


def encode(text: str) -> list[int]:
    """Ids of a text of the words above; another word is id 2."""
    return [IDS.get(piece, 2) for piece in PIECES.findall(text)]


def decode(ids: list[int]) -> str:
    """The text of these ids; an id without a word is a question mark."""
    return "".join(WORDS[i - 3] if 3 <= i < 3 + len(WORDS) else "?" for i in ids)


def masked_pair(seed: int, folder: Path) -> tuple[Any, Any]:
    """A tiny BERT of the peer library and ours with its weights."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    peer = randomised(BertForMaskedLM(BertConfig(vocab_size=tiny.VOCAB, max_position_embeddings=40, **sizes)), seed)
    return peer, loaded(peer, folder)
