"What the messages of `minifast.data` say to write, besides those of the factories."

from types import SimpleNamespace

import pandas as pd
from suggestions import told
from torch import nn
from torch.utils.data import IterableDataset, TensorDataset
from workshop import image, learner, numbers, parity, quiet

from minifast.core.expressions import Self
from minifast.data.categories import Categorize, MultiCategorize
from minifast.data.class_weights import class_weights, targets_of
from minifast.data.datasets import Datasets, test_set
from minifast.data.engine import choice, processes
from minifast.data.engine.cache import DiskCache
from minifast.data.one_hot import OneHotEncode
from minifast.data.pipeline import Pipeline
from minifast.data.splitters_groups import GroupSplitter, TimeSplitter, check_groups
from minifast.ensemble.kfold import kfold
from minifast.learner.export import load_learner
from minifast.vision.all import *

X, Y = torch.linspace(-1, 1, 80).view(20, 4), torch.arange(20) % 3
DATA = TensorDataset(X, Y)


def loader(dataset=DATA, **kwargs):
    return DataLoader(dataset, **({"bs": 5} | kwargs))


def batch_of(*samples, **kwargs):
    return next(iter(loader(list(samples), bs=len(samples), num_workers=0, **kwargs)))


# -- transforms
def test_two_setups():
    with told("data/annotations.py", "write one `setups(self, items)`. It gets the training items, or in a pipeline of batches"):
        class Twice(Transform):
            def setups(self, items: list):
                self.n = len(items)

            def setups(self, items: DataLoader):  # noqa: F811
                self.n = len(items)

    class Once(Transform):
        def setups(self, items):
            self.n = len(items)

    once = Once()
    Datasets([1, 2, 3], [[once]])
    assert once.n == 3


def test_drawing():
    with told("data/transforms.py", ": write `def draw(self, sample, rng, split_idx)` that returns a dict of parameters, and take them as "
                                    "keyword arguments of `encodes`"):
        class Old(RandTransform):
            def draw(self, sample, rng, split_idx):
                return {}

            def before_call(self, b, split_idx):
                self.k = 1

    class New(RandTransform):
        def draw(self, sample, rng, split_idx):
            return {"k": 2}

        def encodes(self, x: int, k):
            return x + k

    assert New(p=1.0)(1) == 3


class Doubles(Transform):
    def encodes(self, x: int):
        return 2 * x


def test_extending_a_transform():
    with told("data/transforms.py", "such as `def encodes(self, x: float)`", "Write a class instead: `class My…(…):`"):
        @Doubles
        def encodes(self, x):
            return x

    @Doubles
    def encodes(self, x: float):
        return 3 * x

    class MyDoubles(Doubles):
        def encodes(self, x: str):
            return x + x

    assert Doubles()(1.0) == 3 and MyDoubles()("a") == "aa"


def test_transforms_of_plain_tensors():
    class Negative(Transform):
        def encodes(self, x: TensorImage):
            return 1 - x

    class OfAny(Transform):
        def encodes(self, x: torch.Tensor):
            return 1 - x

    x, tfm = torch.zeros(3, 2, 2), Negative()
    with told("data/transforms.py", "say what they are where you call it, `tfm(x.as_subclass(…))`, or annotate `encodes`"):
        tfm(x)
    assert tfm(x.as_subclass(TensorImage)).sum() == OfAny()(x).sum() == 12


def test_pipelines_do_not_change():
    dls, tfms, pipe = numbers(), [Doubles()], Pipeline([])
    with told("data/pipeline.py", "of loaders write `dls.add_tfms(tfms, 'after_batch')`, otherwise `pipe = pipe.with_tfms(tfms)`"):
        pipe.add(tfms)
    dls.add_tfms(tfms, "after_batch")
    pipe = pipe.with_tfms(tfms)
    assert pipe(2) == 4


def test_expressions():
    f = Self.upper()
    with told("core/expressions.py", "is a function of one object: write …(object)"):
        Self.upper()()
    assert f("a") == "A"


