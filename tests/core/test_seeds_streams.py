"The global streams are seeded within a block as the public functions seed them, and are afterwards as they were, to the number."
import random

import numpy as np
import pytest
import torch

from minifast.core.seeds import seed_of, seeded_streams


def drawn(n=3):
    return [(random.random(), random.gauss(0, 1), float(np.random.randn()), int(np.random.randint(99)), float(torch.randn(())))
            for _ in range(n)]


def begun(seed, before):
    random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
    return drawn(before)


@pytest.mark.parametrize("before", [0, 1, 2, 700])
def test_streams_are_put_back_to_the_number(before):
    "With 1 a second normal number of Python's and numpy's is left over; 700 go past the end of the words."
    begun(3, before)
    expected = drawn()
    begun(3, before)
    for _ in range(2):
        with seeded_streams(seed_of(1, 2)):
            drawn(1)
    assert drawn() == expected


@pytest.mark.parametrize("words", ["MT19937", "PCG64"])
def test_a_number_that_numpy_keeps_is_told_from_the_same_words_without_one(words):
    "After one normal number of a pair, and after both, the words are the same."
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(getattr(np.random, words)(5))
    try:
        state = np.random.get_state(legacy=False)
        for n in (2, 1, 2, 1, 0, 1):
            np.random.set_state(state)
            np.random.randn(n)
            expected = np.random.get_state(legacy=False)
            assert expected["has_gauss"] == n % 2
            with seeded_streams(4):
                np.random.randn(3)
            found = np.random.get_state(legacy=False)
            assert str(found) == str(expected)
    finally:
        np.random.set_bit_generator(before)


def test_within_the_block_the_streams_are_those_of_the_seed():
    seed = seed_of(5, 6)
    begun(1, 1)
    with seeded_streams(seed):
        found = drawn()
    random.seed(seed), np.random.seed(seed % 2**32), torch.manual_seed(seed)
    assert found == drawn() and seed_of(5, 6) == seed != seed_of(5, 7) and 0 <= seed < 2**63


def test_an_error_and_another_bit_generator_within_the_block():
    begun(4, 1)
    expected = drawn()
    begun(4, 1)
    ours = np.random.get_bit_generator()
    with pytest.raises(KeyError), seeded_streams(1):
        np.random.set_bit_generator(np.random.MT19937(3))
        raise KeyError
    assert np.random.get_bit_generator() is ours and drawn() == expected


def test_blocks_within_blocks():
    begun(6, 1)
    expected = drawn()
    begun(6, 1)
    with seeded_streams(1):
        inner = drawn()
    with seeded_streams(1):
        assert drawn(1) == inner[:1]
        for before in (1, 2):
            with seeded_streams(2):
                drawn(before)
        assert drawn(2) == inner[1:]
    assert drawn() == expected
