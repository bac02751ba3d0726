"What the messages of `minifast.learner` say to write."
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset
from workshop import BodyHead, extra, image, images, learner, numbers, of_images, parity, quiet

from minifast.learner import graph, hub, probe
from minifast.learner.export import load_learner
from minifast.learner.hub import push_to_hub
from minifast.learner.predictor import Predictor
from minifast.optim import spread
from minifast.tabular.all import TabularDataLoaders, TabularLearner, tabular_learner
from minifast.vision.all import *
from minifast.vision.tta_geometry import tta_masks, tta_points

X, Y = torch.linspace(-1, 1, 80).view(20, 4), torch.arange(20) % 3


class Net(nn.Module):
    "A model of the tests' own."

    def __init__(self, n_out=2):
        super().__init__()
        self.lin = nn.Linear(192, n_out)

    def forward(self, x):
        return self.lin(x.flatten(1))


def table():
    df = pd.DataFrame({"a": np.arange(20) / 20, "y": np.arange(20) / 10})
    return TabularDataLoaders.from_df(df, cont_names=["a"], y_names="y", bs=4)


# -- words of fastai
def test_parts_of_fastais_loop():
    learn = learner()
    with told("learner/elsewhere.py", "the loop is one method here: write a Callback, or see learn.show_training_loop()"):
        learn.all_batches()
    learn.fit(1, cbs=Callback(after_batch=noop))
    learn.show_training_loop()
    with told("learner/elsewhere.py", "write `with learn.no_bar():`"):
        learn.no_mbar()
    with told("learner/elsewhere.py", "write `with learn.no_bar():`"):
        learn.create_mbar = learn.create_mbar
    with learn.no_bar():
        learn.fit(1)
    with told("learner/elsewhere.py", "write `with learn.no_logging(), learn.added_cbs(cbs):`"):
        learn.validation_context()
    cbs = [Callback()]
    with learn.no_logging(), learn.added_cbs(cbs):
        assert cbs[0].learn is learn
    with told("learner/elsewhere.py", "leave it out, or write learn.model.train()"):
        learn.train_eval
    assert learn.model.train().training
    with told("learner/elsewhere.py", "write learn.to_fp16() or learn.to_bf16(), and learn.to_fp32() to end it"):
        learn.to_non_native_fp16()
    learn.to_bf16().to_fp32()
    with told("learner/elsewhere.py", "write `minifast launch train.py`"):
        learn.to_parallel()
    assert "train.py" not in learn.to_distributed().summary()           # for `minifast launch` itself see test_distributed.py


def test_words_of_fastai_v1():
    learn = learner(BodyHead())
    batch, lo, hi, n = learn.dls.one_batch(), 1e-4, 1e-2, 2
    with told("learner/elsewhere.py", "write learn.get_preds(dl=[batch])"):
        learn.pred_batch(batch)
    assert learn.get_preds(dl=[batch])[0].shape == (5, 3)
    with told("learner/elsewhere.py", "write spread(slice(lo, hi), n) of minifast.optim"):
        learn.lr_range(slice(lo, hi))
    assert spread(slice(lo, hi), n) == pytest.approx([1e-4, 1e-2])
    with told("learner/elsewhere.py", "write learn.splitter(learn.model); learn.opt.param_groups has them too"):
        learn.layer_groups
    learn.create_opt()
    assert len(learn.splitter(learn.model)) == 4 == sum(len(g["params"]) for g in learn.opt.param_groups)
    with told("learner/elsewhere.py", "write Learner(splitter=...)"):
        learn.split(lambda m: [m.body, m.head])
    split = Learner(learn.dls, BodyHead(), CrossEntropyLossFlat(), splitter=lambda m: [params(m.body), params(m.head)])
    assert len(split.splitter(split.model)) == 2
    with told("learner/elsewhere.py", "write `del learn`, then gc.collect() and torch.cuda.empty_cache()"):
        learn.purge()
    del learn
    gc.collect()
    torch.cuda.empty_cache()


