"""Models of tokens: what the targets are of the inputs, looking ahead, a state between batches, and what is silent about healthy ones."""
import pytest
import torch
from torch import nn
from zoo import Model, loaders
from zoo_texts import bag_of_words, learner, lm_learner, review_loaders, reviews, text_learner, tiny_learner

from minifast.checks.check_learner import CHECKS
from minifast.checks.data.batches import augmented_validation
from minifast.checks.learner.dependency import shift_of_targets, state_between_batches
from minifast.checks.learner.evaluation import consistent_predictions
from minifast.checks.learner.initial_loss import initial_loss
from minifast.checks.learner.outputs import final_activation
from minifast.checks.learner.overfit_batch import overfit_one_batch
from minifast.checks.learner.updates import gradient_scale
from minifast.checks.report import run
from minifast.learner.probe import probing

IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 4, 5, 2, 3], [3, 3, 8, 6, 1]])


@pytest.mark.parametrize(("y", "shift"), [
    (IDS, 0),
    (torch.cat([IDS[:, 1:], torch.full((3, 1), 30)], 1), 1),
    (torch.cat([IDS[:, 1:], torch.full((3, 1), -100)], 1), 1),
    (torch.cat([torch.full((3, 1), 30), IDS[:, :-1]], 1), -1),
    (torch.where(IDS > 7, IDS, -100), None),                    # masked: too few to tell
    (IDS.flip(0), None),
    (IDS[:, :3], None),
    (IDS[:, 0], None),
])
def test_what_the_targets_are_of_the_inputs(y, shift):
    assert shift_of_targets(IDS, y) == shift


def checked(learn, code):
    with probing(learn) as probe:
        return run([e._replace(needs=()) for e in CHECKS if e.code == code], probe)[code]


def windows(shift, bidirectional=False):
    x = torch.randint(2, 30, (60, 13), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model = Model(lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(30, 8), head=nn.Linear(8 + 8 * bidirectional, 30),
                  rnn=nn.GRU(8, 8, batch_first=True, bidirectional=bidirectional))
    return learner(loaders(x[:, 1:] if shift < 0 else x[:, :-1], x[:, 1:] if shift > 0 else x[:, :-1], n_train=40), model)


@pytest.mark.parametrize(("shift", "bidirectional", "in_inputs", "ahead"), [
    (1, False, "pass", "pass"), (1, True, "pass", "issue"), (0, False, "issue", "not applicable"), (-1, False, "issue", "not applicable")])
def test_targets_of_windows(shift, bidirectional, in_inputs, ahead):
    learn = windows(shift, bidirectional)
    assert checked(learn, "MF113").verdict == in_inputs and checked(learn, "MF202").verdict == ahead
    assert checked(learn, "MF203").verdict == "not applicable"


def test_a_state_that_goes_on_with_the_texts_is_meant():
    result = checked(lm_learner(), "MF203")
    assert result.verdict == "pass" and "goes on where the one before ended" in result.found and result.evidence["change"] > 1e-3
    learn = lm_learner()
    shuffled = [next(iter(learn.dls.train))] * 2
    with probing(learn) as probe:
        probe.steps = lambda n: [probe.step_of(b) for b in shuffled]          # the same batch again: no text goes on
        assert state_between_batches(probe).verdict == "issue"


@pytest.mark.parametrize("make", [lambda: text_learner(review_loaders(reviews(60))), lambda: tiny_learner("bert", reviews(60, 4, 9)),
                                  lambda: tiny_learner("gpt2", reviews(60, 4, 9))], ids=["awd-lstm", "bert", "gpt2"])
def test_ids_have_no_size_and_sorted_texts_another_order(make):
    with probing(make()) as probe:
        for check in (final_activation, gradient_scale, consistent_predictions):
            assert check(probe).verdict == "pass", check(probe)


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.Softmax(-1)])
def test_an_activation_after_ids_is_found(last):
    dls = review_loaders(reviews(60))
    with probing(learner(dls, nn.Sequential(bag_of_words(dls), last))) as probe:
        assert final_activation(probe).verdict == "issue"


def test_outputs_between_0_and_1_by_chance():
    dls = review_loaders(reviews(60))
    model = bag_of_words(dls)
    with torch.no_grad():
        model.head.bias.fill_(0.5)
        model.head.weight.mul_(1e-2)
    with probing(learner(dls, model)) as probe:
        assert float(probe.pred.min()) > 0 and float(probe.pred.max()) < 1 and final_activation(probe).verdict == "pass"


def test_padding_that_the_model_reads():
    dls = review_loaders(reviews(60))
    with probing(learner(dls, bag_of_words(dls, masked=False))) as probe:
        result = consistent_predictions(probe)
    assert result.verdict == "issue" and "predict and get_preds differ" in result.found


def test_batches_of_several_widths_and_masks_that_are_drawn():
    from tiny_transformers import wordpiece
    from transformers import BertConfig, BertForMaskedLM

    from minifast.text.all import TransformersDataLoaders, transformers_learner
    tokenizer = wordpiece()
    dls = TransformersDataLoaders.from_df(reviews(80, 4, 12), tokenizer, "text", valid_col="valid", task="mlm", bs=8, max_len=100)
    config = BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    learn = transformers_learner(dls, BertForMaskedLM(config))
    with probing(learn) as probe:
        assert len({s.y.shape[1] for s in probe.steps(4)}) > 1
        result = initial_loss(probe)
        assert result.verdict == "pass" and result.evidence["same_probability"] == pytest.approx(torch.tensor(len(tokenizer)).log().item())
    report = run([e for e in CHECKS if e.function is augmented_validation], probe)
    assert report["MF833"].verdict == "not applicable" and "drawn at random" in report["MF833"].found


def test_dropout_of_any_name_is_off_while_a_batch_is_overfitted():
    learn = lm_learner(drop_mult=1.5)
    with probing(learn, fast=True) as probe:
        probe.twin.lr = 1e-2
        result = overfit_one_batch(probe)
        inside = [m.training for m in probe.model.modules() if type(m).__name__ == "LSTM"]
    assert result.verdict == "pass", result
    assert inside == [True]
