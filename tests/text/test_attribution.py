"""Token attributions: exact where the model is linear, complete elsewhere, and the token that was planted on top."""
import random

import pandas as pd
import pytest
import torch
from torch import nn
from zoo import Model, trained
from zoo_texts import OTHER, bag_of_words, learner, lm_learner, review_loaders, reviews, text_learner, tiny_learner

from minifast.text.attribution import token_attributions
from minifast.text.transformers.loader import encoder_in


def planted(n=120, seed=0, words=OTHER, marks=("zebra", "giraffe")):
    "Texts in which one of two words says which class they are of."
    r, rows = random.Random(seed), []
    for i in range(n):
        text = r.choices([w for w in words if w not in marks], k=r.randint(5, 12))
        text[r.randrange(len(text))] = marks[i % 2]
        rows.append((" ".join(text), "ab"[i % 2], i >= 2 * n // 3))
    return pd.DataFrame(rows, columns=["text", "label", "valid"])


def sum_of_vectors(dls, n_out=2):
    torch.manual_seed(0)
    return Model(lambda s, x: s.head(s.emb(x).sum(1)), emb=nn.Embedding(len(dls.vocab[0]), 8), head=nn.Linear(8, n_out))


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("target", [None, "pos", 0])
def test_of_a_linear_model_a_score_is_what_the_token_adds(steps, target):
    dls = review_loaders(reviews(60))
    learn = learner(dls, sum_of_vectors(dls))
    found = token_attributions(learn, "a great film, quite dull", target, steps)
    ids = dls.test_batch(["a great film, quite dull"])[0][0][0].as_subclass(torch.Tensor).cpu()
    k = {"pos": 1, 0: 0, None: int(learn.model(ids[None].to(dls.device)).argmax())}[target]
    exact = (learn.model.emb.weight[ids] @ learn.model.head.weight[k]).detach().cpu()
    torch.testing.assert_close(found.scores, exact)
    assert found.tokens == [dls.vocab[0][i] for i in ids] and found.target == ["neg", "pos"][k]
    assert found.output == pytest.approx(float(exact.sum() + learn.model.head.bias[k]), abs=1e-5)


@pytest.mark.parametrize("make", [lambda: text_learner(review_loaders(reviews(60))), lambda: tiny_learner("bert", reviews(60, 4, 9)),
                                  lambda: tiny_learner("gpt2", reviews(60, 4, 9))], ids=["awd-lstm", "bert", "gpt2"])
def test_scores_sum_to_what_all_tokens_add(make):
    learn, text = make(), "a great film and a dull end it was and we saw it very often in the city of the night"
    training = [m.training for m in learn.model.modules()]
    before = [p.detach().clone() for p in learn.model.parameters()]
    found = token_attributions(learn, text, 1, steps=60)
    embedding = next(m for m in learn.model.modules() if isinstance(m, nn.Embedding))
    tokenizer = getattr(encoder_in(learn.dls), "tokenizer", None)
    with torch.no_grad():
        rows = embedding.weight * 0 if tokenizer is None else embedding.weight.new_tensor(embedding.weight.tolist())
        for i in range(len(rows) if tokenizer is not None else 0):
            if i not in tokenizer.all_special_ids:
                rows[i] = embedding.weight[tokenizer.mask_token_id or tokenizer.unk_token_id or 0]
        handle = embedding.register_forward_hook(lambda m, args, out: nn.functional.embedding(args[0], rows))
        batch, _ = learn.dls.test_batch([text])
        learn.model.eval()
        out = learn.model(batch[0].to(learn.dls.device) if hasattr(batch[0], "to") else
                          {k: v.to(learn.dls.device) for k, v in batch[0].items()})
        handle.remove()
        without = float((out[0] if isinstance(out, tuple) else out)[0, 1])
    assert float(found.scores.sum()) == pytest.approx(found.output - without, rel=0.02, abs=1e-4)
    assert len(found.tokens) == len(found.scores) > 16
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, learn.model.parameters(), strict=True))
    assert not any(m._forward_hooks for m in learn.model.modules()) and any(training) == any(training)


