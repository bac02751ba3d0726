"""Pretrained transformers as learners."""
import shutil
import socket
import warnings

import numpy as np
import pytest
import torch
from tiny_transformers import ALL, CAUSAL, LINES, MASKED, save
from torch import nn

from minifast.learner.export import load_learner
from minifast.learner.predictor import Predictor
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
    encode = learn.dls.train_ds.pipelines[0][1]
    assert inner_model(learn.model).config.pad_token_id == encode.pad_id == encode.tokenizer.pad_token_id
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


@pytest.mark.parametrize(("kind", "task"), [("bert", "classify"), ("gpt2", "clm"), ("roberta", "mlm"), ("distilbert", "words")])
def test_the_own_loss_of_a_model_is_ours(tiny, frame, kind, task, capsys):
    if task == "words":
        words = [t.split() for t in frame["text"]]
        labels = [["a" if len(w) > 3 else "b" for w in ws] for ws in words]
        dls = TransformersDataLoaders.from_lists(words, labels, tiny(kind), task=task, bs=4)
    else:
        dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", "label", task=task, bs=4)
    own = transformers_learner(dls, tiny(kind), loss_func="model")
    assert "loss ModelLoss; the model's own loss" in capsys.readouterr().out
    x, y = dls.valid.one_batch()
    with torch.no_grad():
        pred = own.model.eval()(x)
        assert torch.allclose(own.loss_func(pred, y), dls.loss_func(pred, y), atol=1e-6)
    own.logger = lambda row: None
    with own.no_bar():
        own.fit(1)
    with pytest.raises(ValueError, match="loss_func='bert'.*'model'"):
        transformers_learner(dls, tiny(kind), loss_func="bert")


def gradients(model):
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "gpt2", "llama"])
def test_gradient_checkpointing_gives_the_same_gradients_with_frozen_embeddings_too(classify, kind):
    found, weights = [], None
    for checkpointing in (False, True):
        set_seed(1)
        learn = classify(kind, gradient_checkpointing=checkpointing, hidden_dropout_prob=0.0) if kind in ("bert", "deberta-v2") else \
            classify(kind, gradient_checkpointing=checkpointing)
        if kind == "gpt2":
            for m in learn.model.modules():
                if isinstance(m, nn.Dropout):
                    m.p = 0.0
        if weights is not None:
            learn.model.load_state_dict(weights)
        weights = learn.model.state_dict()
        learn.freeze_to(1)                              # the embeddings are frozen
        x, y = learn.dls.valid.one_batch()
        torch.manual_seed(0)
        learn.model.train()
        learn.loss_func(learn.model(x), y).backward()
        found.append(gradients(learn.model))
    assert found[0].keys() == found[1].keys() and len(found[0]) > 10
    assert all(torch.allclose(g, found[1][n], atol=1e-6) for n, g in found[0].items())


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_bf16(classify, kind):
    learn = classify(kind).to_bf16()
    with learn.no_bar():
        learn.fit(2, 1e-3)
    assert np.isfinite(learn.recorder.values[-1]).all()


@pytest.mark.parametrize(("kind", "task"), [("bert", "mlm"), ("gpt2", "clm"), ("llama", "clm")])
def test_tied_weights_are_saved_and_exported(tiny, frame, tmp_path, kind, task):
    dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", task=task, bs=8)
    learn = transformers_learner(dls, tiny(kind), path=tmp_path)
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 1e-2)
    inner = inner_model(learn.model)
    assert inner.get_output_embeddings().weight is inner.get_input_embeddings().weight
    expected = learn.get_preds()[0]
    learn.save("tied")
    again = transformers_learner(dls, tiny(kind), path=tmp_path).load("tied")
    loaded = load_learner(learn.export("tied.pkl"))
    for other in (again, loaded):
        body = inner_model(other.model)
        assert body.get_output_embeddings().weight is body.get_input_embeddings().weight
    assert torch.equal(again.get_preds()[0], expected)
    assert loaded.predict("the film")[0] == learn.predict("the film")[0]


