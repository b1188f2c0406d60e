"""The Transformer: an encoder-decoder for translation, from attention alone. Source: Vaswani et al. 2017.

New in this family, the first of them: sinusoids say where a token stands, token vectors are multiplied by √d_model, and
one matrix may serve as source embedding, target embedding and output layer. The stacks are those of
`torch.nn.Transformer`, weight for weight; `load_torch` and `torch_state` carry them over.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lmlib.models.base import Config, Stored, linear
from lmlib.models.encoder_decoder import EncoderDecoder
from lmlib.positions import sinusoidal
from lmlib.transformer import Shape


@dataclass
class TransformerConfig(Config):
    """Sizes of a Transformer; the defaults are the base model of the paper (table 3)."""

    MODEL_TYPE: ClassVar[str] = "transformer"

    vocab_size: int = 37000
    source_vocab: int | None = None  # None: source and target share one vocabulary and one embedding
    d_model: int = 512
    n_layers: int = 6
    n_decoder_layers: int | None = None  # as many as the encoder has
    n_heads: int = 8
    d_ff: int = 2048
    max_positions: int = 1024
    activation: str = "relu"
    norm_eps: float = 1e-5
    norm_first: bool = False
    final_norm: bool = False  # torch.nn.Transformer has one; the paper has none
    tied: bool = True  # the output layer is the target embedding
    dropout: float = 0.1
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2
    decoder_start_token_id: int = 1

    @property
    def source_vocab_size(self) -> int:
        return self.source_vocab or self.vocab_size

    def shape(self, side: str) -> Shape:
        """The stack of blocks of the "encoder" or the "decoder"."""
        return Shape(
            d_model=self.d_model,
            n_layers=self.n_layers if side == "encoder" else (self.n_decoder_layers or self.n_layers),
            n_heads=self.n_heads,
            d_ff=self.d_ff,
            activation=self.activation,
            norm_eps=self.norm_eps,
            norm_first=self.norm_first,
            final_norm=self.final_norm,
            cross_attention=side == "decoder",
            dropout=self.dropout,
        )


class Transformer(EncoderDecoder):
    """The encoder-decoder of 2017. Heads: "language_model", and None (states only)."""

    config_class = TransformerConfig
    HEADS: ClassVar[dict[str, str | None]] = {"TransformerModel": None, "TransformerForTranslation": "language_model"}

    table: Tensor

    def __init__(self, config: TransformerConfig, head: str | None = "language_model"):
        super().__init__(config, head, config.shape("encoder"), config.shape("decoder"))
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.source_embedding = nn.Embedding(config.source_vocab, config.d_model) if config.source_vocab else None
        tied = config.tied or head is None
        self.output = None if tied else nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.register_buffer("table", sinusoidal(config.max_positions, config.d_model), persistent=False)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(self._initialise)

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=self.config.d_model**-0.5)  # times √d_model: as large as the sinusoids

    def embed(self, ids: Tensor, positions: Tensor, side: str) -> Tensor:
        source = self.embedding if self.source_embedding is None else self.source_embedding
        tokens = (source if side == "encoder" else self.embedding)(ids)  # (B, T, C)
        return self.dropout(tokens * self.config.d_model**0.5 + self.table[positions])

    def project(self, states: Tensor) -> Tensor | None:
        if self.head is None:
            return None
        return F.linear(states, self.embedding.weight if self.output is None else self.output.weight)

    def load_torch(self, state: dict[str, Tensor]) -> None:
        """Take the weights of both stacks from the state_dict of a `torch.nn.Transformer`; embeddings stay.

        Raises CheckpointError that names what does not fit: final_norm must be True, and the sizes must agree.
        """
        self.load_stored(state | self._without_stacks(), source="the state of torch.nn.Transformer")

    def torch_state(self) -> dict[str, Tensor]:
        """The state_dict that a `torch.nn.Transformer` of the same sizes loads."""
        rest = self._without_stacks()
        return {name: tensor for name, tensor in self.stored_tensors().items() if name not in rest}

    def _without_stacks(self) -> dict[str, Tensor]:
        stacks = ("encoder.", "decoder.")
        return {name: tensor for name, tensor in self.stored_tensors().items() if not name.startswith(stacks)}

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"embedding.weight": "embedding.weight"}
        if self.source_embedding is not None:
            names["source_embedding.weight"] = "source_embedding.weight"
        for side, stack in (("encoder", self.encoder), ("decoder", self.decoder)):
            for i in range(stack.shape.n_layers):
                names |= torch_layer_names(f"{side}.blocks.{i}", f"{side}.layers.{i}", side == "decoder")
            if stack.final_norm is not None:
                names |= linear(f"{side}.final_norm", f"{side}.norm")
        return names

    def head_names(self) -> dict[str, Stored]:
        return {} if self.output is None else {"output.weight": "output.weight"}


def torch_layer_names(ours: str, theirs: str, decoder: bool) -> dict[str, Stored]:
    """One block under its names in `torch.nn.TransformerEncoderLayer` or `TransformerDecoderLayer`."""
    sublayers = [("attention", "self_attn")] + [("cross_attention", "multihead_attn")] * decoder
    names: dict[str, Stored] = {}
    for i, (name, where) in enumerate(sublayers, start=1):
        for part in ("weight", "bias"):
            names[f"{ours}.{name}.qkv.{part}"] = f"{theirs}.{where}.in_proj_{part}"  # one matrix there too
        names |= linear(f"{ours}.{name}.out", f"{theirs}.{where}.out_proj")
        names |= linear(f"{ours}.{name}_norm", f"{theirs}.norm{i}")
    return {
        **names,
        **linear(f"{ours}.feed_forward.inner", f"{theirs}.linear1"),
        **linear(f"{ours}.feed_forward.outer", f"{theirs}.linear2"),
        **linear(f"{ours}.feed_forward_norm", f"{theirs}.norm{len(sublayers) + 1}"),
    }
