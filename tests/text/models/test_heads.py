"""Decoders and classifiers on top of a recurrent encoder: texts are read alike whatever they are padded with."""
import pytest
import torch
from torch import nn

from minifast.text.models.awd_lstm import AWD_LSTM, awd_lstm_clas_config
from minifast.text.models.heads import (
    LinearDecoder,
    PoolingLinearClassifier,
    SentenceEncoder,
    get_language_model,
    get_text_classifier,
    masked_concat_pool,
    spans,
    text_arch,
)

SIZES = {"emb_sz": 6, "n_hid": 10, "n_layers": 2}
NO_DROPOUT = {"drop_mult": 0.0, "ps": [0.0]}


def texts(*lengths):
    return [torch.randint(2, 20, (n,)) for n in lengths]


def batch(texts, length, side="right"):
    "Padded at the left, the right, or (fastai's way) at the left in whole pieces of 4 and the rest at the right."
    x = torch.ones(len(texts), length, dtype=torch.int64)
    for row, text in zip(x, texts, strict=True):
        start = {"left": length - len(text), "right": 0, "pieces": (length - len(text)) // 4 * 4}[side]
        row[start:start + len(text)] = text
    return x


def test_language_model_ties_its_weights():
    model = get_language_model(AWD_LSTM, 20, config=SIZES).eval()
    assert model[1].decoder.weight is model[0].encoder.weight
    logits, raw, dropped = model(torch.randint(2, 20, (3, 4)))
    torch.testing.assert_close(logits, raw @ model[0].encoder.weight.T + model[1].decoder.bias)
    assert dropped is raw and not torch.equal(*model.train()(torch.randint(2, 20, (3, 4)))[1:])
    assert model[0].hidden is not None
    model.reset()
    assert model[0].hidden is None
    free = get_language_model(AWD_LSTM, 20, config={**SIZES, "tie_weights": False, "out_bias": False})
    assert free[1].decoder.weight is not free[0].encoder.weight and free[1].decoder.bias is None


def test_settings_of_a_model():
    "Dropouts are multiplied; a function `init` is applied to every layer; what is not a setting is refused."
    seen = []
    model = get_text_classifier(AWD_LSTM, 20, 2, config={**SIZES, "weight_p": 0.2, "init": lambda m: seen.append(type(m))}, drop_mult=0.5)
    assert model[0].module.rnns[0].weight_p == 0.1 and nn.LSTM in seen and model[1].layers[0][1].p == 0.2
    assert [m.p for m in model[1].modules() if isinstance(m, nn.Dropout)] == [0.2, 0.1] and awd_lstm_clas_config["weight_p"] == 0.5
    with pytest.raises((TypeError, ValueError), match=r"wieght_p.*did you mean 'weight_p'"):
        get_language_model(AWD_LSTM, 20, config={"wieght_p": 0.1})
    with pytest.raises(ValueError, match="text models are built of AWD_LSTM. For a model of your own write Learner"):
        text_arch(nn.LSTM)


@pytest.mark.parametrize("side", ["left", "right", "pieces"])
@pytest.mark.parametrize("max_len", [None, 9])
def test_a_text_in_any_batch_is_what_it_is_alone(side, max_len):
    model = get_text_classifier(AWD_LSTM, 20, 3, seq_len=4, config=SIZES, max_len=max_len).eval()
    some = texts(3, 13, 1, 8, 14, 9)
    alone = torch.cat([model(t[None])[0] for t in some])
    for length in (14, 17, 24):
        torch.testing.assert_close(model(batch(some, length, side))[0], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", ["left", "right", "pieces"])
def test_gradients_do_not_depend_on_the_padding(side):
    some, grads = texts(3, 13, 6), []
    model = get_text_classifier(AWD_LSTM, 20, 3, seq_len=4, config=SIZES, **NO_DROPOUT)
    for length, kind in ((13, "right"), (18, side)):
        loss = nn.functional.cross_entropy(model(batch(some, length, kind))[0], torch.tensor([0, 1, 2]))
        grads.append(torch.autograd.grad(loss, [p for n, p in model.named_parameters()]))
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


def test_pooling_by_hand():
    "Last, maximum and mean over the outputs of the whole text, as the encoder gives them in one piece."
    encoder = AWD_LSTM(20, **SIZES).eval()
    text = texts(11)[0]
    out, mask = SentenceEncoder(4, encoder)(batch([text], 15, "left"))
    expected = encoder.read(text[None])[0][0]
    torch.testing.assert_close(out[0], expected)
    assert not mask.any()
    pooled = masked_concat_pool(out, mask)
    torch.testing.assert_close(pooled[0], torch.cat([expected[-1], expected.amax(0), expected.mean(0)]))


def test_masked_concat_pool_with_padding_anywhere():
    out = torch.randn(3, 5, 2)
    mask = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [1, 0, 1, 0, 1]]).bool()
    for row, o, m in zip(masked_concat_pool(out, mask, bptt=4), out, mask, strict=True):
        real = o[~m]
        torch.testing.assert_close(row, torch.cat([real[-1], real.amax(0), real.mean(0)]))
    assert masked_concat_pool(out.half(), mask).isfinite().all()
    assert masked_concat_pool(out, torch.ones(3, 5).bool()).isfinite().all()


