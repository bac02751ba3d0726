"Keywords that a call does not take."
import inspect

import pytest

import minifast.tabular.all as t
import minifast.text.all as text
import minifast.timeseries.all as s
import minifast.vision.all as v
from minifast import callbacks, collab
from minifast.callbacks import Callback
from minifast.core.keywords import KnowsKeywords, knows_keywords
from minifast.core.messages import did_you_mean
from minifast.data.block import TransformBlock
from minifast.data.splitters import Splitter
from minifast.data.transforms import Transform
from minifast.metrics import Metric
from minifast.nn import BaseLoss


@knows_keywords
def train(dls, n_epoch=1, lr_max=None, *, cbs=None):
    "Its docstring."
    return dls, n_epoch, lr_max, cbs


class Thing:
    @knows_keywords
    def __init__(self, a, batch=2):
        self.a, self.batch = a, batch


def test_an_unknown_keyword_is_refused_with_the_one_that_was_meant():
    with pytest.raises(TypeError, match=r"train\(...\) does not take callbacks=int 3; did you mean 'cbs'\? It takes: cbs, dls, lr_max"):
        train(1, callbacks=3)
    with pytest.raises(TypeError, match=r"Thing\(\.\.\.\) does not take bach=int 3; did you mean 'batch'\?"):
        Thing(1, bach=3)
    with pytest.raises(TypeError, match=r"^train\(\) missing 1 required positional argument: 'dls'"):
        train(n_epoch=2)


class Bare(KnowsKeywords):
    def __init__(self, width):
        self.width = width


class Part(KnowsKeywords):
    def __init__(self, width=1):
        self.width = width


class Wide(Part):
    def __init__(self, height=1, **kwargs):
        super().__init__(**kwargs)
        self.height = height


class Same(Part):
    pass


def test_classes_of_a_base_refuse_them_too():
    assert not hasattr(Bare.__init__, "__wrapped__")                    # nothing to misspell beside what it asks for
    assert vars(Wide(2, width=3)) == {"width": 3, "height": 2} and list(inspect.signature(Same).parameters) == ["width"]
    for cls in (Part, Wide, Same):
        with pytest.raises(TypeError, match=rf"{cls.__name__}\(\.\.\.\) does not take witdh=int 3; did you mean 'width'\? It takes: width"):
            cls(witdh=3)
    with pytest.raises(TypeError, match=r"^Part.__init__\(\) got multiple values for argument 'width'"):
        Part(1, width=3)


class Made(Thing):
    @classmethod
    @knows_keywords
    def of_two(cls, first=1, second=2):
        return cls(first, batch=second)


def test_class_methods_are_named_with_the_class_that_was_asked():
    class Own(Made):
        pass
    assert type(Own.of_two(second=3)) is Own and list(inspect.signature(Own.of_two).parameters) == ["first", "second"]
    with pytest.raises(TypeError, match=r"Own.of_two\(\.\.\.\) does not take secnd=int 3; did you mean 'second'\? It takes: first, second"):
        Own.of_two(secnd=3)


def test_everything_else_is_as_before():
    assert train(1, 2, lr_max=3, cbs=4) == (1, 2, 3, 4) and Thing(1, batch=5).batch == 5
    assert list(inspect.signature(train).parameters) == ["dls", "n_epoch", "lr_max", "cbs"] and train.__doc__ == "Its docstring."


def test_names_of_other_frameworks_and_words_of_a_name():
    assert did_you_mean("callbacks", ["cbs", "lr"]) == "; did you mean 'cbs'?"
    assert did_you_mean("epochs", ["n_epoch", "lr"]) == did_you_mean("epoch", ["n_epoch", "lr"]) == "; did you mean 'n_epoch'?"
    assert did_you_mean("epoch", ["epochs", "n_epoch"]) == "; did you mean 'epochs'?"
    assert did_you_mean("lr", ["base_lr", "lr_mult", "wd"]) == "; did you mean 'base_lr'?"
    assert did_you_mean("lr", ["lr_max", "wd"]) == "; did you mean 'lr_max'?"
    assert did_you_mean("lr", ["lr_max", "lr_mult"]) == did_you_mean("callbacks", ["wd"]) == ""


#: What people make with keywords: the bases of their classes.
BASES = (Callback, Transform, Splitter, Metric, BaseLoss, TransformBlock)
#: ... and functions.
MAKERS = [v.F1Score, v.RocAucMulti, v.PearsonCorrCoef, v.CategoryBlock, v.MultiCategoryBlock, v.RegressionBlock, v.ImageBlock, v.MaskBlock,
          v.PointBlock, t.TabularPandas, TransformBlock, v.get_image_files, v.load_learner, v.kfold, t.add_datepart, t.df_shrink]


def misspelt(f):
    "The last long keyword of a function or class that has optional ones, and the same without one of its letters; or None."
    parameters = inspect.signature(f).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    names = [p.name for p in parameters if len(p.name) > 3 and p.kind is p.POSITIONAL_OR_KEYWORD]
    return (names[-1], names[-1][:-2] + names[-1][-1]) if names and any(p.default is not p.empty for p in parameters) else None


def made_with_keywords():
    lists = (v, t, s, text, callbacks)
    found = {o for m in lists for o in (getattr(m, name) for name in m.__all__) if isinstance(o, type) and issubclass(o, BASES)}
    found |= {v.ColReader, v.Interpretation, *MAKERS}
    return sorted(found - {callbacks.GatherPreds}, key=lambda o: o.__name__)         # made at each prediction


@pytest.mark.parametrize("f", [f for f in made_with_keywords() if misspelt(f)], ids=lambda f: f.__name__)
def test_what_is_made_with_keywords_names_the_one_that_was_meant(f):
    right, wrong = misspelt(f)
    said = rf"{f.__name__}\(\.\.\.\) does not take {wrong}=int 1; did you mean '\w+'\?.* It takes: .*\b{right}\b"
    with pytest.raises(TypeError, match=said):
        f(**{wrong: 1})


@pytest.mark.parametrize("made", [t.TabularDataLoaders.from_df, t.TabularDataLoaders.from_csv, collab.CollabDataLoaders.from_df,
                                  collab.CollabDataLoaders.from_csv], ids=lambda made: made.__qualname__)
def test_factories_of_tables_too(made):
    with pytest.raises(TypeError, match=rf"^{made.__qualname__}\(\.\.\.\) does not take valid_pc=float 0.1; did you mean 'valid_pct'\?"):
        made(None, valid_pc=0.1)


def test_the_test_above_sees_many():
    assert len([f for f in made_with_keywords() if misspelt(f)]) > 90
