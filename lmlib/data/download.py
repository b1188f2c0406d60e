"""The cache folder, and downloads that resume and are verified.

A file is in its place only when its SHA-256 is right: a cut connection or a full disk leaves nothing there.
"""

import errno
import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from lmlib.data.errors import DataError

CACHE_VARIABLE = "LMBOOK_CACHE"
ATTEMPTS = 3
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
CHUNK = 1 << 16  # bytes


class DownloadError(DataError):
    """A file that cannot be had: what was asked for, what came instead, what to do."""


def cache_folder() -> Path:
    """The folder for downloaded files: LMBOOK_CACHE, or the user's cache folder of the operating system."""
    import platformdirs

    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("lmbook", appauthor=False)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, sha256: str) -> Path:
    """Fetch `url` to `path` and return the path. A file that is there already, with the right hash, is kept.

    An interrupted download goes on where it stopped, in this call or the next. Two processes do not disturb
    each other. Raises DownloadError when the server, the connection, the hash or the disk refuses.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if path.exists() and sha256_of(path) == sha256:
                return path
            resumed = part.exists() and part.stat().st_size > 0
            _fetch(url, part)
            if sha256_of(part) != sha256 and resumed:  # what lay there came from another version of the file
                part.unlink()
                _fetch(url, part)
            _accept(part, path, sha256, url)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            part.unlink(missing_ok=True)  # give the space back
        raise DownloadError(
            f"{path}: cannot be written ({error.strerror}); make room, or set {CACHE_VARIABLE}"
        ) from None
    return path


def _accept(part: Path, path: Path, sha256: str, url: str) -> None:
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url}: the file has SHA-256 {found[:12]}…, expected {sha256[:12]}…; it changed or was altered on "
            f"the way. Nothing was kept. Try again, or put the right file at {path}"
        )
    os.replace(part, path)


def _fetch(url: str, part: Path) -> None:
    """Bring `part` up to the whole length of the file; each attempt continues the one before."""
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch_rest(url, part)
        except requests.RequestException as error:
            there = part.stat().st_size if part.exists() else 0
            if attempt == ATTEMPTS or (there == 0 and isinstance(error, requests.ConnectTimeout)):
                host = urlsplit(url).netloc
                raise DownloadError(
                    f"{url}: the connection to {host} failed {attempt} times, {there} bytes have come "
                    f"({type(error).__name__}); check the network and try again: it goes on from there"
                ) from None


def _fetch_rest(url: str, part: Path) -> None:
    import requests
    from tqdm import tqdm

    there = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={there}-"} if there else {}
    # Content-Encoding would make lengths and ranges count something else than the bytes of the file.
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # nothing after what is there: whole, or from another version
            if _length_in_range_refusal(response.headers.get("Content-Range")) != there:
                part.unlink()
                raise requests.ConnectionError("the partial file does not fit")
            return
        if not response.ok:
            raise DownloadError(
                f"{url}: the server answers {response.status_code} {response.reason}; "
                "the file may have moved: look for a newer version of this book"
            )
        continues = response.status_code == 206
        length = int(response.headers.get("Content-Length", 0)) + (there if continues else 0)
        with (
            part.open("ab" if continues else "wb") as file,
            # disable=None: a bar for a person at a terminal, nothing in a log
            tqdm(
                total=length or None, initial=file.tell(), unit="B", unit_scale=True, desc=part.stem, disable=None
            ) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def _length_in_range_refusal(content_range: str | None) -> int | None:
    """The whole length N in `Content-Range: bytes */N`."""
    length = (content_range or "").rpartition("/")[2]
    return int(length) if length.isdecimal() else None