# -- in a callback
class Assigns(Callback):
    "Does with the loss what it is told to."

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def after_loss(self):
        learn = self.learn
        if self.wrong:
            learn.loss = learn.loss.item()
        self.value = learn.loss.item()


def test_what_a_callback_assigns():
    learn = learner()
    with told("learner/assignment.py", "A number is kept elsewhere: write self.value = learn.loss.item()"):
        learn.fit(1, cbs=Assigns(wrong=True))
    right = Assigns(wrong=False)
    learn.fit(1, cbs=right)
    assert right.value > 0


# -- making and training a learner
def test_parts_of_a_learner():
    data = TensorDataset(X, Y)
    train_dl, valid_dl = torch.utils.data.DataLoader(data, 5), torch.utils.data.DataLoader(data, 5)
    with told("learner/learner.py", "Wrap torch loaders as `DataLoaders(train_dl, valid_dl)`"):
        Learner((train_dl, valid_dl), nn.Linear(4, 3), CrossEntropyLossFlat())
    quiet(Learner(DataLoaders(train_dl, valid_dl), nn.Linear(4, 3), CrossEntropyLossFlat())).fit(1)
    with told("learner/learner.py", "model is the class …; give an instance, `…(...)`"):
        learner(nn.Linear)
    learner(nn.Linear(4, 3)).fit(1)
    with told("learner/learner.py", "give the function that makes one, such as opt_func=Adam or opt_func=torch.optim.…"):
        learner(opt_func=torch.optim.SGD(nn.Linear(4, 3).parameters(), lr=1))
    for opt_func in (Adam, torch.optim.SGD):
        learner(opt_func=opt_func).fit(1)
    with told("learner/learner.py", "loss_func is the class …; give an instance, `…()`"):
        learner(loss_func=nn.CrossEntropyLoss)
    learner(loss_func=nn.CrossEntropyLoss()).fit(1)


def test_numbers_of_a_fit():
    learn = learner()
    with told("learner/learner.py", "… must be a whole number of epochs, 0 or more"):
        learn.fit(n_epoch=1.5)
    learn.fit(n_epoch=2)
    with told("learner/learner.py", "… must be a whole number of epochs, 0 or more"):
        learn.fine_tune(epochs="3")
    with told("learner/learner.py", "how many times slower the first layer group learns, a number above 0"):
        learn.fine_tune(1, lr_mult=0)
    learn.fine_tune(1, lr_mult=10)
    with told("learner/learner.py", "start_epoch must be between 0 and n_epoch=…"):
        learn.fit(2, start_epoch=3)
    learn.fit(n_epoch=2, start_epoch=1)
    with told("learner/learner.py", "give one number; the slice over layer groups is made from it and lr_mult"):
        learn.fine_tune(1, base_lr=slice(1e-4, 1e-3))
    learn.fine_tune(1, base_lr=1e-3, lr_mult=10)


def test_a_fit_within_a_fit():
    learn = learner()
    with told("learner/learner.py", "Start it afterwards; validate() and get_preds() may be called at any time"):
        learn.fit(1, cbs=Callback(after_epoch=lambda: learn.fit(1)))
    learn.fit(1, cbs=Callback(after_epoch=lambda: (learn.validate(), learn.get_preds())))
    learn.fit(1)


@pytest.mark.parametrize("loss_func, y, n_out", [(CrossEntropyLossFlat(), Y, 3), (MSELossFlat(), X[:, :1], 1)])
def test_a_learner_without_a_loss(loss_func, y, n_out):
    data = TensorDataset(X, y)
    dls, model = DataLoaders(DataLoader(data, bs=5)), nn.Linear(4, n_out)
    with told("learner/learner.py", "write `Learner(dls, model, loss_func=...)`, for example CrossEntropyLossFlat() for classes or "
                                     "MSELossFlat()"):
        Learner(dls, model).fit(1)
    quiet(Learner(dls, model, loss_func=loss_func)).fit(1)          # CrossEntropyLossFlat(), MSELossFlat()