# -- blocks and datasets
def test_blocks_of_a_datablock(tmp_path):
    with told("data/block.py", "DataBlock(blocks=()) has no element: give at least one block"):
        DataBlock(blocks=())
    DataBlock(blocks=(CategoryBlock,))
    with told("data/block.py", "give one for each, in a list"):
        DataBlock(blocks=(CategoryBlock, CategoryBlock), getters=[parity])
    dls = DataBlock(blocks=(RegressionBlock, CategoryBlock), getters=[float, parity]).dataloaders(list(range(8)), bs=2, num_workers=0)
    assert len(dls.one_batch()) == 2


def test_a_folder_for_a_datablock(tmp_path):
    for i in range(4):
        image(i).save(tmp_path / f"{i}.png")
    blocks = {"blocks": (ImageBlock, CategoryBlock), "get_y": lambda f: f.stem}
    with told("data/block.py", "write DataBlock(get_items=get_image_files, ...)"):
        DataBlock(**blocks).dataloaders(tmp_path)
    DataBlock(get_items=get_image_files, splitter=lambda items: [range(4)], **blocks).dataloaders(tmp_path, bs=2, num_workers=0).one_batch()


def test_transforms_for_a_datablock():
    dblock = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity)
    with told("data/block.py", "give them to the DataBlock, `DataBlock(…=...)` or `dblock.new(…=...)`"):
        dblock.dataloaders(list(range(8)), item_tfms=Resize(4))
    block = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity, item_tfms=Resize(4))
    for made in (dblock.new(item_tfms=Resize(4)), block):
        assert made.dataloaders(list(range(8)), bs=2, num_workers=0).one_batch()[0].shape[-1] == 4


def test_a_dataset_without_splits():
    with told("data/datasets.py", "give splits=(train indices, validation indices)"):
        Datasets([1, 2, 3], [[noop]]).subset(1)
    assert len(Datasets([1, 2, 3], [[noop]], splits=([0, 1], [2])).subset(1)) == 1
    dls = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity).dataloaders(list(range(8)), bs=2, num_workers=0)
    items = [1, 2]
    with told("data/datasets.py", "Of loaders write dls.test_dl(items)"):
        test_set(dls, items)
    assert len(dls.test_dl(items).dataset) == 2


# -- labels
def test_labels_of_mixed_types():
    with told("data/categories.py", "Convert them to one type, or give the classes with vocab="):
        Datasets([1, "a"], [[Categorize()]])
    assert Datasets([1, "a"], [[Categorize(vocab=[1, "a"])]])[0] == Datasets(["1", "a"], [[Categorize()]])[0] == (0,)


def test_a_transform_without_vocabulary():
    items = ["a", "b"]
    with told("data/categories.py", "give it one with vocab=, or call setup(items) first"):
        Categorize()("a")
    tfm = Categorize()
    tfm.setup(items)
    assert tfm("b") == Categorize(vocab=["a", "b"])("b") == 1


def test_lists_of_labels():
    row = pd.Series({"col": "a b"})
    with told("data/categories.py", "Split text into labels with ColReader(col, label_delim=' ')"):
        MultiCategorize(vocab=["a", "b"])(row["col"])
    col = "col"
    assert MultiCategorize(vocab=["a", "b"])(ColReader(col, label_delim=" ")(row)).tolist() == [0, 1]


def test_one_hot():
    items = [["a"], ["b"]]
    with told("data/one_hot.py", "put it after MultiCategorize, or write OneHotEncode(c=...)"):
        Datasets([[0], [1]], [[OneHotEncode()]])
    assert Datasets(items, [[MultiCategorize(), OneHotEncode()]])[0][0].tolist() == [1, 0]
    assert Datasets([[0], [1]], [[OneHotEncode(c=2)]])[0][0].tolist() == [1, 0]
    with told("data/one_hot.py", "write OneHotEncode(c=...), or call setup(items) first"):
        OneHotEncode()([0])
    assert OneHotEncode(c=2)([0]).tolist() == [1, 0]
    both = Pipeline([MultiCategorize(), OneHotEncode()])
    both.setup(items)
    assert both(["b"]).tolist() == [0, 1]


