"""Downloads, against a real HTTP server that can misbehave."""
import hashlib
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from minifast.sources import download
from minifast.sources.download import DownloadError, download_url, file_lock
from minifast.sources.urls import untar_data


def sha(data):
    return hashlib.sha256(data).hexdigest()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


DATA = os.urandom(400_000)


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


@pytest.mark.parametrize("changes", [{"version": 3}, {"version": "a\r\nb: c"}, {"version": ["v"]}, {"total": "5"}, {"total": [1]},
                                     {"url": 1}, "[]", "[" * 100_000, "{"])
def test_a_part_whose_description_was_damaged_starts_again(server, tmp_path, changes):
    server.files["x"] = DATA
    (tmp_path / "x.part").write_bytes(DATA[:5])
    info = {"url": server.url("x"), "version": '"v1"', "total": len(DATA)}
    (tmp_path / "x.part.json").write_text(changes if isinstance(changes, str) else json.dumps(info | changes))
    assert download_url(server.url("x"), tmp_path / "x").read_bytes() == DATA
    assert server.requests == [("x", None, None)] and names(tmp_path) == ["x"]


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


@pytest.mark.slow
def test_hanging_server(server, tmp_path):
    server.files["x"], server.faults["x"] = DATA, ["hang"] * 3
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


def test_lock_excludes_threads(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(5):
            with file_lock(tmp_path / "x"):
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
    assert names(tmp_path) == []                                    # the lock lies elsewhere
