"""Cases that once went wrong without a word: each trains or refuses."""
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Sampler, SubsetRandomSampler, TensorDataset

from minifast.callbacks.base import Callback, CancelBatchException, CancelEpochException, CancelStepException, Order
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.progress import ProgressCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.transforms import RandTransform, Transform
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim.optimizers import SGD


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 3))


def body_head(m):
    return [list(part.parameters()) for part in m]


def dataset(n=24):
    g = torch.Generator().manual_seed(1)
    return TensorDataset(torch.randn(n, 4, generator=g), torch.arange(n) % 3)


def make(dls=None, **kwargs):
    dls = dls or DataLoaders(DataLoader(dataset(), bs=8, shuffle=True), DataLoader(dataset(), bs=8))
    learn = Learner(dls, net(), CrossEntropyLossFlat(), **{"splitter": body_head, **kwargs})
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    return learn


class Shift(Transform):
    "A stand-in for the normalisation of pretrained weights."

    def encodes(self, x: torch.Tensor):
        return x + 10 if x.is_floating_point() else x


def test_the_models_own_transforms_reach_every_loader():
    dls = DataLoaders(DataLoader(dataset(), bs=8), DataLoader(dataset(), bs=8))
    learn = make(dls, batch_tfms=Shift())
    assert len(dls.train.after_batch) == 0                        # the caller's loaders stay as they are
    expected = learn.get_preds()[0]
    assert not torch.allclose(expected, make(dls).get_preds()[0])
    for dl in (dls.valid, dls.test_dl(dataset()), DataLoader(dataset(), bs=5)):
        torch.testing.assert_close(learn.get_preds(dl=dl)[0], expected)
    assert learn.validate(dl=dls.valid) == pytest.approx(learn.validate())
    learn.dls = DataLoaders(DataLoader(dataset(), bs=4), DataLoader(dataset(), bs=4))          # such as at another size
    torch.testing.assert_close(learn.get_preds()[0], expected)


def test_a_new_optimizer_knows_what_was_frozen_here():
    for thaw in (lambda learn: learn.fine_tune(1, reset_opt=True), lambda learn: (learn.freeze(), learn.create_opt(), learn.unfreeze())):
        learn = make()
        thaw(learn)
        assert all(p.requires_grad for p in learn.model.parameters())


@pytest.mark.parametrize("kind", [TorchDataLoader, DataLoader])
def test_a_subset_stays_a_subset(kind):
    chosen = [7, 3, 11, 2]
    dl = kind(dataset(), batch_size=3, sampler=SubsetRandomSampler(chosen))
    learn = make(DataLoaders(DataLoader(dataset(), bs=8), dl))
    preds, targs = learn.get_preds()
    assert targs.tolist() == [i % 3 for i in sorted(chosen)] and len(preds) == 4


def test_a_sampler_of_the_users_own_may_name_its_methods_as_it_likes():
    class Twice(Sampler):
        def indices(self):
            return [*range(24)] * 2

        def __iter__(self):
            return iter(self.indices())

        def __len__(self):
            return 48

    learn = make(DataLoaders(DataLoader(dataset(), bs=8), TorchDataLoader(dataset(), 8, sampler=Twice())))
    assert len(learn.get_preds()[0]) == 48


def test_torch_loader_that_drops_its_tail_predicts_every_item():
    learn = make(DataLoaders(DataLoader(dataset(), bs=8), TorchDataLoader(dataset(), 7, drop_last=True)))
    assert len(learn.get_preds()[0]) == 24


class Noise(RandTransform):
    def draw(self, sample, rng, split_idx):
        return {"k": float(rng.random())}

    def encodes(self, x: torch.Tensor, k):
        return x + k if x.is_floating_point() else x


@pytest.mark.parametrize("seed", [None, 3])
def test_every_pass_of_tta_is_augmented_differently(seed, monkeypatch):
    train, valid = (DataLoader(dataset(), bs=8, after_batch=Noise(), split_idx=i, seed=seed) for i in (0, 1))
    learn = make(DataLoaders(train, valid))
    seen = []
    learn.add_cb(Callback(before_batch=lambda: seen.append(float(learn.x.sum()))))
    (_, plain), _ = learn.tta(n=3, beta=None)
    assert len({round(v, 4) for v in seen[0:9:3]}) == 3
    torch.testing.assert_close(plain, learn.get_preds()[0])
    torch.testing.assert_close(learn.get_preds(ds_idx=0)[0], learn.get_preds(ds_idx=1)[0])      # no augmentation on training items