def test_a_pattern_without_group():
    with told("data/labels.py", "put parentheses round the part that is the label"):
        RegexLabeller(r"\w+_\d+")
    assert RegexLabeller(r"(\w+)_\d+")("cat_1") == "cat"


def test_counting_classes():
    class Silent(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return X[i], Y[i]

    class Told(Silent):
        targets = [0, 1, 2, 0]

    counts = [2, 1, 1]
    with told("data/class_weights.py", "Give the dataset an attribute `targets`, one per item, or count yourself: class_weights(counts)"):
        targets_of(Silent())
    assert targets_of(Told()).tolist() == [0, 1, 2, 0] and len(class_weights(counts)) == 3
    two = Datasets([0, 1], [[noop], [parity], [noop]], n_inp=1)
    with told("data/class_weights.py", "say which one counts, target=0 to …"):
        targets_of(two)
    assert targets_of(two, target=0).tolist() == [0, 1]
    pictures = Datasets([0, 1], [[noop], [image]], n_inp=1)
    with told("data/class_weights.py", "to weigh the classes of images or other targets count them yourself, class_weights(counts)"):
        targets_of(pictures)
    assert len(class_weights(counts)) == 3

    class Batches:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter([(X, Y)])

    with told("data/class_weights.py", "Count yourself: class_weights(counts)"):
        DataLoaders(Batches()).class_weights()
    assert len(class_weights(counts)) == 3


def test_points_without_an_image():
    points, (height, width) = torch.tensor([[1.0, 2.0]]), (4, 6)
    with told("data/coords.py", "Put it there, or give its size: TensorPoint.create(points, img_size=(height, width))"):
        PointScaler()((TensorPoint.create(points),))
    assert PointScaler()((TensorPoint.create(points, img_size=(height, width)),))
    assert PointScaler()((image(1), TensorPoint.create(points)))


# -- splitting
def test_groups_and_times():
    groups = ["a", "a", "b", "b"]
    with told("data/splitters_groups.py", "Split by groups: GroupSplitter(groups), or kfold(groups=...)"):
        check_groups(([0, 2], [1, 3]), groups)
    check_groups(GroupSplitter(groups, valid_pct=0.5)([0, 1, 2, 3]), groups)

    def learner_fn(splits):
        data = [torch.utils.data.Subset(DATA, s) for s in splits]
        return quiet(Learner(DataLoaders(*(loader(d, bs=2) for d in data)), nn.Linear(4, 3), CrossEntropyLossFlat()))

    assert len(kfold(learner_fn, list(range(4)), k=2, groups=groups, fit=noop)) == 2
    with told("data/splitters_groups.py", "Give one value per item, or a function of an item"):
        GroupSplitter("patient")([0, 1, 2, 3])
    for by in (groups, lambda item: item // 2):
        assert len(GroupSplitter(by, valid_pct=0.5)([0, 1, 2, 3])) == 2
    times = ["31.1.2024", "1.2.2024", "2.2.2024"]
    with told("data/splitters_groups.py", "Make dates of them first, pd.to_datetime(...), or write them as 2024-01-31"):
        TimeSplitter(times)([0, 1, 2])
    for key in (pd.to_datetime(pd.Series(times), dayfirst=True), ["2024-01-31", "2024-02-01", "2024-02-02"]):
        assert TimeSplitter(key)([0, 1, 2])[1] == [2]


def test_training_on_everything():
    with told("data/splitters.py", "split with `lambda items: [range(len(items))]`: give it as splitter=, for tables as splits="):
        DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity, splitter=lambda items: (range(8), [])).dataloaders(list(range(8)))
    block = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity, splitter=lambda items: [range(len(items))])
    assert len(block.dataloaders(list(range(8)), bs=2, num_workers=0)) == 1