@pytest.mark.parametrize("kind", [*ALL, "xlnet"])
def test_an_exported_learner_predicts_the_same_without_the_network(classify, tmp_path, kind, monkeypatch):
    learn = classify(kind, path=tmp_path)
    file, text = learn.export("texts.pkl"), "the film was unbelievable"
    label, _, probs = learn.predict(text)
    monkeypatch.setattr(socket.socket, "connect", lambda *args: pytest.fail("the network was asked"))
    loaded = load_learner(file)
    assert loaded.predict(text)[0] == label and torch.equal(loaded.predict(text)[2], probs)
    answers = Predictor(file).predict([text, "a"])
    assert answers[0].label == label and torch.allclose(answers[0].probs, probs, atol=1e-6)
    assert loaded.get_preds(dl=loaded.dls.test_dl([text, LINES[0]]))[0].shape == (2, 2)
    assert b"__reduce__" not in file.read_bytes()[:8]


def test_words_of_several_lengths_are_predicted_in_order(tiny, tmp_path):
    words = [line.split() for line in LINES]
    tags = [["LONG" if len(w) > 4 else "SHORT" for w in ws] for ws in words]
    dls = TransformersDataLoaders.from_lists(words, tags, tiny("bert"), task="words", bs=2)
    learn = transformers_learner(dls, tiny("bert"), path=tmp_path)
    preds, targs, decoded = learn.get_preds(with_decoded=True)
    assert len(preds) == len(decoded) == len(dls.valid_ds)
    lengths = [len(dls.valid_ds[i][0]["input_ids"]) for i in range(len(dls.valid_ds))]
    assert all(len(p) >= n for p, n in zip(preds, lengths, strict=True))
    assert all((t[n:] == -100).all() for t, n in zip(targs, lengths, strict=True))
    text = ["unbelievable", "is", "a", "dull", "story"]
    assert load_learner(learn.export("words.pkl")).predict(text)[0] == learn.predict(text)[0]


@pytest.mark.parametrize("kind", ["bert", "gpt2", "xlnet"])
def test_lora_says_what_trains_is_saved_and_exported(tiny, frame, tmp_path, capsys, kind):
    pytest.importorskip("peft")
    dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", "label", bs=4)
    learn = transformers_learner(dls, tiny(kind), path=tmp_path, lora=4)
    out = capsys.readouterr().out
    assert "LoRA: " in out and "parameters train" in out
    assert {"bert": "and classifier", "gpt2": "and score", "xlnet": "and logits_proj, sequence_summary"}[kind] in out
    learn.logger = lambda row: None
    before = {n: p.clone() for n, p in learn.model.named_parameters()}
    with learn.no_bar():
        learn.fit(1, 1e-2)
    moved = {n for n, p in learn.model.named_parameters() if not torch.equal(p, before[n])}
    assert moved and all("lora_" in n or "modules_to_save" in n for n in moved)
    learn.save("lora")
    again = transformers_learner(dls, tiny(kind), path=tmp_path, lora=4).load("lora")
    loaded = load_learner(learn.export("lora.pkl"))
    expected = learn.predict("a film")[2]
    assert torch.equal(again.predict("a film")[2], expected) and torch.equal(loaded.predict("a film")[2], expected)


