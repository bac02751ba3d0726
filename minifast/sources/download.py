"""Downloads that survive a dropped connection, never leave half a file under the final name, and are checked.

While a download is running, `NAME.part` and `NAME.part.json` lie beside its destination: the bytes that have arrived, and of which
version of which file they are.
"""
import hashlib
import http.client
import json
import os
import re
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import AbstractContextManager, suppress
from math import ceil
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from .. import __version__
from ..core.paths import Path
from ..core.progress import PlainDisplay, choose_display
from ..core.types import PathLike

_LOCAL = ("localhost", "127.0.0.1", "::1")
_BLOCK = 1 << 16
_RETRY_CODES = (408, 429, 500, 502, 503, 504)


class DownloadError(OSError):
    "A file could not be downloaded, or is not the file that was asked for."


def url_name(url: str) -> str:
    "The file name a URL ends with; `ValueError` when it has none."
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    if name in ("", ".", "..") or re.search(r"[/\\\0]", name):
        raise ValueError(f"{url} does not end with a file name; say where to put it: dest='...'")
    return name


def check_url(url: str) -> None:
    "`ValueError` for anything but https, or http to this machine."
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise ValueError(f"{url} is not encrypted, so what arrives could be anything; use https:// (http:// is for localhost only)")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"cannot download {url!r}: a URL begins with https://")


def check_sha256(sha256: str | None) -> str | None:
    "`sha256` in lower case; `ValueError` unless it is one (or None)."
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256={sha256!r} is not a sha256: that has 64 hexadecimal digits")
    return sha256 and sha256.lower()


