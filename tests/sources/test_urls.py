"""`untar_data`, against a real HTTP server that can misbehave, and the addresses."""
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import tarfile
import textwrap
import time
from pathlib import Path

import filelock
import fresh_process
import pytest

from minifast.sources import urls as external
from minifast.sources.download import file_lock
from minifast.sources.urls import ArchiveError, DownloadError, URLs, minifast_home, untar_data


def sha(data):
    return hashlib.sha256(data).hexdigest()


def names(folder):
    return sorted(p.name for p in folder.iterdir())



def tgz(members, top="set"):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


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


@pytest.mark.parametrize("record", ["[" * 100_000, "[]", '{"sha256": 3}', '{"sha256": null, "url": ["x"]}', '{"by_hand": {}}'])
def test_a_damaged_record_is_none(server, home, record):
    archive = server.files["s.tgz"] = tgz({"x": b"1"})
    path = untar_data(server.url("s.tgz"))
    (home / "archive" / "s.tgz.json").write_text(record)
    digest = hashlib.sha256(archive).hexdigest()
    assert untar_data(server.url("s.tgz"), sha256=digest) == path and (path / "x").read_bytes() == b"1"


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
    assert names(home) == ["archive", "data", "locks"]
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
    with pytest.raises(OSError, match="file") as e:
        untar_data(server.url("s.tgz"))
    assert "set the environment variable MINIFAST_HOME" in "".join([str(e.value), *getattr(e.value, "__notes__", [])])


# ---- two at a time --------------------------------------------------------------------------------------------------------------

def start_python(code, home):
    return fresh_process.start(textwrap.dedent(code), env={**os.environ, "MINIFAST_HOME": str(home)})


@pytest.mark.slow
def test_two_processes_download_once(server, home):
    server.files["s.tgz"] = tgz({f"{i}.txt": os.urandom(2000) for i in range(200)})
    server.delay = 0.5
    code = f"""
        from minifast.sources.urls import untar_data
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
    process = start_python(f"from minifast.sources.urls import untar_data; untar_data({server.url('s.tgz')!r})", home)
    limit = time.monotonic() + 30
    while not server.requests and time.monotonic() < limit:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert names(home / "locks") == ["s.tgz.lock"]
    start = time.monotonic()
    assert (untar_data(server.url("s.tgz")) / "x").read_bytes() == b"1"
    assert time.monotonic() - start < 30
    assert names(home / "data") == ["s"]


def test_a_stopped_process_keeps_its_lock(server, home):
    "It may go on at any time, so nobody else is let in meanwhile, however long it takes."
    server.files["s.tgz"], server.faults["s.tgz"] = tgz({"x": b"1"}), [("hang", 10)]
    process = start_python(f"from minifast.sources.urls import untar_data; untar_data({server.url('s.tgz')!r})", home)
    limit = time.monotonic() + 30
    while not server.requests and time.monotonic() < limit:
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(filelock.Timeout), file_lock(home / "archive" / "s.tgz", home / "locks").acquire(timeout=0.5):
        pass
    process.kill()
    process.communicate()
    with file_lock(home / "archive" / "s.tgz", home / "locks").acquire(timeout=10) as lock:
        assert lock is not None


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


@pytest.mark.slow
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