def test_tta_weighs_by_the_published_formula(monkeypatch):
    train, valid = (DataLoader(dataset(), bs=8, after_batch=Noise(), split_idx=i) for i in (0, 1))
    learn = make(DataLoaders(train, valid))
    for beta in (0.25, None):
        torch.manual_seed(4)
        result = learn.tta(beta=beta)
        if beta:
            mixed = result[0]
    (augmented, plain), _ = result
    torch.testing.assert_close(mixed, 0.25 * plain + 0.75 * augmented)


def test_gradients_of_an_interrupted_batch_do_not_come_back():
    learn = make()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(before_step=interrupt))
    learn.freeze()
    before = learn.model[0][0].weight.clone()
    learn.fit(1, 1e-1)
    assert torch.equal(before, learn.model[0][0].weight)


def test_validating_on_the_training_set_is_without_augmentation():
    train, valid = (DataLoader(dataset(), bs=8, shuffle=i == 0, after_batch=Noise(), split_idx=i) for i in (0, 1))
    learn = make(DataLoaders(train, valid))
    assert learn.validate(0) == pytest.approx(learn.validate(0)) == learn.validate(1)


def test_predictions_are_full_precision():
    learn = make().to_bf16()
    preds, _ = learn.get_preds()
    assert preds.dtype == torch.float32 and preds.numpy().shape == (24, 3)


def test_cancelling_an_epoch_keeps_its_record():
    def stop():
        if learn.training and learn.iter == 1:
            raise CancelEpochException
    learn = make()
    learn.fit(2, cbs=Callback(after_batch=stop))
    assert learn.recorder.iters == [1, 2]                 # losses recorded: none of the batch that raised
    assert len(learn.recorder.values) == 2 and learn.recorder.values[0][1] is None


def test_an_optimizer_that_makes_its_own_groups():
    learn = make(opt_func=lambda groups, lr: torch.optim.SGD([p for g in groups for p in g["params"]], lr=lr))
    before = [p.detach().clone() for p in learn.model.parameters()]
    learn.fit(1)
    assert len(learn.opt.param_groups) == 1
    assert not all(torch.equal(p, old) for p, old in zip(learn.model.parameters(), before, strict=True))


def test_a_callback_switched_off_stays_off_until_a_fit_ends():
    class Count(Callback):
        n = 0

        def before_batch(self):
            self.n += 1
    learn = make(cbs=Count())
    learn.count.run = False
    learn.validate()
    learn.fit(1)
    assert learn.count.n == 0
    learn.fit(1)
    assert learn.count.n == 6


def test_a_refused_file_changes_nothing(tmp_path):
    learn, other = make(path=tmp_path), make(path=tmp_path)
    other.model = nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 5))
    nn.init.constant_(other.model[0][0].weight, 7)
    other.save("five", with_opt=False)
    before = [p.clone() for p in learn.model.parameters()]
    with pytest.raises(ValueError, match="do not fit"):
        learn.load("five")
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    with pytest.warns(UserWarning, match="only in part"):
        learn.load("five", strict=False)
    assert float(learn.model[0][0].weight[0, 0].detach()) == 7


def test_an_optimizer_state_of_other_shapes_is_refused(tmp_path):
    learn, other = make(path=tmp_path), make(path=tmp_path)
    other.model = nn.Sequential(other.model[0], nn.Linear(8, 5))
    other.create_opt()
    for p in other.model.parameters():
        p.grad = torch.ones_like(p)
    other.opt.step()
    other.opt.param_groups[0]["swa_lr"] = 0.1                    # as torch's SWALR leaves it
    other.save("five")
    with pytest.raises(ValueError, match=r"exp_avg of parameter \d is float32\[5,8\].*, the parameter float32\[3,8"):
        learn.load("five", strict=False)
    other.load("five")


def test_a_batch_without_a_target():
    with pytest.raises(ValueError, match=r"no target to train on.*n_inp="):
        make(DataLoaders(DataLoader(TensorDataset(torch.randn(8, 4)), bs=4))).fit(1)


def test_class_weights_follow_the_model():
    loss = CrossEntropyLossFlat(weight=torch.tensor([1.0, 2.0, 3.0]))
    dls = DataLoaders(DataLoader(dataset(), bs=8), DataLoader(dataset(), bs=8))
    learn = Learner(dls, net(), loss)
    moved = []
    loss.to = lambda device: moved.append(device)
    learn.to_device()
    assert moved == [torch.device("cpu")]


