"""Downloads that survive a dropped line, never leave half a file under the final name, and are checked.

While a download is on its way there are `NAME.part` and `NAME.part.json` beside its destination (what came so far, and of what), and
`NAME.lock`, which keeps other processes waiting.
"""
import hashlib
import http.client
import json
import os
import re
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager, suppress
from math import ceil
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from ... import __version__
from ...core.progress import choose_display
from .file_lock import file_lock

_LOCAL = ("localhost", "127.0.0.1", "::1")
_BLOCK = 1 << 16
_TRY_AGAIN = (408, 429, 500, 502, 503, 504)


class DownloadError(OSError):
    "A file could not be fetched, or is not the file that was asked for."


def url_name(url):
    "The file name a URL ends with; `ValueError` when it has none."
    name = unquote(PurePosixPath(urlsplit(url).path).name)
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{url} does not end with a file name; say where to put it: dest='...'")
    return name


def sha256_of(file):
    "The sha256 of a file's content, as 64 hexadecimal digits."
    digest = hashlib.sha256()
    with open(file, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def download_url(url, dest=None, show_progress=True, timeout=10.0, sha256=None):
    """Download `url` to `dest` (a file, or a folder to put it in; default: the working folder) and return the path.

    The file appears under its name only when it is complete. A download that was cut off goes on where it stopped if the server
    can do that and its file is still the same one. With `sha256` a file that is already there with that hash is kept, and one that
    arrives with another hash is fetched a second time, then refused. `timeout` is in seconds, for connecting and for any silence.
    Raises `DownloadError` naming the URL and the reason.
    """
    dest = Path(dest or ".").expanduser()
    if dest.is_dir():
        dest = dest / url_name(url)
    check_url(url)
    sha256 = _check_sha256(sha256)
    dest.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(dest):
        if sha256 is None or not dest.is_file() or sha256_of(dest) != sha256:
            _download(url, dest, show_progress, timeout, sha256)
    return dest


def cached_download(url, dest, show_progress=True, timeout=10.0, sha256=None, force=False):
    """`dest`, downloaded from `url` unless it is there already and sound; what came is recorded in `dest` + `.json`.

    Sound means: downloaded from this URL, and with the hash asked for, or else the one recorded. A file put there by hand has no
    record and is taken for what it is called.
    """
    check_url(url)
    sha256 = _check_sha256(sha256)
    if not force and _is_sound(url, dest, sha256):
        return dest
    dest.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(dest):
        if force or not _is_sound(url, dest, sha256):
            write_record(dest, _download(url, dest, show_progress, timeout, sha256))
    return dest


def record_file(file):
    return file.with_name(file.name + ".json")


def read_record(file):
    "What is recorded about a downloaded file: url, size, sha256, by_hand; an empty dict without a (readable) record."
    try:
        record = json.loads(record_file(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(file, record):
    temp = record_file(file).with_name(f"{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        temp.write_text(json.dumps(record, indent=1), encoding="utf-8")
        os.replace(temp, record_file(file))
    except BaseException:
        temp.unlink(missing_ok=True)
        raise


def _is_sound(url, file, sha256):
    if not file.is_file():
        return False
    record = read_record(file)
    if record.get("url", url) != url:              # another file of the same name
        return False
    if record and sha256 is None and file.stat().st_size != record.get("size"):
        return False
    digest = sha256_of(file)
    if digest != (sha256 or record.get("sha256", digest)):
        return False
    if record.get("sha256") != digest:
        with suppress(OSError):                    # in a read-only folder the file is as good without a record
            write_record(file, {"url": url, "size": file.stat().st_size, "sha256": digest, "by_hand": True})
    return True


def check_url(url):
    "`ValueError` for anything but https, or http to this machine."
    parts = urlsplit(url)
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return
    if parts.scheme == "http":
        raise ValueError(f"{url} is not encrypted, so what arrives could be anything; use https:// (http:// is for localhost only)")
    raise ValueError(f"cannot download {url!r}: a URL begins with https://")


def _check_sha256(sha256):
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256={sha256!r} is not a sha256: that has 64 hexadecimal digits")
    return sha256 and sha256.lower()


def _download(url, dest, show, timeout, sha256):
    "Fetch `url`, check it, put it in place; returns its record. The caller holds the lock."
    part = _Part(dest, url, any_version=sha256 is not None)
    digests = []
    for _ in range(2):
        _fetch(url, part, show, timeout)
        digests.append(sha256_of(part.file))
        if sha256 in (None, digests[-1]):
            break
        part.discard()
    else:
        raise DownloadError(f"{url} has sha256 {digests[-1]}, but {sha256} was asked for; it was downloaded twice and discarded. Either "
                            "the file was changed at its source, or sha256= is that of another file.")
    record = {"url": url, "size": part.file.stat().st_size, "sha256": digests[-1]}
    os.replace(part.file, dest)
    part.discard()
    return record


class _Part:
    "The unfinished file, and the version of the remote file that its bytes belong to."

    def __init__(self, dest, url, any_version):
        self.file, self.info = dest.with_name(dest.name + ".part"), dest.with_name(dest.name + ".part.json")
        self.name, self.url, self.any_version = dest.name, url, any_version
        self.version = self.total = None
        try:
            info = json.loads(self.info.read_text(encoding="utf-8"))
            if info["url"] == url and self.file.is_file():
                self.version, self.total = info["version"], info["total"]
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.discard()

    @property
    def size(self):
        return self.file.stat().st_size if self.file.is_file() else 0

    @property
    def complete(self):
        return self.total is not None and self.size == self.total

    def resume_headers(self):
        """Headers that ask for the rest. Without a version to hold the server to, only a file whose hash will be checked is
        resumed: otherwise two versions could be glued together."""
        if self.size and (self.version or self.any_version):
            return {"Range": f"bytes={self.size}-", **({"If-Range": self.version} if self.version else {})}
        return {}

    def begin(self, version, total):
        "A new download of this version and size: what came before is void."
        self.discard()
        self.version, self.total = version, total
        self.info.write_text(json.dumps({"url": self.url, "version": version, "total": total}), encoding="utf-8")

    def discard(self):
        self.version = self.total = None
        self.info.unlink(missing_ok=True)
        self.file.unlink(missing_ok=True)


def _fetch(url, part, show, timeout):
    "Attempts until `part` is complete; gives up when three in a row bring nothing new, at once when there is no connection."
    best, failures, reached = part.size, 0, False
    while not part.complete:
        try:
            _attempt(url, part, show, timeout)
            reached, reason = True, "the connection was closed before the file was complete"
        except urllib.error.HTTPError as e:
            e.close()
            reached, reason = True, f"the server answered {e.code} {e.reason}"
            if e.code == 416 and part.size:        # the file has no such range: it is not the one that was begun
                part.discard()
            elif e.code not in _TRY_AGAIN:
                raise DownloadError(f"could not download {url}: {reason}") from e
        except _LineError as e:
            reached, reason = reached or e.reached, str(e)
        failures = 0 if part.size > best else failures + 1
        best = max(best, part.size)
        if part.complete:
            return
        if failures >= (3 if reached else 1):
            raise DownloadError(f"could not download {url}: {reason}")
        time.sleep(0.2 * 2**failures)


class _LineError(Exception):
    "The network failed (not the disk, not the server's answer); `reached`: after the answer had begun."

    def __init__(self, error, reached, timeout):
        cause = getattr(error, "reason", None) or error
        super().__init__(f"nothing came for {timeout:g} s" if isinstance(cause, TimeoutError) else str(cause) or type(cause).__name__)
        self.reached = reached


@contextmanager
def _network(timeout, reached):
    try:
        yield
    except (urllib.error.HTTPError, DownloadError):
        raise
    except (OSError, http.client.HTTPException) as e:
        raise _LineError(e, reached, timeout) from e


def _attempt(url, part, show, timeout):
    "One request: adds what arrives to the part file."
    headers = {"User-Agent": f"minifast/{__version__}", "Accept-Encoding": "identity", **part.resume_headers()}
    with _network(timeout, False):
        response = _opener(url).open(urllib.request.Request(url, headers=headers), timeout=timeout)
    with response as r:
        version = r.headers.get("ETag")
        if version is None or version.startswith("W/"):          # only a strong validator vouches for every byte
            version = r.headers.get("Last-Modified")
        if r.status == 206:
            if not _continues(r, version, part):
                part.discard()
                return
        else:
            length = r.headers.get("Content-Length", "")
            part.begin(version, int(length) if length.isdigit() else None)
        _copy(r, part, show, timeout)
    # without an announced length the end is what the chunked encoding, or the end of the connection, says it is
    part.total = part.size if part.total is None else part.total


def _continues(r, version, part):
    "Whether a partial answer begins where the part file ends, in the same version of the same file."
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", r.headers.get("Content-Range", ""))
    if not found or int(found[1]) != part.size or (part.version and version and version != part.version):
        return False
    if part.total is None and found[2] != "*":
        part.total = int(found[2])
    return found[2] in ("*", str(part.total))


def _copy(r, part, show, timeout):
    display = choose_display() if show and part.total else None
    kilo = ceil((part.total or 0) / 1000)
    advance = display.open_bar("", 0, kilo, lambda: f"kB of {part.name}") if display else None
    try:
        with open(part.file, "ab") as f:
            done = f.tell()
            while part.total is None or done < part.total:
                with _network(timeout, True):
                    chunk = r.read1(_BLOCK if part.total is None else min(_BLOCK, part.total - done))
                if not chunk:
                    return
                f.write(chunk)
                done += len(chunk)
                if advance:
                    advance(done // 1000)
    finally:
        if display:
            display.close_bar()


class _SafeRedirect(urllib.request.HTTPRedirectHandler):
    "Follows a redirect only to what `check_url` allows, and never from an encrypted address to an open one."

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        try:
            check_url(newurl)
            if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
                raise ValueError(f"{newurl} is not encrypted")
        except ValueError as e:
            raise DownloadError(f"could not download {req.full_url}: it redirects to an address that is not used ({e})") from e
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener(url):
    "Proxies come from the environment, as for any program, but not for this machine itself."
    direct = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in _LOCAL else []
    return urllib.request.build_opener(_SafeRedirect, *direct)
