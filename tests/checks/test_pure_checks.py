"""The functions of tensors behind the checks, against values a reader can compute."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch import nn
from zoo import BROKEN, classifier, mlp, points, regressor

from minifast.checks.learner.activations import dead_share, saturated_share
from minifast.checks.learner.dependency import changes_elsewhere, items_reached, looks_ahead
from minifast.checks.learner.evaluation import largest_difference
from minifast.checks.learner.gradients import all_rows_equal, silent_items
from minifast.checks.learner.initial_loss import binary_entropy, entropy, expected_losses, frequencies
from minifast.checks.learner.outputs import best_and_worst, looks_like
from minifast.checks.learner.overfit_batch import different_items, overfit
from minifast.checks.learner.speed import PARTS, bottleneck, measure, profile
from minifast.checks.learner.updates import update_ratio
from minifast.learner.learner import Learner
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat


def test_looks_like():
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    assert looks_like(x) == "free" and looks_like(x.softmax(1)) == "softmax" and looks_like(x.log_softmax(1)) == "log_softmax"
    assert looks_like(x.sigmoid()) == "sigmoid" and looks_like(x.relu()) == "relu" and looks_like(torch.zeros(16, 5)) == "free"
    assert looks_like(x[:, :1].sigmoid()) == "sigmoid" and looks_like(torch.full((16, 5), float("nan"))) == "free"


def test_items_reached_finds_mixing():
    x = torch.randn(6, 4)
    assert items_reached(lambda t: t[0] * 2, [x], 6, 2).tolist() == [False, False, True, False, False, False]
    assert items_reached(lambda t: t[0] - t[0].mean(0), [x], 6, 2).all()
    assert items_reached(lambda t: t[0] + t[0].roll(1, 0), [x], 6, 2).nonzero().flatten().tolist() == [1, 2]
    assert not items_reached(lambda t: t[0].detach(), [x], 6, 2).any()


def test_changes_elsewhere_for_token_ids():
    ids, table = torch.arange(12).reshape(6, 2), torch.randn(12, 3)
    assert changes_elsewhere(lambda t: table[t[0]].sum(1), [ids], 6, 3) == 0
    assert changes_elsewhere(lambda t: table[t[0]].sum(1).cumsum(0), [ids], 6, 3) > 0.01


def test_steps_ahead():
    x = torch.randn(3, 5, 2)
    assert not looks_ahead(lambda t: t[0].cumsum(1), [x], 5, 2)
    assert looks_ahead(lambda t: t[0].flip(1).cumsum(1), [x], 5, 1)


def test_expected_loss_at_the_start():
    y = torch.tensor([0, 0, 0, 1])
    assert frequencies(y, 3).tolist() == [0.75, 0.25, 0.0] and frequencies(torch.tensor([0, -100, 1]), 2).tolist() == [0.5, 0.5]
    assert entropy(frequencies(y, 2)) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    uninformed, informed = expected_losses(F.cross_entropy, "class logits", y, 2)
    assert uninformed == pytest.approx(math.log(2)) and informed == pytest.approx(0.5623, abs=1e-4)
    assert expected_losses(F.binary_cross_entropy, "logits", torch.tensor([[1.0], [0.0]]), 1) == pytest.approx((math.log(2), math.log(2)))
    assert binary_entropy(torch.tensor([0.5, 1.0])) == pytest.approx(math.log(2) / 2, abs=1e-4)
    values = torch.tensor([[1.0], [3.0]])
    assert expected_losses(MSELossFlat(), "values", values, 1) == (5.0, 1.0)
    assert expected_losses(F.l1_loss, "values", values, 1) == (2.0, 1.0)
    assert expected_losses(F.huber_loss, "values", values, 1) is None and expected_losses(F.mse_loss, None, values, 1) is None


def loss_of(learn):
    with torch.no_grad():
        return sum(float(learn.loss_func(learn.model(x), y)) * len(x) for x, y in learn.dls.train) / 160


def test_init_head_makes_the_first_loss_that_of_a_guess():
    x, y = points()
    y = (y == 2).long() * (torch.arange(240) % 3 == 0)
    learn = classifier(mlp(out=2), x=x, y=y)
    nn.init.zeros_(learn.model[-1].weight)
    assert learn.init_head() is learn
    assert loss_of(learn) == pytest.approx(entropy(frequencies(y[:160], 2)), abs=2e-3)
    learn = regressor(y=points()[0][:, :1] + 1000)
    assert loss_of(learn) > 1e5
    learn.init_head()
    assert loss_of(learn) < 5 and float(learn.model[-1].bias.detach()) == pytest.approx(1000, abs=1)


def test_init_head_refuses():
    with pytest.raises(ValueError, match="does not know what the output means"):
        classifier(loss=lambda p, t: F.cross_entropy(p, t)).init_head()
    model = mlp()
    model[-1] = nn.Linear(32, 3, bias=False)
    with pytest.raises(ValueError, match="needs a model that ends with a linear or convolutional layer with bias"):
        classifier(model).init_head()
    nan = next(a for a in BROKEN if a.name == "NaN targets").make()
    with pytest.raises(ValueError, match="NaN or infinite"):
        nan.init_head()


def test_rows_ratios_and_shares():
    assert all_rows_equal(torch.ones(3, 4)) and not all_rows_equal(torch.eye(3)) and not all_rows_equal(torch.ones(1, 4))
    assert (
        update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.1)
        and update_ratio(torch.zeros(2), torch.ones(2)) is None
    )
    a = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert dead_share(a) == pytest.approx(2 / 3) and dead_share(torch.ones(2, 3, 4)) == 0
    assert saturated_share(torch.tensor([-1.0, -0.99, 0.0, 1.0]), -1, 1) == 0.75


def test_silent_items_of_a_clipped_loss():
    pred, y = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.0, 0.1]]), torch.tensor([0, 0, 0])
    silent, losses = silent_items(pred, y, lambda p, t: F.cross_entropy(p, t).clamp(max=1.0))
    assert silent == [1] and losses[1] == 1.0
    assert silent_items(pred, y, F.cross_entropy)[0] == []
    hinge = lambda p, t: F.multi_margin_loss(p, t)          # noqa: E731  no loss where it has no gradient
    assert silent_items(pred, y, hinge)[0] == []


def test_different_items():
    assert different_items(torch.tensor([0, 0, 0, 1, 1, 2]), 3) == [0, 3, 5]
    assert different_items(torch.tensor([0, 0, 0, 1]), 3) == [0, 1, 3]
    assert different_items(torch.tensor([[5.0], [1.0], [3.0], [2.0], [4.0]]), 3) == [0, 1, 2]


def test_overfit_stops_when_it_is_enough_or_stands_still():
    model = nn.Linear(2, 1)
    x, y = torch.eye(2), torch.tensor([[1.0], [-1.0]])
    losses, done = overfit(model, lambda: model(x), lambda p: (p - y).square().mean(), 0.1, 200, lambda p, loss: loss < 1e-2)
    assert done and losses[-1] < 1e-2 and len(losses) < 200
    flat = nn.Linear(2, 1)
    losses, done = overfit(flat, lambda: flat(x) * 0, lambda p: (p - y).square().mean(), 0.1, 1000, lambda p, loss: loss < 1e-2)
    assert not done and len(losses) < 200


def test_best_and_worst():
    y = torch.tensor([0, 2, 1])
    good, bad = best_and_worst("class logits", torch.zeros(3, 3), y)
    assert torch.equal(good.argmax(1), y) and not (bad.argmax(1) == y).any()
    good, bad = best_and_worst("class logits", torch.zeros(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 0]]]))
    assert good.argmax(1).tolist() == [[[0, 1], [2, 0]]]
    good, bad = best_and_worst("values", torch.zeros(3, 1), torch.tensor([1.0, 2.0, 3.0]))
    assert good.tolist() == [[1.0], [2.0], [3.0]] and ((good - bad).abs() > 0.5).all()
    assert best_and_worst(None, torch.zeros(3), torch.zeros(3)) is None


def test_largest_difference():
    assert largest_difference((torch.zeros(2), {"a": torch.ones(2)}), (torch.zeros(2), {"a": torch.tensor([1.0, 4.0])})) == 3
    assert largest_difference([torch.zeros(2)], [torch.zeros(3)]) == math.inf


def test_measure_and_profile():
    learn = classifier()
    times = measure(learn, n_steps=3, warm_up=1)
    assert times["steps"] == 3 and times["step"] == pytest.approx(sum(times[p] for p in PARTS)) and all(times[p] >= 0 for p in PARTS)
    table = profile(learn, n_steps=2)
    assert set(table.index) == set(PARTS) and table.share.sum() == pytest.approx(1) and "of a step is" in table.attrs["verdict"]
    made_up = {**dict.fromkeys(PARTS, 0.1), "data": 0.6, "step": 1.0, "workers": 2}
    assert bottleneck(made_up)[:2] == ("data", 0.6) and "num_workers=2 now" in bottleneck(made_up)[2]


def test_slow_data_is_named():
    import time

    from torch.utils.data import Dataset

    from minifast.checks.check_learner import check_learner
    from minifast.data.loaders import DataLoader, DataLoaders

    class Slow(Dataset):
        x, y = points(120)

        def __len__(self):
            return 120

        def __getitem__(self, i):
            time.sleep(0.002)
            return self.x[i], self.y[i]

    dls = DataLoaders(DataLoader(Slow(), bs=12, shuffle=True, num_workers=0), DataLoader(Slow(), bs=12, num_workers=0))
    report = check_learner(Learner(dls, mlp(), CrossEntropyLossFlat()), fast=True)
    assert report["MF701"].verdict == "tip" and report["MF701"].evidence["data"] > 0.4 and "num_workers" in report["MF701"].advice


def test_a_binary_learner_with_one_output_and_two_classes():
    from minifast.checks.check_learner import check_learner
    x, y = points(classes=2)
    report = check_learner(classifier(mlp(out=1), BCEWithLogitsLossFlat(), x, y[:, None].float(), c=2), fast=True)
    assert report["MF104"].verdict == "pass" and report.ok


def test_numpy_is_not_reseeded():
    before = np.random.get_state()[1].copy()
    measure(classifier(), n_steps=1)
    assert (np.random.get_state()[1] == before).all()