def test_the_planted_word_is_on_top():
    learn = trained(text_learner(review_loaders(planted())), 6, 2e-2)
    for text, mark, label in (("we saw the zebra in the house", "zebra", "a"), ("a giraffe was there all night", "giraffe", "b")):
        found = token_attributions(learn, text)
        assert found.target == label and found.top(1)[0][0] == mark and found.top(1)[0][1] > 0
        other = token_attributions(learn, text, "ab".replace(label, ""))
        assert other.top(1)[0][0] == mark and other.top(1)[0][1] < 0


@pytest.mark.slow
def test_the_planted_word_is_on_top_of_a_transformer():
    words = ["the", "film", "was", "and", "of", "a", "man", "about", "in", "it", "story", "but", "we", "end", "to"]
    df = planted(300, words=words, marks=("film", "man"))
    learn = trained(tiny_learner("bert", df), 10, 5e-4)
    found = [token_attributions(learn, text) for text in df.text[df.valid][:24]]
    assert sum(f.top(1)[0][0] in ("film", "man") for f in found) >= 22


def test_a_bag_of_words_is_read_in_pieces_of_any_kind():
    dls = review_loaders(reviews(60))
    assert len(token_attributions(learner(dls, bag_of_words(dls)), "a dull film").tokens) == 4


def test_shown_escaped_and_as_text(capsys):
    dls = review_loaders(reviews(60).assign(text=[t + " <b> & $x_1$" for t in reviews(60).text]))
    found = token_attributions(learner(dls, sum_of_vectors(dls)), "a <b> & great film")
    html = found._repr_html_()
    assert "&lt;" in html and "&amp;" in html and "<b>&" not in html and "rgba(46,125,50" in html and "rgba(198,40,40" in html
    found.show()
    said = capsys.readouterr().out
    assert said.startswith("for 'pos'" if found.target == "pos" else "for 'neg'") and f"[{found.top(1)[0][0]} " in said
    assert list(found.frame().columns) == ["token", "score"] and len(found.frame()) == len(found.tokens)
    ax = found.plot(3)
    assert [t.get_text() for t in ax.get_yticklabels()] == [t for t, _ in found.top(3)][::-1]


@pytest.mark.parametrize(("make", "target", "error", "says"), [
    (lambda: lm_learner(), None, TypeError, "this learner predicts tokens"),
    (lambda: _linear(), "nope", ValueError, r"target='nope': one of the classes \['neg', 'pos'\], or a number from 0 to 1"),
    (lambda: _linear(), 2, ValueError, "target=2"),
    (lambda: _one_hot(), None, TypeError, "no nn.Embedding of the model looks up the tokens"),
    (lambda: _images(), None, TypeError, "its data give no ids of tokens"),
])
def test_what_has_no_attributions(make, target, error, says):
    learn = make()
    with pytest.raises(error, match=says):
        token_attributions(learn, "a great film" if hasattr(learn.dls.train, "frame_type") else torch.zeros(6), target)


def test_the_advice_helps():
    learn = _linear()
    with pytest.raises(ValueError, match="from 0 to 1"):
        token_attributions(learn, "a film", 5)
    assert token_attributions(learn, "a film", 1).target == "pos" and token_attributions(learn, "a film", "neg").target == "neg"
    with pytest.raises(ValueError, match="at least 1"):
        token_attributions(learn, "a film", steps=0)
    token_attributions(learn, "a film", steps=1)


def _linear():
    dls = review_loaders(reviews(60))
    return learner(dls, sum_of_vectors(dls))


def _one_hot():
    dls = review_loaders(reviews(60))
    n = len(dls.vocab[0])
    return learner(dls, Model(lambda s, x: s.head(nn.functional.one_hot(x, n).float().sum(1)), head=nn.Linear(n, 2)))


def _images():
    from zoo import classifier
    return classifier()