def test_a_model_that_changed():
    learn = learner(BodyHead())
    learn.fit(1)
    learn.model.head = nn.Linear(6, 3)
    with told("learner/learner.py", "If the model was changed, call `learn.create_opt()`"):
        learn.fit(1)
    learn.create_opt()
    learn.fit(1)


class Batches:
    "A loader of one's own."

    def __iter__(self):
        return iter([(X, Y)])


class Counted(Batches):
    def __len__(self):
        return 1


def test_a_loader_without_length():
    with told("learner/loop.py", "give it, or its dataset, a `__len__`"):
        learner().get_preds(dl=Batches())
    assert Counted.__len__ and len(learner().get_preds(dl=Counted())[0]) == 20


def test_a_function_as_callback():
    f = noop
    with told("learner/loop.py", "To run a plain function write `Callback(after_batch=f)`"):
        learner(cbs=print)
    learner(cbs=Callback(after_batch=f)).fit(1)


def test_batch_sizes(monkeypatch):
    learn = learner()
    with told("learner/probe.py", "whole numbers with 1 <= min_bs <= start"):
        learn.find_bs(start=4, min_bs=8)
    assert learn.find_bs(start=8, min_bs=4) == 8
    monkeypatch.setattr(probe, "fits", lambda learn, bs: False)
    with told("learner/probe.py", "use smaller inputs or a smaller model, or to_fp16()/to_bf16()"):
        learn.find_bs()
    learn.to_bf16().fit(1)
    learn.to_fp16()
    monkeypatch.setattr(probe, "fits", lambda learn, bs: bs <= 5)
    learn = learner(dls=numbers())
    with told("learner/probe.py", "train with cbs=GradientAccumulation(…)"):
        learn.find_bs(start=20)
    learn.fit(1, cbs=GradientAccumulation(20))


# -- predicting
def test_loaders_to_predict():
    learn, items = of_images(), [0, 1, 2]
    with told("learner/inference.py", ". Give a loader, `dl=learn.dls.test_dl(items)`"):
        learn.get_preds(2)
    assert len(learn.get_preds(dl=learn.dls.test_dl(items))[0]) == 3
    with told("learner/inference.py", "Make one from items with `learn.dls.test_dl(items)`"):
        learn.get_preds(dl=3)
    assert len(learn.get_preds(dl=learn.dls.test_dl(items))[0]) == 3
    with told("learner/inference.py", "make it with dls.test_dl(items, with_labels=True)"):
        learn.validate(dl=learn.dls.test_dl(items))
    assert len(learn.validate(dl=learn.dls.test_dl(items, with_labels=True))) == 1


def test_test_time_augmentation():
    learn = of_images(images(batch_tfms=aug_transforms()))
    with told("learner/inference.py", "at least one augmented pass is needed"):
        learn.tta(n=0)
    assert len(learn.tta(n=1)[0]) == 2
    with told("learner/inference.py", "Add one, such as `batch_tfms=aug_transforms()`, or use get_preds()"):
        of_images().tta()
    assert len(of_images(images(batch_tfms=aug_transforms())).tta()[0]) == len(of_images().get_preds()[0]) == 2


def masks(block):
    return images(block, lambda i: PILMask.create(np.zeros((8, 8), dtype=np.uint8)), batch_tfms=aug_transforms())


def test_augmented_masks():
    model = nn.Conv2d(3, 2, 1)
    plain = TransformBlock(type_tfms=[], batch_tfms=[IntToFloatTensor()])
    learn = quiet(Learner(masks(plain), model, CrossEntropyLossFlat(axis=1)))
    with told("learner/inference.py", "Write TransformBlock(..., tta=tta_masks) or tta=tta_points, or call `tta_masks(learn)`"):
        learn.tta(n=1)
    assert callable(tta_points) and len(tta_masks(learn, n=1)[0]) == 2
    block = TransformBlock(type_tfms=[], batch_tfms=[IntToFloatTensor()], tta=tta_masks)
    assert len(quiet(Learner(masks(block), model, CrossEntropyLossFlat(axis=1))).tta(n=1)[0]) == 2


