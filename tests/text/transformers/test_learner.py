"""Pretrained transformers as learners."""
import socket

import numpy as np
import pytest
import torch
from tiny_transformers import ALL, CAUSAL, LINES, MASKED
from torch import nn

from minifast.text.all import (
    Callback,
    CategoryBlock,
    ColReader,
    DataBlock,
    Learner,
    PearsonCorrCoef,
    RandomSplitter,
    TransformersBlock,
    TransformersDataLoaders,
    accuracy,
    accuracy_multi,
    set_seed,
    transformers_learner,
)
from minifast.text.transformers.model import inner_model


@pytest.mark.parametrize("kind", ALL)
def test_each_kind_classifies_trains_and_predicts_in_the_order_of_the_data(classify, kind):
    learn = classify(kind, metrics=accuracy)
    with learn.no_bar():
        learn.fit(1, 1e-3)
    preds, targs = learn.get_preds()
    assert preds.shape == (4, 2) and torch.allclose(preds.sum(1), torch.ones(4))
    assert [learn.dls.vocab[t] for t in targs] == list(learn.dls.valid_ds.items["label"])
    label, target, probs = learn.predict(learn.dls.valid_ds.items["text"].iloc[0])
    assert label == learn.dls.vocab[target] and torch.allclose(probs, preds[0], atol=1e-6)


def test_one_line_says_the_model_its_loss_and_which_weights_are_new(tiny, frame, capsys):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    transformers_learner(dls, tiny("bert"))
    out = capsys.readouterr().out.splitlines()
    assert out == ["BertForSequenceClassification, n_out=2, loss CrossEntropyLossFlat; new weights, to be trained: classifier.bias, "
                   "classifier.weight"]


def test_folders_load_with_the_network_off_without_a_single_call(tiny, frame, monkeypatch):
    calls = []

    def refuse(*args, **kwargs):
        calls.append(args)
        raise OSError("no network")

    folder = tiny("roberta")
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    dls = TransformersDataLoaders.from_df(frame, folder, "text", "label", bs=4, num_workers=0)
    learn = transformers_learner(dls, folder)
    learn.dls.one_batch()
    assert calls == []


def test_a_datablock_is_the_same(tiny, frame):
    block = DataBlock(blocks=(TransformersBlock(tiny("bert")), CategoryBlock), get_x=ColReader("text"), get_y=ColReader("label"),
                      splitter=RandomSplitter(0.2, seed=42))
    mine = block.dataloaders(frame, bs=4, shuffle=False)
    theirs = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4, shuffle=False)
    (x, y), (x2, y2) = mine.one_batch(), theirs.one_batch()
    assert x.keys() == x2.keys() and all(torch.equal(x[k], x2[k]) for k in x) and torch.equal(y, y2)


def test_training_is_a_loop_written_by_hand_bit_for_bit(tiny, frame):
    from transformers import AutoModelForSequenceClassification
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4, device="cpu").new(seed=1)
    batches, steps = [], Callback(before_batch=lambda cb: batches.append((cb.learn.xb[0], cb.learn.yb[0])) if cb.learn.training else None)
    learn = transformers_learner(dls, tiny("bert"), opt_func=torch.optim.AdamW, wd_bn_bias=True, cbs=steps)
    learn.logger = lambda row: None
    model = AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=2)
    model.load_state_dict(learn.model.model.state_dict())
    set_seed(7)
    with learn.no_bar():
        learn.fit(2, 1e-3)

    opt, loss_func = torch.optim.AdamW(model.parameters(), 1e-3), nn.CrossEntropyLoss()
    set_seed(7)
    model.train()
    for x, y in batches:
        loss_func(model(**x).logits, y).backward()
        opt.step()
        opt.zero_grad()
    ours = learn.model.model.state_dict()
    assert len(batches) == 10 and all(torch.equal(v, ours[k]) for k, v in model.state_dict().items())


