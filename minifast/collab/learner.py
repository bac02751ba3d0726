"""`collab_learner`: a learner that predicts ratings."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..callbacks.base import Callback
from ..core.keywords import knows_keywords
from ..core.messages import describe
from ..core.types import LossFunc, PathLike, Splitter, YRange
from ..data.loaders import DataLoaders
from ..nn.losses import MSELossFlat
from ..optim.groups import trainable_params
from ..optim.optimizers import Adam
from ..tabular.learner import TabularLearner, embedding_sizes, model_config
from .loaders import TabularCollab
from .models import EmbeddingDotBias, EmbeddingNN


@knows_keywords
def collab_learner(dls: DataLoaders, n_factors: int = 50, use_nn: bool = False,
                   emb_szs: Mapping[Any, int] | Sequence[tuple[int, int]] | None = None, layers: Sequence[int] | None = None,
                   config: Mapping[str, Any] | None = None, y_range: YRange | None = None, loss_func: LossFunc | None = None,
                   opt_func: Callable[..., Any] = Adam, lr: float = 1e-3, splitter: Splitter | None = None,
                   cbs: Callback | Sequence[Callback] | None = None, metrics: Any = None, path: PathLike | None = None,
                   model_dir: str = "models", wd: float | None = None, wd_bn_bias: bool = False, train_bn: bool = True,
                   moms: tuple[float, float, float] = (0.95, 0.85, 0.95), default_cbs: bool = True) -> TabularLearner:
    """A learner on `CollabDataLoaders`: `EmbeddingDotBias`, or with `use_nn` an `EmbeddingNN`.

    Args:
        dls: loaders of `CollabDataLoaders.from_df` or `from_csv`.
        n_factors: the length of the vectors of users and items.
        use_nn: embeddings and linear layers instead of a dot product.
        emb_szs: embedding sizes of the network, see `tabular_learner`.
        layers: sizes of the hidden layers of the network; default: [n_factors].
        config: more about the network, see `tabular_config`.
        y_range: (low, high) of the ratings; slightly more than the highest rating, such as (0, 5.5), is easier to reach.
        loss_func: default: `MSELossFlat`.
        opt_func, lr, splitter, cbs, metrics, path, model_dir, wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.

    Raises:
        TypeError: if `dls` were not made by `CollabDataLoaders`.
        ValueError: if arguments of the network are given without `use_nn`.
    """
    table = getattr(getattr(dls, "train", None), "dataset", None)
    if not isinstance(table, TabularCollab):
        raise TypeError(f"collab_learner takes CollabDataLoaders (CollabDataLoaders.from_df); received {describe(dls)}")
    if not use_nn:
        given = [name for name, value in (("emb_szs", emb_szs), ("layers", layers), ("config", config)) if value is not None]
        if given:
            raise ValueError(f"collab_learner(use_nn=False) does not take {', '.join(given)}, which belong to the network: write "
                             "use_nn=True")
        model: EmbeddingDotBias | EmbeddingNN = EmbeddingDotBias.from_classes(
            n_factors, table.classes, y_range=y_range)
    else:
        kwargs = model_config(config, y_range)
        kwargs.pop("bn_cont", None)
        model = EmbeddingNN(embedding_sizes(table, emb_szs), [n_factors] if layers is None else layers, **kwargs)
    return TabularLearner(dls, model, loss_func=MSELossFlat() if loss_func is None else loss_func, opt_func=opt_func, lr=lr,
                          splitter=trainable_params if splitter is None else splitter, cbs=cbs, metrics=metrics, path=path,
                          model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, default_cbs=default_cbs)
