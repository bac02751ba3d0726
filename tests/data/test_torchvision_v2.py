"""torchvision's v2 transforms in pipelines: whole samples, training only where random, reproducible."""
import numpy as np
import pytest
import torch
from torchvision import transforms as v1
from torchvision import tv_tensors
from torchvision.transforms import v2

from minifast.core.seeds import item_rng
from minifast.data.pipeline import Pipeline, as_transform
from minifast.data.torchvision_v2 import V2, for_validation, is_random, normalizes
from minifast.vision.images import PILImage, PILImageBW, PILMask, ToTensor


@pytest.fixture
def pair():
    a = np.random.default_rng(0).integers(0, 9, (20, 30), dtype=np.uint8)
    return PILImage.create(a), PILMask.create(a)


def test_is_used_by_a_pipeline(pair):
    p = Pipeline([ToTensor(), v2.RandomHorizontalFlip(p=1.0)], 0)
    assert [type(f) for f in p] == [V2, ToTensor] and repr(p[0]) == "V2(RandomHorizontalFlip(p=1.0))"
    x, m, y = p((*pair, 3), item_rng(0))
    assert y == 3 and torch.equal(x.flip(-1), ToTensor()(pair[0])) and torch.equal(m.flip(-1), ToTensor()(pair[1]))
    assert torch.equal(p.new(1)((*pair, 3))[0], ToTensor()(pair[0]))
    assert as_transform(v2.Resize(8)).order == 1 and as_transform(v2.Normalize([0.5], [0.5])).order == 99
    assert V2(v2.Resize(8), order=7).order == 7


@pytest.mark.parametrize("t", [v2.RandomCrop(12), v2.RandomAffine(30, interpolation=v2.InterpolationMode.NEAREST), v2.Resize((12, 14)),
                               v2.RandomResizedCrop(10), v2.Compose([v2.Resize(16), v2.RandomCrop(9)])], ids=repr)
def test_masks_change_with_pictures_and_classes_stay(t, pair):
    x, m, label = V2(t)((*pair, 7), 0, item_rng(1))
    assert type(x) is PILImage and type(m) is PILMask and x.size == m.size and label == 7
    assert set(np.unique(np.asarray(m))) <= set(range(9))
    if isinstance(t, v2.RandomCrop):
        assert np.array_equal(np.asarray(x)[..., 0], np.asarray(m))
    grey = V2(t)(PILImageBW.create(np.asarray(pair[1])), 0, item_rng(1))
    assert type(grey) is PILImageBW


def test_reproducible_and_private(pair):
    t = V2(v2.ColorJitter(0.5, 0.5))
    state = torch.get_rng_state()
    outs = [np.asarray(t(pair, 0, item_rng(i))[0]) for i in (1, 1, 2)]
    assert np.array_equal(outs[0], outs[1]) and not np.array_equal(outs[0], outs[2])
    assert torch.equal(torch.get_rng_state(), state)
    batch = tv_tensors.Image(torch.rand(2, 3, 8, 8))
    noisy = [V2(v2.GaussianNoise())((batch, torch.arange(2)), 0, item_rng(i)) for i in (1, 1, 2)]
    assert torch.equal(noisy[0][0], noisy[1][0]) and not torch.equal(noisy[0][0], noisy[2][0])
    assert torch.equal(noisy[0][1], torch.arange(2)) and type(noisy[0][0]) is tv_tensors.Image


@pytest.mark.parametrize(("t", "random"), [
    (v2.Resize(8), False), (v2.CenterCrop(8), False), (v2.Normalize([0.5], [0.5]), False), (v2.ToDtype(torch.float32), False),
    (v2.Compose([v2.Resize(8)]), False), (v2.RandomHorizontalFlip(), True), (v2.ColorJitter(), True), (v2.RandomErasing(), True),
    (v2.GaussianNoise(), True), (v2.TrivialAugmentWide(), True), (v2.RandomApply([v2.Resize(8)]), True), (v2.GaussianBlur(3), True),
])
def test_which_are_random(t, random, pair):
    assert is_random(t) is random
    expected = None if random else t
    assert (for_validation(t) is expected) if not isinstance(t, v2.Compose) else len(for_validation(t).transforms) == 1


def test_for_validation(pair):
    t = V2(v2.Compose([v2.RandomResizedCrop(14), v2.RandomHorizontalFlip(1.0)]))
    first, again = (t(pair, 1, item_rng(i)) for i in (0, 1))
    assert first == again and first[0].size == (14, 14)
    expected = v2.CenterCrop(14)(v2.Resize(16)(pair[0]))
    assert np.array_equal(np.asarray(first[0]), np.asarray(expected))
    assert V2(v2.RandomCrop(10))(pair, 1)[0].size == (10, 10)
    assert for_validation(v2.Compose([v2.RandomVerticalFlip()])) is None
    assert V2(v2.RandomVerticalFlip(1.0))(pair, 1) is pair


def test_says_what_is_wrong(pair):
    with pytest.raises(TypeError, match=r"RandomCrop belongs to torchvision's old transforms.*use torchvision.transforms.v2.RandomCrop"):
        as_transform(v1.RandomCrop(8))
    with pytest.raises(TypeError, match="Resize belongs to torchvision's old transforms"):
        as_transform(v2.Compose([v1.Resize(8)]))
    with pytest.raises(TypeError, match="must keep the number of elements"):
        V2(v2.Lambda(lambda o: o) and _Swallows())((*pair, 1), 0, item_rng(0))


class _Swallows(v2.Transform):
    def forward(self, *inputs):
        return inputs[:1]


def test_applies_to_and_normalizes(pair):
    t = V2(v2.Resize(8))
    assert t.applies_to(pair) and not t.applies_to((1, "a")) and t((1, "a"), 0) == (1, "a")
    assert normalizes(V2(v2.Compose([v2.Resize(3), v2.Compose([v2.Normalize([0.5], [0.5])])]))) and not normalizes(t)
