"""AWD-LSTM against torch's own LSTM, and what each dropout drops."""
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.text.models.awd_lstm import (
    AWD_LSTM,
    EmbeddingDropout,
    RNNDropout,
    WeightDropout,
    awd_lstm_clas_config,
    awd_lstm_clas_split,
    awd_lstm_lm_config,
    awd_lstm_lm_split,
    dropout_mask,
)
from minifast.text.models.heads import get_language_model, get_text_classifier

SIZES = {"emb_sz": 6, "n_hid": 10, "n_layers": 3}
NONE = {"hidden_p": 0.0, "input_p": 0.0, "embed_p": 0.0, "weight_p": 0.0}


def words(*shape):
    return torch.randint(2, 20, shape)


def by_torch(model, x, hidden=None):
    "The same with `nn.Embedding` and `nn.LSTM` alone; returns the output and the states."
    out, states = F.embedding(x, model.encoder.weight), []
    for i, rnn in enumerate(model.rnns):
        weights = {"weight_ih_l0": rnn.module.weight_ih_l0, "weight_hh_l0": rnn.weight_hh_l0_raw,
                   "bias_ih_l0": rnn.module.bias_ih_l0, "bias_hh_l0": rnn.module.bias_hh_l0}
        lstm = nn.LSTM(rnn.module.input_size, rnn.module.hidden_size, batch_first=True)
        out, state = torch.func.functional_call(lstm, weights, (out, hidden and hidden[i]))
        states.append(tuple(s.detach() for s in state))
    return out, states


@pytest.mark.parametrize("training", [False, True])
def test_equals_torchs_lstm(training):
    "Two batches, the second from the state of the first; without dropout in training too, with the gradients of all weights."
    model = AWD_LSTM(20, **SIZES, **NONE if training else {}).train(training)
    x, y = words(3, 5), words(3, 5)
    first = model(x)
    expected, states = by_torch(model, x)
    torch.testing.assert_close(first, expected)
    second, (expected, _) = model(y), by_torch(model, y, states)
    torch.testing.assert_close(second, expected)
    grads, wanted = (torch.autograd.grad(o.square().sum(), list(model.parameters())) for o in (second, expected))
    for g, w in zip(grads, wanted, strict=True):
        torch.testing.assert_close(g, w)


def test_names_of_the_weights_are_fastais():
    names = set(AWD_LSTM(20, 6, 10, 1).state_dict())
    assert names == {"encoder.weight", "encoder_dp.emb.weight", "rnns.0.weight_hh_l0_raw",
                     *(f"rnns.0.module.{n}_l0" for n in ("weight_ih", "bias_ih", "bias_hh"))}


def test_one_batch_continues_the_other_until_reset():
    model, x = AWD_LSTM(20, **SIZES).eval(), words(4, 9)
    whole = model(x)
    model.reset()
    torch.testing.assert_close(torch.cat([model(x[:, :5]), model(x[:, 5:])], 1), whole)
    assert not model.hidden[0][0].requires_grad
    torch.testing.assert_close(model(x[:2])[:, 0], model.read(x[:2, :1], [(h[:, :2], c[:, :2]) for h, c in read(model, x)])[0][:, 0])
    model.reset()
    model(x[:2, :5])
    grown = model(torch.cat([x[:2, 5:], x[2:, :4]]))            # two more sequences: they begin anew
    torch.testing.assert_close(grown[:2], whole[:2, 5:])
    torch.testing.assert_close(grown[2:], whole[2:, :4])


def read(model, x):
    model.reset()
    model(x)
    return model.hidden


def test_bidirectional_layers_and_vectors():
    model = AWD_LSTM(20, **SIZES, bidir=True).eval()
    x = words(2, 4)
    out = model(x)
    assert out.shape == (2, 4, 6) and model.hidden[0][0].shape == (2, 2, 5)
    model.reset()
    torch.testing.assert_close(model(model.encoder(x), from_embeds=True), out)


def test_dropout_mask():
    mask = dropout_mask(torch.zeros(1, dtype=torch.float64), (200, 100), 0.3)
    assert mask.dtype is torch.float64 and set(mask.unique().tolist()) == {0, 1 / 0.7} and abs((mask == 0).double().mean() - 0.3) < 0.02
    assert not dropout_mask(torch.zeros(1), (1000,), 1.0).any() and dropout_mask(torch.zeros(1), (1000,), 0.0).eq(1).all()
    again = [dropout_mask(torch.zeros(1), (7, 3), 0.5) for _ in range(2) if torch.manual_seed(4)]
    assert torch.equal(*again) and dropout_mask(torch.zeros(1), (999, 1001), 0.02).mean() == pytest.approx(1, abs=1e-3)


def test_rnn_dropout_has_one_mask_for_all_steps():
    x = torch.rand(4, 7, 50) + 1
    out = RNNDropout(0.5)(x)
    assert torch.equal(out, x * (out[:, :1] / x[:, :1])) and 0.3 < (out[:, 0] == 0).float().mean() < 0.7
    assert RNNDropout(0.5).eval()(x) is x and RNNDropout(0)(x) is x


