"""XLNet: a language model over random orders of the words. Source: Yang et al. 2019; Dai et al. 2019 (memory).

New in this family: two streams of hidden states, of which one does not know the token that it predicts; positions and
segments that are relative and enter the scores of attention, not the input (both in two_stream.py); and hidden states
of earlier text as memory.
Shapes: B batch, T length, M memory length, S = M + T, P predicted positions, H heads, D d_head, C d_model.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.models.base import Output, PretrainedModel, Stored, check_attention_mask, check_ids, linear
from lmlib.models.heads import LabelledConfig, class_loss, span_loss, token_loss
from lmlib.models.two_stream import (
    Surroundings,
    TwoStreamBlock,
    encode_distances,
    pair_distances,
    segment_pairs,
    stream_masks,
)


@dataclass
class XlnetConfig(LabelledConfig):
    """Sizes of an XLNet; the defaults are XLNet-large."""

    MODEL_TYPE: ClassVar[str] = "xlnet"
    PEER_NAMES: ClassVar[dict[str, str]] = {
        "n_layers": "n_layer",
        "n_heads": "n_head",
        "d_ff": "d_inner",
        "activation": "ff_activation",
        "norm_eps": "layer_norm_eps",
        "attention_type": "attn_type",
        "memory_length": "mem_len",
        "reuse_length": "reuse_len",
        "longest_distance": "clamp_len",
        "summary": "summary_type",
        "initializer_std": "initializer_range",
    }

    vocab_size: int = 32000
    d_model: int = 1024
    n_layers: int = 24
    n_heads: int = 16
    d_ff: int = 4096
    activation: str = "gelu"
    norm_eps: float = 1e-12
    attention_type: str = "bi"  # "uni": no token sees a later one
    memory_length: int | None = 512  # positions that the memory keeps; None or 0 for all
    reuse_length: int | None = None  # of the present text, positions that enter the memory; None or 0 for all
    longest_distance: int = -1  # larger distances count as this one; -1 for no limit
    summary: str = "last"  # what a class is read from: the last token, the first, or the mean
    dropout: float = 0.1
    initializer_std: float = 0.02

    def __post_init__(self) -> None:
        if self.d_model % self.n_heads or self.d_model % 2:
            raise ValueError(f"d_model={self.d_model} must be even and split into n_heads={self.n_heads} equal heads")
        for name, value, known in (
            ("attention_type", self.attention_type, ("bi", "uni")),
            ("summary", self.summary, ("last", "first", "mean")),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")

    @classmethod
    def check_peer(cls, values: dict[str, Any]) -> None:
        wanted = {"bi_data": False, "same_length": False, "summary_use_proj": True, "summary_activation": "tanh"}
        for name, value in wanted.items():
            if values.get(name, value) != value:
                raise ValueError(f"this XLNet has {name}={value}; the config asks for {values[name]}")

    def block(self) -> TwoStreamBlock:
        """One layer."""
        return TwoStreamBlock(self.d_model, self.n_heads, self.d_ff, self.activation, self.norm_eps, self.dropout)


@dataclass
class XlnetOutput(Output):
    """With `target_mapping` there are two streams: the usual fields hold the content, these the query stream."""

    query_hidden_states: list[Tensor] | None = None  # n_layers + 1 of (B, P, C)
    query_attentions: list[Tensor] | None = None  # n_layers of (B, H, T, S)


class Xlnet(PretrainedModel):
    """XLNet with a head: "lm", "classification", "tagging", "span", or none."""

    config: XlnetConfig
    config_class = XlnetConfig
    HEADS: ClassVar[dict[str, str | None]] = {
        "XLNetModel": None,
        "XLNetLMHeadModel": "lm",
        "XLNetForSequenceClassification": "classification",
        "XLNetForTokenClassification": "tagging",
        "XLNetForQuestionAnsweringSimple": "span",
    }
    PREFIX = "transformer."

    def __init__(self, config: XlnetConfig, head: str | None = None):
        super().__init__(config, head)
        self.word = nn.Embedding(config.vocab_size, config.d_model)
        self.unseen = nn.Parameter(torch.empty(1, 1, config.d_model))  # what the query stream starts from
        self.blocks = nn.ModuleList(config.block() for _ in range(config.n_layers))
        self.dropout = nn.Dropout(config.dropout)
        if head == "lm":
            self.lm_bias = nn.Parameter(torch.zeros(config.vocab_size))
        elif head is not None:
            self.label_head = nn.Linear(config.d_model, 2 if head == "span" else config.n_labels)
        if head == "classification":
            self.summary = nn.Linear(config.d_model, config.d_model)
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=config.initializer_std)
            elif name.endswith(".bias") or name == "lm_bias":
                nn.init.zeros_(parameter)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        memory: list[Tensor] | None = None,
        input_mask: Tensor | None = None,
        labels: Tensor | None = None,
        keep_memory: bool = False,
        inspect: bool = False,
    ) -> XlnetOutput:
        """input_ids (B, T) → `XlnetOutput`, for all positions or for the P of `target_mapping`.

        attention_mask (B, T): 1 at real tokens; input_mask is the same turned round, 1 at padding: give one of them.
        perm_mask (B, T, T): 1 where position i must not see position j. target_mapping (B, P, T): one row with a
        single 1 for each position to predict. memory: n_layers of (B, M, C), an earlier output's; `keep_memory` asks
        for the next one. labels: (B, T) or (B, P) tokens, (B, T) tags, (B,) classes, (B, 2) ends of a span.
        """
        check_ids(input_ids, self.config.vocab_size)
        if input_mask is not None:
            if attention_mask is not None:
                raise ValueError("give attention_mask (1 at real tokens) or input_mask (1 at padding), not both")
            check_attention_mask(input_mask, *input_ids.shape)
            attention_mask = input_mask == 0
        if attention_mask is not None:
            check_attention_mask(attention_mask, *input_ids.shape)
        self._check_shapes(input_ids, token_type_ids, perm_mask, target_mapping, memory)
        n_memory, (n_rows, length) = 0 if memory is None else memory[0].size(1), input_ids.shape
        around = self._surroundings(attention_mask, token_type_ids, perm_mask, target_mapping, n_memory, length)
        streams = {"content": self.dropout(self.word(input_ids))}
        if target_mapping is not None:
            streams["query"] = self.dropout(self.unseen.expand(n_rows, target_mapping.size(1), -1))
        out = self._run(streams, around, memory, keep_memory, inspect)
        self._apply_head(out)
        if labels is not None:
            if out.logits is None:
                raise ValueError("labels were given to an Xlnet whose head=None has none")
            loss = {"classification": class_loss, "span": span_loss}.get(self.head or "", token_loss)
            out.loss = loss(out.logits, labels)
        return out

    def _run(
        self,
        streams: dict[str, Tensor],
        around: Surroundings,
        memory: list[Tensor] | None,
        keep_memory: bool,
        inspect: bool,
    ) -> XlnetOutput:
        states, kept = [streams], []
        all_weights = []
        for i, block in enumerate(self.blocks):
            before = None if memory is None else memory[i]
            if keep_memory:
                kept.append(self._remember(before, streams["content"]))
            streams, weights = block(streams, before, around, inspect)
            states.append(streams)
            all_weights.append(weights)
        out = XlnetOutput(self.dropout(streams.get("query", streams["content"])))
        out.memory = kept if keep_memory else None
        if inspect:
            out.hidden_states = [state["content"] for state in states]
            out.attentions = [weights["content"] for weights in all_weights]
        if inspect and "query" in streams:
            out.query_hidden_states = [state["query"] for state in states]
            out.query_attentions = [weights["query"] for weights in all_weights]
        return out

    def _remember(self, before: Tensor | None, present: Tensor) -> Tensor:
        """The memory of one layer for the next text, (B, M, C); nothing is learned through it."""
        present = present[:, : self.config.reuse_length or None]
        joined = present if before is None else torch.cat([before, present], dim=1)
        return joined[:, -(self.config.memory_length or 0) :].detach()

    def _surroundings(
        self,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        perm_mask: Tensor | None,
        target_mapping: Tensor | None,
        n_memory: int,
        length: int,
    ) -> Surroundings:
        config, weight = self.config, self.word.weight
        distances, index = pair_distances(n_memory, length, weight.device)
        uni = config.attention_type == "uni"
        query_mask, content_mask = stream_masks(attention_mask, perm_mask, uni, n_memory, length, weight.device)
        return Surroundings(
            distances=encode_distances(distances, config.d_model, config.longest_distance).to(weight.dtype),
            index=index,
            other_segment=None if token_type_ids is None else segment_pairs(token_type_ids, n_memory),
            query_mask=query_mask,
            content_mask=content_mask,
            targets=None if target_mapping is None else target_mapping.to(weight.dtype),
        )

    def _check_shapes(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None,
        perm_mask: Tensor | None,
        target_mapping: Tensor | None,
        memory: list[Tensor] | None,
    ) -> None:
        n_rows, length = input_ids.shape
        if token_type_ids is not None and token_type_ids.shape != input_ids.shape:
            raise ValueError(f"token_type_ids must be {(n_rows, length)}; got {tuple(token_type_ids.shape)}")
        if perm_mask is not None and perm_mask.shape != (n_rows, length, length):
            raise ValueError(f"perm_mask must be {(n_rows, length, length)}; got {tuple(perm_mask.shape)}")
        if perm_mask is not None and not perm_mask.is_cuda and not ((perm_mask == 0) | (perm_mask == 1)).all():
            raise ValueError("perm_mask must hold 1 where position i must not see position j, and 0; got other values")
        if target_mapping is not None and (
            target_mapping.dim() != 3 or target_mapping.shape[::2] != (n_rows, length) or target_mapping.size(1) == 0
        ):
            raise ValueError(f"target_mapping must be ({n_rows}, P, {length}); got {tuple(target_mapping.shape)}")
        if memory is None:
            return
        shapes = [tuple(layer.shape) for layer in memory]
        wanted = (n_rows, shapes[0][1] if shapes and len(shapes[0]) == 3 else 0, self.config.d_model)
        if shapes != [wanted] * self.config.n_layers:
            raise ValueError(
                f"memory must be {self.config.n_layers} tensors ({n_rows}, M, {self.config.d_model}); got {shapes}"
            )

    def _apply_head(self, out: XlnetOutput) -> None:
        x = out.last_hidden_state
        if self.head == "lm":
            out.logits = F.linear(x, self.word.weight, self.lm_bias)  # (B, T or P, V)
        elif self.head == "classification":
            read = {"last": x[:, -1], "first": x[:, 0], "mean": x.mean(1)}[self.config.summary]  # (B, C)
            out.logits = self.label_head(self.dropout(torch.tanh(self.summary(read))))
        elif self.head is not None:
            out.logits = self.label_head(x)

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"word.weight": "word_embedding.weight", "unseen": "mask_emb"}
        attention_names = {
            "query": "q",
            "key": "k",
            "value": "v",
            "out": "o",
            "relative": "r",
            "content_bias": "r_w_bias",
            "position_bias": "r_r_bias",
            "segment_bias": "r_s_bias",
            "segments": "seg_embed",
        }
        for i in range(self.config.n_layers):
            ours, theirs = f"blocks.{i}", f"layer.{i}"
            names |= {f"{ours}.attention.{a}": f"{theirs}.rel_attn.{b}" for a, b in attention_names.items()}
            names |= linear(f"{ours}.attention_norm", f"{theirs}.rel_attn.layer_norm")
            names |= linear(f"{ours}.feed_forward.inner", f"{theirs}.ff.layer_1")
            names |= linear(f"{ours}.feed_forward.outer", f"{theirs}.ff.layer_2")
            names |= linear(f"{ours}.feed_forward_norm", f"{theirs}.ff.layer_norm")
        return names

    def head_names(self) -> dict[str, Stored]:
        if self.head == "lm":
            return {"lm_bias": "lm_loss.bias"}
        names = linear("summary", "sequence_summary.summary") if self.head == "classification" else {}
        theirs = {"classification": "logits_proj", "tagging": "classifier", "span": "qa_outputs"}
        return names | (linear("label_head", theirs[self.head]) if self.head else {})

    def tied_names(self) -> dict[str, str]:
        return {"lm_loss.weight": "word.weight"} if self.head == "lm" else {}
