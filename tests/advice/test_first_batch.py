"What the messages about the first batch of a fit say to write."
import numpy as np
import pytest
import torch.nn.functional as F
from suggestions import told
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset
from workshop import images, learner

from minifast.vision.all import *

X = torch.linspace(-1, 1, 80).view(20, 4)
IDS, YES, NUMBERS = torch.arange(20) % 3, torch.arange(20) % 2, torch.arange(20) * 0.7 - 3
HOT, TAGS = F.one_hot(IDS, 3), torch.arange(60).view(20, 3) % 2


def of(y, n_out=3, loss=None, x=X, end=None, model=None, **kwargs):
    "A learner of rows of four numbers and the targets `y`."
    dls = DataLoaders(DataLoader(TensorDataset(x, y), bs=5, shuffle=False), DataLoader(TensorDataset(x, y), bs=5))
    net = model or nn.Linear(4, n_out)
    return learner(nn.Sequential(net, end) if end is not None else net, dls, loss, **kwargs)


def fit(*args, **kwargs):
    "One epoch of training and validation."
    learn = of(*args, **kwargs)
    learn.fit(1)
    assert np.isfinite(learn.recorder.values[-1][:2]).all()
    return learn


def of_images(block, y, n_out=2, loss=None, **kwargs):
    return learner(nn.Sequential(nn.Flatten(), nn.Linear(192, n_out)), images(block, y, **kwargs), loss)


# -- inputs ----------------------------------------------------------------------------------------------------------------------------
def test_numbers_that_are_missing():
    x = X.clone()
    x[:, 0] = float("nan")
    with told("callbacks/first_batch.py", "remove or fill them, and check the transform that produced them"):
        fit(IDS, x=x)
    fit(IDS, x=x[:, 1:], model=nn.Linear(3, 3))                        # remove them
    fit(IDS, x=x.nan_to_num(0))                                        # or fill them


def normed(bs, n=21, loader=DataLoader, **kwargs):
    x = X.repeat(2, 1)[:n]
    data = TensorDataset(x, torch.arange(n) % 3)
    dls = DataLoaders(loader(data, bs, shuffle=True, **kwargs), loader(data, 5))
    return learner(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)), dls)


def test_batch_norm_on_one_item():
    for loader in (DataLoader, TorchLoader):
        with told("callbacks/first_batch.py", "cannot train on one item, and … (n=…, bs=…): ", "take another batch size, such as bs=…",
                  ", or drop_last=True"):
            normed(5, loader=loader, drop_last=False).fit(1)
        normed(6, loader=loader, drop_last=False).fit(1)
        normed(5, loader=loader, drop_last=True).fit(1)
    for n in (20, 21):                                                 # of which bs=2 leaves one
        with told("callbacks/first_batch.py", "take another batch size, such as bs=…"):
            normed(1, n, TorchLoader).fit(1)
        with pytest.raises(ValueError, match=f"such as bs={n - 18}\\n"):
            normed(1, n, TorchLoader).fit(1)
        normed(n - 18, n, TorchLoader).fit(1)
    with told("callbacks/first_batch.py", "give more items to train on"):
        normed(4, 1, TorchLoader).fit(1)
    normed(4, 2, TorchLoader).fit(1)


# -- targets that are not there, or of another kind ------------------------------------------------------------------------------------
def test_batches_without_a_target():
    def loaders(*parts, **kwargs):
        return DataLoaders(*[DataLoader(TensorDataset(*parts), bs=5, **kwargs) for _ in range(2)])

    with told("callbacks/first_batch.py", "Give the loader pairs (input, target), or n_inp=, the number of elements that are inputs"):
        learner(dls=loaders(X)).fit(1)
    learner(dls=loaders(X, IDS)).fit(1)
    with told("callbacks/first_batch.py", "or n_inp=, the number of elements that are inputs"):
        learner(Pairs(), loaders(X, X, IDS, n_inp=3)).fit(1)
    learner(Pairs(), loaders(X, X, IDS, n_inp=2)).fit(1)


def test_a_single_class():
    with told("callbacks/first_batch.py",
              "the data has a single class, …: there is nothing to tell apart. Give items of two classes or more",
              "or name the others, vocab=[…, ...]"):
        of_images(CategoryBlock, lambda i: "cat", n_out=1).fit(1)
    dls = images(CategoryBlock, lambda i: "cat" if i % 2 else "dog")
    assert dls.c == 2
    of_images(CategoryBlock, lambda i: "cat" if i % 2 else "dog").fit(1)
    of_images(CategoryBlock(vocab=["cat", "dog"]), lambda i: "cat").fit(1)


