"""The plan of a training on several devices: its arithmetic, what it measures, and that the learner stays as it is."""
import argparse
import importlib.util
import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchrun import run_ranks
from zoo import classifier, loaders, mlp, points

from minifast.callbacks import EMA, GradientAccumulation
from minifast.checks import plan as plans
from minifast.checks.learner.step_cost import Linear, ParamCost, Saved, StepCost, bytes_of, items_of, step_cost
from minifast.checks.plan import Unit, as_bytes, communication, estimate, memory_parts, per_rank, size_text, units_of
from minifast.core.shares import share_of
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim import SGD

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "plan.py"


def made_up(device="cpu", **more):
    "A model of a block of 40 x 100 and a frozen last layer of 10 x 40, in float32, with Adam; activations of 1000 bytes an item."
    params = (ParamCost("a.weight", (40, 100), 4, True, 2 * 4 * 4000), ParamCost("b.weight", (10, 40), 4, False, 0))
    known = {"params": params, "buffer_bytes": 100, "state_bytes": 4, "average_bytes": 0, "batch": Linear(0, 10),
             "activations": Linear(0, 1000), "peak": Linear(200, 1100), "step_peak": 0.0, "forward": Linear(0.01, 0.001),
             "backward": Linear(0.02, 0.002), "step": 0.006, "rest": 0.0, "data": Linear(0, 0.0), "sizes": (4, 8), "threads": 1,
             "device": torch.device(device), "shapes": ((8, 100),)}
    return StepCost(**{**known, **more})


UNITS = [Unit({"a.weight"}), Unit({"b.weight"})]


# -- arithmetic ---------------------------------------------------------------------------------------------------------------------
def test_memory_of_a_rank():
    assert memory_parts(made_up(), "ddp", 4, 8, UNITS) == {
        "weights": 17_700, "gradients": 16_000, "gradient buckets": 16_000, "optimizer state": 32_004, "batch": 80, "activations": 8000,
        "temporary": 1000}
    parts = memory_parts(made_up(), "fsdp2", 4, 8, UNITS)
    # 10 of 40 rows, and 3 of 10 with padding
    assert parts["weights"] == 4000 + 3 * 40 * 4 + 100 and parts["gathered weights"] == 17_600 + 16_000
    assert parts["gradients"] == 4000 and parts["optimizer state"] == 8004 and parts["activations"] == 8000
    one = memory_parts(made_up(), "one device", 1, 8, UNITS)
    assert "gradient buckets" not in one and "gathered weights" not in one


def test_what_a_rank_sends():
    assert communication(made_up(), "one device", 1, UNITS) == 0
    assert communication(made_up(), "ddp", 2, UNITS) == 16_000
    assert communication(made_up(), "ddp", 4, UNITS) == 2 * 3 / 4 * 16_000
    shards = 4000 + 3 * 40 * 4
    assert communication(made_up(), "fsdp2", 4, UNITS) == 2 * 3 * shards + 3 * 4000
    assert communication(made_up(), "fsdp2", 4, [Unit({"a.weight"}, 0.5), UNITS[1]]) == 2 * 3 * shards - 3 * 4000 + 3 * 4000
    assert communication(made_up(), "ddp", 4, UNITS, batches_per_step=3) == pytest.approx(2 * 3 / 4 * 16_000 / 3)


