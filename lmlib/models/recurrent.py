"""Recurrent language models: Elman's network and the LSTM. Source: Elman 1990; Hochreiter & Schmidhuber 1997.

All that is known of the past is a state of fixed size; each token changes it. So cost grows linearly with length, but
the positions of a sequence must be worked through one after the other.
Shapes: B batch, T length, C d_model, G gates · C, V vocabulary; a layer's state is (states, B, C).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from lmlib.models.base import Config, Output, PretrainedModel, Stored, check_attention_mask, check_ids
from lmlib.models.heads import next_token_loss


class RecurrentLayer(nn.Module):
    """One layer, unrolled over time; a subclass says in `step` how a state becomes the next one."""

    n_gates: ClassVar[int]
    n_states: ClassVar[int]

    def __init__(self, d_input: int, d_model: int):
        super().__init__()
        self.d_model = d_model
        self.input = nn.Linear(d_input, self.n_gates * d_model)
        self.recurrent = nn.Linear(d_model, self.n_gates * d_model)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(d_model**-0.5), d_model**-0.5)

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The projected input of one position, (B, G), and the state, each part (B, C) → the next state."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: Tensor | None = None, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (B, T, C) → outputs (B, T, C) and the last state. Where mask (B, T) is False the state stays as it was."""
        if state is None:
            state = x.new_zeros(self.n_states, x.size(0), self.d_model)
        now = state.unbind()
        outputs = []
        for t, projected in enumerate(self.input(x).unbind(1)):  # one matrix product for all positions
            new = self.step(projected, now)
            if mask is not None:
                new = tuple(torch.where(mask[:, t, None], *pair) for pair in zip(new, now, strict=True))
            now = new
            outputs.append(now[0])
        return torch.stack(outputs, dim=1), torch.stack(now)


class ElmanLayer(RecurrentLayer):
    """h' = tanh(W x + U h + b): the state is the output."""

    n_gates, n_states = 1, 1

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (h,) = state
        return (torch.tanh(x + self.recurrent(h)),)


class LSTMLayer(RecurrentLayer):
    """Gates decide what enters the cell c, what stays in it and what is shown of it.

    c' = forget · c + input · new, h' = output · tanh(c'). The sum lets gradients pass through many steps.
    """

    n_gates, n_states = 4, 2

    def step(self, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        h, c = state
        enters, stays, new, shown = (x + self.recurrent(h)).chunk(4, dim=-1)  # (B, C) each
        c = stays.sigmoid() * c + enters.sigmoid() * new.tanh()
        return shown.sigmoid() * c.tanh(), c


CELLS: dict[str, type[RecurrentLayer]] = {"elman": ElmanLayer, "lstm": LSTMLayer}


@dataclass
class RecurrentConfig(Config):
    """Sizes of a recurrent language model; `cell` is "lstm" or "elman"."""

    MODEL_TYPE: ClassVar[str] = "recurrent"

    vocab_size: int = 10_000
    d_model: int = 256
    n_layers: int = 2
    cell: str = "lstm"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"there is no cell {self.cell!r}; there are: {', '.join(CELLS)}")
        if min(self.vocab_size, self.d_model, self.n_layers) < 1:
            raise ValueError(
                "vocab_size, d_model and n_layers must be at least 1; "
                f"got {self.vocab_size}, {self.d_model} and {self.n_layers}"
            )


class RecurrentLM(PretrainedModel):
    """Embedding, recurrent layers, scores over the vocabulary for the next token."""

    config: RecurrentConfig
    config_class = RecurrentConfig
    HEADS: ClassVar[dict[str, str | None]] = {"RecurrentLM": None}

    def __init__(self, config: RecurrentConfig, head: str | None = None):
        super().__init__(config, head)
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        kind = CELLS[config.cell]
        self.layers = nn.ModuleList(kind(config.d_model, config.d_model) for _ in range(config.n_layers))
        self.output = nn.Linear(config.d_model, config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        memory: list[Tensor] | None = None,
        inspect: bool = False,
    ) -> Output:
        """input_ids (B, T), attention_mask (B, T) with 1 at real tokens → `Output` with logits (B, T, V) and memory.

        `memory`, one state (states, B, C) a layer as a call before returned it, goes on from there. labels (B, T) are
        the tokens themselves, -100 where there is none; position t is scored on label t + 1.
        """
        check_ids(input_ids, self.config.vocab_size)
        self._check_memory(memory, input_ids.size(0))
        if attention_mask is not None:
            check_attention_mask(attention_mask, *input_ids.shape)
        mask = None if attention_mask is None else attention_mask.bool()
        x = self.dropout(self.embedding(input_ids))  # (B, T, C)
        hidden_states, states = [x], []
        for i, layer in enumerate(self.layers):
            x, state = layer(x, memory[i] if memory else None, mask)
            x = self.dropout(x)
            hidden_states.append(x)
            states.append(state)
        logits = self.output(x)  # (B, T, V)
        out = Output(x, logits=logits, memory=states, hidden_states=hidden_states if inspect else None)
        if labels is not None:
            out.loss = next_token_loss(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)
        return out

    def _check_memory(self, memory: list[Tensor] | None, batch: int) -> None:
        if memory is None:
            return
        shape = (CELLS[self.config.cell].n_states, batch, self.config.d_model)
        given = [tuple(state.shape) for state in memory]
        if given != [shape] * self.config.n_layers:
            raise ValueError(f"memory must hold {self.config.n_layers} states of shape {shape}; got {given}")

    def stored_names(self) -> dict[str, Stored]:
        names: dict[str, Stored] = {"embedding.weight": "embedding.weight"}
        for i in range(self.config.n_layers):  # the layers carry the names that torch.nn.LSTM and torch.nn.RNN use
            for part, kind in (("input", "ih"), ("recurrent", "hh")):
                names |= {f"layers.{i}.{part}.{what}": f"layers.{what}_{kind}_l{i}" for what in ("weight", "bias")}
        return names

    def head_names(self) -> dict[str, Stored]:
        return {"output.weight": "output.weight", "output.bias": "output.bias"}

    def predicted_labels(self, labels: Tensor) -> Tensor:
        """All but the first token of each text, which nothing predicts."""
        return labels[:, 1:]
