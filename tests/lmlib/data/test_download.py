"""Downloads from a server that behaves badly: the file is there and right, or it is not there."""

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lmlib.data import download as download_module
from lmlib.data.download import CHUNK, DownloadError, download

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Behaviour:
    """How the server answers the next requests, and what it was asked for."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)  # bytes after which a connection is cut, one for each request
    ranges: bool = True
    status: int = 200
    hang: bool = False  # keep a cut connection open, and send nothing more
    asked: list[str | None] = field(default_factory=list)  # the Range header of each request


@pytest.fixture
def server() -> Iterator[tuple[str, Behaviour]]:
    behaviour = Behaviour()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            behaviour.asked.append(wanted)
            if behaviour.status != 200:
                return self.send_error(behaviour.status)
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and behaviour.ranges else 0
            whole = behaviour.content
            if start >= len(whole):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(whole)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206 if wanted and behaviour.ranges else 200)
            self.send_header("Content-Length", str(len(whole) - start))
            self.end_headers()
            end = start + behaviour.cuts.pop(0) if behaviour.cuts else len(whole)
            self.wfile.write(whole[start:end])
            self.wfile.flush()
            while behaviour.hang:
                time.sleep(0.05)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}/file", behaviour
    finally:
        httpd.shutdown()
        httpd.server_close()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_fetched_once(server, tmp_path):
    url, behaviour = server
    path = tmp_path / "new" / "file"
    assert download(url, path, SHA256) == path
    assert path.read_bytes() == CONTENT
    download(url, path, SHA256)
    assert behaviour.asked == [None]
    assert left(path.parent) == ["file"]


def test_a_cut_connection_is_taken_up_where_it_broke(server, tmp_path):
    url, behaviour = server
    behaviour.cuts = [CHUNK, 2 * CHUNK]
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert behaviour.asked == [None, f"bytes={CHUNK}-", f"bytes={3 * CHUNK}-"]


def test_after_three_cuts_it_gives_up_and_the_next_call_goes_on(server, tmp_path):
    url, behaviour = server
    behaviour.cuts = [CHUNK] * 3
    with pytest.raises(DownloadError, match=f"failed 3 times, {3 * CHUNK} bytes have come"):
        download(url, tmp_path / "file", SHA256)
    assert left(tmp_path) == ["file.part"]
    download(url, tmp_path / "file", SHA256)
    assert behaviour.asked[-1] == f"bytes={3 * CHUNK}-"
    assert left(tmp_path) == ["file"]


def test_a_server_without_ranges_is_asked_for_the_whole(server, tmp_path):
    url, behaviour = server
    behaviour.cuts, behaviour.ranges = [CHUNK], False
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"from an older version", CONTENT + b"longer than the file", b"x" * len(CONTENT)])
def test_a_partial_file_of_another_version_is_thrown_away(server, tmp_path, stale):
    url, _ = server
    (tmp_path / "file.part").write_bytes(stale)
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_partial_file_that_is_whole_is_taken(server, tmp_path):
    url, _ = server
    (tmp_path / "file.part").write_bytes(CONTENT)
    download(url, tmp_path / "file", SHA256)
    assert left(tmp_path) == ["file"]


def test_a_file_with_another_hash_is_not_kept(server, tmp_path):
    url, behaviour = server
    behaviour.content = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match=f"SHA-256 .*expected {SHA256[:12]}"):
        download(url, tmp_path / "file", SHA256)
    assert left(tmp_path) == []


def test_a_damaged_file_in_the_cache_is_replaced(server, tmp_path):
    url, _ = server
    (tmp_path / "file").write_bytes(b"damaged")
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 403, 500])
def test_an_answer_that_is_no_file_is_named_at_once(server, tmp_path, status):
    url, behaviour = server
    behaviour.status = status
    with pytest.raises(DownloadError, match=f"/file: the server answers {status}"):
        download(url, tmp_path / "file", SHA256)
    assert len(behaviour.asked) == 1
    assert left(tmp_path) == []


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DownloadError, match=r"the connection to 127\.0\.0\.1:9 failed .* check the network"):
        download("http://127.0.0.1:9/file", tmp_path / "file", SHA256)
    assert left(tmp_path) == []


def test_a_full_disk_is_named_and_its_space_given_back(server, tmp_path, monkeypatch):
    url, _ = server

    def full(url: str, part: Path) -> None:
        part.write_bytes(CONTENT[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module, "_fetch_rest", full)
    with pytest.raises(
        DownloadError, match=r"cannot be written \(No space left on device\); make room, or set LMBOOK_CACHE"
    ):
        download(url, tmp_path / "file", SHA256)
    assert left(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_really_is_full(server, tmp_path):
    url, _ = server
    (tmp_path / "file.part").symlink_to("/dev/full")  # every write to it fails with "no space left on device"
    with pytest.raises(DownloadError, match=r"cannot be written .* make room, or set LMBOOK_CACHE"):
        download(url, tmp_path / "file", SHA256)
    assert left(tmp_path) == []
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_full_disk_leaves_the_file_that_was_there(server, tmp_path, monkeypatch):
    url, _ = server
    (tmp_path / "file").write_bytes(b"an older version")

    def full(url: str, part: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module, "_fetch_rest", full)
    with pytest.raises(DownloadError, match="No space left on device"):
        download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == b"an older version"


def test_a_process_that_is_killed_leaves_a_part_and_the_next_goes_on(server, tmp_path):
    url, behaviour = server
    behaviour.cuts = [3 * CHUNK]
    behaviour.hang = True  # the rest never comes
    call = f"download({url!r}, Path({str(tmp_path / 'file')!r}), {SHA256!r})"
    script = f"from pathlib import Path; from lmlib.data.download import download; {call}"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    part = tmp_path / "file.part"
    while not (part.exists() and part.stat().st_size >= CHUNK):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert left(tmp_path) == ["file.part"]
    there = part.stat().st_size
    behaviour.hang = False
    download(url, tmp_path / "file", SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert behaviour.asked[-1] == f"bytes={there}-"


def test_a_cache_that_is_a_file_is_named(server, tmp_path):
    url, _ = server
    (tmp_path / "cache").write_text("")
    with pytest.raises(DownloadError, match="cannot be written"):
        download(url, tmp_path / "cache" / "file", SHA256)


def test_two_downloads_at_once_fetch_the_file_once(server, tmp_path):
    url, behaviour = server
    threads = [threading.Thread(target=download, args=(url, tmp_path / "file", SHA256)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert behaviour.asked == [None]