# -- loaders
def test_instead_of_methods_of_fastais_loaders():
    my_dataset = [(1.0, 2), (3.0, 4)]

    def own(name):
        return type("Own", (DataLoader,), {name: lambda self, o=None: o})

    with told("data/loader_args.py", "make the sample in `__getitem__` of a dataset, `DataLoader(my_dataset)`, or change it with "
                                     "`after_item=`"):
        own("create_item")
    assert my_dataset.__getitem__(0) and len(DataLoader(my_dataset)) == 1
    assert next(iter(DataLoader([1, 2], after_item=lambda o: o + 1, num_workers=0))).tolist() == [2, 3]

    def f(samples):
        return torch.tensor(samples) * 2

    with told("data/loader_args.py", "write `DataLoader(..., collate_fn=f)`, a function of a list of samples"):
        own("create_batch")
    assert next(iter(DataLoader([1, 2], collate_fn=f, num_workers=0))).tolist() == [2, 4]

    class Backwards:
        def __len__(self):
            return 2

        def __iter__(self):
            return iter([1, 0])

    s = Backwards()
    with told("data/loader_args.py", "write `DataLoader(..., sampler=s)`, an object with `__len__` whose `__iter__` gives the "
                                     "indices of an epoch"):
        own("get_idxs")
    assert next(iter(DataLoader([1, 2], sampler=s, num_workers=0))).tolist() == [2, 1]
    with told("data/loader_args.py", "override `__iter__`, do there what is to be done, and `return super().__iter__()`"):
        own("before_iter")

    class Own(DataLoader):
        def __iter__(self):
            self.begun = True
            return super().__iter__()

    made = Own([1, 2], num_workers=0)
    assert next(iter(made)).tolist() == [1, 2] and made.begun
    with told("data/loader_args.py", "pass the function, `DataLoader(..., …=f)`"):
        own("after_batch")
    assert DataLoader([1, 2], after_batch=noop)


def test_arguments_of_a_loader():
    with told("data/loader_args.py", "give a DataBlock …=, or write …= here"):
        loader(batch_tfms=Doubles())
    loader(after_batch=Doubles())
    DataBlock((ImageBlock,), batch_tfms=Doubles())
    with told("data/loader_args.py", "Use bs=… or less, or drop_last=False"):
        loader(bs=64, drop_last=True)
    assert len(loader(bs=20, drop_last=True)) == len(loader(bs=64, drop_last=False)) == 1
    for value, right in ((-1, 0), (1.5, None)):
        with told("data/loader_args.py", "a whole number of workers, 0 for none, None to choose"):
            loader(num_workers=value)
        loader(num_workers=right)
    with told("data/loader_args.py", "both say in which order: give one of them"):
        loader(shuffle=True, sampler=range(20))
    loader(shuffle=True), loader(sampler=range(20))
    with told("data/loader_args.py", "it is 'thread', 'process' or None to choose"):
        loader(worker_type="gpu")
    for worker_type in ("thread", "process", None):
        loader(worker_type=worker_type)
    with told("data/loader_args.py", "which is for processes: give one of them"):
        loader(worker_type="thread", multiprocessing_context="fork")
    loader(worker_type="thread"), loader(num_workers=1, multiprocessing_context="fork")
    with told("data/loader_args.py", "it is 'raise' or 'skip'"):
        loader(on_error="ignore")
    loader(on_error="raise"), loader(on_error="skip")


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class Counted(Stream):
    def __len__(self):
        return len(X)


def test_datasets_that_are_streams():
    with told("data/loader_args.py", "write StreamLoader(dataset, bs=..., n_items=...)"):
        loader(Stream())
    assert len(StreamLoader(Stream(), bs=5, n_items=20)) == 4
    with told("data/loaders.py", "give its dataset a `__len__`"):
        DataLoaders(torch.utils.data.DataLoader(Stream(), 5))
    assert Counted().__len__() == 20
    train_dl, valid_dl = (torch.utils.data.DataLoader(Counted(), 5) for _ in range(2))
    quiet(Learner(DataLoaders(train_dl, valid_dl), nn.Linear(4, 3), CrossEntropyLossFlat())).fit(1)