def test_the_last_max_len_tokens_count():
    "Pieces that begin before them are read, without a gradient, and not pooled: a text of 14 with max_len=9 is pooled from token 8 on."
    encoder = AWD_LSTM(30, **SIZES, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    x = torch.arange(2, 16)[None]
    out, mask = SentenceEncoder(4, encoder, max_len=9)(x)
    torch.testing.assert_close(out[0], encoder.read(x)[0][0, 8:])
    out.sum().backward()
    assert encoder.encoder.weight.grad.any(1).nonzero().flatten().tolist() == list(range(10, 16))
    assert SentenceEncoder(4, encoder, max_len=2)(x)[0].shape[1] == 2        # something is left of every text
    out, mask = SentenceEncoder(4, encoder, max_len=9)(batch([x[0], x[0, :9]], 14))
    assert mask.tolist() == [[True] * 8 + [False] * 6, [False] * 9 + [True] * 5]


def test_the_gradient_stays_within_a_piece():
    encoder = AWD_LSTM(30, **SIZES, hidden_p=0, input_p=0, embed_p=0, weight_p=0)
    out, _ = SentenceEncoder(4, encoder)(torch.arange(2, 12)[None])
    out[0, -1].sum().backward()
    assert encoder.encoder.weight.grad.any(1).nonzero().flatten().tolist() == [10, 11]


def test_spans_and_empty_texts():
    x = torch.tensor([[1, 5, 1, 6, 1], [7, 8, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 9]])
    assert spans(x).tolist() == [[1, 0, 0, 4], [3, 2, 1, 1]]
    model = get_text_classifier(AWD_LSTM, 20, 2, seq_len=4, config=SIZES)
    out = model(torch.tensor([[1, 1, 1], [5, 6, 7]]))[0]
    assert out.isfinite().all()
    with pytest.raises(ValueError, match=r"reads ids of shape \(batch, time\)"):
        model(torch.zeros(3, dtype=torch.int64))


def test_reading_keeps_nothing():
    "Each call begins without a state and leaves none, so calls in several threads do not meet."
    model = get_text_classifier(AWD_LSTM, 20, 2, seq_len=4, config=SIZES).eval()
    x = batch(texts(5, 9), 9)
    first = model(x)[0]
    assert torch.equal(model(x)[0], first) and model[0].module.hidden is None
    model.reset()


def test_head():
    head = PoolingLinearClassifier([18, 5, 2], [0.3, 0.0], y_range=(0, 4)).eval()
    out = torch.randn(3, 4, 6)
    scores, raw, dropped = head((out, torch.zeros(3, 4).bool()))
    assert scores.shape == (3, 2) and scores.min() > 0 and scores.max() < 4 and raw is out is dropped
    with pytest.raises(ValueError, match="there are 2 layers. Give 2 numbers"):
        PoolingLinearClassifier([18, 5, 2], [0.3])
    PoolingLinearClassifier([18, 5, 2], [0.3, 0.1])


def test_decoder():
    decoder = LinearDecoder(9, 4, 0.5, bias=False)
    scores, raw, dropped = decoder(torch.ones(2, 3, 4))
    torch.testing.assert_close(scores, dropped @ decoder.decoder.weight.T)
    assert decoder.decoder.bias is None and raw.eq(1).all()


@pytest.mark.parametrize("drop_mult", ["0.3", -1, None])
def test_a_factor_of_dropouts_is_a_number(drop_mult):
    with pytest.raises(ValueError, match=r"get_language_model\(drop_mult=.*a number that all dropouts are multiplied with"):
        get_language_model(AWD_LSTM, 20, SIZES, drop_mult)


@pytest.mark.parametrize("kept", [1, 3])
def test_pooling_in_parts_of_the_cache(monkeypatch, kept):
    output, mask = torch.randn(4, 9, 5).round(decimals=1).requires_grad_(), torch.arange(9) >= torch.tensor([9, 7, 4, 1])[:, None]
    monkeypatch.setattr("minifast.text.models.heads.in_cache",
                        lambda x, steps: [(i, min(i + kept, steps)) for i in range(0, steps, kept)])
    pooled = masked_concat_pool(output, mask)
    highest = output.masked_fill(mask[:, :, None], -float("inf")).max(1)[0]
    torch.testing.assert_close(pooled[:, 5:10], highest)
    of_parts, whole = (torch.autograd.grad(y.sum(), output)[0] for y in (pooled[:, 5:10], highest))
    torch.testing.assert_close(of_parts, whole)
    torch.testing.assert_close(masked_concat_pool(output.detach(), mask), pooled.detach())


def test_outputs_beyond_a_text_are_zero(request):
    "AR and TAR read all positions: those of rows that ended in an earlier piece must not hold what was in memory."
    encoder = SentenceEncoder(4, AWD_LSTM(20, 6, 8, 1), max_len=None).eval()
    request.addfinalizer(lambda: torch.use_deterministic_algorithms(False))
    torch.use_deterministic_algorithms(True)                    # fills new memory with NaN
    x = torch.ones(3, 12, dtype=torch.int64)
    x[0], x[1, :5], x[2, :2] = 7, 7, 7
    output, mask = encoder(x)
    assert output.shape == (3, 12, 6) and mask.sum().item() == 7 + 10
    assert torch.equal(output[1, 8:], torch.zeros(4, 6)) and torch.equal(output[2, 4:], torch.zeros(8, 6))
