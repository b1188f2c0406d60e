"""What it means that one of our families equals its peer in `transformers`: one harness for all of them.

A test draws a tiny peer from a seed (`randomised`), has it saved, loads it through our own door (`loaded`), and
compares (`assert_close`). Loading the other way, sharded, and with weights missing, added or misshapen is the same for
every family, and is here too.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError, PretrainedModel

FLOAT32 = 1e-5  # bound on the difference, times 1 + the largest reference


def randomised(peer: nn.Module, seed: int) -> Any:
    """The peer in eval mode, every parameter drawn: biases of 0 and norms of 1 would hide what is left out."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in peer.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_gain = parameter.dim() == 1 and name.endswith("weight")
            parameter.copy_(1 + 0.2 * noise if is_gain else 0.2 * noise)
    return peer.eval()


def loaded(peer: Any, folder: Path, **changes: Any) -> Any:
    """The peer's weights in our model, by way of a folder."""
    peer.save_pretrained(folder)
    return from_pretrained(folder, **changes)


def assert_close(ours: Any, reference: Any, bound: float = FLOAT32, where: Tensor | None = None) -> None:
    """Largest difference at most bound · (1 + max|reference|), at the positions `where` (B, T) is 1 if it is given.

    Takes tensors, or lists of them of equal length.
    """
    if isinstance(reference, list | tuple):
        assert len(ours) == len(reference), f"{len(ours)} tensors, the reference has {len(reference)}"
        for one, other in zip(ours, reference, strict=True):
            assert_close(one, other, bound, where)
        return
    assert ours.shape == reference.shape, f"shape {tuple(ours.shape)}, the reference has {tuple(reference.shape)}"
    ours, reference = ours.detach().float(), reference.detach().float()
    if where is not None:
        ours, reference = ours[where.bool()], reference[where.bool()]
    assert ours.isfinite().all(), "NaN or infinity"
    difference = (ours - reference).abs().max().item()
    allowed = bound * (1 + reference.abs().max().item())
    assert difference <= allowed, f"largest difference {difference:.2e}, allowed {allowed:.2e}"


HALF = {torch.bfloat16: 5e-3, torch.float16: 1e-3}  # bounds of the median difference, times 1 + the largest reference


def assert_close_in_half(ours: Tensor, reference: Tensor, where: Tensor | None = None) -> None:
    """The median difference of 16-bit results from those in float32 on the same rounded weights keeps within its bound.

    The median and not the largest: where a tiny norm or a tie tips over, one position may be far off in any library.
    """
    assert_close(ours, reference, bound=1.0, where=where)  # finite, of the same shape, and nowhere wild
    difference = (ours.detach().float() - reference).abs()
    median = (difference if where is None else difference[where.bool()]).median().item()
    allowed = HALF[ours.dtype] * (1 + reference.abs().max().item())
    assert median <= allowed, f"median difference {median:.2e}, allowed {allowed:.2e}"


def padded_batch(
    seed: int, vocab_size: int, lengths: list[int], side: str, low: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """input_ids with id 0 as padding, attention_mask and position_ids that count real tokens; each (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    ids = torch.zeros(len(lengths), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(lengths):
        place = slice(longest - length, None) if side == "left" else slice(0, length)
        ids[row, place] = torch.randint(low, vocab_size, (length,), generator=generator)
        mask[row, place] = 1
    return ids, mask, (mask.cumsum(1) - 1).clamp(min=0)


def assert_peer_reads_back(ours: PretrainedModel, peer: Any, folder: Path) -> None:
    """We save, the peer's class loads: nothing missing, nothing unused, and every weight equal."""
    ours.save_pretrained(folder)
    again, report = type(peer).from_pretrained(folder, output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[kind], f"{kind}: {report[kind]}"
    reread = again.state_dict()
    for name, tensor in peer.state_dict().items():
        assert torch.equal(reread[name], tensor), f"{name} came back changed"


def assert_sharded_loads(peer: Any, folder: Path, reference: PretrainedModel) -> None:
    """The same weights in several files give the same model."""
    n_bytes = sum(parameter.nbytes for parameter in peer.parameters())
    peer.save_pretrained(folder, max_shard_size=n_bytes // 3)
    assert len(list(folder.glob("*.safetensors"))) > 1
    ours = from_pretrained(folder)
    for (name, one), (_, other) in zip(ours.named_parameters(), reference.named_parameters(), strict=True):
        assert torch.equal(one, other), name


def assert_strict(folder: Path, seed: int, derived: tuple[str, ...] = ()) -> None:
    """A weight that is missing, unused or misshapen is named. `derived`: stored names that may be absent."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(name for name in tensors if name not in derived)
    chosen = random.Random(seed).choice(names)
    wrong = {
        "missing": {name: tensor for name, tensor in tensors.items() if name != chosen},
        "unused": tensors | {"surplus.weight": torch.zeros(2)},
        "misshapen": tensors | {chosen: tensors[chosen].new_zeros([n + 1 for n in tensors[chosen].shape])},
    }
    for problem, stored in wrong.items():
        save_file(stored, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(CheckpointError, match=problem) as raised:
            from_pretrained(folder)
        assert ("surplus.weight" if problem == "unused" else chosen) in str(raised.value)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def assert_tied_must_agree(folder: Path, stored_name: str, like: str) -> None:
    """A tied tensor may be stored again beside its source; when it differs, that is an error that names it."""
    tensors = load_file(folder / "model.safetensors")
    tensors[stored_name] = tensors[like].clone()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    from_pretrained(folder)
    tensors[stored_name][0] += 1
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=f"tied: {stored_name}"):
        from_pretrained(folder)


OTHERS: dict[str, dict[str, Any]] = {  # tiny configs of families that a checkpoint may be mistaken for
    "bert": {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8},
    "albert": {"embedding_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
    "gpt2": {"n_embd": 8, "n_layer": 1, "n_head": 2},
    "t5": {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2},
}


def assert_other_family_named(folder: Path, model_type: str) -> None:
    """Weights under another family's config are refused by their names."""
    config = (folder / "config.json").read_text("utf-8")
    wrong = {"model_type": model_type, "vocab_size": 61, **OTHERS[model_type]}
    (folder / "config.json").write_text(json.dumps(wrong), "utf-8")
    with pytest.raises(CheckpointError, match=r"missing: .*\n(.*\n)*.*(unused|more)"):
        from_pretrained(folder)
    (folder / "config.json").write_text(config, "utf-8")