def test_pairs_and_numbers(tiny):
    import pandas as pd
    df = pd.DataFrame({"anchor": [LINES[i % 6][:20] for i in range(20)], "target": [LINES[i % 5][:12] for i in range(20)],
                       "score": [i % 5 / 4 for i in range(20)]})
    dls = TransformersDataLoaders.from_df(df, tiny("bert"), ["anchor", "target"], "score", bs=4)
    learn = transformers_learner(dls, tiny("bert"), metrics=PearsonCorrCoef())
    learn.logger = lambda row: None
    x, y = dls.one_batch()
    assert x["token_type_ids"].any() and y.dtype == torch.float32
    assert inner_model(learn.model).config.num_labels == 1 and type(learn.loss_func).__name__ == "MSELossFlat"
    with learn.no_bar():
        learn.fit(1)
    numbers, _, _ = learn.predict(("the film", "a dull story"))
    assert len(numbers) == 1 and isinstance(numbers[0], float)
    assert learn.get_preds(dl=dls.test_dl(df.drop(columns="score")))[0].shape == (20, 1)
    assert len(learn.recorder.values[-1]) == 3


def test_several_labels(tiny, frame):
    frame["label"] = ["good;new", "good", "", "bad"] * 6
    dls = TransformersDataLoaders.from_df(frame, tiny("distilbert"), "text", "label", label_delim=";", bs=4)
    learn = transformers_learner(dls, tiny("distilbert"), metrics=accuracy_multi)
    learn.logger = lambda row: None
    assert type(learn.loss_func).__name__ == "BCEWithLogitsLossFlat" and dls.c == 3
    with learn.no_bar():
        learn.fit(1)
    labels, _, probs = learn.predict("a film")
    assert probs.shape == (3,) and set(labels) <= {"good", "new", "bad"}


@pytest.mark.parametrize("kind", MASKED)
def test_masked_language_models(tiny, frame, kind):
    dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", task="mlm", bs=4)
    learn = transformers_learner(dls, tiny(kind))
    learn.logger = lambda row: None
    x, y = dls.one_batch()
    assert y.shape == x["input_ids"].shape and ((y != -100).sum(1) > 0).all()
    assert not ((y != -100) & (x["attention_mask"] == 0)).any()
    first = learn.validate()
    assert np.isfinite(first[0]) and learn.validate() == first, "validation masks the same tokens each time"
    with learn.no_bar():
        learn.fit(1, 1e-3)
    assert np.isfinite(learn.recorder.values[-1][0])


@pytest.mark.parametrize("kind", CAUSAL)
def test_causal_language_models_shift_their_labels_once(tiny, frame, kind):
    dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", task="clm", bs=4, shuffle=False)
    learn = transformers_learner(dls, tiny(kind))
    learn.logger = lambda row: None
    x, y = dls.one_batch()
    inner = inner_model(learn.model).eval()
    labels = torch.where(x["attention_mask"].bool(), x["input_ids"], -100)
    with torch.no_grad():
        theirs = inner(input_ids=x["input_ids"], attention_mask=x["attention_mask"], labels=labels).loss
        ours = learn.loss_func(learn.model(x), y)
    assert torch.allclose(ours, theirs, atol=1e-6)
    with learn.no_bar():
        learn.fit(1, 1e-3)
    assert np.isfinite(learn.recorder.values[-1][0])


def test_words(tiny):
    words = [line.split() for line in LINES]
    tags = [["LONG" if len(w) > 4 else "SHORT" for w in ws] for ws in words]
    dls = TransformersDataLoaders.from_lists(words, tags, tiny("bert"), task="words", bs=4)
    learn = transformers_learner(dls, tiny("bert"))
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(8, 1e-2)
    predicted, _, _ = learn.predict(["unbelievable", "is", "performances"])
    assert len(predicted) == 3 and set(predicted) <= {"LONG", "SHORT"}


def test_loaders_of_others_are_refused_with_what_to_write(tiny, frame):
    from minifast.basics import DataLoader, DataLoaders
    data = torch.utils.data.TensorDataset(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(TypeError, match=r"TransformersDataLoaders.from_df\(df, model, text_col, label_col\)"):
        transformers_learner(DataLoaders(DataLoader(data)), tiny("bert"))


def test_a_model_of_other_outputs_is_refused_with_what_to_write(tiny, frame):
    from transformers import AutoModelForSequenceClassification
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    model = AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=5)
    with pytest.raises(ValueError, match="5 outputs .*the data need 2.*num_labels=2"):
        transformers_learner(dls, model)
    with pytest.raises(TypeError, match=r"write Learner\(dls, model\)"):
        transformers_learner(dls, nn.Linear(2, 2))
    good = AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=2)
    assert isinstance(transformers_learner(dls, good), Learner)