def test_classes_from_a_single_output():
    with told("callbacks/first_batch.py", "its loss is always 0. …", ", or use BCEWithLogitsLossFlat() for one logit."):
        fit(YES, 1)
    fit(YES, 2)
    fit(YES, 1, BCEWithLogitsLossFlat())
    with told("callbacks/first_batch.py", "but the model has a single output (predictions …): its loss is always 0. …"):
        fit(IDS, 1)
    fit(IDS, 3)
    with told("callbacks/first_batch.py", "Use BCEWithLogitsLossFlat() for one logit."):
        fit(YES[:, None].float(), 1)
    fit(YES[:, None].float(), 1, BCEWithLogitsLossFlat())
    with told("callbacks/first_batch.py", "To predict a number use MSELossFlat()."):
        fit(NUMBERS[:, None], 1)
    fit(NUMBERS[:, None], 1, MSELossFlat())


def test_class_ids():
    for loss in (nn.CrossEntropyLoss(), F.cross_entropy):
        with told("callbacks/first_batch.py", "takes class ids as int64, received targets …: write y.long(), or CrossEntropyLossFlat()."):
            fit(IDS.int(), loss=loss)
        fit(IDS.int().long(), loss=loss)
        fit(IDS.int(), loss=CrossEntropyLossFlat())
    with told("callbacks/first_batch.py", "your model has n_out=… outputs but a target is …: write n_out=…"):
        fit(IDS, n_out=2)
    fit(IDS, n_out=3)
    with told("callbacks/first_batch.py", "takes class ids (int64), received targets … for predictions …. For categories write y.long()"):
        fit(IDS.float())
    fit(IDS.float().long())
    with told("callbacks/first_batch.py", "or use a CategoryBlock; to predict a number use MSELossFlat(), a RegressionBlock and n_out=1."):
        of_images(RegressionBlock, lambda i: i % 2, loss=CrossEntropyLossFlat()).fit(1)
    of_images(CategoryBlock, lambda i: i % 2, loss=CrossEntropyLossFlat()).fit(1)
    of_images(RegressionBlock, lambda i: i % 2, n_out=1, loss=MSELossFlat()).fit(1)


def test_one_number_per_class():
    with told("callbacks/first_batch.py", "takes class ids (int64), received one number per class (…): write y.argmax(…)."):
        fit(HOT.float(), loss=nn.NLLLoss(), end=nn.LogSoftmax(1))
    fit(HOT.float().argmax(1), loss=nn.NLLLoss(), end=nn.LogSoftmax(1))
    with told("callbacks/first_batch.py", "For several labels per item use BCEWithLogitsLossFlat()."):
        fit(TAGS.float())
    fit(TAGS.float(), loss=BCEWithLogitsLossFlat())
    with told("callbacks/first_batch.py",
              "For one-hot targets write y.argmax(…); for several labels per item use BCEWithLogitsLossFlat()."):
        fit(HOT)
    fit(HOT.argmax(1))
    fit(TAGS, loss=BCEWithLogitsLossFlat())


def test_shapes_of_classes():
    x, masks = X.repeat(1, 3).view(20, 3, 2, 2), YES[:, None, None].repeat(1, 2, 2)
    with told("callbacks/first_batch.py", "For masks write CrossEntropyLossFlat(axis=1)."):
        fit(masks, x=x, model=nn.Conv2d(3, 3, 1), loss=CrossEntropyLossFlat())
    fit(masks, x=x, model=nn.Conv2d(3, 3, 1), loss=CrossEntropyLossFlat(axis=1))
    y = IDS[:, None]
    with told("callbacks/first_batch.py", "Write y.squeeze(1), or use CrossEntropyLossFlat()."):
        fit(y, loss=nn.CrossEntropyLoss())
    fit(y.squeeze(1), loss=nn.CrossEntropyLoss())
    fit(y, loss=CrossEntropyLossFlat())
    for loss in (nn.BCEWithLogitsLoss(), nn.MSELoss()):
        with told("callbacks/first_batch.py", "For class ids use CrossEntropyLossFlat(), or one-hot targets, F.one_hot(y, …).float()."):
            fit(IDS, loss=loss)
        fit(F.one_hot(IDS, 3).float(), loss=loss)
    with told("callbacks/first_batch.py", "For class ids use CrossEntropyLossFlat()."):
        fit(IDS, loss=BCEWithLogitsLossFlat())
    fit(IDS, loss=CrossEntropyLossFlat())


def test_classes_of_masks_come_from_the_data():
    "The number of outputs is compared with that of the classes before any pixel of the last class comes."
    def mask(i):
        return PILMask.create(np.zeros((8, 8), dtype=np.uint8))

    dls = images(MaskBlock(codes=["sky", "tree", "car"]), mask)
    with told("callbacks/first_batch.py", "give its last layer dls.c outputs"):
        learner(nn.Conv2d(3, 2, 1), dls, CrossEntropyLossFlat(axis=1)).fit(1)
    learner(nn.Conv2d(3, dls.c, 1), dls, CrossEntropyLossFlat(axis=1)).fit(1)


