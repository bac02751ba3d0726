"""Random search: parameters are a function of (seed, trial); the CSV is where it goes on; failures are written down."""
import csv
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.ensemble.search import choice, loguniform, randint, random_search, trial_params, uniform
from minifast.learner.learner import Learner
from minifast.metrics.base import AvgMetric
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat

SPACE = {"lr": loguniform(1e-3, 1), "n": randint(1, 3), "act": choice([nn.ReLU, nn.Tanh]), "drop": uniform(0, 0.5)}
X = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
DS = TensorDataset(X, (X[:, 0] > 0).long())


def learner_fn(params, metrics=accuracy):
    layers = [nn.Linear(3, 3) for _ in range(params["n"])]
    model = nn.Sequential(*layers, params["act"](), nn.Dropout(params["drop"]), nn.Linear(3, 2))
    learn = Learner(DataLoaders(DataLoader(DS, bs=8, shuffle=True, device="cpu"), DataLoader(DS, bs=8, device="cpu")), model,
                    CrossEntropyLossFlat(), metrics=metrics)
    learn.logger = lambda row: None
    return learn


def fit(learn, params):
    learn.fit(1, params["lr"])


def search(tmp_path, n=3, **kwargs):
    return random_search(kwargs.pop("learner_fn", learner_fn), kwargs.pop("space", SPACE), n, fit=kwargs.pop("fit", fit),
                         csv=tmp_path / "search.csv", **kwargs)


def rows_of(tmp_path):
    with open(tmp_path / "search.csv", newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


# -- what is drawn ------------------------------------------------------------------------------------------------------------------
def test_distributions():
    rng = np.random.RandomState(0)
    logs = np.log10([loguniform(1e-4, 1).rvs(rng) for _ in range(500)])
    assert logs.min() >= -4 and logs.max() <= 0 and logs.mean() == pytest.approx(-2, abs=0.2)
    flat = [uniform(-1, 3).rvs(rng) for _ in range(500)]
    assert min(flat) >= -1 and max(flat) <= 3 and np.mean(flat) == pytest.approx(1, abs=0.2)
    assert {randint(2, 4).rvs(rng) for _ in range(100)} == {2, 3, 4}
    assert {trial_params({"x": choice(["a", "b"])}, 0, i)["x"] for i in range(20)} == {"a", "b"}
    assert [repr(d) for d in SPACE.values()] == ["loguniform(0.001, 1)", "randint(1, 3)", "choice([ReLU, Tanh])", "uniform(0, 0.5)"]


def test_a_trial_is_a_function_of_seed_and_number():
    assert trial_params(SPACE, 1, 5) == trial_params(dict(reversed(SPACE.items())), 1, 5)
    assert trial_params({"lr": SPACE["lr"]}, 1, 5)["lr"] == trial_params(SPACE, 1, 5)["lr"]
    assert len({trial_params(SPACE, s, i)["lr"] for s in range(3) for i in range(3)}) == 9


def test_distribution_errors():
    with pytest.raises(ValueError, match=r"uniform\(2, 1\): the first must be less"):
        uniform(2, 1)
    with pytest.raises(ValueError, match="both must be above 0"):
        loguniform(0, 1)
    with pytest.raises(TypeError, match=r"takes whole numbers: for others write uniform\(0.5, 2\)"):
        randint(0.5, 2)
    with pytest.raises(TypeError, match="takes two numbers; received lo=int 0, hi=str"):
        uniform(0, "1")
    with pytest.raises(TypeError, match="choice takes a list"):
        choice("abc")
    with pytest.raises(ValueError, match="each once"):
        choice([1, 1])
    with pytest.raises(ValueError, match="has no name that means the same next time"):
        choice([nn.ReLU, lambda: nn.ReLU()])


# -- the search ---------------------------------------------------------------------------------------------------------------------
def test_trials_and_csv(tmp_path):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    result = search(tmp_path, 4)
    assert torch.equal(state, torch.get_rng_state())
    rows = rows_of(tmp_path)
    assert len(rows) == 4 and [float(r["valid_loss"]) for r in rows] == [t.values["valid_loss"] for t in result.trials]
    assert [float(r["lr"]) for r in rows] == [trial_params(SPACE, 42, i)["lr"] for i in range(4)]
    losses = [t.values["valid_loss"] for t in result.trials]
    assert result.best.number == int(np.argmin(losses)) and "best valid_loss=" in repr(result)
    frame = result.frame()
    assert frame.lr.tolist() == [t.params["lr"] for t in result.trials] and {"accuracy", "train_loss", "seconds", "error"} <= set(frame)
    axes = result.plot()
    assert axes[0].get_xscale() == "log" and axes[1].get_xlabel() == "n" and len(axes[2].get_xticks()) == 2
    assert not list(tmp_path.glob("*.part"))


def test_text_that_begins_like_a_formula_is_written_harmless_and_read_back(tmp_path):
    space = {**SPACE, "kind": choice(["=1+1"])}
    first = search(tmp_path, 1, space=space)
    assert rows_of(tmp_path)[0]["kind"] == "'=1+1"
    again = search(tmp_path, 1, space=space)                    # which reads the file
    assert again.trials[0].values == first.trials[0].values and again.trials[0].params["kind"] == "=1+1"


def test_direction_is_the_metrics(tmp_path):
    result = search(tmp_path, 3, monitor="accuracy")
    assert result.best.values["accuracy"] == max(t.values["accuracy"] for t in result.trials) and result.lower is False
    assert search(tmp_path, 3, monitor="accuracy").lower is False                     # from the file alone
    assert search(tmp_path, 3).lower is True
    with pytest.raises(ValueError, match="comp=np.less or comp=np.greater"):
        random_search(lambda p: learner_fn(p, AvgMetric(lambda p, y: p.mean(), "odd")), SPACE, 1, fit=fit, monitor="odd", csv=None)
    assert search(tmp_path, 3, monitor="accuracy", comp=np.less).lower is True


@pytest.mark.slow
def test_goes_on_after_ctrl_c_as_if_nothing_had_happened(tmp_path):
    calls = []

    def interrupted(learn, params):
        calls.append(params)
        if len(calls) == 3:
            raise KeyboardInterrupt
        fit(learn, params)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, 5, fit=interrupted)
    assert len(rows_of(tmp_path)) == 2
    result = search(tmp_path, 5, fit=interrupted)
    assert len(calls) == 6
    whole = random_search(learner_fn, SPACE, 5, fit=fit, csv=None)
    assert [(t.params, t.values, t.seed) for t in result.trials] == [(t.params, t.values, t.seed) for t in whole.trials]
    search(tmp_path, 6, fit=interrupted)
    assert len(calls) == 7
    assert len(search(tmp_path, 2, fit=interrupted).trials) == 6 and len(calls) == 7


