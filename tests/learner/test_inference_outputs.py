"""Models whose output is not one tensor, or lacks the axis of the items: what predictions say, and that what they say works."""
import matplotlib
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.callbacks.base import Callback
from minifast.data.block import CategoryBlock, DataBlock, RegressionBlock, TransformBlock
from minifast.learner.learner import Learner
from minifast.learner.predictor import Predictor
from minifast.nn.losses import CrossEntropyLossFlat

matplotlib.use("Agg")
ITEMS = list(range(25))


def vector(i):
    return torch.tensor([i / 25, 1.0, 0.0, -i / 25])


def name(i):
    return "cat" if i % 2 else "dog"


def size(i):
    return ["big", "mid", "small"][i % 3]


class Packed(nn.Module):
    "Five outputs, packed by `pack`."

    def __init__(self, pack=None):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.pack = nn.Linear(4, 5), pack or heads

    def forward(self, x):
        return self.pack(self.net(x))


def heads(p):
    return p[:, :2], p[:, 2:]


def first(p):
    return p[:, :2]


def learner(pack, loss=None, targets=(CategoryBlock, CategoryBlock), **kwargs):
    getters = {CategoryBlock: name, RegressionBlock: float}
    get_y = [name, size] if len(targets) == 2 else [getters[targets[0]]]
    block = DataBlock((TransformBlock, *targets), n_inp=1, get_items=lambda _: ITEMS, get_x=vector, get_y=get_y,
                      splitter=lambda items: (ITEMS[:16], ITEMS[16:]))
    learn = Learner(block.dataloaders(ITEMS, bs=8, num_workers=0), Packed(pack), loss, **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


class TwoTargets:
    "What the message describes."

    def __call__(self, pred, a, b):
        return F.cross_entropy(pred[0], a) + F.cross_entropy(pred[1], b)

    def activation(self, pred):
        return tuple(p.softmax(1) for p in pred)

    def decodes(self, probs):
        return tuple(p.argmax(1) for p in probs)


def test_several_targets_are_predicted_shown_and_exported(tmp_path):
    learn = learner(heads, TwoTargets(), path=tmp_path)
    learn.fit(1)
    probs, targets, decoded = learn.get_preds(with_decoded=True)
    assert [len(o) for group in (probs, targets, decoded) for o in group] == [9] * 6
    for i in (16, 20):
        label, ids, p = learn.predict(i)
        assert label == (learn.dls.vocab[0][ids[0]], learn.dls.vocab[1][ids[1]])
        assert [tuple(o.shape) for o in p] == [(2,), (3,)]
        torch.testing.assert_close(p, tuple(o[i - 16] for o in probs))
        assert learn.predict(i, with_input=True)[1:3] == (label, ids)
    learn.show_results()
    learn.export("two.pkl")
    own = {o.__name__: o for o in (TwoTargets, Packed, heads, vector)}
    found = Predictor(tmp_path / "two.pkl", objects=own).predict([16, 20])
    assert [o.label for o in found] == [learn.predict(16)[0], learn.predict(20)[0]]
    torch.testing.assert_close(found[1].probs, p)


def dict_loss(p, y):
    return F.cross_entropy(p["out"], y)


def plain_loss(p, y):
    return F.cross_entropy(p, y)


def no_decoding(pred, a, b):
    return TwoTargets()(pred, a, b)


@pytest.mark.parametrize("call", [lambda learn: learn.predict(3), lambda learn: learn.predict(3, with_input=True),
                                  lambda learn: learn.show_results()], ids=["predict", "with input", "show"])
@pytest.mark.parametrize(("pack", "loss", "targets", "words"), [
    (lambda p: {"out": first(p)}, dict_loss, (CategoryBlock,), r"predictions dict of out=float32\[\d,2\].*loss dict_loss does not say how"),
    (heads, no_decoding, (CategoryBlock, CategoryBlock), r"predictions tuple of 2 .*loss no_decoding does not say how"),
    (first, plain_loss, (CategoryBlock,), r"predictions float32\[\d,2\].*loss plain_loss does not say how")])
def test_predictions_of_a_loss_that_does_not_say_how_to_read_them(pack, loss, targets, words, call):
    learn = learner(pack, loss, targets)
    learn.fit(1)
    with pytest.raises(TypeError, match=f"{words}.*`activation.pred.`.*`decodes.probs.`.*loss_func="):
        call(learn)
    assert learn.get_preds()[0] is not None                 # as the message says


@pytest.mark.parametrize("call", [lambda learn: learn.validate(), lambda learn: learn.get_preds(), lambda learn: learn.predict(3),
                                  lambda learn: learn.show_results()], ids=["validate", "get_preds", "predict", "show_results"])
def test_a_loss_of_one_tensor_refuses_a_dict_in_every_pass_and_the_callback_of_the_message_helps(call):
    with pytest.raises(TypeError, match=r"returned dict of out=.*CrossEntropyLossFlat takes one tensor.*cb.pred\['out'\]"):
        call(learner(lambda p: {"out": first(p)}, CrossEntropyLossFlat(), (CategoryBlock,)))
    pick = Callback(after_pred=lambda cb: setattr(cb.learn, "pred", cb.pred["out"]))
    assert call(learner(lambda p: {"out": first(p)}, CrossEntropyLossFlat(), (CategoryBlock,), cbs=pick)) is not None


@pytest.mark.parametrize("call", [lambda learn: learn.get_preds(), lambda learn: learn.get_preds(with_decoded=True),
                                  lambda learn: learn.predict(3)], ids=["get_preds", "decoded", "predict"])
def test_an_output_that_loses_the_axis_of_a_single_item_is_named_and_the_cure_works(call):
    with pytest.raises(ValueError, match=r"returned float32\[2\] on cpu for a batch of one item: a `squeeze\(\)`.*Write squeeze\(-1\)"):
        call(learner(lambda p: first(p).squeeze(), CrossEntropyLossFlat(), (CategoryBlock,)))
    learn = learner(lambda p: first(p).squeeze(-1), CrossEntropyLossFlat(), (CategoryBlock,))
    learn.fit(1)
    assert len(call(learn)[0]) in (9, 3)


def test_one_number_per_item_may_lose_it():
    learn = learner(lambda p: p[:, 0].squeeze(), None, (RegressionBlock,), metrics="rmse")
    learn.fit(1)
    preds, targets = learn.get_preds()
    expected = float((preds - targets.reshape(-1)).square().mean().sqrt())
    assert preds.shape == (9,) and learn.recorder.values[-1][-1] == pytest.approx(expected)
    assert learn.predict(24)[2].shape == ()


def test_a_number_is_no_answer_to_whether_the_input_is_wanted():
    "A language model of transformers predicts; that it does not write `n_words` on was said by nobody."
    learn = Learner(DataBlock(blocks=(TransformBlock, RegressionBlock), get_x=vector, get_y=float).dataloaders(ITEMS, bs=4),
                    nn.Linear(4, 1), default_cbs=False)
    with pytest.raises(TypeError, match=r"with_input=5\): with_input is True or False"):
        learn.predict(3, 5)
    assert len(learn.predict(3, True)) == len(learn.predict(3)) + 1
