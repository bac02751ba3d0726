"""MixUp of texts: vectors of words are blended, whatever the order of the rows and the padding."""
import pytest
import torch

from minifast.callbacks.mix import Mix, MixUp
from minifast.callbacks.regularise import RNNCallback
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.models.heads import get_text_classifier, masked_concat_pool

#: Not in order of length; 1 is padding.
IDS = torch.tensor([[5, 6, 1, 1, 1, 1], [7, 8, 9, 5, 6, 1], [9, 1, 1, 1, 1, 1], [6, 5, 9, 8, 7, 9]])
PERM, LAM = torch.tensor([1, 2, 3, 0]), torch.tensor([0.75, 0.5, 0.625, 1.0])
NO_DROPOUT = {"output_p": 0.0, "hidden_p": 0.0, "input_p": 0.0, "embed_p": 0.0, "weight_p": 0.0}


class Known(MixUp):
    def draw(self, rng, n, size, device):
        return Mix(PERM, LAM)


def mixed(ids):
    "What the head reads of the blended batch, and the model."
    torch.manual_seed(0)
    model = get_text_classifier(AWD_LSTM, 10, 2, seq_len=2, config={"emb_sz": 4, "n_hid": 6, "n_layers": 2, **NO_DROPOUT})
    dls = DataLoaders.from_dsets(list(zip(ids, [0, 1, 0, 1], strict=True)), bs=4, shuffle=False, device="cpu", num_workers=0)
    learn, seen = Learner(dls, model, CrossEntropyLossFlat(), opt_func=torch.optim.SGD, lr=0.0, wd=0.0), []
    learn.logger = lambda row: None
    model[1].layers.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach()))
    with learn.no_bar():
        learn.fit(1, cbs=[RNNCallback(), Known()])
    return seen[0], model


def by_hand(model, ids):
    "Each pair alone: the vectors of its words, those of the shorter text filled up with 0, read by the layers one after the other."
    encoder, texts, made = model[0].module, [row[row != 1] for row in ids], []
    model.train()
    model.reset()
    for i in range(len(texts)):
        pair = [encoder.encoder(texts[i]), encoder.encoder(texts[PERM[i]])]
        n = max(map(len, pair))
        a, b = (torch.cat([v, v.new_zeros(n - len(v), v.shape[1])]) for v in pair)
        out = (LAM[i] * a + (1 - LAM[i]) * b)[None]
        for rnn in encoder.rnns:
            out = rnn(out)[0]
        made.append(masked_concat_pool(out, torch.zeros(1, n, dtype=torch.bool)))
    return torch.cat(made).detach()


@pytest.mark.parametrize("ids", [IDS, torch.cat([torch.ones(4, 3, dtype=torch.int64), IDS], 1)], ids=["right", "left"])
def test_each_text_is_blended_with_its_own_partner(ids):
    found, model = mixed(ids)
    assert torch.allclose(found, by_hand(model, IDS), atol=1e-6)
