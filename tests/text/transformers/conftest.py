"""Fixtures of the tests of transformers."""
import functools

import pytest
from tiny_transformers import FRAME, save


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    "A function from the name of a kind, such as 'bert', to a folder with a tiny model of it and its tokenizer."
    root = tmp_path_factory.mktemp("tiny")
    return functools.cache(lambda kind: save(kind, root / kind))


@pytest.fixture
def frame():
    "Texts and labels."
    import pandas as pd
    return pd.DataFrame(FRAME)


@pytest.fixture
def classify(tiny, frame):
    "A function from the name of a kind to a learner of two classes."
    from minifast.text.all import TransformersDataLoaders, transformers_learner

    def make(kind, **options):
        dls = TransformersDataLoaders.from_df(frame, tiny(kind), "text", "label", bs=4, device="cpu")
        learn = transformers_learner(dls, tiny(kind), **options)
        learn.logger = lambda row: None
        return learn
    return make
