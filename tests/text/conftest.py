"""Small texts of ids: sentences of words that follow one another in a fixed order, so that there is something to learn."""
import numpy as np
import pytest
import torch

from minifast.data.loaders import DataLoaders
from minifast.text.special import TEXT_SPEC_TOK
from minifast.text.vocabulary import Vocab

WORDS = Vocab([*TEXT_SPEC_TOK, *(f"word{i}" for i in range(15))])
SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}


class Pieces(torch.utils.data.Dataset):
    "Item i is a piece of row i % bs of a stream of ids, and the same one later: batches in order go on where the one before ended."

    def __init__(self, ids, bs, seq_len):
        length = (len(ids) - 1) // bs
        self.rows, self.bs, self.seq_len, self.n = [ids[r * length:(r + 1) * length + 1] for r in range(bs)], bs, seq_len, length // seq_len

    def __len__(self):
        return self.n * self.bs

    def __getitem__(self, i):
        if not 0 <= i < len(self):
            raise IndexError(i)
        piece = self.rows[i % self.bs][i // self.bs * self.seq_len:][:self.seq_len + 1]
        return piece[:-1], piece[1:]


@pytest.fixture
def lm_dls():
    stream = torch.from_numpy(9 + np.arange(4 * 6 * 3 + 1) % 15)
    pieces = Pieces(stream, bs=4, seq_len=6)
    dls = DataLoaders.from_dsets(pieces, pieces, bs=4, shuffle=False, drop_last=True, device="cpu", num_workers=0)
    dls.vocab = WORDS
    return dls


@pytest.fixture
def clas_dls():
    "Texts of the first words of the vocabulary, and texts of the last ones."
    rng, items = np.random.default_rng(0), []
    for i in range(16):
        ids, n = torch.ones(12, dtype=torch.int64), int(rng.integers(3, 9))
        ids[:n] = torch.from_numpy(rng.integers(9, 16, n) + i % 2 * 8)
        items.append((ids, torch.tensor(i % 2)))
    dls = DataLoaders.from_dsets(items, items, bs=8, device="cpu", num_workers=0)
    dls.vocab, dls.c = [WORDS, ["first", "last"]], 2
    return dls
