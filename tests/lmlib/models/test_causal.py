"""What a decoder-only model says to wrong input, and what its door `from_pretrained` says to wrong folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lmlib.models import from_pretrained
from lmlib.models.base import CheckpointError
from lmlib.models.gpt2 import Gpt2, Gpt2Config
from lmlib.models.gpt3 import Gpt3, Gpt3Config
from lmlib.models.xlnet import Xlnet, XlnetConfig

IDS = torch.tensor([[5, 6, 7], [8, 9, 1]])


def tiny(head: str | None = "language_model") -> Gpt2:
    return Gpt2(Gpt2Config(vocab_size=20, d_model=8, n_layers=2, n_heads=2, max_positions=6, n_labels=3), head).eval()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_ids": IDS[0]}, r"must be integers \(B, T\); got torch.int64 \(3,\)"),
        ({"input_ids": IDS.float()}, "must be integers .* torch.float32"),
        ({"input_ids": IDS[:, :0]}, "at least one token"),
        ({"input_ids": IDS[:0]}, "at least one token"),
        ({"input_ids": IDS + 12}, r"must lie in 0\.\.19; got 13\.\.21"),
        ({"input_ids": IDS - 6}, r"must lie in 0\.\.19; got -5"),
        ({"input_ids": IDS.repeat(1, 3)}, "has 9 tokens, the model has 6 positions"),
        ({"input_ids": IDS, "attention_mask": torch.ones(2, 4)}, r"attention_mask must be \(2, 3\).*got \(2, 4\)"),
        ({"input_ids": IDS, "attention_mask": torch.zeros(2, 3).log()}, "From an additive mask"),
        ({"input_ids": IDS, "attention_mask": torch.tensor([[0, 0, -10_000]] * 2)}, "1 at real tokens"),
        ({"input_ids": IDS, "attention_mask": torch.tensor([[1, 2, 2]] * 2)}, "1 at real tokens"),
        ({"input_ids": IDS, "position_ids": IDS[:, :2]}, r"position_ids must be integers \(2, 3\)"),
        ({"input_ids": IDS, "labels": IDS[:, :2]}, r"labels must be int64 of shape \(2, 3\)"),
        ({"input_ids": IDS, "labels": torch.full_like(IDS, -100)}, "no label is left to learn from"),
        ({"input_ids": IDS[:, :1], "labels": IDS[:, :1]}, "no label is left to learn from"),
        ({"input_ids": IDS, "labels": IDS + 15}, r"labels must lie in 0\.\.19"),
    ],
)
def test_wrong_input_is_refused_with_what_was_expected(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny()(**given)


def test_classes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        tiny("classification")(IDS, labels=torch.tensor([0, 3]))


def test_cache_that_does_not_fit_is_refused() -> None:
    model = tiny()
    with pytest.raises(ValueError, match="the cache is for 2 layers and 3 rows"):
        model(IDS, cache=model.decoder.allocate_cache(3, 6))
    with pytest.raises(ValueError, match="the cache holds 2 positions; 3 are needed"):
        model(IDS, cache=model.decoder.allocate_cache(2, 2))
    cache = model.decoder.allocate_cache(2, 12)
    model(IDS, cache=cache)
    with pytest.raises(ValueError, match="7 tokens, cached ones included"):
        model(IDS.repeat(1, 2)[:, :4], cache=cache)


def test_unknown_head_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no head 'poetry'; it has: None, 'language_model', 'classification'"):
        tiny("poetry")


def saved(folder: Path, **changes: Any) -> Path:
    tiny().save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8")) | changes
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def test_unknown_family_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no family for model_type 'mamba'; there are: .*gpt2.*llama"):
        from_pretrained(saved(tmp_path, model_type="mamba"))


def test_architecture_that_the_family_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="GPT2DoubleHeadsModel is not one that Gpt2 has"):
        from_pretrained(saved(tmp_path, architectures=["GPT2DoubleHeadsModel"]))


def test_config_change_that_no_field_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Gpt2Config has no field 'width'"):
        from_pretrained(saved(tmp_path), width=3)


def test_folder_without_weights_or_with_pickles_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"no model.safetensors; pytorch_model.bin is a pickle"):
        from_pretrained(tmp_path)


def test_damaged_weights_and_config_are_named(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match=r"model.safetensors is damaged"):
        from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text("{", "utf-8")
    with pytest.raises(ValueError, match=r"config.json is not valid JSON"):
        from_pretrained(tmp_path)


def test_checkpoint_without_prefix_loads_under_a_head(tmp_path: Path) -> None:
    """The published GPT-2 has the weights of the bare model, and masks among them, under the language model's name."""
    model = tiny()
    model.save_pretrained(tmp_path)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in model.stored_tensors().items()}
    save_file(
        {n: t.contiguous() for n, t in bare.items()} | {"h.0.attn.bias": torch.ones(1)}, tmp_path / "model.safetensors"
    )
    assert torch.equal(from_pretrained(tmp_path)(IDS).logits, model(IDS).logits)


def test_changes_are_checked_as_the_constructor_checks(tmp_path: Path) -> None:
    Xlnet(XlnetConfig(vocab_size=9, d_model=8, n_layers=1, n_heads=2, d_ff=8), "lm").save_pretrained(tmp_path / "x")
    with pytest.raises(ValueError, match="attention_type must be one of bi, uni; got 'causal'"):
        from_pretrained(tmp_path / "x", attention_type="causal")
    config = Gpt3Config(vocab_size=9, d_model=8, n_layers=2, n_heads=2, max_positions=8)
    Gpt3(config, "language_model").save_pretrained(tmp_path / "g")
    for wrong in ({"band_width": 0}, {"banded_layers": [9]}):
        with pytest.raises(ValueError, match="band"):
            from_pretrained(tmp_path / "g", **wrong)
        with pytest.raises(ValueError, match="band"):
            Gpt3Config(n_layers=2, **wrong)
    with pytest.raises(ValueError, match="Gpt3Config has no field 'shape'"):
        from_pretrained(tmp_path / "g", shape=3)
    with pytest.raises(ValueError, match="takes no changes; got dropout"):
        from_pretrained("all-MiniLM-L6-v2", dropout=0.0)
