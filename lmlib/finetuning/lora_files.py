"""Adapters on disk: only A and B, in the layout of the library `peft`, under the names that checkpoints have.

adapter_config.json says rank, alpha, dropout and target layers; adapter_model.safetensors holds, for each of them,
base_model.model.{layer}.lora_A.weight (rank, inputs) and lora_B.weight (outputs, rank).
"""

import json
import re
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from lmlib import hub
from lmlib.finetuning.lora import LoraConfig, Place, attach, lora_layers, places
from lmlib.models.base import CheckpointError, PretrainedModel, Turned

NAME = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<part>[AB])\.weight")
# What peft can do and this file cannot, with the value that means "not done".
NOT_DONE: dict[str, tuple[Any, ...]] = {
    "bias": ("none", None),
    "use_dora": (False, None),
    "use_rslora": (False, None),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "lora_bias": (False, None),
    "layers_to_transform": (None, []),
    "exclude_modules": (None, []),
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),  # others change the weights beneath
    "use_qalora": (False, None),
    "alora_invocation_tokens": (None, []),
}


def save_adapters(model: PretrainedModel, folder: str | Path, base: str | None = None) -> None:
    """Write the adapters of a model, and nothing else. `base`: name or folder of the model that they are for.

    Raises ValueError when the model has none.
    """
    layers = lora_layers(model)
    adapters = [adapter for layer in layers.values() for adapter in layer.all_adapters()]
    tensors = {
        f"base_model.model.{adapter.place.stored}.lora_{part}.weight": getattr(adapter, part).detach()
        for adapter in adapters
        for part in ("A", "B")
    }
    config = next(iter(layers.values())).config
    values = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": sorted(adapter.place.stored for adapter in adapters),
        "fan_in_fan_out": any(isinstance(where, Turned) for where in model.stored_names().values()),
        "bias": "none",
        "inference_mode": True,
    }
    hub.write_model(Path(folder), json.dumps(values, indent=2), tensors, prefix="adapter_")


def load_adapters(model: PretrainedModel, folder: str | Path) -> None:
    """Attach the adapters of a folder to the model that they were trained for; everything else is frozen.

    Raises FileNotFoundError, or CheckpointError that names each tensor that does not fit, and leaves the model as it
    was then.
    """
    folder = Path(folder)
    values = _values(folder)
    config = LoraConfig(values["r"], values["lora_alpha"], values.get("lora_dropout", 0.0))
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} has no {file.name}")
    pairs, problems = _pairs(hub.read_tensors(file))
    known = {place.stored: place for place in places(model)}
    for layer, pair in pairs.items():
        problems += _misfits(model, layer, known.get(layer), pair, config.rank)
    absent = [layer for layer in known if layer not in pairs and _is_target(layer, values["target_modules"])]
    problems += [f"missing: {layer}.lora_A.weight and lora_B.weight" for layer in absent]
    if problems or not pairs:
        raise CheckpointError(f"{file} does not fit:\n  " + "\n  ".join(problems[:12] or ["it holds no adapter"]))
    attach(model, [known[layer] for layer in pairs], config)
    with torch.no_grad():
        for lora in lora_layers(model).values():
            for adapter in lora.all_adapters():
                adapter.A.copy_(pairs[adapter.place.stored]["A"])
                adapter.B.copy_(pairs[adapter.place.stored]["B"])


def _misfits(model: PretrainedModel, layer: str, place: Place | None, pair: dict[str, Tensor], rank: int) -> list[str]:
    """What is wrong with the two tensors of one layer."""
    if place is None:
        return [f"unused: {layer} is no linear layer, with a weight of its own, of {type(model).__name__}"]
    n_inputs = cast("nn.Linear", model.get_submodule(place.layer)).in_features
    found = []
    for part, shape in {"A": (rank, n_inputs), "B": (place.end - place.start, rank)}.items():
        name = f"{layer}.lora_{part}.weight"
        if part not in pair:
            found.append(f"missing: {name}")
        elif tuple(pair[part].shape) != shape:
            found.append(f"misshapen: {name} needs {shape}, stored {tuple(pair[part].shape)}")
    return found


def _is_target(layer: str, targets: str | list[str]) -> bool:
    """Whether adapter_config.json names this layer: by the end of its name, or by a pattern for all of it."""
    if isinstance(targets, str):
        return re.fullmatch(targets, layer) is not None
    return any(layer == target or layer.endswith(f".{target}") for target in targets)


def _values(folder: Path) -> dict[str, Any]:
    values = hub.read_json(folder / "adapter_config.json")
    if values.get("peft_type") != "LORA":
        raise CheckpointError(f"{folder}: adapters of the type LORA are read; these are {values.get('peft_type')!r}")
    for option, off in NOT_DONE.items():
        if values.get(option) not in off:
            raise CheckpointError(f"{folder}: {option}={values[option]!r} is not supported; {off[0]!r} is")
    lacking = [name for name in ("r", "lora_alpha", "target_modules") if name not in values]
    if lacking:
        raise CheckpointError(f"{folder}: adapter_config.json lacks {', '.join(lacking)}")
    return values


def _pairs(tensors: dict[str, Tensor]) -> tuple[dict[str, dict[str, Tensor]], list[str]]:
    """The tensors by layer, as {"A": ..., "B": ...}, and what is wrong with the names of others."""
    pairs: dict[str, dict[str, Tensor]] = {}
    problems = []
    for name, tensor in tensors.items():
        match = NAME.fullmatch(name)
        if match is None:
            problems.append(f"unused: {name} is no weight of an adapter")
        else:
            pairs.setdefault(match["layer"], {})[match["part"]] = tensor
    return pairs, problems