# -- weights ---------------------------------------------------------------------------------------------------------------------------
def test_weights():
    dls = images(CategoryBlock, lambda i: i % 2)
    with told("callbacks/first_batch.py", "give one per class in the order of dls.vocab, such as …=dls.class_weights()."):
        of_images(CategoryBlock, lambda i: i % 2, loss=CrossEntropyLossFlat(weight=[1, 2, 3])).fit(1)
    of_images(CategoryBlock, lambda i: i % 2, loss=CrossEntropyLossFlat(weight=dls.class_weights())).fit(1)

    def labels(i):
        return ["a", "b"][:i % 3]

    dls = images(MultiCategoryBlock, labels)
    with told("callbacks/first_batch.py", "give one per class in the order of dls.vocab, such as …=dls.class_weights()."):
        of_images(MultiCategoryBlock, labels, loss=BCEWithLogitsLossFlat(pos_weight=[1, 2, 3])).fit(1)
    of_images(MultiCategoryBlock, labels, loss=BCEWithLogitsLossFlat(pos_weight=dls.class_weights())).fit(1)
    plain = of(IDS).dls                                                # loaders without names of classes
    with told("callbacks/first_batch.py", "such as …=dls.class_weights()."):
        fit(IDS, loss=nn.CrossEntropyLoss(weight=torch.ones(2)))
    fit(IDS, loss=nn.CrossEntropyLoss(weight=plain.class_weights()))
    weight = torch.tensor([1, 2, 3])
    with told("callbacks/first_batch.py", "takes floats, received …: write ….float()."):
        fit(IDS, loss=nn.CrossEntropyLoss(weight=weight))
    fit(IDS, loss=nn.CrossEntropyLoss(weight=weight.float()))
    with told("callbacks/first_batch.py", "but the outputs of the model are …: write ….to(torch.…)."):
        fit(IDS, loss=nn.CrossEntropyLoss(weight=weight.double()))
    fit(IDS, loss=nn.CrossEntropyLoss(weight=weight.double().to(torch.float32)))


# -- numbers ---------------------------------------------------------------------------------------------------------------------------
def test_numbers_as_targets():
    with told("callbacks/first_batch.py", "takes float targets, received …: write y.float(), or use …."):
        fit(IDS[:, None], 1, nn.MSELoss())
    fit(IDS[:, None].float(), 1, nn.MSELoss())
    fit(IDS[:, None], 1, MSELossFlat())
    with told("callbacks/first_batch.py", "the loss would fall without end. To predict a number use MSELossFlat()."):
        fit(NUMBERS, 1, nn.PoissonNLLLoss(), end=nn.Flatten(0))
    fit(NUMBERS, 1, MSELossFlat(), end=nn.Flatten(0))
    with told("callbacks/first_batch.py",
              "but the model returns values down to …: write log_input=True, or end the model with nn.Softplus()"):
        fit(IDS[:, None].float(), 1, nn.PoissonNLLLoss(log_input=False), model=far(1))
    fit(IDS[:, None].float(), 1, nn.PoissonNLLLoss(log_input=True), model=far(1))
    fit(IDS[:, None].float(), 1, nn.PoissonNLLLoss(log_input=False), end=nn.Softplus(), model=far(1))


def test_targets_between_0_and_1():
    masks = YES[:, None] * 255
    with told("callbacks/first_batch.py",
              "takes targets from 0 to 1, received values from … to …. … a number", "If … means yes, write (y == …).float(). "):
        fit(masks, 1, BCEWithLogitsLossFlat())
    fit((masks == 255).float(), 1, BCEWithLogitsLossFlat())
    with told("callbacks/first_batch.py", "For class ids use CrossEntropyLossFlat() and n_out=…, to predict"):
        fit(IDS, 1, BCEWithLogitsLossFlat())
    fit(IDS, 3, CrossEntropyLossFlat())
    for loss, end in ((nn.BCEWithLogitsLoss(), None), (nn.BCELoss(), nn.Sigmoid())):
        with told("callbacks/first_batch.py", "… a number use MSELossFlat()."):
            fit(NUMBERS[:, None], 1, loss, end=end)
        fit(NUMBERS[:, None], 1, MSELossFlat())


def test_outputs_that_are_no_probabilities():
    y = TAGS.float()
    with told("callbacks/first_batch.py",
              "but the model returns values from … to …: use BCEWithLogitsLossFlat(), or end the model with a sigmoid."):
        fit(y, loss=nn.BCELoss(), model=far())
    fit(y, loss=BCEWithLogitsLossFlat(), model=far())
    fit(y, loss=nn.BCELoss(), model=far(), end=nn.Sigmoid())


