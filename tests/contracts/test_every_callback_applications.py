"""Every callback of the package trains the models of the applications, and a fit can be interrupted for predictions."""
import functools
from pathlib import Path

import pytest
import torch
from test_every_callback import MAKE, all_callbacks, hooks_of

from minifast.callbacks.base import Callback
from minifast.callbacks.batch import MCDropoutCallback
from minifast.callbacks.dynamics import PredictionDynamics
from minifast.callbacks.mix import CutMix, CutMixUp, MixHandler, MixUp
from minifast.callbacks.regularise import ActivationReg, ModelResetter
from minifast.callbacks.resize import ProgressiveResize

IMAGES = {CutMix, CutMixUp, ProgressiveResize}
TEXTS = [f"a {'good' if i % 2 else 'bad'} film of {i % 5} ends" for i in range(20)]
LABELS = [i % 2 for i in range(20)]


@functools.cache
def text_loaders():
    from minifast.text.all import TextDataLoaders, pd
    return TextDataLoaders.from_df(pd.DataFrame({"text": TEXTS, "label": LABELS}), text_col="text", label_col="label", seq_len=8, bs=8,
                                   min_freq=1, device="cpu")


def classifier_of_texts():
    from minifast.text.all import AWD_LSTM, awd_lstm_clas_config, text_classifier_learner
    config = {**awd_lstm_clas_config, "emb_sz": 6, "n_hid": 8, "n_layers": 2}
    return text_classifier_learner(text_loaders(), AWD_LSTM, config=config, pretrained=False)


@functools.cache
def tiny_bert():
    import tempfile

    from tiny_transformers import save

    from minifast.text.all import TransformersDataLoaders
    folder = save("bert", Path(tempfile.mkdtemp()))
    return folder, TransformersDataLoaders.from_lists(TEXTS, LABELS, folder, bs=8, device="cpu")


def transformer():
    from minifast.text.all import transformers_learner
    folder, dls = tiny_bert()
    return transformers_learner(dls, folder)


@functools.cache
def series_loaders(padded):
    from minifast.timeseries.all import TSDataLoaders, np
    x = np.random.default_rng(0).normal(size=(20, 2, 12)).astype("float32")
    return TSDataLoaders.from_array([o[:, :8 + i % 5] for i, o in enumerate(x)] if padded else x, LABELS, bs=8, device="cpu")


def classifier_of_series(padded=False):
    from minifast.timeseries.all import FCN, ts_learner
    return ts_learner(series_loaders(padded), FCN, layers=(4, 4, 4), dropout=0.1)


OF_SERIES = {CutMix: CutMix, CutMixUp: CutMixUp, ActivationReg: lambda: ActivationReg(1e-3, "body.2"), MCDropoutCallback: MCDropoutCallback}

#: Kind -> (a new learner, callbacks that are not for it, what makes the others where MAKE does not).
KINDS = {
    "texts": (classifier_of_texts, IMAGES, {}),
    "series": (classifier_of_series, {ProgressiveResize, ModelResetter}, OF_SERIES),
    "padded series": (functools.partial(classifier_of_series, True), {ProgressiveResize, ModelResetter}, OF_SERIES),
    "transformer": (transformer, {*IMAGES, ModelResetter}, {ActivationReg: lambda: ActivationReg(1e-3, "model.dropout")}),
}
BOTH = {MixHandler: MixUp}


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "cls"), [(k, c) for k, (_, without, _) in KINDS.items() for c in all_callbacks() if c not in without],
                         ids=lambda o: getattr(o, "__name__", o))
def test_trains(kind, cls):
    learner, _, made = KINDS[kind]
    learn = learner()
    learn.logger = lambda row: None
    if cls.__name__ == "KnowledgeDistillation":
        cb = cls(learner().model)
    else:
        cb = {**MAKE, **BOTH, **made}.get(cls, cls)()
    learn.add_cbs(cb)
    loss_func, before, hooks = learn.loss_func, [p.clone() for p in learn.model.parameters()], hooks_of(learn.model)
    with learn.no_bar():
        learn.fit(1, 1e-2)
        assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
        assert all(torch.isfinite(p).all() for p in learn.model.parameters())
        learn.get_preds()
    assert learn.loss_func is loss_func and not learn.training and hooks_of(learn.model) == hooks


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_in_the_middle_of_a_fit(kind, tmp_path):
    learn = KINDS[kind][0]()
    learn.logger = lambda row: None
    seen = []
    with learn.no_bar():
        learn.fit(1, cbs=[Callback(after_step=lambda cb: seen.append(cb.learn.get_preds()[0])), PredictionDynamics(path=tmp_path)])
    assert len(seen) == len(learn.dls.train) and all(torch.isfinite(p).all() for p in seen)
