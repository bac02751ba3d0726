"""minifast: a layered deep-learning framework on PyTorch.

The names most programs need can be imported from here (`from minifast import Learner, DataBlock, vision_learner`). Each is looked up
when it is first asked for (PEP 562), so `import minifast` itself imports nothing heavy.
"""
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .compat.modules import install

__version__ = "0.1.0"

install()           # fastai's module paths

if TYPE_CHECKING:           # for editors and type checkers; must name what _HOMES names, see tests/contracts/test_public_names.py
    from .callbacks.base import Callback
    from .collab.learner import collab_learner
    from .collab.loaders import CollabDataLoaders
    from .data.block import CategoryBlock, DataBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
    from .data.dataloader import DataLoader
    from .data.datasets import Datasets
    from .data.loaders import DataLoaders
    from .data.pipeline import Pipeline
    from .data.transforms import Transform
    from .interpret.base import Interpretation
    from .interpret.classification import ClassificationInterpretation
    from .learner.learner import Learner
    from .sources.urls import URLs, untar_data
    from .tabular.frames import TabularPandas
    from .tabular.learner import tabular_learner
    from .tabular.loaders import TabularDataLoaders
    from .text.block import TextBlock
    from .text.learner import language_model_learner, text_classifier_learner
    from .text.loaders import TextDataLoaders
    from .text.transformers.learner import transformers_learner
    from .text.transformers.loaders import TransformersDataLoaders
    from .vision.augment.batch import aug_transforms
    from .vision.augment.item import Resize
    from .vision.blocks import ImageBlock, MaskBlock
    from .vision.learner import unet_learner, vision_learner
    from .vision.loaders import ImageDataLoaders, SegmentationDataLoaders

_HOMES = {
    "callbacks.base": ["Callback"],
    "collab.learner": ["collab_learner"],
    "collab.loaders": ["CollabDataLoaders"],
    "data.block": ["CategoryBlock", "DataBlock", "MultiCategoryBlock", "RegressionBlock", "TransformBlock"],
    "data.dataloader": ["DataLoader"],
    "data.datasets": ["Datasets"],
    "data.loaders": ["DataLoaders"],
    "sources.urls": ["URLs", "untar_data"],
    "data.transforms": ["Transform"],
    "data.pipeline": ["Pipeline"],
    "interpret.base": ["Interpretation"],
    "interpret.classification": ["ClassificationInterpretation"],
    "learner.learner": ["Learner"],
    "tabular.frames": ["TabularPandas"],
    "tabular.learner": ["tabular_learner"],
    "tabular.loaders": ["TabularDataLoaders"],
    "text.transformers.learner": ["transformers_learner"],
    "text.transformers.loaders": ["TransformersDataLoaders"],
    "text.block": ["TextBlock"],
    "text.loaders": ["TextDataLoaders"],
    "text.learner": ["language_model_learner", "text_classifier_learner"],
    "vision.augment.batch": ["aug_transforms"],
    "vision.augment.item": ["Resize"],
    "vision.blocks": ["ImageBlock", "MaskBlock"],
    "vision.learner": ["unet_learner", "vision_learner"],
    "vision.loaders": ["ImageDataLoaders", "SegmentationDataLoaders"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Callback", "CategoryBlock", "ClassificationInterpretation", "CollabDataLoaders", "DataBlock", "DataLoader", "DataLoaders",
    "Datasets", "ImageBlock", "ImageDataLoaders", "Interpretation", "Learner", "MaskBlock", "MultiCategoryBlock", "Pipeline",
    "RegressionBlock", "Resize", "SegmentationDataLoaders", "TabularDataLoaders", "TabularPandas", "TextBlock", "TextDataLoaders",
    "Transform", "TransformBlock", "TransformersDataLoaders", "URLs", "aug_transforms", "collab_learner", "language_model_learner",
    "tabular_learner", "text_classifier_learner", "transformers_learner", "unet_learner", "untar_data", "vision_learner",
]


def __getattr__(name: str) -> Any:
    if name.startswith("_"):                        # asked by Python and by tools, which take no advice
        raise AttributeError(f"module 'minifast' has no attribute {name!r}")
    if name not in _HOME_OF:
        from .core.messages import did_you_mean
        hint = did_you_mean(name, __all__) or ". All public names come with `from minifast.vision.all import *` or `minifast.tabular.all`"
        raise AttributeError(f"module 'minifast' has no attribute {name!r}{hint}")
    value = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
