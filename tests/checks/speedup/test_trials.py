"How trials are timed and compared."
import math
import time

import pytest
from slow_nets import Net, learner

from minifast.checks.speedup.trials import Block, Ratio, Trial, compare, differ, steps_for
from minifast.core.seeds import fixed_seed
from minifast.learner.inference import Batches


def twin_of(model):
    return learner(model).twin()


def trial(model, n=8, **kw):
    twin = twin_of(model)
    return Trial(twin, Batches([twin.dls.train.one_batch()] * n), **kw)


def test_a_block_is_timed_without_its_warm_up():
    calls = []

    def slow(x):
        calls.append(1)
        return 0.2 if len(calls) == 1 else 0.02

    block = trial(Net(slow)).run(3, 1)
    assert len(calls) == len(block.losses) == 4 and 0.02 <= block.step < 0.15 and block.total > 0.25


def test_weights_stay_where_they_are():
    one = trial(Net())
    first, second = one.run(3, 1).losses, one.run(3, 1).losses
    assert first == pytest.approx(second, rel=1e-5)


def test_waiting_for_data_is_told_from_the_model():
    class Late(Batches):
        def __iter__(self):
            for b in list.__iter__(self):
                time.sleep(0.03)
                yield b

    twin = twin_of(Net(lambda x: 0.01))
    block = Trial(twin, Late([twin.dls.train.one_batch()] * 8)).run(4, 1)
    assert 0.03 <= block.wait < block.step and block.step - block.wait >= 0.01


def test_the_end_ends_a_block():
    began = time.perf_counter()
    block = trial(Net(lambda x: 0.1), n=50).run(40, 1, end=began + 0.3)
    assert time.perf_counter() - began < 3 and len(block.losses) < 40


def test_validation_passes_are_timed_too():
    one = trial(Net(lambda x: 0.01), training=False)
    block = one.run(3, 1)
    assert block.step >= 0.01 and len(block.losses) == 4 and one.learn.opt is None


def test_trials_take_turns_and_failures_are_kept():
    def broken(x, out):
        raise ValueError("broken")

    trials = {"base": trial(Net(lambda x: 0.02)), "fast": trial(Net(lambda x: 0.005)), "broken": trial(Net(twist=broken))}
    with fixed_seed(0):
        found = compare(trials, 2, time.perf_counter() + 30, rounds=4)
    assert found.failed == {"broken": "ValueError: broken"} and len(found.steps["base"]) == len(found.steps["fast"]) == 4
    assert found.ratio("fast", "base").is_faster and not found.ratio("fast", "base").is_slower
    assert found.seconds("base") > found.seconds("fast")


def test_without_time_there_are_only_first_blocks():
    trials = {"base": trial(Net(lambda x: 0.02)), "fast": trial(Net())}
    found = compare(trials, 2, time.perf_counter())
    assert found.steps["base"] == [] and "fast" in found.failed and found.seconds("base") >= 0.02


@pytest.mark.parametrize("ratios, faster, slower", [
    ([1.5, 1.4, 1.6], True, False), ([0.7, 0.8, 0.6], False, True), ([1.5, 0.9, 1.2], False, False), ([1.01, 1.02, 1.01], False, False),
    ([1.3, 1.4], True, False), ([1.1, 1.1], False, False), ([1.04, 1.05, 1.04], False, False),
    ([1.05] * 6, True, False), ([2.0], False, False),
    ([1.2, 1.2, 1.3, 1.2, 1.2, 0.5, 1.3, 1.2], True, False)])
def test_what_is_beyond_the_noise(ratios, faster, slower):
    assert (Ratio.of(ratios).is_faster, Ratio.of(ratios).is_slower) == (faster, slower)


def test_ratio_of_items():
    assert Ratio(0.5, 0.4, 0.6, 5).per_item(2) == Ratio(1.0, 0.8, 1.2, 5)


def test_losses_that_differ():
    assert differ([1.0, 2.0], [1.0, 2.0]) == 0 and differ([1.1, 2.0], [1.0, 2.0]) == pytest.approx(0.1 / 3)
    assert differ([math.nan, 2.0], [1.0, 2.0]) == differ([math.inf], [1.0]) == math.inf
    assert differ([1e-9], [2e-9]) < 1e-5                    # both have nothing left to learn


def test_steps_of_a_block():
    assert (steps_for(0.001), steps_for(0.03), steps_for(5.0)) == (60, 4, 1) and isinstance(Block(1, 0, [], 1).total, int)