def test_results_of_a_table():
    dls = table()
    with told("learner/inference.py", "make it with tabular_learner(dls), or TabularLearner(dls, model) for a model of your own"):
        quiet(Learner(dls, tabular_learner(dls, layers=[4]).model, MSELossFlat())).show_results()
    assert isinstance(quiet(tabular_learner(dls, layers=[4])).show_results(), pd.DataFrame)
    assert isinstance(quiet(TabularLearner(dls, tabular_learner(dls, layers=[4]).model)).show_results(), pd.DataFrame)


def test_batches_of_a_predictor(tmp_path):
    file = of_images(path=tmp_path).export("m")
    with told("learner/predictor.py", "how many items make a batch, at least 1"):
        Predictor(file, bs=0)
    assert Predictor(file, bs=1).bs == 1


# -- saving and loading
def test_saving_another_kind_of_file(tmp_path):
    learn = learner(path=tmp_path)
    with told("learner/saving.py", "which learn.load(…) reads too"):
        learn.save("stage-1.pth")
    learn.load("stage-1.pth")


def test_files_that_do_not_fit(tmp_path):
    learn = learner(path=tmp_path)
    (tmp_path / "models").mkdir()
    torch.save([torch.ones(1)], tmp_path / "models/x.pth")
    with told("learner/saving.py", "save `model.state_dict()`"):
        learn.load("x.pth")
    torch.save(learn.model.state_dict(), tmp_path / "models/x.pth")
    learn.load("x.pth")
    learn.fit(1)
    learn.save("a")
    with told("learner/saving.py", "Build the model as it was when they were saved, or load what fits with load(..., strict=False)"):
        learner(nn.Linear(4, 2), path=tmp_path).load("a")
    learner(nn.Linear(4, 3), path=tmp_path).load("a")
    learner(nn.Linear(4, 2), path=tmp_path, opt_func=SGD).load("a", strict=False, with_opt=False)
    with told("learner/saving.py", "Make the learner as it was when the file was saved, or load the weights alone: "
                                   "load(..., with_opt=False)"):
        learner(path=tmp_path, opt_func=SGD).load("a")
    learner(path=tmp_path).load("a")
    learner(path=tmp_path, opt_func=SGD).load("a", with_opt=False)


def test_an_optimizer_that_refuses_its_state(tmp_path):
    class Fussy(torch.optim.Adam):
        calls = 0

        def load_state_dict(self, state):
            Fussy.calls += 1
            if Fussy.calls == 1:
                raise ValueError("no")
            super().load_state_dict(state)

    learn = learner(path=tmp_path, opt_func=Fussy)
    learn.fit(1)
    learn.save("a")
    with told("learner/saving.py", "does not fit this learner's optimizer: load(..., with_opt=False)"):
        learn.load("a")
    learn.load("a", with_opt=False)


def test_another_vocabulary(tmp_path):
    of_images(images(CategoryBlock(vocab=[0, 1])), path=tmp_path).save("a")
    with told("learner/saving.py", "Make the data with the vocabulary that the weights were made with (vocab=[...], of texts "
                                   "text_vocab=[...]), or, if what the numbers stand for does not matter, write load(..., "
                                   "check_vocab=False)"):
        of_images(images(CategoryBlock(vocab=[1, 0])), path=tmp_path).load("a")
    of_images(images(CategoryBlock(vocab=[0, 1])), path=tmp_path).load("a")
    of_images(images(CategoryBlock(vocab=[1, 0])), path=tmp_path).load("a", check_vocab=False)