def test_loaders_of_torch():
    dataset = DATA
    plain = DataLoaders(torch.utils.data.DataLoader(dataset, 5))
    with told("data/loaders.py", "Make one as minifast's DataLoader(dataset, bs=...)"):
        plain.add_tfms([noop], "after_batch")
    dls = DataLoaders(DataLoader(dataset, bs=5))
    dls.add_tfms([noop], "after_batch")


def test_loaders_without_indices():
    class Batches:
        def __len__(self):
            return 1

        def __iter__(self):
            return iter([(X, Y)])

    dataset = DATA
    with told("data/loaders.py", "Make the loader as DataLoader(dataset, bs=...)"):
        learner(dls=DataLoaders(Batches(), Batches())).get_preds(dl=None, ds_idx=0, reorder=True, with_loss=False)
        DataLoaders(Batches(), Batches()).test_dl([1])
        raise AssertionError("nothing was said")
    assert len(DataLoader(dataset, bs=5).dataset) == 20


def test_what_is_decided():
    dl, dls = loader(), numbers()
    with told("data/dataloader.py", "write `dl = dl.new(…=...)`, or `dls = dls.new(…=...)`"):
        dl.shuffle = True
    dl = dl.new(shuffle=True)
    dls = dls.new(shuffle=True)
    assert dl.shuffles and dls.train.shuffles


def test_transforms_for_one_split():
    class Training(Transform):
        split_idx = 0

        def encodes(self, x: torch.Tensor):
            return x + 100

    with told("data/dataloader.py", "Write DataLoader(..., split_idx=0) for training items, split_idx=1 for validation"):
        DataLoader([1.0, 2.0], after_batch=Training(), num_workers=0).one_batch()
    assert DataLoader([1.0, 2.0], after_batch=Training(), split_idx=0, num_workers=0).one_batch().tolist() == [101, 102]
    assert DataLoader([1.0, 2.0], after_batch=Training(), split_idx=1, num_workers=0).one_batch().tolist() == [1, 2]


def test_a_loaded_learner_has_no_data(tmp_path):
    dls = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity).dataloaders(list(range(8)), bs=2, num_workers=0)
    file = quiet(Learner(dls, nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), path=tmp_path)).export("m")
    learn, item, items = quiet(load_learner(file, objects={"image": image, "parity": parity})), 1, [1, 2]
    with told("data/dataloader.py", "it predicts what it is given, `learn.predict(item)` or `learn.get_preds(dl=learn.dls.test_dl("
                                    "items))`. To train or validate it, assign loaders: learn.dls = dls"):
        learn.fit(1)
    assert learn.predict(item) and len(learn.get_preds(dl=learn.dls.test_dl(items))[0]) == 2
    learn.dls = dls
    learn.fit(1)


# -- how batches are made
def test_a_full_cache(tmp_path, monkeypatch):
    advice = DiskCache._advice
    with told("data/engine/cache.py", "Give cache= a folder on a larger disk, or a greater cache_bytes="):
        raise UserWarning(advice)
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for i, file in enumerate(files):
        image(i).save(file)
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: f.stem, splitter=lambda items: [range(4)])
    dls = block.dataloaders(files, bs=2, num_workers=0, cache=tmp_path / "larger", cache_bytes=10**9)
    assert len(list(dls.train)) == 2


def images(item_tfms=None, **kwargs):
    block = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity, item_tfms=item_tfms)
    return block.dataloaders(list(range(8)), bs=2, **kwargs)


class Noise(Transform):
    "Draws from torch's stream."

    def encodes(self, x: TensorImage):
        return x + torch.rand(1)


