"""LoRA: nothing changes at the start, only adapters learn, merged equals unmerged, in every family."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lmlib.finetuning.lora import (
    LoraConfig,
    LoraLinear,
    add_adapters,
    lora_layers,
    merge,
    remove_adapters,
    unmerge,
    without_adapters,
)
from lmlib.finetuning.lora_files import load_adapters, save_adapters
from lmlib.models import FAMILIES, from_pretrained
from lmlib.models.base import CheckpointError
from tests.lmlib.finetuning.families import OWN, build, inputs
from tests.lmlib.models.parity import assert_close


def linear_layers(model: nn.Module) -> tuple[str, ...]:
    """Every linear layer whose weight is its own."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return tuple(n for n, m in model.named_modules() if isinstance(m, nn.Linear) and owners[id(m.weight)] == 1)


def adapted(model_type: str, seed: int, rank: int = 3, alpha: float = 6.0, **changes: Any) -> Any:
    """A tiny model with adapters at every layer, whose B are drawn as if they had been trained."""
    model = build(model_type, seed, **changes)
    add_adapters(model, LoraConfig(rank, alpha, targets=linear_layers(model)))
    draw_changes(model, seed)
    return model


@torch.no_grad()
def draw_changes(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed + 1)
    for layer in lora_layers(model).values():
        for adapter in layer.all_adapters():
            adapter.B.copy_(0.3 * torch.randn(adapter.B.shape, generator=generator))


def outcome(model: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    out = model(**batch)
    return out.last_hidden_state if out.logits is None else out.logits


def test_every_family_has_a_tiny_model_here():
    assert OWN.keys() == FAMILIES.keys()


@pytest.mark.parametrize("model_type", OWN)
@torch.no_grad()
def test_nothing_changes_at_the_start_and_merged_equals_unmerged(model_type: str, seed: int):
    model, batch = build(model_type, seed), inputs(model_type, seed)
    before = outcome(model, batch)
    add_adapters(model, LoraConfig(3, 6.0, targets=linear_layers(model)))
    assert torch.equal(outcome(model, batch), before)
    draw_changes(model, seed)
    tuned = outcome(model, batch)
    assert (tuned - before).abs().max() > 1e-3
    weights = {name: parameter.clone() for name, parameter in model.named_parameters()}
    merge(model)
    assert_close(outcome(model, batch), tuned)
    unmerge(model)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters())
    with without_adapters(model):
        assert torch.equal(outcome(model, batch), before)
    assert torch.equal(outcome(model, batch), tuned)


@pytest.mark.parametrize("model_type", OWN)
@torch.no_grad()
def test_removed_adapters_leave_the_tuned_model_if_merged_else_the_old_one(model_type: str, seed: int, tmp_path: Path):
    batch = inputs(model_type, seed)
    before = outcome(build(model_type, seed), batch)
    model = adapted(model_type, seed)
    remove_adapters(model)
    assert torch.equal(outcome(model, batch), before)
    assert all(parameter.requires_grad for parameter in model.parameters())
    model = adapted(model_type, seed)
    tuned = outcome(model, batch)
    merge(model)
    remove_adapters(model)
    model.save_pretrained(tmp_path)
    assert_close(outcome(from_pretrained(tmp_path), batch), tuned)


@pytest.mark.parametrize("model_type", OWN)
def test_only_adapters_are_trained_and_saved_and_come_back(model_type: str, seed: int, tmp_path: Path):
    model, batch = adapted(model_type, seed), inputs(model_type, seed)
    outcome(model, batch).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (".adapters." in name)
        assert parameter.requires_grad or parameter.grad is None
        if parameter.requires_grad and ".blocks." in name:  # others may read pictures, and here are none
            assert parameter.grad is not None
            assert parameter.grad.abs().sum() > 0
    save_adapters(model, tmp_path)
    stored = load_file(tmp_path / "adapter_model.safetensors")
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert sum(tensor.numel() for tensor in stored.values()) == n_trained
    assert all(".lora_A." in name or ".lora_B." in name for name in stored)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    again = build(model_type, seed)
    load_adapters(again, tmp_path)
    assert torch.equal(outcome(again, batch), outcome(model, batch))


