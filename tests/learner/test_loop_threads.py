"""Several threads and one learner: passes take turns and are right, fits refuse other threads, nothing is left behind."""
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback, CancelFitException
from minifast.callbacks.progress import ProgressCallback
from minifast.collab import CollabDataLoaders, collab_learner
from minifast.collab.recommend import recommend
from minifast.data.block import CategoryBlock, DataBlock
from minifast.data.dataloader import DataLoader
from minifast.data.loaders import DataLoaders
from minifast.data.splitters import IndexSplitter
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.learner.loop import PassLock
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.tabular.all import Categorify, Normalize, TabularDataLoaders, tabular_learner
from minifast.text.learner import language_model_learner, text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.vision.augment.item import RandomCrop
from minifast.vision.blocks import ImageBlock
from minifast.vision.images import PILImage

X, Y = torch.linspace(-1, 1, 80).view(20, 4), torch.arange(20) % 3


def grey(i):
    return PILImage.create(np.full((9, 9, 3), 10 * i, dtype=np.uint8))


def a_third(i):
    return i % 3


def of_numbers(**kwargs):
    dls = DataLoaders(DataLoader(TensorDataset(X, Y), bs=5, shuffle=True), DataLoader(TensorDataset(X, Y), bs=5))
    learn = Learner(dls, nn.Linear(4, 3), CrossEntropyLossFlat(), metrics=accuracy, **kwargs)
    learn.logger = lambda row: None
    return learn


def of_pictures(num_workers=0, worker_type=None):
    block = DataBlock((ImageBlock, CategoryBlock), get_x=grey, get_y=a_third, splitter=IndexSplitter(range(8, 24)), item_tfms=RandomCrop(8))
    dls = block.dataloaders(list(range(24)), bs=4, num_workers=num_workers, worker_type=worker_type)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    learn = Learner(dls, model, metrics=accuracy)
    learn.logger = lambda row: None
    return learn


FRAME = pd.DataFrame({"a": np.arange(40) % 7, "b": np.linspace(-1, 1, 40), "y": np.arange(40) % 3})
RATINGS = pd.DataFrame({"user": np.arange(60) % 7, "item": np.arange(60) % 11, "rating": np.arange(60) % 5 + 1.0})


def of_rows():
    return tabular_learner(TabularDataLoaders.from_df(FRAME, procs=[Categorify, Normalize], cat_names="a", cont_names="b", y_names="y",
                                                      y_block=CategoryBlock, bs=8), layers=[6], metrics=accuracy)


def of_ratings():
    return collab_learner(CollabDataLoaders.from_df(RATINGS, bs=8), n_factors=4, y_range=(0, 5.5))


TEXTS = pd.DataFrame({"text": [" ".join("abcdef"[:i % 6 + 1]) + " x" * (i % 4) for i in range(24)], "label": [i % 3 for i in range(24)]})
SIZES = {"emb_sz": 6, "n_hid": 6, "n_layers": 1}


def of_texts(is_lm=False):
    dls = TextDataLoaders.from_df(TEXTS, label_col=None if is_lm else "label", text_col="text", is_lm=is_lm, min_freq=1, bs=4, seq_len=5)
    if is_lm:
        return language_model_learner(dls, AWD_LSTM, pretrained=False, config=SIZES, metrics=[])
    return text_classifier_learner(dls, AWD_LSTM, pretrained=False, config=SIZES, metrics=accuracy)


def written(text):
    return torch.tensor([ord(c) for c in f"{text:40.40}"]).float()


def loaded(learn, tmp_path):
    with warnings.catch_warnings(action="ignore"):
        file = learn.export(tmp_path / "model.pkl")
    return load_learner(file, objects={f.__name__: f for f in (grey, a_third)})


def quietly(learn, block, f):
    with getattr(learn, block)():
        return f()