def test_random_streams_of_threads():
    from torchvision.transforms import v2

    with told("data/engine/choice.py", "Use worker_type='process', or put it into batch_tfms"):
        images(v2.RandomHorizontalFlip(), worker_type="thread", num_workers=2)
    images(v2.RandomHorizontalFlip(), worker_type="process", num_workers=1)
    block = DataBlock((ImageBlock, CategoryBlock), get_x=image, get_y=parity, batch_tfms=v2.RandomHorizontalFlip())
    block.dataloaders(list(range(8)), bs=2, worker_type="thread", num_workers=2).one_batch()
    with told("data/engine/choice.py", "Use threads, or cache='disk'"):
        images(cache="ram", worker_type="process", num_workers=2)
    images(cache="ram", worker_type="thread", num_workers=2)
    images(cache="disk", worker_type="process", num_workers=2)


def test_functions_that_draw_in_threads():
    def noisy(x):
        return x + float(torch.rand(())) if x > 6 else x

    def batches(tfm, **kwargs):
        dl = loader(list(range(20)), after_item=tfm, num_workers=2, seed=1, **kwargs)
        return torch.cat(list(dl))

    with told("data/engine/draws.py", "Draw in a `RandTransform`, whose method `draw(self, sample, rng, split_idx)`",
              "or use worker_type='process'"):
        batches(noisy, worker_type="thread")

    class Noisy(RandTransform):
        split_idx = None

        def draw(self, sample, rng, split_idx):
            return {"by": float(rng.random())}

        def encodes(self, x: int, by):
            return x + by if x > 6 else x

    assert torch.equal(batches(Noisy(), worker_type="thread"), batches(Noisy(), worker_type="thread"))
    assert torch.equal(batches(noisy, worker_type="process"), batches(noisy, worker_type="process"))


def test_workers_that_cannot_be_made(monkeypatch):
    fetcher = loader()._fetcher if hasattr(loader(), "_fetcher") else None
    monkeypatch.setattr(choice.sys, "platform", "win32")
    with told("data/engine/choice.py", "For workers give num_workers=, and put what the script does under `if __name__ == '__main__':`; or "
                                       "worker_type='thread'"):
        choice.choose_processes(fetcher, 4)
    monkeypatch.undo()
    assert choice.choose_processes(fetcher, 4, n=1).n == 1 and choice.choose_workers(fetcher, 4, n=1, kind="thread").kind == "thread"
    monkeypatch.setattr(choice, "start_method", lambda fetcher: (None, "a lambda"))
    with told("data/engine/choice.py", "Define functions at the top of a module, not as a lambda or in a notebook, or use "
                                       "worker_type='thread'"):
        choice.choose_processes(fetcher, 4, n=1)
    monkeypatch.undo()
    assert choice.choose_processes(fetcher, 4, n=1).n == 1
    assert choice.choose_workers(fetcher, 4, n=1, kind="thread").kind == "thread"


def test_samples_that_make_no_batch():
    class Thing:
        pass

    with told("data/engine/collate.py", "of which no batch can be made: …, or give the loader a `collate_fn`"):
        batch_of((1, Thing()), (2, Thing()))
    assert batch_of((1, Thing()), (2, Thing()), collate_fn=lambda samples: torch.tensor([o[0] for o in samples])).tolist() == [1, 2]

    def padded(samples):
        n = max(len(o) for o in samples)
        return [torch.tensor([*o, *[0] * (n - len(o))]) for o in samples]

    with told("data/engine/collate.py", "give the loader a `before_batch` transform that pads them, or a `collate_fn`"):
        batch_of([1, 2], [3])
    assert batch_of([1, 2], [3], before_batch=padded).shape == (2, 2)
    assert batch_of([1, 2], [3], collate_fn=lambda o: torch.stack(padded(o))).shape == (2, 2)
    with told("data/engine/collate.py", "Pad them to one length in a `before_batch` transform, or give the loader a `collate_fn`"):
        batch_of(torch.tensor([1, 2]), torch.tensor([3]))
    assert batch_of(torch.tensor([1, 2]), torch.tensor([3]), before_batch=padded).shape == (2, 2)
    assert batch_of(torch.tensor([1, 2]), torch.tensor([3]), collate_fn=lambda o: torch.stack(padded(o))).shape == (2, 2)


