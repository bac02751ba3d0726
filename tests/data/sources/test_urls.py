"""Downloads and `untar_data`, against a real HTTP server that can misbehave."""
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from minifast.data.sources import download, file_lock
from minifast.data.sources import urls as external
from minifast.data.sources.urls import ArchiveError, DownloadError, URLs, download_url, minifast_home, untar_data


class Server:
    """Serves `files` (path -> bytes) with Range and If-Range. `faults` (path -> list) are used up one per request:
    ('drop', n) closes the connection after n bytes, ('status', code), 'hang', ('hang', n) after n bytes."""

    def __init__(self):
        self.files, self.etags, self.faults, self.requests, self.redirects = {}, {}, {}, [], {}
        self.ranges = self.length = True
        self.delay = 0
        self.stop = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *a: None
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.http.server_port}/{path}"

    def answer(self, h):
        path = h.path.lstrip("/")
        self.requests.append((path, h.headers.get("Range"), h.headers.get("If-Range")))
        faults = self.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        if fault == "hang":
            self.stop.wait(10)
            return
        if path in self.redirects:
            h.send_response(302)
            h.send_header("Location", self.redirects[path])
            h.send_header("Content-Length", "0")
            h.end_headers()
            return
        if (fault and fault[0] == "status") or path not in self.files:
            h.send_response(fault[1] if fault else 404)
            h.send_header("Content-Length", "0")
            h.end_headers()
            return
        data, etag, begin = self.files[path], self.etags.get(path), 0
        wanted = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        same = h.headers.get("If-Range") in (None, etag)
        if wanted and self.ranges and same:
            begin = int(wanted[1])
            if begin >= len(data):
                h.send_response(416)
                h.send_header("Content-Length", "0")
                h.end_headers()
                return
            h.send_response(206)
            h.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        else:
            h.send_response(200)
        if etag:
            h.send_header("ETag", etag)
        if self.length:
            h.send_header("Content-Length", str(len(data) - begin))
        h.send_header("Connection", "close")
        h.end_headers()
        h.close_connection = True
        body = data[begin:]
        if fault:
            h.wfile.write(body[:fault[1]])
            h.wfile.flush()
            if fault[0] == "hang":
                self.stop.wait(10)
            return
        time.sleep(self.delay)
        h.wfile.write(body)

    def close(self):
        self.stop.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=lambda s: time.sleep(min(s, 0.02))))      # between attempts
    return tmp_path / "home"


def tgz(members, top="set"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


DATA = os.urandom(400_000)


# ---- download_url ---------------------------------------------------------------------------------------------------------------

def test_download_to_file_and_folder(server, tmp_path, capsys):
    server.files["a%20b/x.bin"] = DATA
    assert download_url(server.url("a%20b/x.bin")) == Path("x.bin")
    (tmp_path / "sub").mkdir()
    assert download_url(server.url("a%20b/x.bin"), tmp_path / "sub") == tmp_path / "sub" / "x.bin"
    assert download_url(server.url("a%20b/x.bin"), tmp_path / "new" / "y") == tmp_path / "new" / "y"
    for p in (tmp_path / "x.bin", tmp_path / "sub" / "x.bin", tmp_path / "new" / "y"):
        assert p.read_bytes() == DATA
    assert names(tmp_path / "new") == ["y"]                         # no part, no lock, no record
    assert capsys.readouterr() == ("", "")                          # nothing is printed where there is no terminal


def test_download_overwrites_but_keeps_a_file_with_the_hash_asked_for(server, tmp_path):
    server.files["x"] = DATA
    (tmp_path / "x").write_bytes(b"another picture")
    download_url(server.url("x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    download_url(server.url("x"), tmp_path / "x", sha256=sha(DATA).upper())
    assert len(server.requests) == 1


def test_dropped_connection_is_resumed(server, tmp_path):
    server.files["x"], server.etags["x"] = DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000), ("drop", 50_000)]
    download_url(server.url("x"), tmp_path / "x", sha256=sha(DATA))
    assert (tmp_path / "x").read_bytes() == DATA
    assert server.requests == [("x", None, None), ("x", "bytes=100000-", '"v1"'), ("x", "bytes=150000-", '"v1"')]


def test_resumed_by_a_later_call(server, tmp_path):
    server.files["x"], server.etags["x"] = DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000), ("status", 403)]
    with pytest.raises(DownloadError, match=r"could not download http://127.0.0.1:\d+/x: the server answered 403"):
        download_url(server.url("x"), tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "x.part").stat().st_size == 100_000
    download_url(server.url("x"), tmp_path / "x")
    assert server.requests[-1] == ("x", "bytes=100000-", '"v1"')
    assert (tmp_path / "x").read_bytes() == DATA
    assert names(tmp_path) == ["x"]