PASSES = {
    "a picture": (of_pictures, lambda learn, i: learn.predict(i)[2]),
    "a picture, no bar": (of_pictures, lambda learn, i: quietly(learn, "no_bar", lambda: learn.predict(i)[2])),
    "pictures": (of_pictures, lambda learn, i: learn.get_preds(dl=learn.dls.test_dl(list(range(i, i + 5))))[0]),
    "pictures, workers": (lambda: of_pictures(2, "thread"), lambda learn, i: learn.get_preds(dl=learn.dls.test_dl([*range(i, i + 9)]))[0]),
    "validate": (of_pictures, lambda learn, i: quietly(learn, "no_logging", lambda: torch.tensor(learn.validate()))),
    "tta": (of_pictures, lambda learn, i: quietly(learn, "no_logging", lambda: learn.tta(n=1)[1])),
    "a row": (of_rows, lambda learn, i: learn.predict(FRAME.iloc[i])[2]),
    "a frame": (of_rows, lambda learn, i: learn.get_preds(dl=learn.dls.test_dl(FRAME.iloc[i:i + 9]))[0]),
    "predict a frame": (of_rows, lambda learn, i: learn.predict(FRAME.iloc[i:i + 9])[2]),
    "show a table": (of_rows, lambda learn, i: torch.tensor(learn.show_results(shuffle=False)["b"].to_numpy())),
    "a rating": (of_ratings, lambda learn, i: learn.predict(RATINGS.iloc[i])[2]),
    "a text": (of_texts, lambda learn, i: learn.predict(TEXTS["text"][i])[2]),
    "texts": (of_texts, lambda learn, i: learn.get_preds(dl=learn.dls.test_dl(TEXTS["text"].tolist()[i:i + 9]))[0]),
    "writing on": (partial(of_texts, is_lm=True), lambda learn, i: written(learn.predict(TEXTS["text"][i], 4, temperature=0))),
    "a language model": (partial(of_texts, is_lm=True), lambda learn, i: torch.tensor(learn.validate())),
    "recommend": (of_ratings, lambda learn, i: torch.tensor(recommend(learn, i % 7, 3)["score"].to_numpy())),
}


@pytest.fixture
def hasty():
    "Threads that interrupt each other at every opportunity."
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.parametrize("name", PASSES)
def test_right_from_every_thread(name, hasty, tmp_path):
    make, f = PASSES[name]
    learn = make()
    for one in [learn, loaded(learn, tmp_path)] if name in ("a picture", "a row", "a frame", "a text") else [learn]:
        want = [f(one, i) for i in range(8)]
        state = one.cbs, one.logger, one.recorder
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(partial(f, one), range(8)))
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, want, strict=True))
        assert (one.cbs, one.logger, one.recorder) == state and not one.logging_off and one.dl is None


def test_blocks_of_two_threads_end_in_any_order():
    learn = of_numbers()
    logger, cbs, entered, left = learn.logger, learn.cbs, threading.Event(), threading.Event()

    def second():
        with learn.no_logging(), learn.no_bar():
            entered.set()
            left.wait(5)

    other = threading.Thread(target=second)
    with learn.no_logging(), learn.no_bar():
        other.start()
        entered.wait(5)
    assert learn.logging_off                                # of the other thread
    left.set()
    other.join()
    assert learn.logger is logger and not learn.logging_off and learn.cbs == cbs


def test_callbacks_do_not_change_in_the_middle_of_a_pass():
    learn = of_numbers()
    cbs, seen, begun = learn.cbs, [], threading.Event()
    other = threading.Thread(target=lambda: quietly(learn, "no_bar", lambda: seen.append(list(learn.cbs))))

    class Slow(Callback):
        def after_batch(self):
            if not begun.is_set():
                other.start()
                begun.set()
                other.join(0.05)
                seen.append([type(cb) for cb in self.learn.cbs])

    learn.get_preds(cbs=Slow())
    other.join()
    assert ProgressCallback in seen[0] and Slow in seen[0] and len(seen[1]) == len(cbs) - 1
    assert learn.cbs == cbs


def test_writing_on_is_refused_while_another_thread_trains():
    learn, refused = of_texts(is_lm=True), []
    learn.logger = lambda row: None

    def other(cb):
        if cb.learn.training and cb.learn.iter == 1:
            with ThreadPoolExecutor(1) as pool:
                refused.append(pool.submit(learn.predict, "a b").exception())

    learn.fit(1, cbs=Callback(after_batch=other))
    assert "a fit of this learner is under way" in str(refused[0])


