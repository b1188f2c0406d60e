"""What the tests of the objectives share: a small vocabulary, texts of random tokens, and peers with random weights."""

from pathlib import Path
from typing import Any

import torch
import transformers

from lmlib.pretraining import SpecialTokens
from tests.lmlib.models import parity

VOCABULARY = 60
SENTINELS = range(59, 53, -1)
TOKENS = SpecialTokens(VOCABULARY, pad=0, start=1, end=2, mask=3, others=frozenset({4, *SENTINELS}))
FIRST, LAST = 5, 53  # text tokens

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
PEERS: dict[str, Any] = {
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=1)
    ),
    "bert": lambda: transformers.BertForPreTraining(transformers.BertConfig(vocab_size=VOCABULARY, **SMALL)),
    "albert": lambda: transformers.AlbertForPreTraining(
        transformers.AlbertConfig(vocab_size=VOCABULARY, embedding_size=8, **SMALL)
    ),
    "roberta": lambda: transformers.RobertaForMaskedLM(
        transformers.RobertaConfig(vocab_size=VOCABULARY, pad_token_id=0, **SMALL)
    ),
    "bart": lambda: transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            vocab_size=VOCABULARY,
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=24,
            decoder_ffn_dim=24,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_eos_token_id=2,
        )
    ),
    "t5": lambda: transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=VOCABULARY,
            d_model=16,
            d_kv=8,
            d_ff=24,
            num_layers=1,
            num_heads=2,
            pad_token_id=0,
            eos_token_id=2,
            decoder_start_token_id=0,
        )
    ),
    "xlnet": lambda: transformers.XLNetLMHeadModel(
        transformers.XLNetConfig(vocab_size=VOCABULARY, d_model=16, n_layer=2, n_head=2, d_inner=24, mem_len=None)
    ),
}


def peer_and_ours(family: str, folder: Path, seed: int) -> tuple[Any, Any]:
    """A peer with random weights, and our model with the same; neither drops anything out."""
    torch.manual_seed(seed)
    peer = parity.randomised(PEERS[family](), seed)
    return peer, parity.loaded(peer, folder)


def draw_text(length: int, generator: torch.Generator) -> list[int]:
    """Text tokens, none twice."""
    return (FIRST + torch.randperm(LAST - FIRST + 1, generator=generator)[:length]).tolist()


def draw_document(lengths: list[int], generator: torch.Generator) -> list[list[int]]:
    """Sentences of these lengths; no token occurs twice."""
    tokens = iter(draw_text(sum(lengths), generator))
    return [[next(tokens) for _ in range(n)] for n in lengths]


def framed(text: list[int]) -> list[int]:
    """[CLS] text [SEP]."""
    return [1, *text, 2]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
