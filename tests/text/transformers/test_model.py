"""A text gives the same output whatever it is padded with, left or right; models get what they take."""
import pytest
import torch
from tiny_transformers import ALL, CAUSAL, LINES, MASKED

from minifast.learner.predictor import Predictor
from minifast.text.transformers.batches import PadTokens
from minifast.text.transformers.encoding import EncodeText
from minifast.text.transformers.model import TransformersModel, inner_model
from minifast.text.transformers.pretrained import load_model
from minifast.text.transformers.tokenizer import load_tokenizer


def wrapped(folder, task="classify", n_out=3):
    model, _ = load_model(folder, task, n_out if task in ("classify", "words") else None)
    encode = EncodeText(load_tokenizer(folder), None, "classify")
    inner_model(model).config.pad_token_id = encode.pad_id
    return TransformersModel(model, task).eval(), encode


def batch(encode, texts):
    samples = PadTokens(encode.pad_id)([(encode.encodes(t),) for t in texts])
    return {k: torch.stack([s[0][k] for s in samples]) for k in samples[0][0]}


def on_the_left(x):
    n = x["attention_mask"].sum(1)
    return {k: torch.stack([row.roll(int(x[k].shape[1] - m)) for row, m in zip(v, n, strict=True)]) for k, v in x.items()}


@pytest.mark.parametrize(("kind", "task"), [*((k, "classify") for k in [*ALL, "xlnet"]), *((k, "mlm") for k in MASKED),
                                            *((k, "clm") for k in CAUSAL)])
def test_padding_does_not_matter(tiny, kind, task):
    model, encode = wrapped(tiny(kind), task)
    texts = [LINES[5], LINES[1], LINES[0]]
    with torch.no_grad():
        alone = [model(batch(encode, [t]))[0] for t in texts]
        x = batch(encode, texts)
        together, left = model(x), model(on_the_left(x))
    for i, t in enumerate(alone):
        n = int(x["attention_mask"][i].sum())
        right = together[i] if task == "classify" else together[i, :n]
        assert torch.allclose(right, t, atol=1e-5)
        assert torch.allclose(left[i] if task == "classify" else left[i, -n:], t, atol=1e-5)


@pytest.mark.parametrize("kind", CAUSAL)
def test_the_last_token_counts_also_where_it_is_the_one_that_fills_up(tiny, kind):
    model, encode = wrapped(tiny(kind))
    end = encode.tokenizer.eos_token
    assert encode.pad_id == encode.tokenizer.eos_token_id
    texts = [LINES[0] + end, LINES[1]]
    x = batch(encode, texts)
    inner = inner_model(model)
    with torch.no_grad():
        hidden = inner.base_model(input_ids=x["input_ids"][:1, :int(x["attention_mask"][0].sum())]).last_hidden_state
        assert torch.allclose(model(x)[0], inner.score(hidden[0, -1]), atol=1e-5)


@pytest.mark.parametrize("kind", ["distilbert", "gpt2"])
def test_a_model_gets_only_what_it_takes(tiny, kind):
    model, encode = wrapped(tiny(kind))
    x = batch(encode, LINES[:2])
    x["word_ids"] = x["input_ids"]
    if kind == "distilbert":
        assert "token_type_ids" in x, "the tokenizer makes what this model does not take"
    body, got = inner_model(model).base_model, []
    body.register_forward_pre_hook(lambda module, args, kwargs: got.append(kwargs.keys()), with_kwargs=True)
    assert model(x).shape == (2, 3)
    assert "word_ids" not in got[0] and "token_type_ids" not in got[0]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_masks_are_finite_in_half_precision(tiny, kind, dtype):
    model, encode = wrapped(tiny(kind))
    with torch.no_grad():
        out = model.to(dtype)(batch(encode, [LINES[0], "a"]))
    assert torch.isfinite(out).all()


def test_a_graph_is_refused_with_what_to_write(classify, tmp_path):
    from transformers import AutoModelForSequenceClassification
    learn = classify("bert")
    for export in (learn.to_onnx, learn.to_torch_export):
        with pytest.raises(TypeError, match=r"learn.model.model.save_pretrained\('folder'\).*learn.export\('model.pkl'\)"):
            export(tmp_path / "model")
    learn.model.model.save_pretrained(tmp_path)
    own, loaded = learn.model.model.state_dict(), AutoModelForSequenceClassification.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(own[k], v) for k, v in loaded.items())
    assert Predictor(learn.export(tmp_path / "model.pkl")).predict("a film").label == learn.predict("a film")[0]


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("left", [False, True])
def test_texts_are_blended_without_padding(tiny, kind, left):
    model, encode = wrapped(tiny(kind))
    x = batch(encode, ["the film was good and the actors were bad", "dull", "a boring man"])
    x = on_the_left(x) if left else x
    same, perm = torch.arange(3), torch.tensor([1, 2, 0])
    plain = model(x)
    assert torch.allclose(model(model.blended_input(x, same, lambda v: v)), plain, atol=1e-5), "vectors are read as their ids are"
    blended = model.blended_input(x, perm, lambda v: v + v[perm])
    n = x["attention_mask"].sum(1)
    assert torch.equal(blended["attention_mask"].sum(1), torch.maximum(n, n[perm]))
    more = {k: torch.full((3, 4), encode.pad_id if k == "input_ids" else 0) for k in x}
    far = {k: torch.cat([more[k], v] if left else [v, more[k]], 1) for k, v in x.items()}
    again = model.blended_input(far, perm, lambda v: v + v[perm])
    assert torch.allclose(model(blended), model(again), atol=1e-5), "more padding changes nothing"


def test_mixup_blends_a_batch_of_texts(classify):
    from minifast.callbacks.mix import MixUp
    learn, calls = classify("bert"), []
    learn.model.model.register_forward_pre_hook(lambda m, args, kwargs: calls.append(set(kwargs)), with_kwargs=True)
    with learn.no_bar():
        learn.fit(1, cbs=MixUp())
    assert all("inputs_embeds" in names and "input_ids" not in names for names in calls[:5]) and "input_ids" in calls[-1]


def test_tokens_are_counted_without_padding(classify):
    dl = classify("bert").dls.valid
    x, _ = dl.one_batch()
    assert dl.tokens_in(x) == sum(dl.res) < x["input_ids"].numel()
