"""Learners of language models and classifiers of texts: settings, training with everything around it, encoders and vocabularies."""
import copy
import json

import numpy as np
import pytest
import torch
from torch import nn

from minifast.callbacks import EMA, GradientAccumulation, GradientClip, MixedPrecision, ModelResetter, RNNRegularizer
from minifast.core import checkpoint
from minifast.data.loaders import DataLoaders
from minifast.metrics import Perplexity, accuracy
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.language_loader import LMDataLoader
from minifast.text.learner import LMLearner, TextLearner, encoder_of, language_model_learner, text_classifier_learner
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.special import TEXT_SPEC_TOK
from minifast.text.vocabulary import Vocab

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}


def lm(dls, **kwargs):
    return language_model_learner(dls, AWD_LSTM, SIZES, pretrained=False, **kwargs)


def clas(dls, **kwargs):
    return text_classifier_learner(dls, AWD_LSTM, seq_len=4, config=SIZES, pretrained=False, loss_func=CrossEntropyLossFlat(), **kwargs)


def test_language_model(lm_dls):
    "fastai's settings; it learns, and a validation pass starts without the state of training."
    learn = lm(lm_dls, metrics=[accuracy, Perplexity()], drop_mult=0.1)
    assert type(learn) is LMLearner and learn.moms == (0.8, 0.7, 0.8) and isinstance(learn.loss_func, CrossEntropyLossFlat)
    reg = next(cb for cb in learn.cbs if isinstance(cb, RNNRegularizer))
    assert (reg.alpha, reg.beta) == (2.0, 1.0) and any(isinstance(cb, ModelResetter) for cb in learn.cbs)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(20, 5e-2)
        loss, acc, perplexity = learn.validate()
    assert acc > 0.9 and perplexity == pytest.approx(torch.tensor(loss).exp().item(), rel=1e-4)
    assert learn.model[0].hidden is None                                                # forgotten at the end
    model = learn.model.eval()
    with torch.no_grad():
        model.reset()
        by_hand = [nn.functional.cross_entropy(model(x)[0].flatten(0, 1), y.flatten()).item() for x, y in lm_dls.valid]
        model.reset()
    assert loss == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-5)
    with learn.no_bar():
        preds, targets = learn.get_preds()
    assert preds.shape == (4, 18, len(lm_dls.vocab)) and torch.equal(targets[:, 6:12], list(lm_dls.valid)[1][1])


def test_one_step_equals_a_hand_written_one(lm_dls):
    "Loss of the first batch: cross entropy, and the two penalties."
    learn = lm(lm_dls, drop_mult=0.0)
    x, y = lm_dls.one_batch()
    twin = copy.deepcopy(learn.model)
    logits, raw, dropped = twin(x)
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    (loss + 2 * dropped.pow(2).mean() + (raw[:, 1:] - raw[:, :-1]).pow(2).mean()).backward()
    seen = {}
    from minifast.callbacks import Callback

    class Stop(Callback):
        def before_step(self):
            seen.update((n, p.grad.clone()) for n, p in self.learn.model.named_parameters())
            raise KeyboardInterrupt

    with learn.no_bar(), learn.no_logging(), pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Stop())
    for name, p in twin.named_parameters():
        torch.testing.assert_close(seen[name], p.grad)


def test_classifier(clas_dls):
    "It learns which words texts are of; gradual unfreezing by groups."
    learn = clas(clas_dls, metrics=accuracy, drop_mult=0.1)
    assert type(learn) is TextLearner and learn.moms == (0.8, 0.7, 0.8) and len(learn.create_opt().param_groups) >= 4
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(15, 1e-2)
        assert learn.validate()[1] > 0.9
    learn.freeze_to(-2)
    trains = {n for n, p in learn.model.named_parameters() if p.requires_grad}
    assert trains == {n for n, _ in learn.model.named_parameters() if n.startswith(("1.", "0.module.rnns.1"))}


def train(learn, **kwargs):
    before = [p.detach().clone() for p in learn.model.parameters()]
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2, **kwargs)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert all(p.isfinite().all() for p in learn.model.parameters())
    return learn


