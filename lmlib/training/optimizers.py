"""Which optimiser moves which parameter, and which parameters are pulled towards 0."""

from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from lmlib.attention import MultiHeadAttention
from lmlib.layers import GatedFeedForward
from lmlib.models.base import PretrainedModel
from lmlib.training.config import TrainingConfig
from lmlib.training.muon import Muon

Named = dict[str, nn.Parameter]


def make_optimizers(model: nn.Module, config: TrainingConfig) -> list[Optimizer]:
    """AdamW for all, or with "muon" Muon for the hidden matrices and AdamW for the rest. Frozen ones are left alone.

    Raises ValueError when there is nothing to train.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError("no parameter is to be trained: each has requires_grad=False")
    optimizers: list[Optimizer] = []
    if config.optimizer == "muon":
        hidden = hidden_matrices(model)
        trained = {name: p for name, p in trained.items() if name not in hidden}
        optimizers.append(Muon(by_parts(model, hidden), lr=config.muon_learning_rate, weight_decay=config.weight_decay))
    decayed = decayed_parameters(model)
    groups = [
        {"params": [p for name, p in trained.items() if name in decayed], "weight_decay": config.weight_decay},
        {"params": [p for name, p in trained.items() if name not in decayed], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if groups:
        optimizers.append(AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["highest_lr"] = group["lr"]
    return optimizers


def set_rate(optimizers: list[Optimizer], share: float) -> None:
    """Set every learning rate to this share of its highest."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * group["highest_lr"]


def decayed_parameters(model: nn.Module) -> Named:
    """The matrices that multiply. Weight decay keeps their products small, and so the function smooth.

    Not biases, gains of norms and other vectors: they set a level, and 0 is not the simplest one. Not embeddings: a row
    is moved only when its token occurs but would be decayed at every step, so rare words would fade.
    """
    embedded = {id(p) for module in model.modules() if _is_embedding(module) for p in module.parameters()}
    return {
        name: p
        for name, p in model.named_parameters()
        if p.requires_grad and p.dim() > 1 and id(p) not in embedded and "bias" not in name.rpartition(".")[2]
    }


def hidden_matrices(model: nn.Module) -> Named:
    """The weights of linear layers between hidden states: neither embeddings nor the matrices of a head.

    Raises ValueError when there are none.
    """
    head = set(model.head_names()) if isinstance(model, PretrainedModel) else set()
    decayed = decayed_parameters(model)
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    hidden = {name: p for name, p in decayed.items() if name in linear - head}
    if not hidden:
        raise ValueError('the model has no hidden matrix that Muon could train; use optimizer="adamw"')
    return hidden


def by_parts(model: nn.Module, matrices: Named) -> list[dict[str, Any]]:
    """Groups for Muon: those stored as one matrix that are several, with their numbers of rows, and the others."""
    parts: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, MultiHeadAttention):
            parts[f"{name}.qkv.weight"] = tuple(module.sizes)
        elif isinstance(module, GatedFeedForward):
            parts[f"{name}.gate_and_inner.weight"] = (module.gate_and_inner.out_features // 2,) * 2
    groups: dict[tuple[int, ...] | None, list[nn.Parameter]] = {}
    for name, p in matrices.items():
        groups.setdefault(parts.get(name), []).append(p)
    return [{"params": params, "parts": list(rows) if rows else None} for rows, params in groups.items()]


def _is_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding | nn.EmbeddingBag)