def test_lora_of_ones_own_that_leaves_new_weights_frozen_is_warned_of_with_what_to_write(tiny, frame):
    peft = pytest.importorskip("peft")
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    with pytest.warns(UserWarning, match=r"leaves new weights frozen.*classifier.*modules_to_save=\['classifier'\]"):
        transformers_learner(dls, tiny("bert"), lora=peft.LoraConfig(target_modules=["query"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        transformers_learner(dls, tiny("bert"), lora=peft.LoraConfig(target_modules=["query"], modules_to_save=["classifier"]))
    with pytest.raises(TypeError, match="lora=.*a peft.LoraConfig"):
        transformers_learner(dls, tiny("bert"), lora="query")


def test_results_are_shown(classify):
    learn = classify("bert")
    table = learn.dls.show_batch(max_n=3)
    assert list(table.columns) == ["text", "category"] and len(table) == 3 and "[PAD]" not in "".join(table["text"])
    shown = learn.show_results(max_n=3)
    assert len(shown) == 3 and set(shown.iloc[:, -1]) <= {"neg", "pos"}


def test_tokens_that_were_added_get_embeddings_and_a_line_says_so(tiny, frame, capsys):
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(tiny("bert"))
    tok.add_tokens(["<smile>", "<frown>"])
    frame["text"] = frame["text"] + " <smile>"
    dls = TransformersDataLoaders.from_df(frame, tok, "text", "label", bs=4, max_len=40)
    learn = transformers_learner(dls, tiny("bert"))
    assert "2 tokens were added to the tokenizer: the model has new embeddings for them" in capsys.readouterr().out
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1)


def test_a_tokenizer_of_another_model_is_refused_before_an_index_error(tiny, frame):
    dls = TransformersDataLoaders.from_df(frame, tiny("gpt2"), "text", "label", bs=4)
    with pytest.raises(ValueError, match="330 tokens and the model 94 embeddings.*same name or folder"):
        transformers_learner(dls, tiny("bert"))
    from transformers import AutoModelForSequenceClassification
    model = AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=2)
    model.resize_token_embeddings(330)                  # as the sentence says
    transformers_learner(dls, model).dls.one_batch()


def test_texts_that_are_longer_than_the_model_are_refused_with_what_to_write(tiny, frame):
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(tiny("bert"))           # which knows no limit
    dls = TransformersDataLoaders.from_df(frame, tok, "text", "label", bs=4)
    with pytest.raises(ValueError, match="any number of tokens, and the model takes 40: write max_len=40"):
        transformers_learner(dls, tiny("bert"))
    transformers_learner(TransformersDataLoaders.from_df(frame, tok, "text", "label", bs=4, max_len=40), tiny("bert"))


def test_settings_of_the_model_are_taken_and_others_refused(tiny, frame):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    learn = transformers_learner(dls, tiny("bert"), hidden_dropout_prob=0.3)
    assert inner_model(learn.model).config.hidden_dropout_prob == 0.3
    with pytest.raises(TypeError, match=r"bert has no dropout_probability: its settings are .*hidden_dropout_prob"):
        transformers_learner(dls, tiny("bert"), dropout_probability=0.3)


def test_a_head_of_other_classes_is_made_anew_and_named(tiny, frame, tmp_path, capsys):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    AutoModelForSequenceClassification.from_pretrained(tiny("bert"), num_labels=5).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny("bert")).save_pretrained(tmp_path)
    dls = TransformersDataLoaders.from_df(frame, tmp_path, "text", "label", bs=4)
    learn = transformers_learner(dls, tmp_path)
    assert "new weights, to be trained: classifier.bias, classifier.weight" in capsys.readouterr().out
    assert inner_model(learn.model).config.id2label == {0: "neg", 1: "pos"}


def test_weights_in_half_precision_train_in_full(frame, tmp_path):
    from transformers import AutoModel
    folder = save("bert", tmp_path / "half")
    AutoModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    dls = TransformersDataLoaders.from_df(frame, folder, "text", "label", bs=4)
    assert {p.dtype for p in transformers_learner(dls, folder).model.parameters()} == {torch.float32}


def test_a_model_with_another_tokenizer_than_the_data(tiny, frame, tmp_path):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    with pytest.raises(ValueError, match=r"another tokenizer, of whose 330 tokens \d+ have other ids. Give the same name"):
        transformers_learner(dls, tiny("gpt2"))
    transformers_learner(dls, tiny("gpt2"), pretrained=False)
    transformers_learner(dls, shutil.copytree(tiny("bert"), tmp_path / "elsewhere"))
    for file in (tmp_path / "elsewhere").glob("tokenizer*"):
        file.unlink()
    transformers_learner(dls, tmp_path / "elsewhere")               # a checkpoint without one


def test_a_model_that_sees_what_it_is_to_predict(tiny, frame):
    """Its loss would go to 0 by copying the next token."""
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", task="clm", bs=4)
    with pytest.raises(ValueError, match=r"sees the tokens that it is to predict.*is_decoder=True"):
        transformers_learner(dls, tiny("bert"))
    transformers_learner(dls, tiny("bert"), is_decoder=True)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_checkpointing_says_nothing_of_a_cache(classify, kind, caplog):
    learn = classify(kind, gradient_checkpointing=True)
    learn.model.train()
    learn.model(learn.dls.valid.one_batch()[0])
    assert "use_cache" not in caplog.text and not learn.model.config.use_cache
