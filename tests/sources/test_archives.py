"""Archives: what unpacks, and everything that must not."""
import bz2
import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from minifast.core.checkpoint import clearing
from minifast.sources.archives import ArchiveError, Limits, dataset_name, unpack_archive
from minifast.sources.urls import untar_data


def make_tar(path, members, mode="w:gz"):
    "`members`: (name, bytes) for files, (name, None) for folders, or a ready TarInfo."
    with tarfile.open(path, mode) as tar:
        for m in members:
            if isinstance(m, tarfile.TarInfo):
                tar.addfile(m)
                continue
            info = tarfile.TarInfo(m[0])
            if m[1] is None:
                info.type = tarfile.DIRTYPE
                tar.addfile(info)
            else:
                info.size = len(m[1])
                tar.addfile(info, io.BytesIO(m[1]))
    return path


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in members:
            z.writestr(name, data)
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files_below(folder):
    return {str(p.relative_to(folder)).replace(os.sep, "/"): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_refused(tmp_path, archive, match, **limits):
    "The archive is refused and nothing is left behind, neither in the target nor around it."
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(ArchiveError, match=match) as e:
        unpack_archive(archive, tmp_path / "out", Limits(**limits))
    assert str(archive) in str(e.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not (tmp_path.parent / "evil").exists()


@pytest.mark.parametrize("name, expected", [
    ("imagenette2-160.tgz", "imagenette2-160"), ("a.tar.gz", "a"), ("ml-100k.zip", "ml-100k"), ("train.csv.gz", "train"),
    ("texts.csv", "texts"), ("b.tar.xz", "b"), ("v1.2.tgz", "v1.2"), (".gz", ".gz"), ("plain", "plain"), ("C.TAR.GZ", "C")])
def test_dataset_name(name, expected):
    assert dataset_name(name) == expected


@pytest.mark.parametrize("mode, suffix", [("w", ".tar"), ("w:gz", ".tgz"), ("w:bz2", ".tar.bz2"), ("w:xz", ".tar.xz")])
def test_tar_with_one_top_folder(tmp_path, mode, suffix):
    big = os.urandom(3_000_000)
    archive = make_tar(tmp_path / f"a{suffix}", [
        ("top", None), ("top/train/3/1.png", b"one"), ("./top/labels.csv", b""), ("top/big", big)], mode)
    assert unpack_archive(archive, tmp_path / "out") == tmp_path / "out"
    assert files_below(tmp_path / "out") == {"train/3/1.png": b"one", "labels.csv": b"", "big": big}
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{suffix}", "out"]


def test_zip_and_several_entries_at_the_top(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("train/1.txt", b"1"), ("readme", b"r"), ("__MACOSX/._readme", b"x"), ("empty/", b"")])
    unpack_archive(archive, tmp_path / "out")
    assert files_below(tmp_path / "out") == {"train/1.txt": b"1", "readme": b"r"}
    assert (tmp_path / "out" / "empty").is_dir()


def test_zip_written_on_windows(tmp_path):
    unpack_archive(make_zip(tmp_path / "a.zip", [("top\\x\\1.txt", b"1"), ("top\\2.txt", b"2")]), tmp_path / "out")
    assert files_below(tmp_path / "out") == {"x/1.txt": b"1", "2.txt": b"2"}


def test_single_files(tmp_path):
    (tmp_path / "texts.csv").write_bytes(b"a,b\n1,2\n")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n"))
    assert files_below(unpack_archive(tmp_path / "texts.csv", tmp_path / "o1")) == {"texts.csv": b"a,b\n1,2\n"}
    assert files_below(unpack_archive(tmp_path / "t.csv.gz", tmp_path / "o2")) == {"t.csv": b"a,b\n"}


def test_existing_folder_is_replaced_as_a_whole(tmp_path):
    out = tmp_path / "out"
    unpack_archive(make_tar(tmp_path / "a.tgz", [("t/old", b"old")]), out)
    unpack_archive(make_tar(tmp_path / "b.tgz", [("t/new", b"new")]), out)
    assert files_below(out) == {"new": b"new"}
    with pytest.raises(ArchiveError):
        unpack_archive(make_tar(tmp_path / "c.tgz", [("t/ok", b"ok"), ("../evil", b"x")]), out)
    assert files_below(out) == {"new": b"new"}


@pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")
def test_modes_in_the_archive_are_ignored(tmp_path):
    info = tarfile.TarInfo("t/f")
    info.mode = 0o6777
    unpack_archive(make_tar(tmp_path / "a.tgz", [info]), tmp_path / "out")
    mode = stat.S_IMODE((tmp_path / "out" / "f").stat().st_mode)
    assert mode & 0o6111 == 0
    assert mode & 0o400


@pytest.mark.parametrize("name, match", [
    ("../evil", "leads out of the target"), ("a/../../evil", "leads out of the target"), ("a/b/..", "leads out of the target"),
    ("/tmp/evil", "absolute path"), ("C:/evil", "absolute path"), ("c:evil", "absolute path"), ("\\evil", "absolute path"),
    ("..\\evil", "leads out of the target")])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_paths_that_lead_elsewhere(tmp_path, name, match, kind):
    members = [("top/ok.txt", b"ok"), (name, b"evil")]
    archive = make_tar(tmp_path / "a.tgz", members) if kind == "tar" else make_zip(tmp_path / "a.zip", members)
    assert_refused(tmp_path, archive, match)


@pytest.mark.parametrize("member, match", [
    (special("top/l", tarfile.SYMTYPE, "/etc/passwd"), "symbolic link"), (special("top/l", tarfile.SYMTYPE, "ok.txt"), "symbolic link"),
    (special("top/l", tarfile.LNKTYPE, "top/ok.txt"), "hard link"), (special("top/d", tarfile.CHRTYPE), "character device"),
    (special("top/d", tarfile.BLKTYPE), "block device"), (special("top/d", tarfile.FIFOTYPE), "named pipe")])
def test_tar_links_and_devices(tmp_path, member, match):
    assert_refused(tmp_path, make_tar(tmp_path / "a.tgz", [("top/ok.txt", b"ok"), member]), match)


def test_zip_symlink(tmp_path):
    info = zipfile.ZipInfo("top/link")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("top/ok", b"ok")
        z.writestr(info, "/etc/passwd")
    assert_refused(tmp_path, tmp_path / "a.zip", "symbolic link")


@pytest.mark.parametrize("make, name", [(make_tar, "a.tgz"), (make_zip, "a.zip")])
def test_limits(tmp_path, make, name):
    archive = make(tmp_path / name, [(f"t/{i}", bytes(100_000)) for i in range(20)])
    assert_refused(tmp_path, archive, "more than 10 members", members=10)
    assert_refused(tmp_path, archive, "more than 1,000,000 bytes", total=1_000_000)
    assert_refused(tmp_path, archive, "decompression bomb", ratio=50, ratio_from=500_000)
    assert len(files_below(unpack_archive(archive, tmp_path / "out"))) == 20


def test_bomb_of_one_gzipped_file(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"0," * 3_000_000))
    assert_refused(tmp_path, tmp_path / "a.csv.gz", "decompression bomb", ratio=100, ratio_from=1_000_000)