def test_time_and_the_largest_batch():
    e = estimate(made_up(data=Linear(0, 0.001)), "ddp", 2, 16, 1e6, 1e6, UNITS, turns=3.0)                  # on a third of a core each
    assert e.compute == pytest.approx(3 * 0.060) and e.data == pytest.approx(3 * 0.008) and e.waiting == pytest.approx(0.016)
    e = estimate(made_up(), "ddp", 2, 16, 1e6, 1e6, UNITS)
    assert e.bs_per_rank == 8 and e.compute == pytest.approx(0.018 + 0.036 + 0.006) and e.communication == pytest.approx(0.016)
    assert e.seconds == pytest.approx(0.076) and e.items_per_second == pytest.approx(16 / 0.076)        # a processor does one at a time
    assert estimate(made_up("cuda"), "ddp", 2, 16, 1e6, 1e6, UNITS).seconds == pytest.approx(0.060)     # hidden in the backward pass
    static = 17_700 + 2 * 16_000 + 32_004
    assert e.largest_bs == 2 * math.floor((1e6 - static - 200) / 1110) and e.fits
    assert not estimate(made_up(), "fsdp2", 1000, 2000, 17_000, 1e6, UNITS).fits              # the whole weights, after the fit
    small = estimate(made_up(), "ddp", 2, 16, static, 1e6, UNITS)
    assert small.largest_bs == 0 and not small.fits


def test_a_rank_has_as_many_items_as_it_gets(monkeypatch):
    from minifast.core import shares
    for world in (1, 2, 3, 4, 7):
        monkeypatch.setattr(shares, "world_size", lambda world=world: world)
        monkeypatch.setattr(shares, "rank", lambda: 0)
        assert all(per_rank(bs, world) == max(share_of(bs).sizes) for bs in range(1, 40))


def test_lines_never_fall():
    assert Linear.through(2, 10.0, 4, 16.0) == (4.0, 3.0)
    assert Linear.through(2, 10.0, 4, 9.0)(100) == 9.0
    assert Linear.through(2, 1.0, 4, 9.0) == (0.0, 2.25)


def test_sizes_as_text():
    assert [as_bytes(x) for x in ("16GB", "512 MiB", 1000, "10GB/s", "1.5tb", 2.5)] == [16e9, 512 * 2**20, 1000, 10e9, 1.5e12, 2.5]
    assert [as_bytes(x) for x in ("much", "", "1.2.3GB", 0, -1, None, True, math.nan, "0GB")] == [None] * 9
    assert [size_text(n) for n in (0, 999, 1000, 44_700_000, 999_999, 2e12)] == ["0 B", "999 B", "1 KB", "44.7 MB", "1 MB", "2 TB"]


# -- measuring ----------------------------------------------------------------------------------------------------------------------
def test_activations_are_what_autograd_keeps():
    "Of Linear, ReLU, Linear and the loss by hand: the ReLU's output, which is the next layer's input, and the loss's log-probabilities."
    x, y = points()
    learn = Learner(loaders(x, y, bs=8), nn.Sequential(nn.Linear(6, 50), nn.ReLU(), nn.Linear(50, 3)), CrossEntropyLossFlat(), opt_func=SGD)
    saved = Saved([*learn.model.parameters()])
    batch = learn.dls.one_batch()
    learn.xb, learn.kw, learn.yb = batch[:1], {}, batch[1:]
    saved.learn = learn
    saved.before_batch()
    with saved.forward_context():
        learn.loss_func(learn.model(batch[0]), batch[1])
    saved.after_loss()
    assert saved.bytes == pytest.approx(8 * 50 * 4 + 8 * 3 * 4, abs=8)          # and the total weight of the loss


def test_a_batch_of_another_size():
    a, b = items_of((torch.arange(3), {"x": torch.arange(6).view(3, 2), "n": 5}), 5)
    assert a.tolist() == [0, 1, 2, 0, 1] and b["x"][:, 0].tolist() == [0, 2, 4, 0, 2] and b["n"] == 5


@pytest.mark.parametrize(("opt", "states"), [(SGD, 0), (torch.optim.AdamW, 2)])
def test_weights_and_optimizer_state(opt, states):
    learn = classifier()
    learn = Learner(learn.dls, mlp(), CrossEntropyLossFlat(), opt_func=opt)
    cost = step_cost(learn, (8, 16), seconds=1)
    n = sum(p.numel() for p in learn.model.parameters())
    assert sum(p.bytes for p in cost.params) == 4 * n and sum(p.state_bytes for p in cost.params) == 4 * n * states
    assert cost.peak(16) >= cost.activations(16) > 0 and cost.forward(16) > 0 and cost.sizes == (8, 16)