def sha256_of(file: PathLike) -> str:
    "The sha256 of a file's content, as 64 hexadecimal digits."
    digest = hashlib.sha256()
    with open(file, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def file_lock(target: Path, folder: Path | None = None) -> AbstractContextManager:
    """A lock for work on `target`: `with file_lock(target): ...` waits until no other process or thread holds it.

    The lock file stays where it is, since removing it could let two in. It lies in `folder`: by default the folder for temporary
    files, so that the lock holds among the processes of this machine.
    """
    from filelock import FileLock
    if folder is None:
        user = os.getuid() if hasattr(os, "getuid") else ""
        key = hashlib.sha256(f"{user}:{target.resolve()}".encode()).hexdigest()[:24]
        return FileLock(Path(tempfile.gettempdir()) / f"minifast-{key}.lock")
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{target.name}.lock")


def download_url(url: str, dest: PathLike | None = None, show_progress: bool = True, timeout: float = 10.0,
                 sha256: str | None = None) -> Path:
    """Download `url` and return the path of the file, which appears under its name only when it is complete.

    A download that was cut off continues where it stopped if the server supports that and its file is still the same one.

    Args:
        url: an address that begins with https://; http:// is for this machine only.
        dest: a file, or an existing folder to put it in; default: the working folder.
        show_progress: draw a progress bar on a terminal or in a notebook.
        timeout: seconds, for connecting and for any silence.
        sha256: what the file must have as its hash. A file that is already there and has it is kept; one that arrives with another
            is downloaded a second time, then refused.

    Raises:
        DownloadError: names the URL and the reason.
        ValueError: the URL is not encrypted or has no file name, or `sha256` is not one.
    """
    dest = Path(dest or ".").expanduser()
    if dest.is_dir():
        dest = dest / url_name(url)
    check_url(url)
    sha256 = check_sha256(sha256)
    dest.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(dest):
        if sha256 is None or not dest.is_file() or sha256_of(dest) != sha256:
            fetch(url, dest, show_progress, timeout, sha256)
    return dest


def fetch(url: str, dest: Path, show_progress: bool = False, timeout: float = 10.0, sha256: str | None = None) -> str:
    "Download `url` to the file `dest`, see `download_url`, and return its sha256. The caller sees to it that nobody else does the same."
    check_url(url)
    part = _Part(dest, url, any_version=sha256 is not None)
    for _ in range(2):
        _complete(part, show_progress, timeout)
        digest = sha256_of(part.file)
        if sha256 in (None, digest):
            os.replace(part.file, dest)
            part.discard()
            return digest
        part.discard()
    raise DownloadError(f"{url} has sha256 {digest}, but {sha256} was asked for; it was downloaded twice and discarded. Either the file "
                        "was changed at its source, or sha256= is that of another file.")


class _Part:
    "The unfinished file, and which version of the remote file its bytes belong to."

    def __init__(self, dest: Path, url: str, any_version: bool):
        self.file, self.info = dest.with_name(f"{dest.name}.part"), dest.with_name(f"{dest.name}.part.json")
        self.name, self.url, self.any_version = dest.name, url, any_version
        self.version = self.total = None
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            info = json.loads(self.info.read_text(encoding="utf-8"))
            version, total = info["version"], info["total"]
            is_text = isinstance(version, str) and version.isascii() and version.isprintable()           # it becomes a header
            if info["url"] == url and (is_text or version is None) and (type(total) is int or total is None):
                self.version, self.total = version, total
                return
        self.discard()

    @property
    def size(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    @property
    def is_complete(self) -> bool:
        return self.size == self.total

    def headers(self) -> dict[str, str]:
        """What to ask for: the rest of the file, or all of it.

        Without a version to hold the server to, only a file whose hash will be checked is resumed: otherwise two versions could end
        up in one file.
        """
        if not self.size or not (self.version or self.any_version):
            return {}
        return {"Range": f"bytes={self.size}-"} | ({"If-Range": self.version} if self.version else {})

    def begin(self, version: str | None, total: int | None) -> None:
        "Start a new download of this version and size, without what came before."
        self.discard()
        self.version, self.total = version, total
        self.info.write_text(json.dumps({"url": self.url, "version": version, "total": total}), encoding="utf-8")

    def discard(self) -> None:
        self.version = self.total = None
        self.info.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)


def _complete(part: _Part, show: bool, timeout: float) -> None:
    "Request until `part` is complete; give up after three requests in a row that bring nothing new, or when there is no connection."
    best = failures = 0
    while not part.is_complete:
        error: Exception | None = None
        reason, is_final = "the connection was closed before the file was complete", False
        try:
            _request(part, show, timeout)
        except DownloadError:
            raise
        except urllib.error.HTTPError as e:
            e.close()
            error, reason, is_final = e, f"the server answered {e.code} {e.reason}", e.code not in (416, *_RETRY_CODES)
            if e.code == 416:                           # the file has no such range: it is not the one that was begun
                part.discard()
        except (OSError, http.client.HTTPException) as e:
            cause = getattr(e, "reason", e)
            reason = f"nothing came for {timeout:g} s" if isinstance(cause, TimeoutError) else str(cause) or type(cause).__name__
            error, is_final = e, isinstance(e, urllib.error.URLError) and not best       # no connection, not even once
        failures = 0 if part.size > best else failures + 1
        best = max(best, part.size)
        if not part.is_complete:
            if is_final or failures == 3:
                raise DownloadError(f"could not download {part.url}: {reason}") from error
            time.sleep(0.2 * 2**failures)


def _request(part: _Part, show: bool, timeout: float) -> None:
    "One request: append what arrives to the part file."
    headers = {"User-Agent": f"minifast/{__version__}", "Accept-Encoding": "identity", **part.headers()}
    with _opener(part.url).open(urllib.request.Request(part.url, headers=headers), timeout=timeout) as r:
        etag = r.headers.get("ETag")                             # only a strong validator vouches for every byte
        version = r.headers.get("Last-Modified") if etag is None or etag.startswith("W/") else etag
        length = r.headers.get("Content-Length")
        if r.status != 206:
            part.begin(version, None if length is None else int(length))
        elif not _is_the_rest(r.headers.get("Content-Range", ""), version, part):
            part.discard()
            return
        _append(r, part, show)
    if part.total is None:          # the chunked encoding, or the end of the connection, says where the file ends
        part.total = part.size


def _is_the_rest(content_range: str, version: str | None, part: _Part) -> bool:
    "Whether a partial answer begins where the part file ends, in the same version of the same file."
    start, _, total = content_range.partition("/")
    same_version = not (part.version and version) or part.version == version
    return start.startswith(f"bytes {part.size}-") and total in ("*", str(part.total)) and same_version


def _append(response: Any, part: _Part, show: bool) -> None:
    display = choose_display() if show and part.total else PlainDisplay()         # which draws no bar
    advance = display.open_bar("", 0, ceil((part.total or 0) / 1000), lambda: f"kB of {part.name}")
    try:
        with open(part.file, "ab") as f:
            while chunk := response.read1(_BLOCK):
                f.write(chunk)
                advance(f.tell() // 1000)
    finally:
        display.close_bar()


class _SafeRedirect(urllib.request.HTTPRedirectHandler):
    "Follows a redirect only to what `check_url` allows, and never from an encrypted address to an open one."

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        try:
            check_url(newurl)
            if req.type == "https" and urlsplit(newurl).scheme != "https":
                raise ValueError(f"{newurl} is not encrypted")
        except ValueError as e:
            raise DownloadError(f"could not download {req.full_url}: it redirects to an address that is not used ({e})") from e
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url: str) -> urllib.request.OpenerDirector:
    "Proxies come from the environment, as for any program, but not for this machine itself."
    direct = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOCAL else []
    return urllib.request.build_opener(_SafeRedirect, *direct)
