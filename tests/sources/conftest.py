"""A real HTTP server that can misbehave, and a home for datasets that every test has for itself."""
import http.server
import re
import threading
import time
from types import SimpleNamespace

import pytest

from minifast.sources import download


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
