"""`from minifast.vision.all import *` is a contract: listed, sorted, documented names, and the ones that course notebooks count on."""
import ast
import importlib
from pathlib import Path
from types import ModuleType

import fresh_process
import pytest

import minifast

MODULES = ["minifast.basics", "minifast.vision.all", "minifast.tabular.all"]

#: The names that notebooks of the fast.ai course use in vision code, of those parts that minifast has.
COURSE = """
Path partial np pd plt torch nn F tensor re random math os string shutil matplotlib SimpleNamespace Tensor
L first range_of coll_repr noop array one_hot store_attr Inf defaults params to_device to_cpu to_np progress_bar set_seed
URLs untar_data download_url get_image_files get_text_files parent_label using_attr RegexLabeller verify_images
RandomSplitter GrandparentSplitter FuncSplitter Transform Pipeline TfmdLists Datasets Categorize ToTensor IntToFloatTensor Normalize
DataBlock DataLoader DataLoaders ImageBlock CategoryBlock MultiCategoryBlock ImageDataLoaders SegmentationDataLoaders
Image PILImage PILImageBW TensorImage image2tensor imagenet_stats show_image show_at subplots
Resize ResizeMethod PadMode RandomResizedCrop aug_transforms setup_aug_tfms Rotate Zoom Warp
Learner Callback Recorder CancelFitException vision_learner cnn_learner create_head create_body resnet18 resnet34 resnet50
Module ConvLayer Embedding Flatten NormType sequential sigmoid_range
SGD Optimizer CrossEntropyLossFlat MSELossFlat accuracy accuracy_multi error_rate Perplexity slide valley minimum steep
"""


def public(module):
    return {name: getattr(importlib.import_module(module), name) for name in importlib.import_module(module).__all__}


def undocumented(names):
    "Which of minifast's own classes and functions have no docstring of their own. Constants say what they are by their names."
    ours = {n: v for n, v in names.items() if callable(v) and (getattr(v, "__module__", None) or "").split(".")[0] == "minifast"}
    return [n for n, v in ours.items() if not ((vars(v).get("__doc__") if isinstance(v, type) else v.__doc__) or "").strip()]


@pytest.mark.parametrize("module", MODULES)
def test_listed_sorted_and_there(module):
    names = importlib.import_module(module).__all__
    assert names == sorted(names), "not sorted"
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    assert [n for n in names if not hasattr(importlib.import_module(module), n)] == []
    assert [n for n in names if n.startswith("_")] == []


@pytest.mark.parametrize("module", MODULES)
def test_own_names_are_documented(module):
    assert undocumented(public(module)) == []


def test_the_test_sees_a_missing_docstring():
    def bare():
        pass

    class Bare(Exception):
        pass

    bare.__module__ = Bare.__module__ = "minifast.made_up"
    assert undocumented({"bare": bare, "Bare": Bare, "number": 3, "Path": ModuleType("m")}) == ["bare", "Bare"]


@pytest.mark.parametrize("module", MODULES)
def test_every_name_defined_for_users_is_listed(module):
    "What the module imports to give it on is in its `__all__`: no name is there by accident."
    m = importlib.import_module(module)
    submodules = {n for n, v in vars(m).items() if isinstance(v, ModuleType) and v.__name__.startswith("minifast")}
    assert sorted(n for n in vars(m) if not n.startswith("_") and n not in m.__all__ and n not in submodules) == []


def test_vision_has_all_of_basics():
    assert set(public("minifast.basics")) <= set(public("minifast.vision.all"))
    assert all(public("minifast.vision.all")[n] is v for n, v in public("minifast.basics").items())


def test_a_star_brings_exactly_what_is_listed():
    code = ("before = set(globals())\nfrom minifast.vision.all import *\n"
            "print(*sorted(set(globals()) - before - {'before'}))")
    done = fresh_process.run(code, check=True)
    assert done.stdout.split() == importlib.import_module("minifast.vision.all").__all__


def test_no_python_builtin_is_hidden():
    import builtins
    assert [n for n in importlib.import_module("minifast.vision.all").__all__ if hasattr(builtins, n)] == []


def test_the_course_finds_its_names():
    assert [n for n in COURSE.split() if n not in public("minifast.vision.all")] == []
    assert len(set(COURSE.split())) == len(COURSE.split())


# -- the front door: `from minifast import Learner` ---------------------------------------------------------------------------------
def names_for_type_checkers():
    "`{name: module}` of the imports in the `if TYPE_CHECKING:` block of `minifast/__init__.py`."
    tree = ast.parse(Path(minifast.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {alias.name: statement.module for statement in block.body for alias in statement.names}


def test_the_front_door_says_the_same_three_times():
    homes = {name: module for module, names in minifast._HOMES.items() for name in names}
    assert homes == names_for_type_checkers()
    assert minifast.__all__ == sorted(homes)
    assert sum(map(len, minifast._HOMES.values())) == len(homes), "a name has two homes"


@pytest.mark.parametrize("name", minifast.__all__)
def test_every_name_of_the_front_door_resolves(name):
    value = getattr(minifast, name)
    assert name in dir(minifast)
    assert value is getattr(importlib.import_module(f"minifast.{names_for_type_checkers()[name]}"), name)


def test_the_front_door_refuses_other_names():
    with pytest.raises(AttributeError, match=r"module 'minifast' has no attribute 'Lerner'; did you mean 'Learner'\?"):
        _ = minifast.Lerner
    with pytest.raises(AttributeError, match=r"no attribute 'resnet18'\. All public names come with `from minifast.vision.all"):
        _ = minifast.resnet18
