"""An interrupted fit goes on, and ends where it would have ended."""
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback, CancelFitException, Order
from minifast.callbacks.loggers import CSVLogger, JSONLogger
from minifast.callbacks.resume import Resume
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def make(path, seed=None, width=8):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(24, 4), torch.arange(24) % 2)
    model = nn.Sequential(nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.3)), nn.Linear(width, 2))
    learn = Learner(DataLoaders(DataLoader(ds, bs=8, shuffle=True, seed=seed), DataLoader(ds, bs=8)), model, CrossEntropyLossFlat(),
                    splitter=lambda m: [list(part.parameters()) for part in m], path=path, metrics="accuracy")
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def crash(at):
    def after_batch(cb):
        if cb.learn.training and cb.learn.epoch == at and cb.learn.iter == 1:
            raise KeyboardInterrupt
    return Callback(after_batch=after_batch)


VERBS = {"fit": lambda learn, **kw: learn.fit(4, 0.05, **kw), "one cycle": lambda learn, **kw: learn.fit_one_cycle(4, 0.05, **kw),
         "fine_tune": lambda learn, **kw: learn.fine_tune(4, 0.05, freeze_epochs=3, **kw)}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("at", [0, 2, 3])
def test_the_same_weights_and_history(verb, at, seed, tmp_path):
    whole = make(tmp_path / "a", seed)
    torch.manual_seed(9)
    VERBS[verb](whole)
    broken = make(tmp_path / "b", seed)
    torch.manual_seed(9)
    with pytest.raises(KeyboardInterrupt):
        VERBS[verb](broken, cbs=[Resume(), crash(at)])
    again = make(tmp_path / "b", seed)                     # another process: nothing but the file is left
    torch.manual_seed(9)
    VERBS[verb](again, cbs=Resume())
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True))
    assert again.recorder.raw_losses == whole.recorder.raw_losses and again.recorder.lrs == whole.recorder.lrs
    assert [r["train_loss"] for r in again.recorder.history] == [r["train_loss"] for r in whole.recorder.history]
    assert not list(tmp_path.rglob("*.safetensors"))       # the fit is over: no state is left


def test_in_the_second_phase_of_fine_tune(tmp_path):
    whole = make(tmp_path / "a")
    torch.manual_seed(9)
    whole.fine_tune(3, 0.05, freeze_epochs=1)
    broken = make(tmp_path / "b")
    torch.manual_seed(9)
    with pytest.raises(KeyboardInterrupt):
        broken.fine_tune(3, 0.05, freeze_epochs=1, cbs=[Resume(), crash(2)])
    again = make(tmp_path / "b")
    torch.manual_seed(9)
    again.fine_tune(3, 0.05, freeze_epochs=1, cbs=Resume())
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True))
    assert [r["epoch"] for r in again.recorder.history] == [0, 0, 1, 2]


@pytest.mark.parametrize("log", [CSVLogger, JSONLogger])
@pytest.mark.parametrize("at", [0, 1])
def test_a_kill_after_the_row_of_an_epoch_leaves_it_once(log, at, tmp_path):
    class Kill(Callback):
        order = Order.DISPLAY

        def after_epoch(self):
            if self.learn.epoch == at:
                assert len(self.learn.path.joinpath(log().fname).read_text().splitlines()) >= at + 1
                raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(3, 0.05, cbs=[Resume(), log(), Kill()])
    last = log()
    make(tmp_path).fit(3, 0.05, cbs=[Resume(), last])
    assert last.read()["epoch"].tolist() == [0, 1, 2] and last.read()["run"].nunique() == 1


def test_generators_of_torch_loaders_go_on(tmp_path):
    def fit(folder, *cbs):
        learn = make(tmp_path / folder)
        own = TorchDataLoader(learn.dls.train_ds, 8, shuffle=True, generator=torch.Generator().manual_seed(4))
        learn.dls = DataLoaders(own, learn.dls.valid)
        learn.fit(4, 0.05, cbs=cbs, resume=True)
        return learn

    torch.manual_seed(2)
    whole = fit("a")
    with pytest.raises(KeyboardInterrupt):
        fit("b", crash(2))
    again = fit("b")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True))


def test_a_file_of_another_fit_is_refused(tmp_path):
    learn = make(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(4, cbs=[Resume(), crash(1)])
    with pytest.raises(ValueError, match="belongs to another fit .epochs=4 there, 5 here"):
        make(tmp_path).fit(5, cbs=Resume())
    with pytest.raises(ValueError, match="its weights have other names or shapes"):
        make(tmp_path, width=9).fit(4, cbs=Resume())


def test_trials_leave_the_file_alone(tmp_path):
    learn = make(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(4, cbs=[Resume(), crash(2)])
    again = make(tmp_path)
    again.add_cb(Resume())
    again.lr_find(num_it=20, show_plot=False)
    assert list(tmp_path.rglob("resume.safetensors"))
    assert len(again.recorder.lr_find.lrs) >= 10


def test_a_cancelled_fit_leaves_no_file(tmp_path):
    class Stop(Callback):
        order = 60

        def after_epoch(self):
            raise CancelFitException

    make(tmp_path).fit(4, cbs=[Resume(), Stop()])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_script_of_two_fits(tmp_path):
    def script(path, *cbs):
        learn = make(path)
        torch.manual_seed(9)
        learn.fit_one_cycle(3, 0.1, cbs=Resume())
        learn.fit_one_cycle(3, 0.01, cbs=[Resume(), *cbs])
        return learn

    whole = script(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        script(tmp_path / "b", crash(2))
    with pytest.warns(UserWarning, match="number 0 of its learner, had ended"):
        again = script(tmp_path / "b")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), again.model.state_dict().values(), strict=True))
    assert [(r["fit"], r["epoch"]) for r in again.recorder.history] == [(f, e) for f in range(2) for e in range(3)]


def test_another_rate_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(4, 0.1, cbs=[Resume(), crash(2)])
    with pytest.raises(ValueError, match=r"rates=\[0.1.* there, \[0.0001"):
        make(tmp_path).fit(4, 1e-4, cbs=Resume())


def test_torch_schedulers_and_callbacks_of_one_name_go_on(tmp_path):
    from functools import partial

    from torch.optim.lr_scheduler import StepLR

    from minifast.callbacks.scheduler import TorchScheduler
    from minifast.callbacks.trackers import SaveModelCallback

    def run(path, *cbs):
        learn = make(path)
        torch.manual_seed(9)
        saves = [SaveModelCallback("accuracy", fname="a"), SaveModelCallback("valid_loss", fname="b")]
        learn.fit(4, 0.1, cbs=[TorchScheduler(partial(StepLR, step_size=1)), *saves, Resume(), *cbs])
        return learn.recorder.lrs, [s.best for s in saves]

    whole = run(tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b", crash(2))
    assert run(tmp_path / "b") == whole