def test_frozen_layers_have_neither_gradients_nor_state():
    learn = Learner(classifier().dls, mlp(), CrossEntropyLossFlat(), splitter=lambda m: [[*m[:4].parameters()], [*m[4].parameters()]])
    learn.freeze()
    frozen = learn.plan(seconds=1)["one device"].parts
    last = bytes_of([*learn.model[4].parameters()])
    assert frozen["gradients"] == last and frozen["optimizer state"] == 2 * last + 2 * 4
    learn.unfreeze()
    assert learn.plan(seconds=1)["one device"].parts["gradients"] == bytes_of([*learn.model.parameters()])


def test_half_precision_keeps_less():
    x = torch.randn(64, 256)
    data = TensorDataset(x, torch.arange(64) % 3)
    learn = Learner(DataLoaders.from_dsets(data, data, bs=32, device="cpu"),
                    nn.Sequential(*(nn.Sequential(nn.Linear(256, 256), nn.ReLU()) for _ in range(4)), nn.Linear(256, 3)),
                    CrossEntropyLossFlat())
    full, half = learn.plan(seconds=1), learn.to_bf16().plan(seconds=1)
    assert full.cost.activations.per_item == 4 * 256 * 4 + 3 * 4                   # of four ReLUs, and of the loss
    assert half.cost.activations.per_item == (4 + 1) * 256 * 2 + 3 * 4             # and the inputs as bf16
    assert half["one device"].parts["weights"] == full["one device"].parts["weights"]


def test_accumulated_gradients_are_exchanged_once_a_step():
    learn = classifier()
    once = learn.plan(gpus=2, seconds=1)
    learn.add_cbs([GradientAccumulation(3 * learn.dls.bs), EMA()])
    third = learn.plan(gpus=2, seconds=1)
    assert third["ddp"].communication_bytes == pytest.approx(once["ddp"].communication_bytes / 3)
    assert third["ddp"].parts["averaged weights"] == third["ddp"].parts["gradients"] and "of 3 batches" in str(third)


def test_units_cover_all_parameters_once():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), nn.Linear(3, 1))
    units = units_of(model)
    names = [n for n, _ in model.named_parameters()]
    assert sorted(n for unit in units for n in unit.names) == sorted(names)
    assert {u.size for u in units} == {1.0}
    assert {n: u.size for u in units_of(model, halves=True) for n in u.names}["0.0.weight"] == 0.5
    assert {n: u.size for u in units_of(model, [nn.BatchNorm1d], halves=True) for n in u.names} == dict.fromkeys(names, 1.0)


# -- the report ---------------------------------------------------------------------------------------------------------------------
def test_nothing_changes():
    learn = classifier()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    learn.model[0].weight.grad = torch.ones_like(learn.model[0].weight)
    before = {n: t.clone() for n, t in learn.model.state_dict().items()}
    state, rng, threads = json.dumps(learn.opt.state_dict(), default=lambda t: t.tolist()), torch.get_rng_state(), torch.get_num_threads()
    epoch, history = learn.dls.train.epoch, list(learn.recorder.values)
    learn.plan(gpus=4, nodes=2, seconds=1)
    assert all(torch.equal(t, before[n]) for n, t in learn.model.state_dict().items())
    assert json.dumps(learn.opt.state_dict(), default=lambda t: t.tolist()) == state and torch.equal(torch.get_rng_state(), rng)
    assert torch.get_num_threads() == threads and learn.dls.train.epoch == epoch and learn.recorder.values == history
    assert bool((learn.model[0].weight.grad == 1).all()) and learn.dls.bs == 32


