"Tar files in webdataset's layout: members that share a name are one sample."
import io
import json
import tarfile

import pytest
import torch
from PIL import Image

from minifast.basics import DataLoaders, StreamLoader, TarShards


def image_bytes(i):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (i, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write(file, numbers):
    with tarfile.open(file, "w") as tar:
        for i in numbers:
            for extension, data in (("png", image_bytes(i)), ("cls", str(i).encode()), ("meta.json", json.dumps({"i": i}).encode())):
                member = tarfile.TarInfo(f"photos/{i:04d}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tar")
    for k, (low, high) in enumerate([(0, 30), (30, 33), (33, 100)]):
        write(path / f"train-{k:02d}.tar", range(low, high))
    return path


def test_samples_are_those_of_webdataset(folder):
    wds = pytest.importorskip("webdataset")
    files = sorted(map(str, folder.glob("*.tar")))
    theirs = list(wds.WebDataset(files, shardshuffle=False))
    source = TarShards(folder)
    ours = [item for k in range(len(source)) for item in source.read(k)]
    assert [o["__key__"] for o in ours] == [o["__key__"] for o in theirs]
    assert all(o["png"] == t["png"] and o["meta.json"] == t["meta.json"] for o, t in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("sizes", [None, True])
def test_each_sample_once(folder, num_workers, sizes):
    said = {} if sizes else {"n_items": 100}
    dl = StreamLoader(TarShards(str(folder / "train-{00..02}.tar"), ("cls", "meta.json"), sizes=sizes), 8, split_idx=1,
                      num_workers=num_workers, device="cpu", **said)
    assert [int(i) for x, _ in dl for i in x] == list(range(100))
    assert [int(i) for _, y in dl for i in y["i"]] == list(range(100))


def test_sizes_are_counted_from_the_headers(folder):
    source = TarShards(str(folder / "train-*.tar"), sizes=True)
    assert source.sizes == [30, 3, 67]
    dl = StreamLoader(source, 8, shuffle=True, buffer=10, num_workers=3, device="cpu", seed=0)
    for _ in range(2):
        assert sorted(int(i) for b in dl for i in b["cls"]) == list(range(100))


def test_it_goes_on_by_headers(folder, monkeypatch):
    def loader():
        return StreamLoader(TarShards(folder, ("cls",)), 4, n_items=100, split_idx=1, num_workers=0, device="cpu")

    dl = loader()
    batches = iter(dl)
    for _ in range(20):
        next(batches)
    state = dl.state_dict()
    again, read = loader(), []
    real = tarfile.TarFile.extractfile
    monkeypatch.setattr(tarfile.TarFile, "extractfile", lambda self, m: read.append(m.name) or real(self, m))
    again.load_state_dict(state)
    assert next(iter(again))[0].tolist() == [80, 81, 82, 83] and len(read) < 20


def test_images_are_decoded_after_they_were_mixed(folder):
    from minifast.vision.all import PILImage, ToTensor
    source = TarShards(folder, ("png", "cls"), {"png": PILImage.create})
    assert isinstance(next(source.read(0))["png"], bytes)
    dls = DataLoaders.from_streams(source, source, bs=8, n_items=100, val_n_items=100, item_tfms=ToTensor(), num_workers=0, device="cpu")
    x, y = next(iter(dls.valid))
    assert x.shape == (8, 3, 8, 8) and torch.equal((x[:, 0, 0, 0] * (255 if x.is_floating_point() else 1)).round().long(), y)
    assert dls.show_batch(max_n=2) is None


def test_webdataset_itself(folder):
    wds = pytest.importorskip("webdataset")
    files = sorted(map(str, folder.glob("*.tar")))
    for num_workers in (0, 2):
        dataset = wds.WebDataset(files, shardshuffle=False).decode().to_tuple("cls", "meta.json")
        dl = StreamLoader(dataset, 8, n_items=100, split_idx=1, num_workers=num_workers, device="cpu")
        assert sorted(int(i) for x, _ in dl for i in x) == list(range(100))


def test_what_is_wrong_is_told(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no \\*.tar"):
        TarShards(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no such file.*StreamLoader\(wds.WebDataset"):
        TarShards(["https://example.org/a.tar"])
    (tmp_path / "a.tar").write_bytes(b"no tar" * 1000)
    with pytest.raises(ValueError, match="not a tar file"):
        TarShards(tmp_path, sizes=True)
    with pytest.raises(ValueError, match=r"sample 'photos/0000' has no 'jpg': it has .*png"):
        next(iter(StreamLoader(TarShards(folder, ("jpg", "cls")), 8, n_items=100, num_workers=0, device="cpu")))


@pytest.mark.parametrize("at", [1200, 3 * 1024 + 700, 6 * 1024 + 50])
def test_a_file_that_was_cut_off_is_told(tmp_path, at):
    write(tmp_path / "a.tar", range(3))
    with (tmp_path / "a.tar").open("r+b") as f:
        f.truncate(at)
    with pytest.raises(tarfile.ReadError) as e:
        list(StreamLoader(TarShards(tmp_path), 8, n_items=100, num_workers=0, split_idx=1, device="cpu"))
    assert any("a.tar" in n for n in e.value.__notes__)


def test_a_file_whose_middle_is_damaged_is_told(tmp_path):
    write(tmp_path / "a.tar", range(3))
    with (tmp_path / "a.tar").open("r+b") as f:
        f.seek(3 * 1024)
        f.write(b"?" * 512)
    with pytest.raises(tarfile.ReadError, match="damaged, or was cut off, at byte 3,072"):
        list(StreamLoader(TarShards(tmp_path), 8, n_items=100, num_workers=0, split_idx=1, device="cpu"))