def test_moms_none_leaves_momentum_alone():
    learn = make(moms=None)
    learn.fit_one_cycle(1, 1e-2)
    assert list(learn.recorder.hps) == ["lr"]


# -- fp16 with a scaler, here on the CPU where it can be run ---------------------------------------------------------------------------
@pytest.fixture
def half():
    cb = MixedPrecision("fp16", init_scale=8.0)
    cb.works_on = lambda device: True
    return cb


def test_scaled_training_moves_the_weights_as_unscaled_does(half):
    plain, scaled = make(opt_func=SGD), make(opt_func=SGD, cbs=half)
    half.dtype = torch.float32                     # the scaling alone
    half.forward_context = nullcontext
    for learn in (plain, scaled):
        torch.manual_seed(3)
        learn.fit(1, 1e-1)
    assert half.scaler.get_scale() == 8.0 and half.skipped_steps == 0
    for a, b in zip(plain.model.parameters(), scaled.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert plain.recorder.raw_losses == pytest.approx(scaled.recorder.raw_losses)


def test_other_callbacks_hear_before_step_and_see_true_gradients(half):
    class Clip(Callback):
        order = Order.GRADS + 1

        def before_step(self):
            norms.append(float(nn.utils.clip_grad_norm_(self.model.parameters(), 1e9)))
    norms = []
    learn = make(cbs=[half, Clip()])
    learn.fit(1)
    assert len(norms) == 3 and max(norms) < 20


@pytest.mark.parametrize("error", [CancelStepException, KeyboardInterrupt])
def test_the_scaler_survives_cancelling_and_interruption(half, error):
    def stop():
        if learn.iter == 1:
            raise error

    class Late(Callback):
        order = Order.GRADS + 5

    learn = make(cbs=half)
    late = Late()
    late.before_step = stop
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            learn.fit(1, cbs=late)
    else:
        learn.fit(1, cbs=late)
    learn.fit(1)


def test_overflowed_steps_are_skipped_and_counted(half):
    learn = make(cbs=[half, Callback(after_backward=lambda: learn.model[1].weight.grad.fill_(float("inf")))])
    before = learn.model[1].weight.clone()
    learn.fit(1)
    assert half.skipped_steps == 3 and torch.equal(before, learn.model[1].weight)


def test_accumulating_after_unscaling_is_refused(half):
    class Accumulate(Callback):
        order = Order.GRADS + 1

        def before_step(self):
            raise CancelBatchException
    with pytest.raises(RuntimeError, match=r"below Order\.GRADS"):
        make(cbs=[half, Accumulate()]).fit(1)


def test_a_learner_without_any_callback_trains():
    learn = Learner(DataLoaders(DataLoader(dataset(), bs=8)), net(), CrossEntropyLossFlat(), default_cbs=False)
    before = learn.model[1].weight.clone()
    learn.fit(1, 0.1)
    assert learn.cbs == [] and not torch.equal(before, learn.model[1].weight)


def test_an_optimizer_with_its_own_zero_grad_is_asked():
    class Counting(torch.optim.SGD):
        asked = 0

        def zero_grad(self, set_to_none=True):
            Counting.asked += 1
            super().zero_grad(set_to_none)

    make(opt_func=Counting, cbs=None).fit(1)
    assert Counting.asked == 3 + 1                     # each batch, and before the fit
    learn = make()
    learn.fit(1)
    assert all(p.grad is None for p in learn.model.parameters())


def test_results_of_other_items_each_time():
    import matplotlib
    matplotlib.use("agg")
    from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
    block = DataBlock((TransformBlock(), TransformBlock(), CategoryBlock()), n_inp=2, get_items=lambda n: list(range(n)),
                      getters=[lambda i: torch.full((3, 4, 4), i / 40), lambda i: torch.tensor([float(i)]), lambda i: "ab"[i % 2]])

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(1, 2)

        def forward(self, x, z):
            return self.lin(z)

    learn = Learner(block.dataloaders(40, bs=4, num_workers=0), Two())
    with learn.no_bar():
        for _ in range(2):
            learn.show_results(max_n=2)                # two inputs: both are passed to the model, both are drawn
    assert learn._shown == 1