def test_embedding_dropout_is_that_of_the_whole_matrix():
    emb, x = nn.Embedding(50, 4, padding_idx=1), torch.randint(0, 50, (8, 9))
    torch.manual_seed(1)
    out = EmbeddingDropout(emb, 0.4)(x, scale=2.0)
    torch.manual_seed(1)
    expected = F.embedding(x, emb.weight * dropout_mask(emb.weight, (50, 1), 0.4) * 2.0, padding_idx=1)
    assert torch.equal(out, expected) and (out == 0).all(2).any()
    ours, theirs = (torch.autograd.grad((o * torch.arange(4)).sum(), emb.weight)[0] for o in (out, expected))
    assert torch.equal(ours, theirs)


def first(out):
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("make", [lambda: nn.LSTM(5, 7, batch_first=True), lambda: nn.LSTM(5, 7, 2, bidirectional=True, bias=False),
                                  lambda: nn.LSTM(5, 7, proj_size=3), lambda: nn.GRU(5, 7), lambda: nn.RNN(5, 7), lambda: nn.Linear(5, 7)])
def test_weight_dropout(make):
    "Without dropout what the layer gives, with it other values in each call; a copy, made after a call, is independent."
    layer, x = make(), torch.randn(3, 4, 5)
    expected, name = layer(x), "weight" if isinstance(layer, nn.Linear) else "weight_hh_l0"
    dropped = WeightDropout(layer, 0.5, name).eval()
    torch.testing.assert_close(first(dropped(x)), first(expected))
    out = first(dropped.train()(x))
    assert not torch.equal(out, first(dropped(x)))
    out.sum().backward()
    raw = getattr(dropped, f"{name}_raw")
    assert 0.2 < (raw.grad == 0).float().mean() < 1 and not any(n == name for n, _ in layer.named_parameters())
    twin = copy.deepcopy(dropped)
    with torch.no_grad():
        getattr(twin, f"{name}_raw").zero_()
    torch.testing.assert_close(first(dropped.eval()(x)), first(expected))
    assert not torch.equal(first(twin.eval()(x)), first(expected))
    dropped.double()(x.double())


def test_a_packed_sequence_is_refused_and_what_is_said_works():
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(2, 4, 5), [4, 2], batch_first=True)
    dropped = WeightDropout(nn.LSTM(5, 7, batch_first=True), 0.5)
    with pytest.raises(TypeError, match=r"write pad_packed_sequence\(x, batch_first=True\)\[0\]"):
        dropped(packed)
    assert dropped(nn.utils.rnn.pad_packed_sequence(packed, batch_first=True)[0])[0].shape == (2, 4, 7)


def test_each_dropout_of_awd_lstm_is_at_work():
    x = words(3, 6)
    for name in NONE:
        model = AWD_LSTM(20, **SIZES, **{**NONE, name: 0.5})
        plain = model.eval()(x)
        for _ in range(2):
            model.reset()
            assert not torch.equal(model.train()(x), plain), name
            model.reset()


def test_refusals():
    with pytest.raises(ValueError, match="has no weight of that name; did you mean 'weight_hh_l0'"):
        WeightDropout(nn.LSTM(2, 3), 0.5, "weight_hh_l")
    with pytest.raises(ValueError, match=r"RNNDropout\(p\)=1.5: a probability of dropout, from 0 to 1"):
        RNNDropout(1.5)
    with pytest.raises(ValueError, match=r"reads ids of shape \(batch, time\)"):
        AWD_LSTM(20, **SIZES)(words(5))


def test_groups_and_settings():
    "Every weight is in one group; the numbers are those of fastai."
    lm = get_language_model(AWD_LSTM, 20, config=SIZES)
    groups = awd_lstm_lm_split(lm)
    assert [len(g) for g in groups] == [4, 4, 4, 2] and groups[3][0] is lm[0].encoder.weight
    clas = get_text_classifier(AWD_LSTM, 20, 2, config=SIZES)
    groups = awd_lstm_clas_split(clas)
    assert [len(g) for g in groups] == [1, 4, 4, 4, 6] and groups[0][0] is clas[0].module.encoder.weight
    assert {id(p) for g in groups for p in g} == {id(p) for p in clas.parameters()}
    shared = {"emb_sz": 400, "n_hid": 1152, "n_layers": 3, "pad_token": 1, "bidir": False}
    assert awd_lstm_lm_config == {**shared, "output_p": 0.1, "hidden_p": 0.15, "input_p": 0.25, "embed_p": 0.02, "weight_p": 0.2,
                                  "tie_weights": True, "out_bias": True}
    assert awd_lstm_clas_config == {**shared, "output_p": 0.4, "hidden_p": 0.3, "input_p": 0.4, "embed_p": 0.05, "weight_p": 0.5}


def test_half_precision():
    model = AWD_LSTM(20, **SIZES)
    with torch.autocast("cpu", torch.bfloat16):
        for _ in range(2):
            model(words(3, 5)).float().sum().backward()
    assert model(words(3, 5)).dtype is torch.float32 and model.rnns[0].weight_hh_l0_raw.grad.isfinite().all()