def merged_by_hand(checkpoint: Path, adapters: Path) -> None:
    """Write W + alpha / rank · B A over each weight of a checkpoint, in NumPy, by the names in the files alone."""
    config = json.loads((adapters / "adapter_config.json").read_text("utf-8"))
    weights, changes = (
        load_arrays(checkpoint / "model.safetensors"),
        load_arrays(adapters / "adapter_model.safetensors"),
    )
    for name in [name for name in changes if name.endswith(".lora_A.weight")]:
        A, B = (changes[name.replace("lora_A", f"lora_{part}")].astype(np.float64) for part in "AB")
        change = config["lora_alpha"] / config["r"] * B @ A
        target = name.removeprefix("base_model.model.").replace(".lora_A.weight", ".weight")
        weights[target] = weights[target] + (change.T if config["fan_in_fan_out"] else change).astype(np.float32)
    save_file({name: torch.from_numpy(array) for name, array in weights.items()}, checkpoint / "model.safetensors",
              {"format": "pt"})  # fmt: skip


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neo", "llama", "nanochat", "qwen2", "t5", "bart"])
@torch.no_grad()
def test_the_file_means_the_same_to_the_peers_merged_by_hand(model_type: str, seed: int, tmp_path: Path):
    """The peer's own layers (q_proj apart from k_proj) are changed by the tensors of their names."""
    model = adapted(model_type, seed)
    build(model_type, seed).save_pretrained(tmp_path / "model")
    save_adapters(model, tmp_path / "adapters")
    merged_by_hand(tmp_path / "model", tmp_path / "adapters")
    kind = AutoModelForSeq2SeqLM if model_type in ("t5", "bart") else AutoModelForCausalLM
    peer = kind.from_pretrained(tmp_path / "model").eval()
    batch = inputs(model_type, seed)
    where = None if "decoder_input_ids" in batch else batch["attention_mask"]
    assert_close(outcome(model, batch), peer(**batch).logits, where=where)


def change_config(folder: Path, change: dict[str, Any]) -> None:
    """Other values in adapter_config.json; None takes one away."""
    file = folder / "adapter_config.json"
    values = json.loads(file.read_text("utf-8")) | change
    file.write_text(json.dumps({name: value for name, value in values.items() if value is not None}), "utf-8")


