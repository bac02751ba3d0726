"""Image files: what is known of each, and duplicates."""
import numpy as np
import pytest
from PIL import Image

from minifast.checks.data.image_files import Facts, difference_hash, exact_duplicates, facts_of, facts_of_all, near_duplicates


def an_image(seed=0, size=(120, 90)):
    r = np.random.default_rng(seed)
    a = r.integers(0, 255, (size[1] // 15, size[0] // 15, 3)).astype(np.uint8)
    return Image.fromarray(a).resize(size, Image.Resampling.BICUBIC)


def test_facts_of_an_image(tmp_path):
    an_image().save(tmp_path / "a.jpg", quality=95)
    f = facts_of(tmp_path / "a.jpg")
    assert (f.error, f.size, f.mode) == (None, (120, 90), "RGB") and f.bytes == (tmp_path / "a.jpg").stat().st_size and len(f.sha256) == 64
    assert f.thumb.shape == (16, 16) and 0 < f.spread <= 255
    expected = np.asarray(an_image().convert("L")).mean()
    assert f.grey == pytest.approx(expected, abs=4)


@pytest.mark.parametrize(("content", "error"), [(b"", "the file is empty"), (b"no image at all", "UnidentifiedImageError")])
def test_unreadable_files(tmp_path, content, error):
    (tmp_path / "a.jpg").write_bytes(content)
    assert error in facts_of(tmp_path / "a.jpg").error
    assert "cannot be opened" in facts_of(tmp_path / "missing.jpg").error


def test_truncated_files_are_found_though_they_are_decoded_small(tmp_path):
    for ending in ("jpg", "png"):
        file = tmp_path / f"a.{ending}"
        an_image(size=(600, 450)).save(file)
        file.write_bytes(file.read_bytes()[:-2000])
        assert facts_of(file).error is not None, ending


def test_the_hash_survives_resizing_and_recompression_and_not_another_image(tmp_path):
    for name, im, kw in (("a.png", an_image(), {}), ("b.jpg", an_image().resize((64, 48)), {"quality": 50}), ("c.png", an_image(1), {})):
        im.save(tmp_path / name, **kw)
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    facts, rate = facts_of_all([tmp_path / n for n in ("a.png", "b.jpg", "c.png", "d.png")])
    assert rate > 0 and exact_duplicates(facts) == [[0, 3]]
    assert near_duplicates(facts) == [(0, 1), (1, 3)]               # 0 and 3 are the same file
    assert bin(facts[0].hash ^ facts[1].hash).count("1") <= 6 < bin(facts[0].hash ^ facts[2].hash).count("1")
    alike, other = (np.corrcoef(facts[0].thumb.reshape(-1), facts[i].thumb.reshape(-1))[0, 1] for i in (1, 2))
    assert alike > 0.99 > other
    with pytest.raises(ValueError, match="from 0 to 7"):
        near_duplicates(facts, bits=9)


def test_near_duplicates_equal_all_pairs():
    r = np.random.default_rng(0)
    hashes = [int(v) for v in r.integers(0, 2**63, 60)]
    hashes += [h ^ sum(1 << int(b) for b in r.choice(64, k % 9, replace=False)) for k, h in enumerate(hashes)]
    thumb = r.normal(size=(16, 16)).astype(np.float32) * 50
    facts = [Facts(str(i), 1, str(i), hash=h % 2**64, thumb=thumb) for i, h in enumerate(hashes)]
    pairs = [(i, j) for i in range(len(hashes)) for j in range(i + 1, len(hashes)) if bin((hashes[i] ^ hashes[j]) % 2**64).count("1") <= 6]
    assert near_duplicates(facts, bits=6) == pairs and len(pairs) > 20


def test_difference_hash_bits():
    grey = np.arange(9)[None].repeat(8, 0)
    assert difference_hash(grey) == 2**64 - 1 and difference_hash(-grey) == 0


def test_a_turned_copy_with_exif_is_near(tmp_path):
    im = an_image()
    im.save(tmp_path / "a.jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    im.rotate(90, expand=True).save(tmp_path / "b.jpg", quality=95, exif=exif)
    facts, _ = facts_of_all([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert near_duplicates(facts) == [(0, 1)]


def test_16_bit_images_are_not_taken_for_blank(tmp_path):
    a = (np.linspace(0, 1, 64)[None].repeat(64, 0) * 3000 + 20000).astype(np.uint16)
    Image.fromarray(a).save(tmp_path / "a.png")
    f = facts_of(tmp_path / "a.png")
    assert f.error is None and f.mode.startswith("I") and f.spread > 5


def test_real_flowers_hold_duplicates_with_different_labels(data_dir):
    from minifast.vision.all import ImageDataLoaders, Resize
    dls = ImageDataLoaders.from_folder(data_dir / "flowers", valid_pct=0.2, item_tfms=Resize(32), num_workers=0)
    expected = [p for p in (*dls.train_ds.items, *dls.valid_ds.items) if p.name[:4] in ("1729", "1506", "1488", "1592")]
    facts, _ = facts_of_all(expected)
    copies = exact_duplicates(facts)
    assert any({expected[i].parent.name for i in g} == {"rose", "tulip"} for g in copies)


def test_frames_of_a_video_are_found(data_dir):
    files = sorted((data_dir / "camvid_half" / "val").glob("*.jpg"))[:60]
    facts, _ = facts_of_all(files)
    pairs = near_duplicates(facts)
    assert pairs and all(abs(i - j) < 15 for i, j in pairs)


def test_bad_images_are_named(data_dir):
    files = sorted(p for p in (data_dir / "bad_images").rglob("*") if p.is_file() and p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    facts, _ = facts_of_all(files)
    bad = {f.path.name for f in facts if f.error is not None}
    assert any("trunc" in n for n in bad) and any("empty" in n for n in bad)
    assert any(f.error is None for f in facts)
