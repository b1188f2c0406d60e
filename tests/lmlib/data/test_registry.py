"""Real corpora by name: where they are looked for, and that every file is held to its hash."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lmlib import data
from lmlib.data import DataError
from lmlib.data import registry as registry_module
from lmlib.data.registry import Entry, corpora, is_here

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared")


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A registry of one corpus of one file, and the folder in which it lies."""
    content = "\ufeffone\r\ntwo\r\n".encode()
    file = registry_module.CorpusFile(
        "a.txt", len(content), hashlib.sha256(content).hexdigest(), "http://127.0.0.1:9/a"
    )
    entry = Entry("small", "two words", ("en",), "CC0", (file,))
    monkeypatch.setattr(registry_module, "corpora", lambda: {"small": entry})
    monkeypatch.setenv("LMBOOK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LMBOOK_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "data" / "small" / "a.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_local_folder_comes_first_and_text_is_clean(corpus):
    found = data.load("small")
    assert found.files == {"a.txt": corpus}
    assert found.text() == found.text("a.txt") == "one\ntwo\n"
    assert is_here("small")


def test_then_the_cache(corpus, tmp_path):
    cached = tmp_path / "cache" / "data" / "small" / "a.txt"
    cached.parent.mkdir(parents=True)
    corpus.rename(cached)
    assert data.load("small").files == {"a.txt": cached}


def test_then_the_public_address(corpus):
    corpus.unlink()
    assert not is_here("small")
    with pytest.raises(DataError, match="the connection to"):
        data.load("small")


def test_a_download_is_kept_in_the_cache_and_held_to_its_hash(corpus, tmp_path, monkeypatch):
    def fetched(url: str, path: Path, sha256: str) -> Path:
        asked.append((url, path.relative_to(tmp_path).as_posix(), sha256))
        path.parent.mkdir(parents=True)
        corpus.rename(path)
        return path

    asked: list[tuple[str, str, str]] = []
    monkeypatch.setattr(registry_module, "download", fetched)
    expected = hashlib.sha256(corpus.read_bytes()).hexdigest()
    hidden = tmp_path / "elsewhere"
    hidden.mkdir()
    monkeypatch.setenv("LMBOOK_DATA", str(hidden))
    first, second = data.load("small"), data.load("small")
    assert first.files == second.files == {"a.txt": tmp_path / "cache" / "data" / "small" / "a.txt"}
    assert asked == [("http://127.0.0.1:9/a", "cache/data/small/a.txt", expected)]


def test_a_derived_file_that_is_not_here_says_so(corpus, monkeypatch):
    corpus.unlink()
    entry = registry_module.corpora()["small"]
    derived = replace(entry, files=(replace(entry.files[0], url=None),))
    monkeypatch.setattr(registry_module, "corpora", lambda: {"small": derived})
    with pytest.raises(DataError, match=r"small/a\.txt was derived from a larger file .* name that in LMBOOK_DATA"):
        data.load("small")


def test_bytes_that_are_no_utf_8_are_named_with_their_line(corpus):
    corpus.write_bytes(b"one\r\nt\xff\r\n")
    found = registry_module.Corpus(registry_module.corpora()["small"], {"a.txt": corpus})
    with pytest.raises(DataError, match=r"a\.txt:2: these bytes are no UTF-8; small is"):
        found.text()


def test_a_damaged_local_file_is_an_error_not_a_silent_download(corpus):
    corpus.write_bytes(corpus.read_bytes().replace(b"two", b"six"))
    with pytest.raises(DataError, match=r"a\.txt: the file is damaged"):
        data.load("small")


def test_an_unknown_name_or_file_says_what_there_is(corpus):
    with pytest.raises(DataError, match=r"there is no corpus 'large'; .*: small"):
        data.load("large")
    with pytest.raises(DataError, match=r"small: name one of its files: a\.txt \(given: b\.txt\)"):
        data.load("small").text("b.txt")


def test_every_entry_is_complete():
    for entry in corpora().values():
        assert entry.files, entry.name
        assert set(entry.languages) <= {"en", "zh", "de"}
        assert entry.licence
        for file in entry.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
            assert file.bytes > 0
            assert file.url is None or file.url.startswith("https://")
            assert not Path(file.path).is_absolute()
            assert ".." not in Path(file.path).parts


@needs_shared
def test_the_registry_agrees_with_the_manifest():
    manifest = yaml.safe_load((SHARED / "MANIFEST.yml").read_text("utf-8"))["datasets"]
    listed = {
        (row["name"], file["path"].partition("/")[2]): (file["bytes"], file["sha256"])
        for row in manifest
        for file in row["files"]
        if "sha256" in file
    }
    ours = {(e.name, f.path): (f.bytes, f.sha256) for e in corpora().values() for f in e.files}
    assert ours == listed


@needs_shared
def test_every_corpus_loads_from_the_shared_folder(monkeypatch):
    monkeypatch.setenv("LMBOOK_DATA", str(SHARED))
    for name in corpora():
        assert data.load(name).files


@pytest.mark.parametrize("content", [b"one\n", b"one\r\r\ntwo\r\r\n"])
def test_a_local_file_of_another_length_is_damaged_too(corpus, content):
    corpus.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt: the file is damaged \(\d+ bytes; 13 are expected\); delete it"):
        data.load("small")