def test_another_search_is_refused(tmp_path):
    search(tmp_path, 2)
    with pytest.raises(ValueError, match=r"holds the trials of another search: with this space and seed=1, trial 0 has lr=.* there"):
        search(tmp_path, 2, seed=1)
    with pytest.raises(ValueError, match="trial 0 has lr=.* there"):
        search(tmp_path, 2, space={**SPACE, "lr": loguniform(1e-3, 2)})
    with pytest.raises(ValueError, match="the space here has lr, n, act, drop, wd"):
        search(tmp_path, 2, space={**SPACE, "wd": uniform(0, 1)})
    with pytest.raises(ValueError, match="the space is another"):
        search(tmp_path, 2, space={k: v for k, v in SPACE.items() if k != "drop"})
    text = (tmp_path / "search.csv").read_text().replace("ReLU", "GELU").replace("Tanh", "GELU")
    (tmp_path / "search.csv").write_text(text)
    with pytest.raises(ValueError, match="trial 0 has act=GELU there"):
        search(tmp_path, 2)


def test_failed_trials_are_written_and_can_be_tried_again(tmp_path):
    broken = [True]

    def sometimes(learn, params):
        if broken[0] and params["lr"] == trial_params(SPACE, 42, 1)["lr"]:
            raise RuntimeError("out of memory,\n\"really\"")
        fit(learn, params)

    result = search(tmp_path, 3, fit=sometimes)
    assert [bool(t.error) for t in result.trials] == [False, True, False] and result.best.number in (0, 2)
    assert result.trials[1].error.startswith("RuntimeError: out of memory") and "test_search.py, line" in result.trials[1].error
    assert "3 trials (1 failed)" in repr(result)
    again = search(tmp_path, 3, fit=sometimes)
    assert again.trials[1].error == result.trials[1].error
    broken[0] = False
    mended = search(tmp_path, 3, fit=sometimes, retry_failed=True)
    assert [t.error for t in mended.trials] == ["", "", ""]
    assert result.trials[2].values == mended.trials[2].values


def test_a_loss_that_is_not_finite_is_a_failed_trial():
    result = random_search(learner_fn, {**SPACE, "lr": choice([1e-2, 1e30])}, 4, fit=fit, csv=None, seed=0)
    worst = [t for t in result.trials if t.params["lr"] == 1e30]
    assert worst and all(t.error or not math.isfinite(t.values["valid_loss"]) or t.values["valid_loss"] > 1 for t in worst)
    assert result.best.params["lr"] == 1e-2


@pytest.mark.slow
def test_gives_up_when_everything_fails(tmp_path):
    tried = []

    def wrong(learn, params):
        tried.append(1)
        raise NameError("typo")

    with pytest.raises(NameError, match="typo") as e:
        search(tmp_path, 20, fit=wrong)
    assert len(tried) == 3
    assert "the first 3 trials of the search failed" in "".join([*getattr(e.value, "__notes__", []), str(e.value)])
    result = random_search(learner_fn, SPACE, 2, fit=wrong, csv=None)
    with pytest.raises(ValueError, match="none of the 2 trials has a finite valid_loss; errors: NameError: typo"):
        result.best
    assert repr(result) == "2 trials (2 failed)"


def test_wrong_calls():
    def call(space=SPACE, n=1, **kwargs):
        return random_search(kwargs.pop("learner_fn", learner_fn), space, n, fit=fit, csv=None, **kwargs)

    with pytest.raises(TypeError, match="space is a dict"):
        call(space=[])
    with pytest.raises(TypeError, match="lr=float 0.1: each is a name with loguniform"):
        call(space={"lr": 0.1})
    with pytest.raises(ValueError, match="'seed' is a column of its own"):
        call(space={"seed": uniform(0, 1)})
    with pytest.raises(ValueError, match="'accuracy' is a column of the epoch table too"):
        call(space={**SPACE, "accuracy": uniform(0, 1)})
    with pytest.raises(ValueError, match="how many trials"):
        call(n=0)
    with pytest.raises(ValueError, match="seed=None"):
        call(seed=None)
    with pytest.raises(ValueError, match="no such column in the epoch table; did you mean 'accuracy'"):
        call(monitor="acuracy")
    with pytest.raises(TypeError, match="must return a Learner; it returned NoneType"):
        call(learner_fn=lambda p: None)
