"""What a language model writes: how tokens are chosen, and that one read at a time gives what reading all does."""
import pytest
import torch
from torch import nn

from minifast.text.generation import check_generation, choose_token, decode_spec_tokens, generate
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.models.heads import get_language_model

PROBS = torch.tensor([0.05, 0.4, 0.3, 0.2, 0.05])


def drawn(**how):
    return [choose_token(PROBS.log(), **how) for _ in range(400)]


@pytest.mark.parametrize("how, expected", [
    ({"top_k": 2}, {1, 2}), ({"top_p": 0.7}, {1, 2}), ({"top_p": 0.71}, {1, 2, 3}), ({"top_p": 0.01}, {1}), ({"min_p": 0.19}, {1, 2, 3}),
    ({"temperature": 0}, {1}), ({"temperature": 0.01}, {1}), ({"temperature": 2.0}, {0, 1, 2, 3, 4}), ({}, {0, 1, 2, 3, 4})])
def test_choosing(how, expected):
    assert set(drawn(**how)) == expected


def test_tokens_come_by_their_probabilities():
    counts = torch.bincount(torch.tensor(drawn() + drawn() + drawn()), minlength=5) / 1200
    torch.testing.assert_close(counts, PROBS, atol=0.06, rtol=0)
    flat = torch.bincount(torch.tensor(drawn(temperature=1e3)), minlength=5) / 400
    torch.testing.assert_close(flat, torch.full((5,), 0.2), atol=0.08, rtol=0)


def test_no_token_of_min_p():
    with pytest.warns(UserWarning, match="no token has a probability of min_p=0.9 or more.* write a smaller min_p"):
        choose_token(PROBS.log(), min_p=0.9)


class Whole(nn.Module):
    "The same model without a state: it reads all."

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids):
        self.model.reset()
        return self.model(ids)[0]


def test_reading_one_token_at_a_time_is_reading_all():
    model = get_language_model(AWD_LSTM, 20, {"emb_sz": 6, "n_hid": 9, "n_layers": 2}).eval()
    ids = torch.tensor([4, 7, 3])
    with torch.no_grad():
        written = generate(model, ids, 8, temperature=0)
        assert torch.equal(written, generate(Whole(model), ids, 8, temperature=0)) and torch.equal(written[:3], ids)
        never = int(written[3])
        assert never not in generate(model, ids, 30, never=[never], temperature=5.0)[3:].tolist()
        assert len(generate(model, ids, 0)) == 3 and model[0].hidden is None
        assert torch.equal(generate(model, ids, 4, only_last=True, temperature=0), generate(Last(model), ids, 4, temperature=0))


class Last(Whole):
    def forward(self, ids):
        return super().forward(ids[:, -1:])


def test_decode_spec_tokens():
    text = "xxbos xxmaj hello xxup usa xxrep 3 ! and xxwrep 2 so xxmaj the end xxrep oops xxup"
    assert " ".join(decode_spec_tokens(text.split())) == "xxbos Hello USA !!! and so so The end oops"


def test_refusals():
    check_generation(3, 0.5, 4, 0.9, 0.1)
    with pytest.raises(ValueError) as e:
        check_generation(-1, -0.1, 0, 0, 2)
    for name in ("n_words=-1", "temperature=-0.1", "top_k=0", "top_p=0", "min_p=2"):
        assert name in str(e.value)