@pytest.mark.parametrize("opt", [{"param_groups": 3}, {"param_groups": [{"params": 3}]}])
def test_state_that_is_none_of_an_optimizer(tmp_path, opt):
    learn = learner(path=tmp_path)
    torch.save({"model": learn.model.state_dict(), "opt": opt}, tmp_path / "x.pth")
    with told("learner/saving.py", "of an optimizer of torch returns: load the weights alone, load(..., with_opt=False)"):
        learn.load(tmp_path / "x.pth")
    learn.load(tmp_path / "x.pth", with_opt=False)


class Keeps(Callback):
    "A callback with a state that it refuses when it is another."

    def __init__(self, n):
        self.n = n

    def state_dict(self):
        return {"n": self.n}

    def load_state_dict(self, state):
        if state["n"] != self.n:
            raise ValueError("no")


def test_the_state_of_another_callback(tmp_path):
    saved = learner(path=tmp_path, cbs=Keeps(1))
    saved.fit(1)
    saved.save("a")
    with told("learner/saving.py", "do not fit this learner's: load(..., with_opt=False)"):
        learner(path=tmp_path, cbs=Keeps(2)).load("a")
    learner(path=tmp_path, cbs=Keeps(2)).load("a", with_opt=False)


def test_vocabularies_that_cannot_be_read(tmp_path):
    learn = of_images(path=tmp_path)
    torch.save({"model": learn.model.state_dict(), "vocab": torch.tensor([1, 2], dtype=torch.uint8)}, tmp_path / "x.pth")
    with told("learner/saving.py", "save the weights again, or load them without: load(..., check_vocab=False)"):
        learn.load(tmp_path / "x.pth")
    learn.load(tmp_path / "x.pth", check_vocab=False)
    learn.load(learn.save("x"))


# -- files for elsewhere
def test_exporting_at_the_wrong_time(tmp_path):
    learn = of_images(path=tmp_path)
    with told("learner/export.py", "call it afterwards, or `learn.save` here"):
        learn.fit(1, cbs=Callback(after_epoch=lambda: learn.export("m")))
    learn.fit(1, cbs=Callback(after_epoch=lambda: learn.save("m")))
    assert learn.export("m").exists()


def test_exporting_with_torchs_loaders(tmp_path):
    train_ds = valid_ds = TensorDataset(X, Y)
    learn = learner(dls=DataLoaders(torch.utils.data.DataLoader(train_ds, 5)), path=tmp_path)
    with told("learner/export.py", "for example learn.dls = DataLoaders(DataLoader(train_ds), DataLoader(valid_ds))"):
        learn.export("m")
    learn.dls = DataLoaders(DataLoader(train_ds), DataLoader(valid_ds))
    assert learn.export("m").exists()


def test_own_code(tmp_path):
    learn = of_images(model=Net(), path=tmp_path)
    with told("learner/export.py", "refers to …, your own code, which no file can hold: load it with load_learner(…, …)"):
        file = learn.export("m")
    with told("learner/spec.py", "of your own code, which no file can hold: pass it, load_learner(file, …)"):
        load_learner(file)
    loaded = load_learner(file, objects={"Net": Net})
    assert torch.equal(loaded.model.lin.weight, learn.model.lin.weight)


def test_own_functions(tmp_path):
    learn = of_images(path=tmp_path, opt_func=lambda params, **kw: SGD(params, **kw))
    file = learn.export("m")
    loaded = load_learner(file)
    with told("learner/spec.py", "pass it, load_learner(file, …)"):
        loaded.predict(1)
    assert load_learner(file, objects={"image": image}).predict(1)


def test_what_cannot_be_stored(tmp_path, monkeypatch):
    loss = OwnLoss()
    loss.kept = torch.zeros(1, dtype=torch.complex64)
    with told("learner/spec.py", "Keep it out of the object: as an attribute of its class, `….… = ...`, or pass it where it is used"):
        of_images(path=tmp_path, loss_func=loss).export("m")
    del loss.kept
    monkeypatch.setattr(OwnLoss, "kept", torch.zeros(1, dtype=torch.complex64), raising=False)         # OwnLoss.kept = ...
    assert of_images(path=tmp_path, loss_func=OwnLoss()).export("m").exists()