def test_the_report():
    plan = classifier().plan(gpus=2, nodes=2, bs=64, memory="16GB", bandwidth="1GB", seconds=1)
    text = str(plan)
    assert plan.world == 4 and plan["ddp"].bs_per_rank == 16 and repr(plan) == text
    for words in ("4 ranks (2 machines with 2 each)", "bs=64", "memory per rank", "fits into 16 GB", "largest bs", "Assumed:",
                  "a rank sends 1 GB a second", "straight line to 64 items"):
        assert words in text, words
    learn = classifier().to_channelslast()
    assert "without channels-last" in str(learn.plan(gpus=2, seconds=1)) and "without channels-last" not in str(learn.plan(seconds=1))
    assert "PCIe" not in text and "PCIe" in str(classifier().plan(gpus=2, seconds=1))
    html = plan._repr_html_()
    assert html.count("<tr>") == len(plan.rows) and "memory per rank" in html
    frame = plan.frame()
    assert list(frame.columns) == ["one device", "ddp", "fsdp2"] and frame.loc["memory (bytes)", "ddp"] == plan["ddp"].memory
    with pytest.raises(KeyError, match="'one device', 'ddp', 'fsdp2'"):
        plan["zero"]


def test_ranks_of_a_processor_share_its_cores(monkeypatch):
    monkeypatch.setattr(plans, "cores_of_ranks", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for ranks, turns, words in ((2, 1, "the 2 ranks of a machine share its 2 cores: 2 threads have one each"),
                                    (6, 3, "the 6 ranks of a machine share its 2 cores: 6 threads take turns")):
            plan = classifier().plan(gpus=ranks, bs=60, seconds=1)
            n, cost = plan["ddp"].bs_per_rank, plan.cost
            assert plan["ddp"].compute == pytest.approx(turns * (cost.forward(n) + cost.backward(n) + cost.step + cost.rest))
            assert cost.threads == 1
            assert words in str(plan) and "a device of its own" not in str(plan)
        alone = classifier().plan(nodes=2, seconds=1)
        assert alone.cost.threads == 2 and "each rank has a device of its own" in str(alone)
    finally:
        torch.set_num_threads(before)


def test_wrong_arguments_are_refused_at_once():
    learn = classifier()
    with pytest.raises(ValueError, match=r"plan\(gpus=0\): the number of devices.*plan\(memory='much'\): the memory of a device: bytes"):
        learn.plan(gpus=0, memory="much")
    with pytest.raises(ValueError, match=r"plan\(bs=2\.5\).*plan\(bandwidth=-1\)"):
        learn.plan(bs=2.5, bandwidth=-1)


def test_what_to_do_where_it_does_not_fit():
    learn = classifier()
    plan = learn.plan(gpus=2, bs=160, memory=50_000, seconds=1)
    assert plan.best is None and "cbs=GradientAccumulation(160) steps as with 160" in plan.verdict
    most = int(re.search(r"with bs=(\d+) and", plan.verdict)[1])
    assert 8 <= most < 160
    learn = Learner(learn.dls.new(bs=most), learn.model, learn.loss_func, cbs=GradientAccumulation(160))
    smaller = learn.plan(gpus=2, memory=50_000, seconds=1)
    assert smaller.best is not None
    assert "not even one item fits" in learn.plan(gpus=2, memory=1000, seconds=1).verdict


@pytest.mark.slow
def test_training_needs_what_was_planned(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmarks_plan", BENCHMARK)
    spec.loader.exec_module(benchmark := importlib.util.module_from_spec(spec))
    monkeypatch.setattr(benchmark, "run", lambda ranks, *options: run_ranks(ranks, BENCHMARK, *options))
    args = argparse.Namespace(model="mlp", strategies="one device,ddp,fsdp2", ranks=2, epochs=2, quick=True, untimed=True)
    ratios = {(strategy, what): planned / measured for strategy, what, planned, measured in benchmark.rows_of(args)}
    for (strategy, what), ratio in ratios.items():
        if what == "memory":
            assert 1 <= ratio < 1.35, (strategy, ratio)
        else:
            assert ratio == pytest.approx(1, abs=0.01), (strategy, what)
    assert {strategy for strategy, _ in ratios} == {"one device", "ddp", "fsdp2"}
    assert {what for _, what in ratios} == {"weights", "gradients", "optimizer state", "memory", "sent"}