def test_part_of_another_url_is_not_continued(server, tmp_path):
    server.files |= {"x": DATA, "y": DATA[::-1]}
    server.etags |= {"x": '"v1"', "y": '"v1"'}
    server.faults["x"] = [("drop", 100_000), ("status", 404)]
    with pytest.raises(DownloadError):
        download_url(server.url("x"), tmp_path / "d")
    download_url(server.url("y"), tmp_path / "d")
    assert server.requests[-1] == ("y", None, None)
    assert (tmp_path / "d").read_bytes() == DATA[::-1]


def test_file_that_changed_meanwhile_starts_again(server, tmp_path):
    "If-Range makes the server send the new file as a whole; a server that ignores it is caught by its ETag."
    server.files["x"], server.etags["x"] = DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000), ("status", 403)]
    with pytest.raises(DownloadError):
        download_url(server.url("x"), tmp_path / "x")
    server.files["x"], server.etags["x"] = DATA[::-1], '"v2"'
    download_url(server.url("x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA[::-1]


def test_server_that_ignores_if_range(server, tmp_path):
    server.files["x"], server.etags["x"] = DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000), ("status", 403)]
    with pytest.raises(DownloadError):
        download_url(server.url("x"), tmp_path / "x")

    class Etag(str):                                                # sent as v2, but found equal to any If-Range
        def __eq__(self, other):
            return True
        __hash__ = str.__hash__

    server.files["x"], server.etags["x"] = DATA[::-1], Etag('"v2"')
    download_url(server.url("x"), tmp_path / "x")
    assert server.requests[-2:] == [("x", "bytes=100000-", '"v1"'), ("x", None, None)]
    assert (tmp_path / "x").read_bytes() == DATA[::-1]


