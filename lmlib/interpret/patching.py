"""Activation patching: which part of a model carries what tells two inputs apart.

A clean input ("Anna is at the mill. Anna is at the ...") and a corrupted one (another town) give different answers. Run
the corrupted one, but put one activation of the clean run in its place: where the answer comes back, that part carries
it. Source: Vig et al. 2020; Meng et al. 2022, section 2 (causal tracing); Wang et al. 2023.
Shapes: B batch, T length, L layers, H heads, D d_head, C d_model.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lmlib.interpret.attention_maps import require_eval
from lmlib.models.base import Output
from lmlib.transformer import Block, Stack

Activations = dict[tuple[str, int], Tensor]  # (part, layer) → (B, T, C); for "head" (B, T, H · D)
Change = Callable[[str, int, Tensor], Tensor | None]  # (part, layer, activation) → what stands in its place, or None

# What may be patched in each block, and its place there.
PARTS = {
    "residual": "what enters the block",
    "attention": "what its attention adds",
    "feed_forward": "what its feed-forward adds",
    "head": "the outputs of its heads, before they are merged",
}


@dataclass(frozen=True)
class Site:
    """One place in a model: a part of a layer, at one position (all if None); for "head" one head (all if None)."""

    part: str
    layer: int
    position: int | None = None
    head: int | None = None


def record(model: nn.Module, **batch: Any) -> Activations:
    """Run the model and keep every part of every layer."""
    kept: Activations = {}

    def keep(part: str, layer: int, activation: Tensor) -> None:
        kept[part, layer] = activation

    _run(model, batch, keep)
    return kept


def run_patched(model: nn.Module, sites: Iterable[Site], source: Activations, **batch: Any) -> Output:
    """Run the model on `batch` with the activations of `source`, kept by `record`, at these sites.

    Both inputs must have the same shape. Raises ValueError for a site that the model does not have.
    """
    stack = stack_of(model)
    chosen: dict[tuple[str, int], list[Site]] = {}
    for site in sites:
        _check_site(site, stack, source)
        chosen.setdefault((site.part, site.layer), []).append(site)

    def change(part: str, layer: int, activation: Tensor) -> Tensor | None:
        if (part, layer) not in chosen:
            return None
        return _patched(activation, source[part, layer], chosen[part, layer], stack.shape.n_heads)

    return _run(model, batch, change)


def patch_each(
    model: nn.Module,
    part: str,
    clean: dict[str, Any],
    corrupted: dict[str, Any],
    measure: Callable[[Output], Tensor],
) -> Tensor:
    """How much of the clean answer each patch brings back: (L, T) by layer and position, for "head" (L, H).

    `measure` gives a number for the answer, such as `logit_difference`. An effect is (patched - corrupted) /
    (clean - corrupted): 0 changes nothing, 1 brings all of it back. Raises ValueError when the two runs measure alike.
    """
    source = record(model, **clean)
    best, worst = (float(measure(_run(model, batch))) for batch in (clean, corrupted))
    if abs(best - worst) < 1e-6 * (1 + abs(best)):
        raise ValueError(f"the clean and the corrupted run both measure {best:.4g}; there is nothing to bring back")
    stack = stack_of(model)
    n_columns = stack.shape.n_heads if part == "head" else clean["input_ids"].size(1)
    effects = torch.empty(len(stack.blocks), n_columns)
    for layer in range(len(stack.blocks)):
        for i in range(n_columns):
            site = Site(part, layer, head=i) if part == "head" else Site(part, layer, position=i)
            effects[layer, i] = float(measure(run_patched(model, [site], source, **corrupted)))
    return (effects - worst) / (best - worst)


def logit_difference(right: Tensor, wrong: Tensor, position: int = -1) -> Callable[[Output], Tensor]:
    """A measure: the mean over rows of logit(right) - logit(wrong) at a position; ids (B,) each."""

    def measure(out: Output) -> Tensor:
        if out.logits is None or out.logits.dim() != 3:
            raise ValueError("a logit difference needs logits (B, T, V); take a model with a head over the vocabulary")
        logits = out.logits[:, position]  # (B, V)
        return (logits.gather(1, right[:, None]) - logits.gather(1, wrong[:, None])).mean()

    return measure


def stack_of(model: nn.Module) -> Stack:
    """The one stack of blocks of a decoder-only model or an encoder. Raises ValueError where there is none, or two."""
    stacks = [module for module in model.modules() if isinstance(module, Stack)]
    if len(stacks) != 1:
        raise ValueError(
            f"patching takes a model with one stack of blocks, decoder-only or an encoder; "
            f"{type(model).__name__} has {len(stacks)}"
        )
    return stacks[0]


@torch.inference_mode()
def _run(model: nn.Module, batch: dict[str, Any], change: Change = lambda part, layer, activation: None) -> Output:
    """One call of the model in which every part of every layer passes through `change`."""
    require_eval(model)
    with _passing(stack_of(model), change):
        return model(**batch)


@contextmanager
def _passing(stack: Stack, change: Change) -> Iterator[None]:
    """Hooks on each block while the context lasts; a block that layers share counts as the layer it now runs as."""
    layer = -1

    def enter(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        nonlocal layer
        layer += 1
        changed = change("residual", layer, args[0])
        return None if changed is None else (changed, *args[1:])

    def heads(_: nn.Module, args: tuple[Tensor]) -> tuple[Tensor] | None:
        changed = change("head", layer, args[0])
        return None if changed is None else (changed,)

    def attention(_: nn.Module, args: Any, result: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor | None]:
        changed = change("attention", layer, result[0])
        return result if changed is None else (changed, result[1])

    def feed_forward(_: nn.Module, args: Any, result: Tensor) -> Tensor | None:
        return change("feed_forward", layer, result)

    hooks = []
    for block in {id(block): block for block in stack.blocks}.values():
        assert isinstance(block, Block)
        hooks += [
            block.register_forward_pre_hook(enter),
            block.attention.out.register_forward_pre_hook(heads),
            block.attention.register_forward_hook(attention),
            block.feed_forward.register_forward_hook(feed_forward),
        ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _patched(activation: Tensor, source: Tensor, sites: list[Site], n_heads: int) -> Tensor:
    """A copy of the activation (B, T, C) with the source's values at the sites."""
    if activation.shape != source.shape:
        raise ValueError(
            f"clean and corrupted input must have the same shape; their activations are "
            f"{tuple(source.shape)} and {tuple(activation.shape)}"
        )
    activation = activation.clone()
    for site in sites:
        positions = slice(None) if site.position is None else site.position
        width = activation.size(-1) // n_heads
        features = slice(None) if site.head is None else slice(site.head * width, (site.head + 1) * width)
        activation[:, positions, features] = source[:, positions, features]
    return activation


def _check_site(site: Site, stack: Stack, source: Activations) -> None:
    if site.part not in PARTS:
        raise ValueError(f"there is no part {site.part!r}; there are: {', '.join(PARTS)}")
    if not 0 <= site.layer < len(stack.blocks):
        raise ValueError(f"layers are 0..{len(stack.blocks) - 1}; got {site.layer}")
    length = source[site.part, site.layer].size(1)
    if site.position is not None and not -length <= site.position < length:
        raise ValueError(f"positions are 0..{length - 1}; got {site.position}")
    if site.head is not None and (site.part != "head" or not 0 <= site.head < stack.shape.n_heads):
        raise ValueError(f"heads are 0..{stack.shape.n_heads - 1} of the part 'head'; got {site}")