def test_processes():
    dl = loader(num_workers=1, worker_type="process", persistent_workers=True)
    with told("data/engine/processes.py", "To look at a batch during training use one_batch(), for another pass loader.new()"):
        for _ in dl:
            next(iter(dl))
    for _ in dl:
        dl.one_batch()
    assert len(list(dl.new())) == 4
    dl.end_workers()


def test_workers_that_died():
    def died(code):
        error = RuntimeError("DataLoader worker (pid 1) exited unexpectedly")
        processes.explain_death(error, [SimpleNamespace(pid=1, exitcode=code, join=lambda timeout: None)])
        raise error

    with told("data/engine/processes.py", "use fewer workers (num_workers=), a smaller bs or smaller images"):
        died(-9)
    with told("data/engine/processes.py", "a library crashed in it. num_workers=0 shows where"):
        died(-11)
    with told("data/engine/processes.py", "use num_workers=0 to see where"):
        died(-6)
    with told("data/engine/processes.py", "something in the dataset or a transform ends the process. num_workers=0 shows where"):
        died(1)
    assert len(list(loader(num_workers=0, bs=2))) == len(list(loader(num_workers=1, bs=2))) == 10


def test_next_of_nothing():
    def loaders(label, n=9):
        return DataLoader(Datasets(list(range(n)), [[float], [label]]), bs=4, device="cpu")

    with told("core/messages.py", "Leave such items out, or give a default, `next(..., default)`"):
        list(loaders(lambda i: next(o for o in range(8) if o == i)))
    assert len(list(loaders(lambda i: next(o for o in range(8) if o == i), n=8))) == 2
    assert len(list(loaders(lambda i: next((o for o in range(8) if o == i), 0)))) == 3


# -- sources
def test_downloads(tmp_path, monkeypatch):
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "index.html").write_text("text")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "served"))
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    with told("sources/download.py", "say where to put it: dest='...'"):
        download_url(url)
    assert download_url(url, dest=tmp_path / "page.html").exists()
    server.shutdown()


def test_places_of_datasets(tmp_path, monkeypatch):
    import shutil
    from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    for name in ("one", "two"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "a.txt").write_text(name)
        shutil.make_archive(str(tmp_path / name / "data"), "gztar", tmp_path / name, "data")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path))
    Thread(target=server.serve_forever, daemon=True).start()
    first, url = (f"http://127.0.0.1:{server.server_port}/{name}/data.tar.gz" for name in ("one", "two"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "file" / "home"))
    with told("sources/urls.py", "set the environment variable MINIFAST_HOME, or pass base='...'"):
        untar_data(first)
    assert untar_data(first, base=tmp_path / "base").exists()
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    assert untar_data(first).exists()
    with told("sources/urls.py", "choose another place for this one with untar_data(url, base='...'), or replace it with "
                                     "force_download=True"):
        untar_data(url)
    assert (untar_data(url, base=tmp_path / "other") / "a.txt").read_text() == "two"
    assert (untar_data(url, force_download=True) / "a.txt").read_text() == "two"
    server.shutdown()


# -- what is left of other rooms
def test_values_for_optimizers():
    with told("optim/groups.py", "must be a number, a slice or a list with one number per layer group"):
        Adam(params(nn.Linear(1, 1)), lr="0.1")
    for lr in (0.1, slice(0.1), [0.1]):
        assert Adam(params(nn.Linear(1, 1)), lr=lr).param_groups
    group = [{"params": params(nn.Linear(1, 1)), "mom": 0.9}]
    with told("optim/groups.py", "has no use for …=…, set in the group of layer group"):
        OptimWrapper(group, opt=torch.optim.Adagrad)
    assert OptimWrapper([{"params": params(nn.Linear(1, 1))}], opt=torch.optim.Adagrad)
    with told("optim/optimizers.py", "and by its short name. Give it once"):
        OptimWrapper(params(nn.Linear(1, 1)), opt=torch.optim.SGD, weight_decay=0.1, wd=0.1)
    assert OptimWrapper(params(nn.Linear(1, 1)), opt=torch.optim.SGD, wd=0.1)
