"""`from minifast.tabular.all import *`: listed, sorted, documented, with the names that course notebooks use."""
import builtins

import minifast.basics as basics
import minifast.tabular.all as everything

COURSE = """TabularPandas TabularDataLoaders Categorify FillMissing Normalize FillStrategy cont_cat_split add_datepart
add_elapsed_times df_shrink make_date TabularModel tabular_config tabular_learner TabularLearner emb_sz_rule get_emb_sz
RandomSplitter range_of CategoryBlock RegressionBlock accuracy rmse MSELossFlat Path pd np torch L Module Embedding
sigmoid_range"""


def test_listed_sorted_documented():
    names = everything.__all__
    assert names == sorted(set(names)) and all(hasattr(everything, n) for n in names) and set(basics.__all__) <= set(names)
    assert [n for n in names if hasattr(builtins, n)] == [] and [n for n in COURSE.split() if n not in names] == []
    own = [getattr(everything, n) for n in names if n not in basics.__all__]
    assert all(o.__module__.startswith("minifast.tabular") and (o.__doc__ or "").strip() for o in own)
    assert sorted(n for n in vars(everything) if not n.startswith("_") and n not in names) == []
