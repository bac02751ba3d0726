"""The time of a step, by part."""
import numpy as np
import pytest
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from slow_nets import sleep_takes_no_time  # noqa: F401  a fixture
from zoo import classifier, mlp, points

from minifast.checks.learner.speed import PARTS, bottleneck, measure, profile
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


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


@pytest.mark.usefixtures("sleep_takes_no_time")
def test_the_first_setting_that_makes_it_faster_is_named():
    from slow_nets import Net, last, learner, slow_unless

    from minifast.checks.learner.speed import step_time
    from minifast.learner.probe import probing

    learn = learner(Net(slow_unless(last)))
    with probing(learn) as probe:
        found = step_time(probe)
    assert found.verdict == "pass" and "channels-last makes the model" in found.found
    assert "learn.speedup() tries more" in found.found
    assert learn.speedup("2s").times["step"] > 0
    with probing(learner(Net(lambda x: 0.03))) as probe:
        assert "speedup" not in step_time(probe).found


def test_numpy_is_not_reseeded():
    before = np.random.get_state()[1].copy()
    measure(classifier(), n_steps=1)
    assert (np.random.get_state()[1] == before).all()
