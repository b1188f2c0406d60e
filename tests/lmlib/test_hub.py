"""From names to local files: where a model is looked for, and what is said when it is not there or damaged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lmlib import hub
from lmlib.models import from_pretrained
from lmlib.models.gpt2 import Gpt2, Gpt2Config

SNAPSHOT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def tiny(tmp_path):
    """A folder with a tiny GPT-2."""
    Gpt2(
        Gpt2Config(vocab_size=11, d_model=8, n_layers=1, n_heads=2, max_positions=8), "language_model"
    ).save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def run_with_cache(cache: Path, code: str) -> str:
    """Run code in a new process whose hub cache is `cache` and which has no network for it; returns what it printed."""
    program = f"import os; os.environ.update(HF_HOME={str(cache)!r}, HF_HUB_OFFLINE='1')\n{code}"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_name_in_the_hubs_cache_is_found_without_a_network(tiny, tmp_path):
    repository = tmp_path / "home" / "hub" / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(SNAPSHOT)
    (repository / "snapshots").mkdir()
    tiny.rename(repository / "snapshots" / SNAPSHOT)
    code = "from lmlib.models import from_pretrained; print(type(from_pretrained('someone/tiny')).__name__)"
    assert run_with_cache(tmp_path / "home", code).strip() == "Gpt2"


def test_a_name_that_is_nowhere_says_where_was_looked(tmp_path):
    code = """
from lmlib import hub
try:
    hub.find_model("someone/nothing")
except FileNotFoundError as error:
    print(error)
"""
    said = run_with_cache(tmp_path, code)
    assert (
        "'someone/nothing' is no folder, none of the packaged models (all-MiniLM-L6-v2), not in the hub's cache" in said
    )


def test_a_folder_that_is_not_there_is_not_looked_up_on_the_hub():
    with pytest.raises(FileNotFoundError, match=r"there is no folder \./nowhere/model"):
        hub.find_model("./nowhere/model")


def test_the_packaged_model_is_found_under_both_its_names():
    folder = hub.find_model("all-MiniLM-L6-v2")
    assert (folder / "model.safetensors").is_file()
    assert hub.find_model("sentence-transformers/all-MiniLM-L6-v2") == folder


def test_shards_hold_what_one_file_holds(tiny):
    whole = hub.read_weights(tiny)
    names = sorted(whole)
    shards = {f"model-{i}.safetensors": names[i::2] for i in range(2)}
    for file, part in shards.items():
        save_file({name: whole[name] for name in part}, tiny / file)
    (tiny / "model.safetensors").unlink()
    index = {"weight_map": {name: file for file, part in shards.items() for name in part}}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    again = hub.read_weights(tiny)
    assert sorted(again) == names
    assert all(torch.equal(again[name], whole[name]) for name in names)
    (tiny / "model-1.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no model-1\.safetensors"):
        hub.read_weights(tiny)


def test_damaged_files_are_named(tiny):
    weights = (tiny / "model.safetensors").read_bytes()
    (tiny / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged"):
        from_pretrained(tiny)
    (tiny / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not valid JSON"):
        from_pretrained(tiny)


def test_a_pickle_is_not_loaded(tiny):
    (tiny / "model.safetensors").rename(tiny / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match="is a pickle, which can run code"):
        from_pretrained(tiny)


def test_weights_saved_over_shards_come_back(tiny):
    whole = hub.read_weights(tiny)
    (tiny / "model.safetensors").rename(tiny / "model-1.safetensors")
    index = {"weight_map": dict.fromkeys(whole, "model-1.safetensors")}
    (tiny / "model.safetensors.index.json").write_text(json.dumps(index))
    model = from_pretrained(tiny)
    with torch.no_grad():
        model.word.weight.add_(1)
    model.save_pretrained(tiny)
    assert torch.equal(from_pretrained(tiny).word.weight, model.word.weight)


@pytest.mark.parametrize("broken", ["weights", "config"])
def test_a_write_that_fails_leaves_the_old_model(tiny, monkeypatch, broken):
    before = {path.name: path.read_bytes() for path in tiny.iterdir()}
    write = Path.write_text

    def full(*given):
        if broken == "weights":
            Path(given[1]).write_bytes(b"half")
        else:
            write(given[0], given[1][:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*(("safetensors.torch.save_file", full) if broken == "weights" else (Path, "write_text", full)))
    with pytest.raises(OSError, match="No space left"):
        hub.write_model(tiny, "{}", {"x": torch.zeros(1)})
    assert {path.name: path.read_bytes() for path in tiny.iterdir()} == before


@pytest.mark.parametrize("name", ["/nowhere/all-MiniLM-L6-v2", "./out/all-MiniLM-L6-v2"])
def test_a_missing_folder_is_not_taken_for_a_packaged_model(name):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        hub.find_model(name)


def test_a_cache_that_holds_only_a_part_is_completed(tiny, tmp_path, monkeypatch):
    part = tmp_path / "part"
    part.mkdir()
    (part / "config.json").write_text("{}")
    asked = []

    def snapshot(name, local_files_only=False, **_):
        asked.append(local_files_only)
        return str(part if local_files_only else tiny)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert hub.find_model("someone/tiny") == tiny
    assert asked == [True, False]


def test_a_failure_of_the_http_library_says_where_was_looked(monkeypatch):
    def refused(*_, **__):
        raise type("ProxyError", (Exception,), {})("407 Proxy Authentication Required")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refused)
    with pytest.raises(FileNotFoundError, match=r"'someone/nothing' is no folder.*407"):
        hub.find_model("someone/nothing")


def test_import_lmlib_loads_no_room_and_no_torch():
    code = """
import sys, lmlib
print(sorted(name for name in sys.modules if name == 'torch' or name.startswith('lmlib.')))
print(lmlib.attention.__name__, 'torch' in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[]", "lmlib.attention True"]
    with pytest.raises(AttributeError, match="lmlib has no room 'kitchen'"):
        __import__("lmlib").kitchen  # noqa: B018