VERBS = {
    "predict": lambda learn: learn.predict(X[0]), "get_preds": lambda learn: learn.get_preds(), "validate": lambda learn: learn.validate(),
    "tta": lambda learn: learn.tta(), "show_results": lambda learn: learn.show_results(), "summary": lambda learn: learn.summary(),
    "fit": lambda learn: learn.fit(1), "fit_one_cycle": lambda learn: learn.fit_one_cycle(1, reset_opt=True),
    "fine_tune": lambda learn: learn.fine_tune(1), "lr_find": lambda learn: learn.lr_find(), "find_bs": lambda learn: learn.find_bs(),
    "freeze": lambda learn: learn.freeze(), "create_opt": lambda learn: learn.create_opt(), "check": lambda learn: learn.check(),
    "twin": lambda learn: learn.twin(), "profile": lambda learn: learn.profile(), "load": lambda learn: learn.load("a"),
    "no_bar": lambda learn: learn.no_bar().__enter__(), "no_logging": lambda learn: learn.no_logging().__enter__(),
}


def trained(n_epoch=2, cbs=None):
    torch.manual_seed(0)
    learn = of_numbers()
    learn.model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), nn.Linear(5, 3))
    learn.splitter = lambda m: [list(m[0].parameters()), list(m[2].parameters())]
    learn.fit(n_epoch, cbs=cbs)
    return learn


def test_a_fit_refuses_other_threads_and_is_not_disturbed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    of_numbers().save("a")
    refused = {}

    class Others(Callback):
        def after_batch(self):
            if self.learn.training and self.learn.iter == 1 and self.learn.epoch == 0:
                with ThreadPoolExecutor(1) as pool:
                    for name, f in VERBS.items():
                        refused[name] = pool.submit(f, self.learn).exception()

    learn = trained(cbs=Others())
    assert {name for name, e in refused.items() if "a fit of this learner is under way in the thread 'MainThread'" in str(e)} == {*VERBS}
    plain = trained()
    assert all(torch.equal(a, b) for a, b in zip(learn.model.parameters(), plain.model.parameters(), strict=True))
    assert learn.recorder.values == plain.recorder.values and learn.logging_off == 0
    with ThreadPoolExecutor(1) as pool:                                                        # afterwards everybody may
        assert len(pool.submit(learn.get_preds).result()[0]) == 20


@pytest.mark.parametrize("error", [None, CancelFitException, KeyboardInterrupt, RuntimeError])
def test_after_a_fit_that_ended_in_whatever_way(error):
    def fail():
        if error is not None:
            raise error

    learn = of_numbers()
    with nullcontext() if error in (None, CancelFitException) else pytest.raises(error):
        learn.fit(1, cbs=Callback(after_batch=fail))
    assert learn.pass_lock.trainer is None
    with ThreadPoolExecutor(1) as pool:
        pool.submit(learn.fit, 1).result()
    assert len(learn.recorder.values) == 1


def test_no_other_fit_begins_between_the_two_phases_of_fine_tuning():
    learn, refused = trained(0), []

    class Second(Callback):
        def cleanup_fit(self):                              # of the first phase
            with ThreadPoolExecutor(1) as pool:
                refused.append(pool.submit(learn.unfreeze).exception())

    learn.fine_tune(1, cbs=Second())
    assert len(refused) == 2 and all(isinstance(e, RuntimeError) for e in refused) and learn.freezer.frozen_to == 0


def test_passes_within_a_fit_and_within_a_pass_of_the_same_thread():
    learn, found = of_numbers(), []
    learn.fit(1, cbs=Callback(after_train=lambda: found.append(len(learn.get_preds()[0]))))

    class Inner(Callback):
        def after_validate(self):
            self.run = False
            found.append(len(self.learn.validate()))

    learn.get_preds(cbs=Inner())
    assert found == [20, 2]


def test_a_twin_has_a_lock_of_its_own():
    learn = of_numbers()
    twin, shared = learn.twin(), learn.twin(copy_model=False)
    assert isinstance(twin.pass_lock, PassLock) and twin.pass_lock is not learn.pass_lock and shared.pass_lock is learn.pass_lock