def far(n_out=3):
    "A layer whose outputs are far from 0."
    net = nn.Linear(4, n_out)
    nn.init.constant_(net.bias, -3)
    return net


def test_outputs_that_are_no_log_probabilities():
    with told("callbacks/first_batch.py",
              "Write CrossEntropyLossFlat(…), which takes raw outputs, or end", " the model with nn.LogSoftmax(dim=…)."):
        fit(IDS, loss=nn.NLLLoss())
    fit(IDS, loss=CrossEntropyLossFlat())
    fit(IDS, loss=nn.NLLLoss(), end=nn.LogSoftmax(dim=1))
    x, masks = X.repeat(1, 3).view(20, 3, 2, 2), YES[:, None, None].repeat(1, 2, 2)
    with told("callbacks/first_batch.py", "Write CrossEntropyLossFlat(…)"):
        fit(masks, x=x, model=nn.Conv2d(3, 2, 1), loss=nn.NLLLoss())
    fit(masks, x=x, model=nn.Conv2d(3, 2, 1), loss=CrossEntropyLossFlat(axis=1))
    fit(masks, x=x, model=nn.Conv2d(3, 2, 1), loss=nn.NLLLoss(), end=nn.LogSoftmax(dim=1))
    shares = torch.full((20, 3), 0.1) + 0.7 * HOT
    with told("callbacks/first_batch.py", " the model with nn.LogSoftmax(dim=…)."):
        fit(shares, loss=nn.KLDivLoss(reduction="batchmean"))
    fit(shares, loss=nn.KLDivLoss(reduction="batchmean"), end=nn.LogSoftmax(dim=1))


class Pairs(nn.Module):
    "A layer that takes two inputs or three."

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, a, b, c=None):
        return self.lin(a + b)


class Steps(nn.Module):
    "Scores (steps, items, symbols), as torch's CTC loss takes them."

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(1, 5)

    def forward(self, x):
        return self.lin(x.T[..., None])


def test_symbols_of_a_sequence_are_on_the_last_axis():
    data = TensorDataset(X, torch.full((20, 2), 3), torch.full((20,), 4), torch.full((20,), 2))
    dls = DataLoaders(*[DataLoader(data, bs=5, n_inp=1) for _ in range(2)])
    with told("callbacks/first_batch.py", " the model with nn.LogSoftmax(dim=…)."):
        learner(Steps(), dls, nn.CTCLoss()).fit(1)
    with pytest.raises(ValueError, match=r"nn.LogSoftmax\(dim=2\)"):
        learner(Steps(), dls, nn.CTCLoss()).fit(1)
    learner(nn.Sequential(Steps(), nn.LogSoftmax(dim=2)), dls, nn.CTCLoss()).fit(1)


# -- the loss --------------------------------------------------------------------------------------------------------------------------
def test_a_loss_that_is_no_number():
    with told("callbacks/first_batch.py",
              "the loss must be one number (a 0-d tensor), but … returned …: use reduction='mean', or return loss.mean()"):
        fit(IDS, loss=nn.CrossEntropyLoss(reduction="none"))
    fit(IDS, loss=nn.CrossEntropyLoss(reduction="mean"))
    with told("callbacks/first_batch.py", "or return loss.mean()"):
        fit(IDS, loss=lambda pred, y: F.cross_entropy(pred, y, reduction="none"))
    fit(IDS, loss=lambda pred, y: F.cross_entropy(pred, y, reduction="none").mean())


def test_a_loss_without_a_gradient():
    model = nn.Linear(4, 3).requires_grad_(False)
    with told("optim/groups.py", ": every parameter is frozen, write model.requires_grad_(True)"):
        fit(IDS, model=model)
    fit(IDS, model=model.requires_grad_(True))
    learn = of(IDS)
    learn.create_opt()
    learn.model.requires_grad_(False)
    with told("callbacks/first_batch.py", "every parameter is frozen. Write learn.model.requires_grad_(True)"):
        learn.fit(1)
    learn.model.requires_grad_(True)
    learn.fit(1)
    with told("callbacks/first_batch.py", "detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)"):
        fit(IDS, loss=lambda pred, y: F.cross_entropy(pred.detach(), y))
    with told("callbacks/first_batch.py", "detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)"):
        fit(IDS, loss=lambda pred, y: torch.tensor(F.cross_entropy(pred, y).item()))
    with told("callbacks/first_batch.py", "detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)"):
        fit(YES.float(), loss=lambda pred, y: (pred.argmax(1) - y).square().mean())
    with told("callbacks/first_batch.py", "detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)"):
        fit(IDS, loss=torch.no_grad()(F.cross_entropy))
    fit(IDS, loss=lambda pred, y: F.cross_entropy(pred, y))
