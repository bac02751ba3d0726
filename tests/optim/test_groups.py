"""Layer groups, what does not decay, and values spread over the groups."""

import numpy as np
import pytest
import torch
from small_training import halves, small_model
from torch import nn

from minifast.optim.groups import norm_bias_params, norm_params, param_groups, spread, trainable_params


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.user_bias = nn.Parameter(torch.zeros(4))
        self.biased = nn.Parameter(torch.zeros(4))
        self.cls_token = nn.Parameter(torch.zeros(4))


class LlamaRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


class LayerNormalization(LlamaRMSNorm):
    pass


class NormalizedLinear(LlamaRMSNorm):
    pass


def names_in(model, ids):
    return {n for n, p in model.named_parameters() if id(p) in ids}


@pytest.mark.parametrize(("module", "exempt"), [
    (nn.Linear(2, 2), {"bias"}),
    (nn.LSTM(2, 2, num_layers=2), {f"bias_{a}h_l{i}" for a in "ih" for i in (0, 1)}),
    (nn.MultiheadAttention(4, 2), {"in_proj_bias", "out_proj.bias"}),
    (nn.MultiheadAttention(4, 2, add_bias_kv=True), {"in_proj_bias", "out_proj.bias", "bias_k", "bias_v"}),
    (nn.GroupNorm(2, 4), {"weight", "bias"}), (nn.BatchNorm2d(4), {"weight", "bias"}), (nn.LayerNorm([2, 3]), {"weight", "bias"}),
    (nn.InstanceNorm1d(4, affine=True), {"weight", "bias"}), (nn.SyncBatchNorm(4), {"weight", "bias"}), (nn.RMSNorm(4), {"weight"}),
    (nn.BatchNorm1d(4, affine=False), set()), (nn.LocalResponseNorm(2), set()),
    (LlamaRMSNorm(), {"weight"}), (LayerNormalization(), {"weight"}), (NormalizedLinear(), set()),
    (Odd(), {"user_bias"}),
    (nn.Embedding(3, 2), set()), (nn.PReLU(), set()),
], ids=lambda v: type(v).__name__ if isinstance(v, nn.Module) else "")
def test_what_does_not_decay(module, exempt):
    model = nn.Module()
    model.inner = module
    assert names_in(model, norm_bias_params(model)) == {f"inner.{n}" for n in exempt}


def test_lstm_flag_is_no_parameter():
    rnn = nn.LSTM(3, 4)
    groups = param_groups(rnn, list(rnn.parameters()))
    assert [len(g["params"]) for g in groups] == [2, 2] and [g["no_decay"] for g in groups] == [False, True]


def test_norm_params():
    model = nn.Sequential(nn.Conv1d(2, 4, 1), nn.GroupNorm(2, 4), LlamaRMSNorm())
    assert names_in(model, norm_params(model)) == {"1.weight", "1.bias", "2.weight"}


def test_param_groups():
    model = small_model()
    flat = param_groups(model, trainable_params(model))
    assert [(g["layer_group"], g["no_decay"], len(g["params"])) for g in flat] == [(0, False, 2), (0, True, 4)]
    two = param_groups(model, iter([iter(halves(model)[0]), tuple(halves(model)[1])]))
    assert [(g["layer_group"], g["no_decay"], len(g["params"])) for g in two] == [(0, False, 1), (0, True, 3), (1, False, 1), (1, True, 1)]
    assert [len(g["params"]) for g in param_groups(model, halves(model), wd_bn_bias=True)] == [4, 2]
    assert not any(g["no_decay"] for g in param_groups(model, halves(model), wd_bn_bias=True))


def test_a_shared_parameter_counts_once():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    groups = param_groups(model, [*model[0].parameters(), *model[1].parameters()])
    assert len(groups) == 1 and len(groups[0]["params"]) == 1


def test_frozen_parameters_may_stay_out():
    model = small_model()
    model[0].requires_grad_(False)
    assert sum(len(g["params"]) for g in param_groups(model, trainable_params(model))) == 4


@pytest.mark.parametrize(("split", "error", "match"), [
    (lambda m: [[m[0].weight], [m[0].weight, *m.parameters()]], ValueError, "parameter 0.weight is in layer groups 0 and 1"),
    (lambda m: [list(m.parameters()), []], ValueError, "layer group 1 is empty"),
    (lambda m: [], ValueError, "there is no layer group at all"),
    (lambda m: [m[0], m[3]], ValueError, "layer group 0 holds Linear where parameters are expected"),
    (lambda m: [["0.weight"], list(m.parameters())], ValueError, "layer group 0 holds str"),
    (lambda m: [m.named_parameters()], ValueError, "layer group 0 holds tuple"),
    (lambda m: list(m[0].parameters()), ValueError,
     "4 trainable parameters of the model would not be trained, .*: 1.weight, 1.bias, 3.weight"),
    (lambda m: [list(m[3].parameters()), list(nn.Linear(1, 1).parameters())], ValueError, "4 trainable parameters"),
    (lambda m: m, TypeError, "received Sequential"),
    (lambda m: None, TypeError, "a splitter returns a list of parameters.*received NoneType"),
])
def test_group_refusals(split, error, match):
    model = small_model()
    with pytest.raises(error, match=match):
        param_groups(model, split(model))


def test_group_problems_come_together():
    model = small_model()
    with pytest.raises(ValueError, match=r"layer group 1 is empty; parameter 0.weight is in layer groups 0 and 2; .*3.bias\. Correct the"):
        param_groups(model, [list(model[0].parameters()), [], [model[0].weight]])


# Values per layer group

@pytest.mark.parametrize(("value", "n", "result"), [
    (0.1, 3, [0.1, 0.1, 0.1]), (slice(1e-5, 1e-3), 3, [1e-5, 1e-4, 1e-3]), (slice(1e-3), 3, [1e-4, 1e-4, 1e-3]), (slice(1e-3), 1, [1e-3]),
    (slice(1e-5, 1e-3), 1, [1e-3]), (slice(1e-5, 1e-3), 2, [1e-5, 1e-3]), ([1, 2], 2, [1, 2]), ((1, 2, 3), 3, [1, 2, 3]),
    (np.array([0.1, 0.2]), 2, [0.1, 0.2]), (np.float32(0.5), 2, [0.5, 0.5]),
])
def test_spread(value, n, result):
    assert spread(value, n) == pytest.approx(result, rel=1e-12)


@pytest.mark.parametrize(("value", "match"), [
    ([1, 2, 3], r"3 values \(\[1, 2, 3\]\) for 2 layer groups: give one per layer group"), (slice(0, 1), "both must be positive"),
    (slice(None), "does not say which values"), (slice(1e-3, None), "does not say which"), (slice(1, 2, 3), "write slice"),
])
def test_spread_refusals(value, match):
    with pytest.raises(ValueError, match=match):
        spread(value, 2)