class OwnLoss:
    "A loss of the tests' own."

    def __call__(self, preds, targets):
        return nn.functional.cross_entropy(preds, targets)


def test_a_pickle_of_fastais(tmp_path):
    torch.save(nn.Linear(2, 1), tmp_path / "old.pkl")
    with told("learner/artifact.py", "write in a shell `minifast port-weights …`; then build the learner and call learn.load"):
        load_learner(tmp_path / "old.pkl")
    from minifast.cli.main import main
    main(["port-weights", str(tmp_path / "old.pkl")])
    written = next(f for f in tmp_path.iterdir() if f.suffix == ".safetensors")
    learn = Learner(numbers(), nn.Linear(2, 1), CrossEntropyLossFlat(), path=tmp_path)
    learn.load(written)


def test_graphs(tmp_path, monkeypatch):
    learn = learner(path=tmp_path, cbs=Callback(after_pred=lambda cb: setattr(cb.learn, "pred", cb.learn.pred * 2)))
    with told("learner/graph.py", "Put what it does into the model, or remove it: learn.remove_cb(...)"):
        learn.to_torch_export("model")
    learn.remove_cb(learn.cbs[-1] if type(learn.cbs[-1]) is Callback else next(cb for cb in learn.cbs if type(cb) is Callback))
    assert learn.to_torch_export("model").exists()
    monkeypatch.setattr(graph, "find_spec", lambda name: None)
    with told("learner/graph.py", "Write: pip install 'minifast[onnx]'"):
        learn.to_onnx("model")
    assert {"onnx", "onnxruntime", "onnxscript"} <= extra("onnx")       # pip install 'minifast[onnx]'
    items = learn.dls.valid
    with told("learner/graph.py", "give some, dl=learn.dls.test_dl(items)"):
        learn.to_torch_export("model", dl=[])
    assert learn.to_torch_export("model", dl=items).exists()


class Branches(nn.Module):
    "A model with Python on values."

    def __init__(self, right):
        super().__init__()
        self.lin, self.right = nn.Linear(4, 3), right

    def forward(self, x):
        if self.right:
            return torch.where(x.sum() > 0, self.lin(x), -self.lin(x)).flatten(1)
        return self.lin(x) if x.sum().item() > 0 else -self.lin(x)


def test_a_graph_of_python(tmp_path):
    with told("learner/graph.py", "write torch.where or torch.cond for an `if` on values of a tensor, leave out `.item()`"):
        learner(Branches(False), path=tmp_path).to_torch_export("model")
    assert learner(Branches(True), path=tmp_path).to_torch_export("model").exists()


def test_the_hub_is_not_installed(monkeypatch):
    monkeypatch.setattr(hub, "find_spec", lambda name: None)
    with told("learner/hub.py", "Write: pip install 'minifast[hub]'"):
        push_to_hub(learner(), "me/it")
    assert "huggingface_hub" in extra("hub")                            # pip install 'minifast[hub]'


# -- the last layer --------------------------------------------------------------------------------------------------------------------
def of_numbers(y, model=None):
    dls = DataLoaders(*[DataLoader(TensorDataset(X, y), bs=5) for _ in range(2)])
    return learner(model or nn.Linear(4, 1), dls, MSELossFlat())


def test_what_the_output_means_to_a_loss():
    with told("learner/init_head.py", "use a loss such as CrossEntropyLossFlat() or MSELossFlat()"):
        learner(loss_func=nn.MultiMarginLoss()).init_head()
    learner(loss_func=CrossEntropyLossFlat()).init_head()
    of_numbers(Y[:, None].float()).init_head()

    def own(pred, y):
        return nn.functional.cross_entropy(pred, y)

    with told("learner/init_head.py", "or give yours an attribute kind='class logits', 'logits' or 'values'"):
        learner(loss_func=own).init_head()
    own.kind = "class logits"
    learner(loss_func=own).init_head()
    for kind, loss in (("logits", nn.functional.binary_cross_entropy_with_logits), ("values", nn.functional.mse_loss)):
        def other(pred, y, loss=loss):
            return loss(pred, y)

        other.kind = kind
        learn = of_numbers((Y[:, None] > 0).float())
        learn.loss_func = other
        learn.init_head()
        assert learn.validate()[0] < 0.7


