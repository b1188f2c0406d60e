"""Sentence vectors: an encoder, the mean over its tokens, length one. Source: Reimers & Gurevych 2019."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib import hub
from lmlib.models.bert import Bert
from lmlib.text.wordpiece import WordPiece


@dataclass
class SentenceAttention:
    """Where one sentence's tokens look: `weights` (n_layers, H, T, T), without padding."""

    tokens: list[str]
    weights: Tensor


class SentenceEncoder(nn.Module):
    """Sentences → unit vectors, so that a dot product is the cosine of their angle."""

    def __init__(self, encoder: Bert, tokenizer: WordPiece, max_length: int):
        super().__init__()
        self.encoder, self.tokenizer, self.max_length = encoder, tokenizer, max_length

    @classmethod
    def from_folder(cls, folder: Path) -> "SentenceEncoder":
        """Read the layout of sentence-transformers: mean pooling, then normalisation; anything else is refused."""
        kinds = [str(module["type"]).rpartition(".")[2] for module in hub.read_json(folder / "modules.json")]
        pooling = hub.read_json(folder / "1_Pooling" / "config.json")
        modes = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True]
        if kinds != ["Transformer", "Pooling", "Normalize"] or modes != ["pooling_mode_mean_tokens"]:
            raise ValueError(f"{folder}: Transformer, mean Pooling and Normalize are needed; it has {kinds}, {pooling}")
        limit = hub.read_json(folder / "sentence_bert_config.json")["max_seq_length"]
        return cls(Bert.from_folder(folder), WordPiece.from_folder(folder), limit).eval()

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) ids and mask → (B, C) unit vectors."""
        states = self.encoder(input_ids, attention_mask).last_hidden_state  # (B, T, C)
        real = attention_mask.unsqueeze(-1).to(states.dtype)  # (B, T, 1)
        mean = (states * real).sum(1) / real.sum(1)  # padding takes no part
        return F.normalize(mean, dim=-1)

    @torch.inference_mode()
    def encode(self, sentences: list[str], batch_size: int = 32) -> Tensor:
        """One unit vector a sentence, (N, C), in the order given; longer sentences are cut at `max_length` tokens."""
        _check_list(sentences)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1; got {batch_size}")
        if not sentences:
            return torch.empty(0, self.encoder.config.d_model)
        device = next(self.parameters()).device
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))  # like lengths share a batch
        vectors: dict[int, Tensor] = {}
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            batch = self.tokenizer([sentences[i] for i in rows], max_length=self.max_length)
            out = self(batch["input_ids"].to(device), batch["attention_mask"].to(device))
            vectors |= dict(zip(rows, out, strict=True))
        return torch.stack([vectors[i] for i in range(len(sentences))])

    @torch.inference_mode()
    def attentions(self, sentences: list[str]) -> list[SentenceAttention]:
        """The attention weights of every layer and head, for each sentence alone."""
        _check_list(sentences)
        device = next(self.parameters()).device
        seen = []
        for sentence in sentences:
            ids = self.tokenizer([sentence], max_length=self.max_length)["input_ids"].to(device)
            out = self.encoder(ids, inspect=True)
            weights = torch.stack(out.attentions)[:, 0]  # (n_layers, H, T, T)
            seen.append(SentenceAttention(self.tokenizer.tokens(ids[0].tolist()), weights))
        return seen


def _check_list(sentences: list[str]) -> None:
    if isinstance(sentences, str):
        raise TypeError("this takes a list of sentences; put the one sentence into a list")