@pytest.mark.parametrize("kind", ["lm", "clas"])
def test_everything_around_training(kind, lm_dls, clas_dls, tmp_path):
    learn = lm(lm_dls, path=tmp_path) if kind == "lm" else clas(clas_dls, path=tmp_path)
    for cb in (MixedPrecision("bf16"), GradientClip(0.1), GradientAccumulation(8), EMA()):
        train(learn, cbs=cb)
    train(learn, resume=True)
    assert "AWD_LSTM" in learn.summary() or "LSTM" in learn.summary()
    with learn.no_bar(), learn.no_logging():
        learn.lr_find(num_it=9, show_plot=False)
        learn.fine_tune(1, freeze_epochs=1)
        twin = learn.twin()
        assert any(isinstance(cb, ModelResetter) for cb in twin.cbs)
        before = learn.get_preds()[0]
        twin.fit(1, 1e-1)
        assert torch.equal(learn.get_preds()[0], before) and not torch.equal(twin.get_preds()[0], before)
        learn.save("it")
        other = (lm if kind == "lm" else clas)(learn.dls, path=tmp_path)
        other.load("it")
        assert torch.equal(other.get_preds()[0], before)
    if kind == "lm":
        assert other.model[1].decoder.weight is other.model[0].encoder.weight


@pytest.mark.parametrize("kind", ["lm", "clas"])
def test_the_seed_decides(kind, lm_dls, clas_dls):
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        learn = train(lm(lm_dls) if kind == "lm" else clas(clas_dls))
        results.append(list(learn.model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


# -- encoders and vocabularies -------------------------------------------------------------------------------------------------------
def test_encoder_goes_from_a_language_model_to_a_classifier(lm_dls, clas_dls, tmp_path, recwarn):
    source = lm(lm_dls, path=tmp_path)
    file = source.save_encoder("enc")
    assert file == tmp_path / "models" / "enc.safetensors"
    learn = clas(clas_dls, path=tmp_path).load_encoder("enc")
    for a, b in zip(source.model[0].parameters(), learn.model[0].module.parameters(), strict=True):
        assert torch.equal(a, b)
    trains = [n for n, p in learn.model.named_parameters() if p.requires_grad]
    assert all(n.startswith("1.") for n in trains) and not recwarn.list


def other_words(dls, words):
    dls.vocab = [Vocab(words), dls.vocab[1]] if isinstance(dls.vocab[0], list) else Vocab(words)
    return dls


def test_words_of_another_vocabulary_are_matched_by_name(lm_dls, clas_dls, tmp_path):
    "The same size in another order, which loads without an error elsewhere: every word keeps its own vector."
    source, words = lm(lm_dls, path=tmp_path), list(lm_dls.vocab)
    source.save_encoder("enc")
    shuffled = [*TEXT_SPEC_TOK, *reversed(words[len(TEXT_SPEC_TOK):-1]), "unseen"]
    learn = clas(other_words(clas_dls, shuffled), path=tmp_path)
    with pytest.warns(UserWarning, match=r"another vocabulary: 14 of the 15 words of these data were found .* text_vocab=dls_lm.vocab"):
        learn.load_encoder("enc")
    old, new = source.model[0].encoder.weight, learn.model[0].module.encoder.weight
    for i, w in enumerate(shuffled[:-1]):
        assert torch.equal(new[i], old[words.index(w)])
    torch.testing.assert_close(new[-1], old.mean(0))


def test_words_of_another_kind_are_refused(lm_dls, clas_dls, tmp_path):
    lm(lm_dls, path=tmp_path).save_encoder("enc")
    learn = clas(other_words(clas_dls, [*TEXT_SPEC_TOK, *map(chr, range(65, 80))]), path=tmp_path)
    before = learn.model[0].module.encoder.weight.clone()
    with pytest.raises(ValueError, match="know 0 of the 15 words of these data"):
        learn.load_encoder("enc")
    assert torch.equal(learn.model[0].module.encoder.weight, before)


def test_an_encoder_of_fastai_says_nothing_of_its_words(lm_dls, tmp_path):
    source = lm(lm_dls, path=tmp_path)
    (tmp_path / "models").mkdir()
    state = source.model[0].state_dict()
    torch.save({**state, "rnns.0.module.weight_hh_l0": state["rnns.0.weight_hh_l0_raw"]}, tmp_path / "models" / "enc.pth")
    learn = lm(lm_dls, path=tmp_path)
    with pytest.warns(UserWarning, match="does not say which words its weights belong to"):
        learn.load_encoder("enc")
    assert torch.equal(learn.model[0].encoder.weight, source.model[0].encoder.weight)


def test_weights_of_another_size_are_refused(lm_dls, clas_dls, tmp_path):
    lm(lm_dls, path=tmp_path).save_encoder("enc")
    learn = text_classifier_learner(clas_dls, config={**SIZES, "n_hid": 10}, pretrained=False, path=tmp_path)
    with pytest.raises(ValueError, match=r"do not fit this model: .* Give the learner the config .*n_hid"):
        learn.load_encoder("enc")
    text_classifier_learner(clas_dls, config=SIZES, pretrained=False, path=tmp_path).load_encoder("enc")
    with pytest.raises(TypeError, match=r"has no part \[0\].*SequentialRNN\(encoder, head\)"):
        TextLearner(clas_dls, nn.Linear(2, 2)).save_encoder("enc")


@pytest.mark.parametrize("vocab_file", ["words.json", "words.pkl", "words.txt", None])
def test_load_pretrained(vocab_file, lm_dls, clas_dls, tmp_path):
    "Weights of a language model, for the same words in another order, into a language model and into a classifier."
    import pickle
    source, words = lm(lm_dls, path=tmp_path), list(lm_dls.vocab)
    weights = source.save("weights")
    if vocab_file is None:
        state = checkpoint.load(weights)
        assert "vocab" in state
    else:
        file = tmp_path / "models" / vocab_file
        content = {"json": json.dumps(words).encode(), "pkl": pickle.dumps(words), "txt": "\n".join(words).encode()}
        file.write_bytes(content[file.suffix[1:]])
    order = [*words[:9], *reversed(words[9:])]
    names = ("weights",) if vocab_file is None else ("weights", vocab_file.split(".")[0])
    for make, dls in ((language_model_learner, other_words(lm_dls, order)), (text_classifier_learner, other_words(clas_dls, order))):
        learn = make(dls, config=SIZES, path=tmp_path, pretrained_fnames=names)
        for i, w in enumerate(order):
            assert torch.equal(learn.encoder.encoder.weight[i], source.model[0].encoder.weight[words.index(w)])
            if make is language_model_learner:
                assert learn.model[1].decoder.bias[i] == source.model[1].decoder.bias[words.index(w)]
        assert learn.freezer.frozen_to == len(learn.splitter(learn.model)) - 1
    learn.load_pretrained(weights, None if vocab_file is None else file)


def test_refusals(lm_dls, clas_dls, tmp_path):
    with pytest.raises(ValueError, match=r"make them with is_lm=True, or write text_classifier_learner"):
        language_model_learner(clas_dls, config=SIZES, pretrained=False)
    text_classifier_learner(clas_dls, config=SIZES, pretrained=False)
    clas_dls.c = [2, 3]
    with pytest.raises(ValueError, match=r"pass n_out="):
        text_classifier_learner(clas_dls, config=SIZES, pretrained=False)
    text_classifier_learner(clas_dls, config=SIZES, pretrained=False, n_out=2)
    stream = DataLoaders(LMDataLoader(np.arange(9, 23), bs=2, seq_len=3), device="cpu")
    stream.vocab = lm_dls.vocab
    with pytest.raises(ValueError, match=r"those of a language model\).* write language_model_learner"):
        text_classifier_learner(stream, config=SIZES, pretrained=False)
    language_model_learner(stream, config=SIZES, pretrained=False)
    with pytest.raises(FileNotFoundError, match=r"there is no .*nothing.pth or .*nothing.safetensors"):
        language_model_learner(lm_dls, config=SIZES, path=tmp_path, pretrained_fnames=("nothing", "words"))
    with pytest.raises(TypeError, match=r"predict\(text\) needs loaders that tokenise"):
        lm(lm_dls).predict("word3")
    torch.save({"0.encoder.weight": torch.zeros(3, 8)}, tmp_path / "old.pth")
    with pytest.raises(ValueError, match=r"write load_pretrained\(file, 'words.json'\)"):
        lm(lm_dls).load_pretrained(tmp_path / "old.pth")
    with pytest.raises(TypeError, match="these loaders have no vocabulary of tokens"):
        clas_dls.vocab = None
        text_classifier_learner(clas_dls, config=SIZES, pretrained=False)


def test_texts_longer_than_max_len_are_counted(clas_dls, recwarn):
    clas_dls.train.res, clas_dls.valid.res = [3, 50, 1441], [1500]
    with pytest.warns(UserWarning, match=r"2 of 4 texts are longer than max_len=1440 tokens \(the longest has 1500\).*write max_len=None"):
        clas(clas_dls)
    recwarn.clear()
    clas(clas_dls, max_len=None)
    assert not recwarn.list


def test_load_pretrained_into_another_model(lm_dls, clas_dls, tmp_path):
    "The weights of an encoder went into the learner's own model, whatever `model` was given."
    source = lm(lm_dls, path=tmp_path)
    weights, learn = source.save("weights"), clas(clas_dls)
    other, own = clas(clas_dls).model, learn.encoder.encoder.weight.clone()
    learn.load_pretrained(weights, model=other)
    assert torch.equal(learn.encoder.encoder.weight, own)
    assert torch.equal(encoder_of(other).encoder.weight, source.encoder.encoder.weight)
