"""Seeds and private random streams."""
import pickle
import random

import numpy as np
import pytest
import torch

from minifast.core.seeds import draw_seed, fixed_seed, item_rng, item_rngs, no_random, rng_state, set_rng_state, set_seed


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


@pytest.fixture(autouse=True)
def leave_no_trace():
    state, flags = rng_state(), (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    yield
    set_rng_state(state)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = flags


def test_set_seed_seeds_all_three():
    set_seed(3)
    first = draws()
    assert draws() != first
    set_seed(3)
    assert draws() == first
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    assert draws() == first


def test_set_seed_takes_large_seeds():
    set_seed(2**40 + 1)
    first = draws()
    set_seed(2**40 + 1)
    assert draws() == first


def test_reproducible_sets_the_flags_of_cudnn():
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, True
    set_seed(1)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)
    set_seed(1, reproducible=True)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (True, False)


def test_state_comes_back():
    state = rng_state()
    first = draws()
    set_rng_state(state)
    assert draws() == first


def test_the_state_of_a_machine_with_more_accelerators(monkeypatch):
    put_back = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", put_back.extend)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    set_rng_state({**rng_state(), "cuda": ["first", "second"], "mps": "another kind"})
    assert put_back == ["first"]


def test_fixed_seed_leaves_the_streams_where_they_were():
    set_seed(0)
    expected = [draws(), draws()]
    set_seed(0)
    seen = [draws()]
    with fixed_seed(5):
        inside = draws()
    seen.append(draws())
    assert seen == expected
    with fixed_seed(5):
        assert draws() == inside


def test_fixed_seed_restores_after_an_error():
    flags = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    state = torch.get_rng_state()
    with pytest.raises(KeyError), fixed_seed(5, reproducible=True):
        torch.rand(1)
        raise KeyError
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == flags


def test_fixed_seed_none_only_puts_back():
    set_seed(0)
    first = draws()
    set_seed(0)
    with fixed_seed():
        assert draws() == first
    assert draws() == first


def test_no_random_is_seeded():
    with no_random():
        first = draws()
        assert torch.backends.cudnn.deterministic
    with no_random():
        assert draws() == first


def test_draw_seed_follows_set_seed():
    set_seed(9)
    seeds = [draw_seed() for _ in range(100)]
    set_seed(9)
    assert seeds == [draw_seed() for _ in range(100)]
    assert len(set(seeds)) == 100 and all(0 <= s < 2**63 for s in seeds) and max(seeds) > 2**55


def test_item_rng_is_a_pure_function_of_its_key_and_private():
    state = rng_state()
    a = item_rng(2**62, 7).random(4)
    assert (item_rng(2**62, 7).random(4) == a).all()
    assert torch.equal(rng_state()["torch"], state["torch"]) and random.getstate() == state["random"]
    assert (np.random.get_state()[1] == state["numpy"][1]).all()
    others = [item_rng(2**62, 8), item_rng(2**62 + 1, 7), item_rng(7, 2**62)]
    assert all((o.random(4) != a).all() for o in others)


def test_neighbouring_items_are_uncorrelated():
    x = np.stack([item_rng(123, i).random(2) for i in range(4000)])
    assert abs(x.mean() - 0.5) < 0.02 and abs(x.var() - 1 / 12) < 0.005
    assert abs(np.corrcoef(x[:-1, 0], x[1:, 0])[0, 1]) < 0.05


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**62 + 12345, 2**64 - 1, 2**64, 2**90 + 1])
def test_generators_for_many_items_are_those_for_each(seed):
    indices = [0, 1, 2, 31, 2**31, 2**32 - 1, 2**32, 2**40]
    for some in (indices[:6], indices[:5], indices, [], [3]):
        many = item_rngs(seed, some)
        assert [r.integers(2**63, size=3).tolist() for r in many] == [item_rng(seed, i).integers(2**63, size=3).tolist() for i in some]
    ours, numpys = item_rngs(seed, [3, *range(9)])[0], item_rng(seed, 3)
    assert [r.random() for r in ours.spawn(2)] == [r.random() for r in numpys.spawn(2)]
    ours, numpys = ours.bit_generator.seed_seq, numpys.bit_generator.seed_seq
    assert ours.entropy == numpys.entropy and ours.generate_state(5).tolist() == numpys.generate_state(5).tolist()
    assert np.random.default_rng(ours).random() == np.random.default_rng(numpys).random()
    copied = pickle.loads(pickle.dumps(item_rngs(seed, [7, *range(9)])[0]))
    assert copied.random() == item_rng(seed, 7).random()
