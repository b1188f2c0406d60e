"""Decoding steps of one fixed shape, so that torch.compile, and CUDA graphs on a GPU, can run them without Python.

The cache that grows by one position a step becomes one that is always full: the step writes at a place that a tensor
holds, attends to all of the memory, and a mask hides what is not written yet. Worth it where calling small kernels
costs as much as their work: for small batches on a GPU, and for one text on a CPU, inside of `fast.decoding`.
Shapes: R rows, S positions of memory.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lmlib.attention import KeyValueCache, LayerCache
from lmlib.decoding.session import Session, is_encoder_decoder
from lmlib.models.causal import CausalModel

BACKEND = "inductor"


@dataclass
class FixedLayerCache(LayerCache):
    """A layer's memory as a whole: `place` (1,) says where the next position is written; `length` stays S - 1."""

    place: Tensor = field(kw_only=True)

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write one new position in place and return all of the memory, (B, K, S, D)."""
        self.key.index_copy_(2, self.place, key)
        self.value.index_copy_(2, self.place, value)
        return self.key, self.value


class CompiledSteps:
    """Goes on from a session that has read its prompts, one token for every row at a time; cannot go back.

    On a GPU the first step compiles, and is then recorded as one CUDA graph, which all others replay. On a CPU the
    second length of memory compiles a program for all lengths. After eight programs, of all models in a process, torch
    warns and goes on without compiling; torch.compiler.reset() forgets them.
    """

    @torch.inference_mode()
    def __init__(self, session: Session):
        """Take over the session's memory. Raises ValueError for models whose steps are not all of one shape."""
        model, n, layers = session.model, session.cache.length, session.cache.layers
        if is_encoder_decoder(model) or type(model).layer_masks is not CausalModel.layer_masks:
            raise ValueError(
                f"compiled steps are for decoder-only models without banded layers; {type(model).__name__} is none"
            )
        n_rows, _, most, _ = layers[0].key.shape
        self.scores, device = session.scores.clone(), session.scores.device
        self.tokens = torch.zeros(n_rows, 1, dtype=torch.long, device=device)
        self.place = torch.tensor([n], device=device)  # where the next token is written
        self.real = torch.zeros(n_rows, most, dtype=torch.bool, device=device)
        self.real[:, :n] = True if session.real is None else session.real[:, :n]
        self.positions = torch.full((n_rows, 1), n, device=device)
        if session.positions is not None:
            self.positions.copy_(session.positions)
        self.cache = KeyValueCache([FixedLayerCache(old.key, old.value, most - 1, place=self.place) for old in layers])
        self.graph: torch.cuda.CUDAGraph | None = None
        dynamic = False if device.type == "cuda" else None
        self.run = torch.compile(model.forward, dynamic=dynamic, backend=BACKEND)

    @torch.inference_mode()
    def feed(self, tokens: Tensor) -> Tensor:
        """Add tokens (R, 1) to the rows; returns the scores (R, V) of the next one, which the next step overwrites."""
        self.tokens.copy_(tokens)
        if self.graph is not None:
            self.graph.replay()
            return self.scores
        self._step()
        if self.scores.is_cuda:
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self._step()
        return self.scores

    def _step(self) -> None:
        """Everything between tokens and scores, in memory that stays where it is."""
        self.real.index_fill_(1, self.place, True)
        out = self.run(self.tokens, self.real, self.positions, cache=self.cache, last_only=True)
        self.scores.copy_(out.logits[:, -1])
        self.place += 1
        self.positions += 1