def test_adapters_of_some_parts_of_a_joined_layer_load(seed: int, tmp_path: Path):
    """The paper's choice, queries and values only: the part between them stays as it was."""
    model, batch = adapted("llama", seed), inputs("llama", seed)
    save_adapters(model, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    kept = {name: t for name, t in load_file(file).items() if ".q_proj." in name or ".v_proj." in name}
    save_file(kept, file)
    for targets in (["q_proj", "v_proj"], r".*\.[qv]_proj"):
        change_config(tmp_path, {"target_modules": targets})
        some = build("llama", seed)
        load_adapters(some, tmp_path)
    for layer in lora_layers(model).values():
        for adapter in layer.all_adapters():
            if not adapter.place.stored.endswith(("q_proj", "v_proj")):
                nn.init.zeros_(adapter.B)
    assert_close(outcome(some, batch), outcome(model, batch))
    assert len(lora_layers(some)) == 2


def test_dropout_of_the_input_reaches_self_and_cross_attention_only_in_training(seed: int):
    batch = inputs("t5", seed)
    for target in ("attention.qkv", "cross_attention.qkv"):
        model = build("t5", seed)
        add_adapters(model, LoraConfig(3, dropout=0.5, targets=(f"decoder.blocks.0.{target}",)))
        draw_changes(model, seed)
        assert torch.equal(outcome(model, batch), outcome(model, batch))
        model.train()
        assert not torch.equal(outcome(model, batch), outcome(model, batch))


def test_the_size_of_the_change_is_alpha_over_rank(seed: int):
    layer = nn.Linear(5, 4)
    model = nn.Sequential(layer)
    lora = LoraLinear(layer, [], LoraConfig(rank=4, alpha=2.0))
    assert lora.scale == 0.5
    assert model[0].weight is lora.weight
    assert torch.equal(lora(torch.ones(5)), layer(torch.ones(5)))


def test_a_model_with_adapters_is_not_saved_as_if_it_had_none(seed: int, tmp_path: Path):
    with pytest.raises(CheckpointError, match=r"no place for .*adapters.*merged and removed first"):
        adapted("gpt2", seed).save_pretrained(tmp_path)


def test_wrong_use_is_refused_with_a_reason(seed: int):
    model = build("gpt2", seed)
    for no_adapters in (merge, unmerge, remove_adapters):
        with pytest.raises(ValueError, match="has no adapters"):
            no_adapters(model)
    with pytest.raises(ValueError, match=r"no linear layer is called 'q_proj'; their names end in: qkv, out"):
        add_adapters(model, LoraConfig(targets=("q_proj",)))
    with pytest.raises(ValueError, match="output shares its weight with another"):
        add_adapters(model, LoraConfig(targets=("output",)))
    assert all(parameter.requires_grad for parameter in model.parameters())
    add_adapters(model, LoraConfig())
    with pytest.raises(ValueError, match="has adapters already"):
        add_adapters(model, LoraConfig())
    merge(model)
    with pytest.raises(ValueError, match="unmerge"), without_adapters(model):
        pass
    for wrong in ({"rank": 0}, {"alpha": 0.0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match="rank is 1 or more, alpha above 0, dropout from 0"):
            LoraConfig(**wrong)
    with pytest.raises(ValueError, match="in a tuple"):
        LoraConfig(targets="qkv")  # type: ignore[arg-type]


def test_files_that_do_not_fit_are_refused_by_name(seed: int, tmp_path: Path):
    save_adapters(adapted("llama", seed), tmp_path, base="a/model")
    config = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "a/model"
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = "base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight"
    cases = {
        r"missing: model\.layers\.1\.self_attn\.k_proj\.lora_B": {n: t for n, t in tensors.items() if n != name},
        r"missing: model\.layers\.0\.mlp\.down_proj\.lora_A\.weight and lora_B": {
            n: t for n, t in tensors.items() if ".0.mlp.down_proj." not in n
        },
        r"misshapen: .*k_proj\.lora_B\.weight needs \(8, 3\), stored \(9, 3\)": tensors | {name: torch.zeros(9, 3)},
        r"unused: model\.layers\.7\.q is no linear layer, with a weight of its own, of Llama": tensors
        | {"base_model.model.model.layers.7.q.lora_A.weight": torch.zeros(3, 16)},
        r"unused: lm_head\.bias is no weight of an adapter": tensors | {"lm_head.bias": torch.zeros(2)},
        r"missing: model\.layers\.0\.self_attn\.q_proj": {},
    }
    model = build("llama", seed)
    for message, stored in cases.items():
        save_file(stored, tmp_path / "adapter_model.safetensors")
        with pytest.raises(CheckpointError, match=message):
            load_adapters(model, tmp_path)
        assert not any(isinstance(module, LoraLinear) for module in model.modules())
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"is no linear layer, .* of Gpt2"):
        load_adapters(build("gpt2", seed), tmp_path)
    save_file({}, tmp_path / "adapter_model.safetensors")
    change_config(tmp_path, {"target_modules": ["elsewhere"]})
    with pytest.raises(CheckpointError, match="it holds no adapter"):
        load_adapters(model, tmp_path)
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no adapter_model\.safetensors"):
        load_adapters(model, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "these are 'IA3'"),
        ({"r": None}, "lacks r"),
        ({"layers_to_transform": [0]}, r"layers_to_transform=\[0\] is not supported"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora' is not supported; True is"),
        ({"alora_invocation_tokens": [3]}, r"alora_invocation_tokens=\[3\] is not supported"),
        ({"use_qalora": True}, "use_qalora=True is not supported; False is"),
        ({"use_dora": True}, "use_dora=True is not supported; False is"),
        ({"modules_to_save": ["score"]}, r"modules_to_save=\['score'\] is not supported"),
    ],
)
def test_what_other_libraries_can_and_we_cannot_is_refused(change: dict, message: str, seed: int, tmp_path: Path):
    save_adapters(adapted("llama", seed), tmp_path)
    change_config(tmp_path, change)
    with pytest.raises(CheckpointError, match=message):
        load_adapters(build("llama", seed), tmp_path)
