"""The model families, one file each, and the one door to their weights: `from_pretrained`."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlib import hub

if TYPE_CHECKING:
    from lmlib.models.base import PretrainedModel
    from lmlib.models.sentence_encoder import SentenceEncoder

# model_type in config.json → module and class
FAMILIES = {
    "albert": ("albert", "Albert"),
    "bart": ("bart", "Bart"),
    "bert": ("bert", "Bert"),
    "gpt2": ("gpt2", "Gpt2"),
    "gpt3": ("gpt3", "Gpt3"),
    "gpt_neo": ("gpt_neo", "GptNeo"),
    "llama": ("llama", "Llama"),
    "nanochat": ("nanochat", "NanoChat"),
    "openai-gpt": ("gpt", "Gpt"),
    "qwen2": ("qwen", "Qwen2"),
    "qwen3": ("qwen", "Qwen3"),
    "recurrent": ("recurrent", "RecurrentLM"),
    "roberta": ("roberta", "Roberta"),
    "t5": ("t5", "T5"),
    "transformer": ("transformer", "Transformer"),
    "visual_bert": ("visual_bert", "VisualBert"),
    "vl_bert": ("vl_bert", "VlBert"),
    "xlnet": ("xlnet", "Xlnet"),
}


def family_of(model_type: str) -> "type[PretrainedModel]":
    """The class for a `model_type`. Raises ValueError with the known ones."""
    if model_type not in FAMILIES:
        raise ValueError(f"there is no family for model_type {model_type!r}; there are: {', '.join(sorted(FAMILIES))}")
    module, name = FAMILIES[model_type]
    return getattr(importlib.import_module(f"lmlib.models.{module}"), name)


def from_pretrained(
    name_or_folder: str | Path, new_head: str | None = None, **config_changes: Any
) -> "PretrainedModel | SentenceEncoder":
    """Load a model by name or folder; its family follows from `model_type`, its head from `architectures`.

    A folder with a modules.json is a sentence encoder. `new_head` replaces the head by a new, untrained one.
    Raises FileNotFoundError, ValueError or CheckpointError with what does not fit.
    """
    folder = hub.find_model(name_or_folder)
    if (folder / "modules.json").is_file() and new_head is None:
        from lmlib.models.sentence_encoder import SentenceEncoder

        if config_changes:
            raise ValueError(f"a sentence encoder takes no changes; got {', '.join(config_changes)} without new_head")
        return SentenceEncoder.from_folder(folder)
    values = hub.read_json(folder / "config.json")
    if "model_type" not in values:
        raise ValueError(f"{folder}/config.json names no model_type; one of {', '.join(sorted(FAMILIES))} is needed")
    return family_of(values["model_type"]).from_folder(folder, new_head, **config_changes)