def test_default_limits_stop_a_bomb_and_the_advice_works(tmp_path):
    "200 to 1, far from what deflate can do."
    file = tmp_path / "archive" / "a.zip"
    file.parent.mkdir()
    make_zip(file, [("t/zeros", bytes(70_000_000)), ("t/noise", os.urandom(280_000))])
    with pytest.raises(ArchiveError, match="more than 100 times its size .* decompression bomb") as e:
        untar_data("https://example.org/a.zip", base=tmp_path)
    dest = Path(re.search(r"If you trust it, unpack it by hand into (\S+)", str(e.value))[1])
    assert not dest.exists()
    with zipfile.ZipFile(file) as z:
        z.extract("t/noise", dest)
    assert untar_data("https://example.org/a.zip", base=tmp_path) == dest


@pytest.mark.skipif(os.name != "posix", reason="folders cannot be locked")
def test_what_a_killed_run_left_is_removed(tmp_path):
    archive = make_zip(tmp_path / "a.zip", [("t/x", b"1")])
    left, other = tmp_path / ".out.unpack-ab_12xyz", tmp_path / ".out2.unpack-ab_12xyz"
    for folder in (left, other):
        (folder / "content" / "t").mkdir(parents=True)
    with clearing(tmp_path, "nothing"):                     # somebody is at work
        unpack_archive(archive, tmp_path / "out")
    assert left.exists()
    unpack_archive(archive, tmp_path / "out")
    assert not left.exists() and other.exists() and files_below(tmp_path / "out") == {"x": b"1"}


