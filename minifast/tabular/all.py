"""Everything for tables: `from minifast.tabular.all import *`."""
from ..basics import *
from ..basics import __all__ as __all__           # written so that type checkers know its names
from .baseline import tabular_baseline
from .columns import cont_cat_split, df_shrink, df_shrink_dtypes
from .dates import add_datepart, add_elapsed_times, make_date
from .frames import TabularPandas
from .interpret import add_embeddings, embeddings_frame, partial_dependence, permutation_importance
from .learner import TabularLearner, tabular_learner
from .loaders import TabDataLoader, TabularDataLoaders, TabWeightedDL
from .model import TabularModel, emb_sz_rule, get_emb_sz, tabular_config
from .procs import Categorify, FillMissing, FillStrategy, Normalize, TabularProc

__all__ = [*__all__]
__all__ += [
    "Categorify", "FillMissing", "FillStrategy", "Normalize", "TabDataLoader", "TabWeightedDL", "TabularDataLoaders", "TabularLearner",
    "TabularModel", "TabularPandas", "TabularProc", "add_datepart", "add_elapsed_times", "add_embeddings", "cont_cat_split",
    "df_shrink", "df_shrink_dtypes", "emb_sz_rule", "embeddings_frame", "get_emb_sz", "make_date", "partial_dependence",
    "permutation_importance", "tabular_baseline", "tabular_config", "tabular_learner",
]
__all__.sort()