def test_server_that_ignores_range(server, tmp_path):
    server.ranges, server.files["x"], server.etags["x"] = False, DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000)]
    download_url(server.url("x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_version_nothing_is_glued_together(server, tmp_path, etag):
    server.files["x"], server.etags["x"] = DATA, etag
    server.faults["x"] = [("drop", 100_000), ("drop", 200_000)]
    download_url(server.url("x"), tmp_path / "x")
    assert [r[1] for r in server.requests] == [None, None, None]
    assert (tmp_path / "x").read_bytes() == DATA
    server.faults["x"] = [("drop", 100_000)]                        # but a hash vouches for the whole
    download_url(server.url("x"), tmp_path / "y", sha256=sha(DATA))
    assert [r[1] for r in server.requests[3:]] == [None, "bytes=100000-"]
    assert (tmp_path / "y").read_bytes() == DATA


def test_range_not_satisfiable_starts_again(server, tmp_path):
    server.files["x"], server.etags["x"] = DATA, '"v1"'
    server.faults["x"] = [("drop", 100_000), ("status", 416)]
    download_url(server.url("x"), tmp_path / "x")
    assert [r[1] for r in server.requests] == [None, "bytes=100000-", None]
    assert (tmp_path / "x").read_bytes() == DATA


def test_complete_part_file_needs_no_request(server, tmp_path):
    (tmp_path / "x.part").write_bytes(DATA)
    (tmp_path / "x.part.json").write_text(json.dumps({"url": server.url("x"), "version": '"v1"', "total": len(DATA)}))
    download_url(server.url("x"), tmp_path / "x")
    assert server.requests == []
    assert (tmp_path / "x").read_bytes() == DATA


def test_dropping_for_ever_ends(server, tmp_path):
    server.ranges, server.files["x"] = False, DATA
    server.faults["x"] = [("drop", 100_000)] * 50
    with pytest.raises(DownloadError, match="connection was closed before the file was complete"):
        download_url(server.url("x"), tmp_path / "x")
    assert len(server.requests) <= 4


def test_no_content_length(server, tmp_path):
    server.length, server.files["x"] = False, DATA
    download_url(server.url("x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA


def test_passing_trouble_of_the_server(server, tmp_path):
    server.files["x"], server.faults["x"] = DATA, [("status", 503), ("status", 500)]
    download_url(server.url("x"), tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == DATA
    server.faults["x"] = [("status", 503)] * 5
    with pytest.raises(DownloadError, match="answered 503"):
        download_url(server.url("x"), tmp_path / "x")


def test_hanging_server(server, tmp_path):
    server.files["x"], server.faults["x"] = DATA, ["hang"]
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"/x: nothing came for 0\.4 s"):
        download_url(server.url("x"), tmp_path / "x", timeout=0.4)
    assert time.monotonic() - start < 8
    server.faults["x"], server.etags["x"] = [("hang", 100_000)], '"v1"'
    download_url(server.url("x"), tmp_path / "x", timeout=1.0)        # silence in the middle: the rest is asked for anew
    assert (tmp_path / "x").read_bytes() == DATA
    assert server.requests[-1][1] == "bytes=100000-"


def test_wrong_hash_is_fetched_twice_and_refused(server, tmp_path):
    server.files["x"] = DATA
    with pytest.raises(DownloadError, match=f"{sha(DATA)}, but {sha(b'other')} was asked for; it was downloaded twice"):
        download_url(server.url("x"), tmp_path / "x", sha256=sha(b"other"))
    assert len(server.requests) == 2
    assert names(tmp_path) == []


@pytest.mark.parametrize("url, match", [
    ("http://example.com/x.tgz", "not encrypted"), ("ftp://example.com/x", "begins with https"),
    ("file:///etc/passwd", "begins with https"),
    ("x.tgz", "begins with https"), ("https:///x.tgz", "begins with https"), ("http://127.0.0.1.example.com/x", "not encrypted")])
def test_urls_that_are_refused(url, match):
    for f in (download_url, untar_data):
        with pytest.raises(ValueError, match=match):
            f(url)


def test_url_without_a_name_and_bad_hash(server, tmp_path):
    with pytest.raises(ValueError, match="does not end with a file name"):
        download_url(server.url(""))
    with pytest.raises(ValueError, match="does not end with a file name"):
        download_url(server.url("%2e%2e"))
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        download_url(server.url("x"), sha256="abc")


def test_redirects(server, tmp_path):
    server.files["x"] = DATA
    server.redirects |= {"r": server.url("x"), "f": "file:///etc/passwd", "h": "http://example.com/x", "ftp": "ftp://127.0.0.1/x"}
    assert download_url(server.url("r"), tmp_path / "x").read_bytes() == DATA
    for path in ("f", "h", "ftp"):
        with pytest.raises(DownloadError, match=r"redirects to an address that is not used|is not allowed"):
            download_url(server.url(path), tmp_path / "y")
    assert names(tmp_path) == ["x"]


def test_no_downgrade_from_https():
    request = download.urllib.request.Request("https://example.com/x")
    with pytest.raises(DownloadError, match="not encrypted"):
        download._SafeRedirect().redirect_request(request, None, 302, "", {}, "http://localhost/x")


def test_a_proxy_is_not_asked_for_this_machine(server, tmp_path, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    server.files["x"] = DATA
    assert download_url(server.url("x"), tmp_path / "x").read_bytes() == DATA


def test_disk_errors_are_not_network_errors(server, tmp_path):
    server.files["x"] = DATA
    (tmp_path / "x").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError) as e:
        download_url(server.url("x"), tmp_path / "file" / "x")
    assert not isinstance(e.value, DownloadError)


def test_progress_bar_on_a_terminal(server, tmp_path, monkeypatch):
    pytest.importorskip("fastprogress")
    monkeypatch.delenv("MINIFAST_PROGRESS", raising=False)
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    server.files["x"] = DATA
    download_url(server.url("x"), tmp_path / "x")
    assert "kB of x" in out.getvalue()
    size = len(out.getvalue())
    download_url(server.url("x"), tmp_path / "x", show_progress=False)
    assert len(out.getvalue()) == size


# ---- untar_data -----------------------------------------------------------------------------------------------------------------

def test_untar_data(server, home):
    server.files["set-160.tgz"] = archive = tgz({"train/a/1.txt": b"one", "labels.csv": b"l"})
    path = untar_data(server.url("set-160.tgz"))
    assert path == home / "data" / "set-160"
    assert (path / "train/a/1.txt").read_bytes() == b"one"
    record = json.loads((home / "archive" / "set-160.tgz.json").read_text())
    assert record == {"url": server.url("set-160.tgz"), "size": len(archive), "sha256": sha(archive)}
    assert names(home / "archive") == ["set-160.tgz", "set-160.tgz.json"]
    assert names(home / "data") == ["set-160"]
    assert untar_data(server.url("set-160.tgz")) == path
    assert untar_data(server.url("set-160.tgz"), sha256=sha(archive)) == path
    assert len(server.requests) == 1


def test_folders_can_be_chosen(server, tmp_path, home):
    server.files["s.tgz"] = tgz({"x": b"1"})
    assert untar_data(server.url("s.tgz"), archive="arc", data=tmp_path / "elsewhere", base=tmp_path / "b") == tmp_path / "elsewhere" / "s"
    assert names(tmp_path / "b" / "arc") == ["s.tgz", "s.tgz.json"]
    assert not home.exists()


def test_archive_is_kept_and_checked_when_used_again(server, home):
    server.files["s.tgz"] = archive = tgz({"x": b"1"})
    path = untar_data(server.url("s.tgz"))
    shutil.rmtree(path)
    untar_data(server.url("s.tgz"))
    assert len(server.requests) == 1                                # from the archive that is there
    shutil.rmtree(path)
    (home / "archive" / "s.tgz").write_bytes(archive[:-1] + b"?")   # same size, one byte wrong
    assert (untar_data(server.url("s.tgz")) / "x").read_bytes() == b"1"
    assert len(server.requests) == 2
    assert (home / "archive" / "s.tgz").read_bytes() == archive


def test_force_download(server, home):
    server.files["s.tgz"] = tgz({"old": b"1"})
    path = untar_data(server.url("s.tgz"))
    server.files["s.tgz"] = archive = tgz({"new": b"2"})
    assert names(untar_data(server.url("s.tgz"))) == ["old"]
    assert names(untar_data(server.url("s.tgz"), force_download=True)) == ["new"]
    assert json.loads((home / "archive" / "s.tgz.json").read_text())["sha256"] == sha(archive)
    assert names(path.parent) == ["s"]


def test_hash_asked_for(server, home):
    server.files["s.tgz"] = first = tgz({"x": b"1"})
    untar_data(server.url("s.tgz"))
    server.files["s.tgz"] = second = tgz({"x": b"2"})
    assert (untar_data(server.url("s.tgz"), sha256=sha(second)) / "x").read_bytes() == b"2"
    with pytest.raises(DownloadError, match="downloaded twice and discarded"):
        untar_data(server.url("s.tgz"), sha256=sha(first))
    assert (home / "data" / "s" / "x").read_bytes() == b"2"           # what was there is untouched


def test_same_file_name_at_two_addresses(server, home):
    server.files |= {"a/s.tgz": tgz({"x": b"a"}), "b/s.tgz": tgz({"x": b"b"})}
    untar_data(server.url("a/s.tgz"))
    with pytest.raises(ValueError, match=r"was unpacked from .*a/s\.tgz, not from .*b/s\.tgz; choose another place"):
        untar_data(server.url("b/s.tgz"))
    assert (untar_data(server.url("b/s.tgz"), force_download=True) / "x").read_bytes() == b"b"
    shutil.rmtree(home / "data" / "s")                              # the archive of b is not taken for that of a
    assert (untar_data(server.url("a/s.tgz")) / "x").read_bytes() == b"a"


def test_offline(home):
    with socket.socket() as s:                                      # a port where nobody listens
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/s.tgz"
    start = time.monotonic()
    with pytest.raises(DownloadError) as e:
        untar_data(url)
    assert time.monotonic() - start < 8
    for words in (url, str(home / "archive" / "s.tgz"), "MINIFAST_HOME", "by hand", "refused"):
        assert words in str(e.value)
    (home / "archive" / "s.tgz").write_bytes(tgz({"x": b"1"}))      # which is what the message says to do
    assert (untar_data(url) / "x").read_bytes() == b"1"
    assert json.loads((home / "archive" / "s.tgz.json").read_text())["by_hand"] is True


def test_unknown_host_fails_at_once(home):
    start = time.monotonic()
    with pytest.raises(DownloadError, match="MINIFAST_HOME"):
        untar_data("https://no-such-host.invalid/s.tgz", timeout=2)
    assert time.monotonic() - start < 20


def test_changed_archive_and_no_network(server, home):
    server.files["s.tgz"] = tgz({"x": b"1"})
    shutil.rmtree(untar_data(server.url("s.tgz")))
    (home / "archive" / "s.tgz").write_bytes(b"changed")
    server.faults["s.tgz"] = [("status", 404)]
    with pytest.raises(DownloadError, match=r"its sha256 is not the one recorded or asked for. If it is right, delete s\.tgz\.json"):
        untar_data(server.url("s.tgz"))


def test_not_found(server, home):
    with pytest.raises(DownloadError, match="answered 404 Not Found"):
        untar_data(server.url("s.tgz"))
    assert names(home / "archive") == names(home / "data") == []


def test_malicious_and_broken_archives_are_deleted(server, home, tmp_path):
    server.files["s.tgz"] = tgz({"../../evil": b"x"})
    with pytest.raises(ArchiveError, match=r"leads out of the target folder. It came from .*s\.tgz and was deleted"):
        untar_data(server.url("s.tgz"))
    server.files["s.tgz"] = b"<html>Please log in</html>"
    with pytest.raises(ArchiveError, match="web page"):
        untar_data(server.url("s.tgz"))
    assert names(home / "archive") == names(home / "data") == []
    assert names(home) == ["archive", "data"]
    server.files["s.tgz"] = tgz({"x": b"1"})
    assert (untar_data(server.url("s.tgz")) / "x").read_bytes() == b"1"


def test_file_put_there_by_hand_is_never_deleted(server, home):
    (home / "archive").mkdir(parents=True)
    (home / "archive" / "s.tgz").write_bytes(b"not an archive at all")
    with pytest.raises(ArchiveError, match="no tar, zip or gz"):
        untar_data(server.url("s.tgz"))
    assert (home / "archive" / "s.tgz").exists()
    assert server.requests == []


def test_csv_and_zip(server, home):
    import zipfile
    server.files["texts.csv"] = b"a,b\n1,2\n"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("ml/u.data", b"1\t2")
    server.files["ml.zip"] = out.getvalue()
    assert (untar_data(server.url("texts.csv")) / "texts.csv").read_bytes() == b"a,b\n1,2\n"
    assert (untar_data(server.url("ml.zip")) / "u.data").read_bytes() == b"1\t2"


def test_unwritable_home(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "file"))
    server.files["s.tgz"] = tgz({"x": b"1"})
    with pytest.raises(OSError, match=r"set the environment variable MINIFAST_HOME.*file"):
        untar_data(server.url("s.tgz"))


# ---- two at a time --------------------------------------------------------------------------------------------------------------

def start_python(code, home):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env={**os.environ, "MINIFAST_HOME": str(home)},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_download_once(server, home):
    server.files["s.tgz"] = tgz({f"{i}.txt": os.urandom(2000) for i in range(200)})
    server.delay = 0.5
    code = f"""
        from minifast.data.sources.urls import untar_data
        path = untar_data({server.url('s.tgz')!r})
        print(len(list(path.iterdir())))
    """
    processes = [start_python(code, home) for _ in range(3)]
    results = [(*p.communicate(timeout=60), p.returncode) for p in processes]
    assert results == [("200\n", "", 0)] * 3
    assert len(server.requests) == 1
    assert names(home / "data") == ["s"]
    assert names(home / "archive") == ["s.tgz", "s.tgz.json"]


def test_lock_of_a_killed_process_is_taken_over(server, home):
    server.files["s.tgz"], server.faults["s.tgz"] = tgz({"x": b"1"}), ["hang"]
    process = start_python(f"from minifast.data.sources.urls import untar_data; untar_data({server.url('s.tgz')!r})", home)
    limit = time.monotonic() + 30
    while not server.requests and time.monotonic() < limit:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert names(home / "data") == ["s.lock"]
    start = time.monotonic()
    assert (untar_data(server.url("s.tgz")) / "x").read_bytes() == b"1"
    assert time.monotonic() - start < 30                            # not the minute that a silent owner is given
    assert names(home / "data") == ["s"]


def test_lock_excludes_threads(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(5):
            with file_lock.file_lock(tmp_path / "x"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.002)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert most == [1] * 30
    assert names(tmp_path) == []


class Clock:
    "Time that passes only in `sleep`, ten seconds at a time; `each` is called meanwhile."

    def __init__(self, each=lambda now: None):
        self.now, self.each = 0.0, each

    def monotonic(self):
        return self.now

    def sleep(self, s):
        self.now += 10
        self.each(self.now)


def test_silent_lock_of_another_machine_is_taken_over_only_after_its_time(tmp_path, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(file_lock, "time", clock)
    (tmp_path / "x.lock").write_text("1 othermachine/pid:[1] abc")
    with file_lock.file_lock(tmp_path / "x"):
        assert 60 < clock.now <= 80
        assert (tmp_path / "x.lock").read_text().startswith(f"{os.getpid()} ")
    assert names(tmp_path) == []


def test_lock_with_signs_of_life_is_not_taken_over(tmp_path, monkeypatch):
    lock = tmp_path / "x.lock"

    def owner(now):
        if now < 1000:
            os.utime(lock, ns=(0, int(now * 1e9)))
        else:
            lock.unlink(missing_ok=True)

    clock = Clock(owner)
    monkeypatch.setattr(file_lock, "time", clock)
    lock.write_text("1 othermachine/pid:[1] abc")
    with file_lock.file_lock(tmp_path / "x"):
        assert clock.now == 1000


def test_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(file_lock, "_BEAT", 0.01)
    lock, limit = tmp_path / "x.lock", time.monotonic() + 30
    with file_lock.file_lock(tmp_path / "x"):
        os.utime(lock, ns=(0, 0))
        while lock.stat().st_mtime_ns == 0 and time.monotonic() < limit:
            time.sleep(0.01)
        assert lock.stat().st_mtime_ns > 0


def test_taking_away_a_lock_that_is_no_longer_that_one(tmp_path):
    (tmp_path / "x.lock").write_text("the new owner")
    file_lock._take_away(tmp_path / "x.lock", "the dead owner")
    assert (tmp_path / "x.lock").read_text() == "the new owner"
    assert names(tmp_path) == ["x.lock"]


# ---- the rest -------------------------------------------------------------------------------------------------------------------

def test_home_and_paths(tmp_path, monkeypatch):
    assert minifast_home() == tmp_path / "home"
    assert URLs.path(URLs.PETS) == tmp_path / "home" / "archive" / "oxford-iiit-pet.tgz"
    assert URLs.path("bluebook", c_key="data") == tmp_path / "home" / "data" / "bluebook"
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "oxford-iiit-pet.tgz").write_text("")
    assert URLs.path(URLs.PETS) == Path("data/oxford-iiit-pet.tgz")
    monkeypatch.delenv("MINIFAST_HOME")
    assert minifast_home() == Path.home() / ".minifast"


def test_urls():
    urls = {k: v for k, v in vars(URLs).items() if (isinstance(v, str) and k.upper() == k) or k == "ML_100k"}
    urls = {k: v for k, v in urls.items() if not k.startswith("__")}
    assert len(urls) > 50
    for url in urls.values():
        external.check_url(url)
        assert url.startswith("https://")
    archives = [external.dataset_name(external.url_name(u)) for u in urls.values()]
    assert len(set(archives)) == len(archives)                      # no two datasets share a folder
    assert URLs.IMAGENETTE_160 == "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz"


def test_real_archive(server, data_dir, home):
    file = data_dir / "mnist_sample" / "mnist_sample.tgz"
    if not file.exists():
        pytest.skip("mnist_sample.tgz is not there")
    server.files["mnist_sample.tgz"], server.etags["mnist_sample.tgz"] = file.read_bytes(), '"v1"'
    server.faults["mnist_sample.tgz"] = [("drop", 1_000_000)]
    path = untar_data(server.url("mnist_sample.tgz"))
    assert path == home / "data" / "mnist_sample"
    assert names(path / "train") == ["3", "7"]
    with tarfile.open(file) as tar:
        members = [m for m in tar if m.isfile()]
        assert {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()} == {m.name.split("/", 1)[1] for m in members}
        for m in members[::100]:
            assert (path / m.name.split("/", 1)[1]).read_bytes() == tar.extractfile(m).read()