def test_bomb_in_the_headers(tmp_path):
    "A header can expand as well as a file: 64 MB of extended header in 64 kB."
    with tarfile.open(tmp_path / "a.tgz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo("t/x")
        info.pax_headers = {"comment": "0" * 64_000_000}
        tar.addfile(info)
    assert_refused(tmp_path, tmp_path / "a.tgz", "bytes of headers")


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_truncated_tar(tmp_path, cut, mode):
    archive = make_tar(tmp_path / "a.tgz", [(f"t/{i}", os.urandom(5000)) for i in range(10)], mode)
    data = archive.read_bytes()
    archive.write_bytes(data[:int(cut * len(data))])
    assert_refused(tmp_path, archive, "damaged or incomplete|ends in the middle")


def test_tar_cut_exactly_between_two_members(tmp_path):
    "512-byte header + 512 bytes of data each: the cut looks like an end, but the end marker is missing."
    archive = make_tar(tmp_path / "a.tar", [(f"t/{i}", bytes([i]) * 512) for i in range(10)], "w")
    archive.write_bytes(archive.read_bytes()[:5 * 1024])
    assert_refused(tmp_path, archive, "damaged or incomplete")


def test_damaged_header_is_not_taken_for_the_end(tmp_path):
    archive = make_tar(tmp_path / "a.tar", [(f"t/{i}", bytes(512)) for i in range(4)], "w")
    data = bytearray(archive.read_bytes())
    data[2048] ^= 0xFF                                      # the name in the third header: its checksum no longer fits
    archive.write_bytes(data)
    assert_refused(tmp_path, archive, "damaged or incomplete")


def test_wrong_checksums(tmp_path):
    archive = make_tar(tmp_path / "a.tgz", [("t/x", os.urandom(1000))])
    data = bytearray(archive.read_bytes())
    data[-6] ^= 0xFF                                        # the CRC that ends a gzip stream
    archive.write_bytes(data)
    assert_refused(tmp_path, archive, "CRC check failed")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        z.writestr("t/x", b"some content")
    data = (tmp_path / "a.zip").read_bytes().replace(b"some content", b"same content")
    (tmp_path / "a.zip").write_bytes(data)
    assert_refused(tmp_path, tmp_path / "a.zip", "Bad CRC-32")


def test_damage_that_other_libraries_call_an_error_of_the_disk(tmp_path):
    packed = bytearray(bz2.compress(b"a,b\n" * 99))
    packed[30] ^= 0xFF
    (tmp_path / "a.csv.bz2").write_bytes(packed)
    assert_refused(tmp_path, tmp_path / "a.csv.bz2", "damaged or incomplete .*nvalid data stream")
    data = make_zip(tmp_path / "a.zip", [("t/x", os.urandom(200))]).read_bytes()
    (tmp_path / "b.zip").write_bytes(data.replace(b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff"))
    assert_refused(tmp_path, tmp_path / "b.zip", "damaged or incomplete .*zip file version 25.5")
    named = make_zip(tmp_path / "c.zip", [("t/é", b"1")])
    named.write_bytes(named.read_bytes().replace("é".encode(), b"\xd1t", 1))
    assert_refused(tmp_path, named, "damaged or incomplete .*'utf-8' codec")
    (tmp_path / "a.zip").write_bytes(data[:50] + data[150:])
    assert_refused(tmp_path, tmp_path / "a.zip", "damaged or incomplete .*Invalid argument")


def test_a_zip_whose_list_passes_over_members(tmp_path):
    "A longer comment of the first member swallows the entries after it: `zipfile` lists one of four."
    archive = make_zip(tmp_path / "a.zip", [(f"t/{i}", bytes(9)) for i in range(4)])
    data = bytearray(archive.read_bytes())
    at = data.index(b"PK\1\2") + 32
    data[at:at + 2] = (3 * (46 + len("t/1"))).to_bytes(2, "little")
    archive.write_bytes(data)
    with zipfile.ZipFile(archive) as z:
        assert len(z.namelist()) == 1
    assert_refused(tmp_path, archive, "it states 4 members, and lists 1")
    with zipfile.ZipFile(archive, "w") as z:
        z.writestr("t/1", b"1")
        z.comment = b"a comment of the archive"
    assert files_below(unpack_archive(archive, tmp_path / "out")) == {"1": b"1"}


def test_encrypted_zip(tmp_path):
    data = bytearray(make_zip(tmp_path / "a.zip", [("t/x", b"secret")]).read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1                # the flag in the central directory
    (tmp_path / "a.zip").write_bytes(data)
    assert_refused(tmp_path, tmp_path / "a.zip", "encrypted")


def test_same_name_twice(tmp_path):
    assert_refused(tmp_path, make_tar(tmp_path / "a.tgz", [("t/x", b"1"), ("t/x", b"2")]), "'t/x' twice")
    assert_refused(tmp_path, make_tar(tmp_path / "b.tgz", [("t/x", b"1"), ("t/x/y", b"2")]), "twice|not a plain")


@pytest.mark.parametrize("name, content, match", [
    ("a.tgz", b"<!DOCTYPE html><html>log in</html>", "web page"), ("a.csv", b"\n <HTML><body>404", "web page"),
    ("a.tgz", b"just some words", "no tar, zip or gz"), ("a.tgz", b"", "the file is empty"), ("a.bin", b"\0" * 600, "it is empty"),
    ("a.tgz", gzip.compress(b"words", mtime=0), "no tar, zip or gz")])
def test_what_is_no_archive(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    assert_refused(tmp_path, tmp_path / name, match)


def test_empty_archives(tmp_path):
    assert_refused(tmp_path, make_tar(tmp_path / "a.tar.gz", []), "it is empty|damaged or incomplete")
    assert_refused(tmp_path, make_zip(tmp_path / "a.zip", []), "it is empty")