@pytest.mark.parametrize("model", [
    nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), nn.Linear(6, 3)),
    nn.Sequential(nn.Unflatten(1, (4, 1)), nn.Conv1d(4, 3, 1), nn.Flatten()),
    nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3, bias=False))], ids=["linear", "convolution", "norm"])
@pytest.mark.parametrize("last", [nn.Linear(6, 3, bias=False), nn.ReLU()])
def test_a_last_layer_that_can_be_set(model, last):
    with told("learner/init_head.py", "needs a model that ends with a linear or convolutional layer with bias, or with a linear layer"):
        learner(nn.Sequential(nn.Linear(4, 6, bias=False), nn.ReLU(), last)).init_head()
    learner(model).init_head()


def test_targets_that_are_missing():
    y = torch.arange(20.0)[:, None]
    y[3] = float("nan")
    with told("learner/init_head.py", "… of … are NaN or infinite: drop or fill these rows"):
        of_numbers(y).init_head()
    dls = DataLoaders(*[DataLoader(TensorDataset(X[4:], y[4:]), bs=5) for _ in range(2)])
    learner(nn.Linear(4, 1), dls, MSELossFlat()).init_head()
    of_numbers(y.nan_to_num(0)).init_head()


# -- threads
def test_predicting_during_a_fit_of_another_thread(tmp_path):
    learn = of_images(path=tmp_path)
    predictor = Predictor(learn.export(), objects={"parity": parity, "image": image})

    class Others(Callback):
        def after_train(self):
            with ThreadPoolExecutor(2) as pool:
                with told("learner/loop.py", "write `predictor = Predictor(learn.export())` before it", "a second fit has to wait"):
                    pool.submit(self.learn.predict, 3).result()
                assert [o.label for o in pool.map(predictor.predict, [3, 4])] == [predictor.predict(i).label for i in (3, 4)]

    learn.fit(1, cbs=Others())
    learn.fit(1)


def test_items_in_the_place_of_a_loader():
    learn = learner()
    with told("learner/inference.py", "ds_idx=…: a number, 0 is training and 1 validation. A loader is given by its name, "
                                      "`dl=learn.dls.test_dl(items)`"):
        learn.get_preds(learn.dls.valid)
    items = learn.dls.valid_ds.tensors[0]
    with told("learner/inference.py", "dl must be a loader; received …. Make one from items with `learn.dls.test_dl(items)`"):
        learn.get_preds(dl=items)
    assert len(learn.get_preds(dl=learn.dls.test_dl(items))[0]) == len(items)


def test_layers_that_do_not_fit():
    with told("nn/failing_layer.py", ": write nn.Linear(…, …)"):
        learner(nn.Sequential(nn.Linear(5, 3))).fit(1)
    learner(nn.Sequential(nn.Linear(4, 3))).fit(1)


def test_parts_are_given_themselves_not_by_name():
    dls, model = numbers(), nn.Linear(4, 3)
    with told("learner/learner.py", "It is given itself, not by name: write …"):
        Learner(dls, model, loss_func="crossentropy", opt_func="adamw")
    with pytest.raises(TypeError, match=r"received str 'adamw'. It is .* write Adam; loss_func .* 'mse'. It is .* write MSELossFlat\(\)$"):
        Learner(dls, model, loss_func="mse", opt_func="adamw")
    with pytest.raises(TypeError, match=r"received str 'mine'$"):
        Learner(dls, model, loss_func="mine")
    learn = quiet(Learner(dls, model, loss_func=CrossEntropyLossFlat(), opt_func=Adam))
    learn.fit(1)
