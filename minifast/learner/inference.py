"""`Inference`, the part of `Learner` that validates, predicts, averages augmented predictions and shows them."""
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import RandomSampler, SequentialSampler, Subset, SubsetRandomSampler, WeightedRandomSampler

from ..callbacks import GatherPreds, Recorder
from ..core import PathLike, add_note, brief, describe, plural, reject_unknown, to_device
from ..core.keywords import knows_keywords
from ..core.nested import as_tuple, find_bs, item_of, items_at, leaves
from ..data.show import decode_targets
from ..data.targets import base_dataset
from ..nn.loss_traits import (
    CLASS_KINDS,
    activation_of,
    decodes_of,
    decoding,
    has_own_code,
    kind_of,
    loss_name,
    lost_batch_axis,
    not_one_tensor,
)
from .loop import CallbackLike, TrainingLoop, listed


class Text(str):
    "A string that shows itself unquoted as the last line of a notebook cell."

    def __repr__(self) -> str:
        return str(self)


def with_model_tfms(loaders: Any, tfms: list) -> Any:
    "`loaders` (a loader or `DataLoaders`), or a copy with those of the model's batch transforms `tfms` that they lack."
    whole = hasattr(loaders, "with_tfms")
    parts = list(loaders) if whole else [loaders]
    ours = all(hasattr(dl, "after_batch") for dl in parts)
    missing = [t for t in tfms if ours and not any(type(t) is type(f) for f in parts[0].after_batch)]
    if not missing:
        return loaders
    return loaders.with_tfms(missing) if whole else loaders.new(after_batch=loaders.after_batch.with_tfms(missing))


def _chosen(learn, ds_idx, dl):
    "The loader `dl`, or loader `ds_idx` of the learner's data."
    if dl is not None:
        several = isinstance(dl, (list, tuple)) and not hasattr(dl, "dataset")
        items = isinstance(dl, (str, bytes, torch.Tensor)) or hasattr(dl, "columns") or not hasattr(dl, "__iter__")
        if items or (several and dl and not any(isinstance(o, torch.Tensor) for o in leaves(dl[0]))):
            raise TypeError(f"dl must be a loader; received {describe(dl)}. Make one from items with `learn.dls.test_dl(items)`")
        return dl
    if isinstance(ds_idx, bool) or not isinstance(ds_idx, int):
        raise TypeError(f"ds_idx={brief(ds_idx)}: a number, 0 is training and 1 validation. A loader is given by its name, "
                        "`dl=learn.dls.test_dl(items)`")
    if not -len(learn.dls) <= ds_idx < len(learn.dls):
        raise IndexError(f"ds_idx={ds_idx}: this learner has {plural(len(learn.dls), 'loader')} (0 is training, 1 validation)"
                         + (" and no validation data" if len(learn.dls) == 1 else "")
                         + ". Give a loader, `dl=learn.dls.test_dl(items)`")
    return learn.dls[ds_idx]


def loader_for(learn: "Inference", ds_idx: int, dl: Any, shuffle: bool = False, train_transforms: bool = False,
               seed: int | None = None) -> Any:
    """The loader to predict on: `dl`, or loader `ds_idx` of the learner's data, over its items in the order of its dataset.

    Training data gets the transforms of validation, without augmentation, unless `train_transforms`. A sampler that selects a subset of
    the items still does.
    """
    dl = _chosen(learn, ds_idx, dl)
    sampler = getattr(dl, "sampler", None)
    selects = hasattr(sampler, "indices") if hasattr(dl, "after_batch") else isinstance(sampler, SubsetRandomSampler)
    subset = Subset(dl.dataset, sorted(map(int, sampler.indices))) if selects else None
    if hasattr(dl, "after_batch"):
        dl = with_model_tfms(dl, learn.batch_tfms)
        if dl.is_plain_pass and dl.device == learn.dls.device and not learn.running and not shuffle and not train_transforms:
            return dl
        return dl.new(subset, shuffle=shuffle, drop_last=False, split_idx=0 if train_transforms else 1, device=learn.dls.device,
                      **({} if seed is None else {"seed": seed}))
    in_order = isinstance(sampler, SequentialSampler) and not dl.drop_last
    reorders = isinstance(sampler, (SequentialSampler, RandomSampler, WeightedRandomSampler, SubsetRandomSampler)) and not in_order
    if type(dl) is TorchDataLoader and dl.batch_size and not shuffle and reorders:
        return TorchDataLoader(dl.dataset if subset is None else subset, dl.batch_size, num_workers=dl.num_workers,
                               collate_fn=dl.collate_fn)
    return dl


class Batches(list):
    "Batches in place of a loader."

    def __init__(self, batches: Iterable, n_inp: int | None = None):
        super().__init__(batches)
        self.n_inp = n_inp


def decode_batch(learn: TrainingLoop, batch: Any, max_n: int | None = None) -> list:
    "A batch of inputs and targets as a list of decoded samples, such as (image, 'cat')."
    return _validation(learn).decode_batch(to_device(batch, learn.dls.device), max_n=max_n or find_bs(batch))


def _validation(learn):
    "The loader whose transforms are those of validation, where there is one."
    return learn.dls[min(1, len(learn.dls) - 1)]


def tta_of_targets(dl: Any) -> Callable | None:
    "What the block of a target of the loader `dl` gives as `TransformBlock(tta=...)`; None: predictions may simply be averaged."
    dataset = base_dataset(dl)[0]
    n_inp = getattr(dl, "n_inp", None) or 1
    for block in (getattr(dataset, "blocks", None) or [])[n_inp:]:
        if block.tta is not None:
            return block.tta
    kinds = getattr(dl, "kinds", None)
    for kind in kinds[n_inp:] if isinstance(kinds, tuple) else ():
        if kind is not None and any(c.__name__ in ("Mask", "KeyPoints", "BoundingBoxes") for c in kind.cls.__mro__):
            raise TypeError(f"tta() of {kind.cls.__name__}: predictions on augmented images must be mapped back before they are averaged, "
                            "and the block of these targets does not say how. Write TransformBlock(..., tta=tta_masks) or tta=tta_points, "
                            "or call `tta_masks(learn)`; both are in minifast.vision.tta_geometry")
    return None


def _label(x):
    if isinstance(x, (list, tuple)):
        return ";".join(map(_label, x))
    if getattr(x, "ndim", None) == 0:
        x = x.item()
    return f"{x:.4g}" if isinstance(x, float) else str(x)


class Inference(TrainingLoop):
    "The part of a `Learner` that validates, predicts and shows predictions."

    batch_tfms: list          #: batch transforms that belong to the model
    _shown = -1               # how often show_results has shuffled

    @knows_keywords
    def validate(self, ds_idx: int = 1, dl: Iterable | None = None, cbs: CallbackLike | None = None) -> list[float]:
        """Compute the loss and the metrics; the history does not change.

        Args:
            ds_idx: the loader of the learner's data: 0 is training, 1 validation.
            dl: a loader to use instead.
            cbs: callbacks for this pass only.

        Returns:
            `[loss, *metrics]`.
        """
        if self.recorder is None:
            raise ValueError("validate() reads its results from the Recorder, and this learner has none: create it with default_cbs=True, "
                             "or `learn.add_cb(Recorder())`")
        dl = loader_for(self, ds_idx, dl)
        if not getattr(getattr(dl, "dataset", None), "labelled", True):
            raise ValueError("validate() needs targets, and this loader has none: make it with dls.test_dl(items, with_labels=True)")
        with self.pass_lock.for_pass(), self.temporary_recorder():
            self.validation_pass(dl, cbs)
            return self.recorder.valid_values

    @knows_keywords
    def get_preds(self, ds_idx: int = 1, dl: Iterable | None = None, with_input: bool = False, with_decoded: bool = False,
                  with_loss: bool = False, act: Callable[[Any], Any] | None = None, reorder: bool = True, cbs: CallbackLike | None = None,
                  with_preds: bool = True, with_targs: bool = True, concat_dim: int = 0, save_preds: PathLike | None = None,
                  save_targs: PathLike | None = None) -> tuple:
        """Predict every item of a loader, in the order of its dataset, without augmentation.

        Args:
            ds_idx: the loader of the learner's data: 0 is training, 1 validation.
            dl: a loader to use instead, such as `dls.test_dl(items)`.
            with_input: return the inputs too.
            with_decoded: return the decoded predictions (classes) too.
            with_loss: return the loss of each item too.
            act: activation of the predictions; None: the one that belongs to the loss, torch's own included, such as softmax. `noop`
                gives the outputs of the model.
            reorder: False takes the batches of the loader as it gives them, shuffled or augmented.
            cbs: callbacks for this pass only.
            with_preds: return the predictions.
            with_targs: return the targets.
            concat_dim: the axis on which batches of predictions are joined.
            save_preds, save_targs: a folder to also write the predictions, or targets, of batch i to, as `i.npy` for `np.load`.

        Returns:
            Those asked for of `(inputs, preds, targs, decoded, losses)`, on the CPU.
        """
        return self._predictions(ds_idx, dl, with_input, with_decoded, with_loss, act, reorder, cbs, with_preds, with_targs, concat_dim,
                                 save_preds, save_targs)

    def _predictions(self, ds_idx=1, dl=None, with_input=False, with_decoded=False, with_loss=False, act=None, reorder=True, cbs=None,
                     with_preds=True, with_targs=True, concat_dim=0, save_preds=None, save_targs=None):
        if with_loss and self.loss_func is None:
            raise ValueError("get_preds(with_loss=True): this learner has no loss function")
        dl = loader_for(self, ds_idx, dl) if reorder else _chosen(self, ds_idx, dl)
        order = getattr(dl, "pass_order", None) if reorder else None
        if order is not None and (save_preds is not None or save_targs is not None):
            raise ValueError("get_preds(save_preds=..., save_targs=...) writes a file per batch, and the batches of this loader are in "
                             "order of length. Save what is returned, np.save(file, preds), or take the batches as they come, "
                             "reorder=False")
        gather = GatherPreds(with_input, with_loss, with_preds or with_decoded, with_targs,
                             self.activation if act is None else act, save_preds, save_targs)
        with self.pass_lock.for_pass(), self.paused_cbs(Recorder):
            self.validation_pass(dl, [gather, *listed(cbs)])
        preds = gather.joined(gather.preds, concat_dim)
        if isinstance(preds, torch.Tensor) and preds.ndim == 1 and act is None and kind_of(self.loss_func) in CLASS_KINDS:
            raise ValueError(lost_batch_axis(gather.preds[0]))
        decoded = None
        if with_decoded:
            lengths = isinstance(preds, list) and kind_of(self.loss_func) is not None       # one tensor per item, of several lengths
            decoded = [self.decode_pred(p[None])[0] for p in preds] if lengths else self.decode_pred(preds)
        results = ((with_input, gather.joined(gather.inputs, concat_dim), concat_dim), (with_preds, preds, concat_dim),
                   (with_targs, gather.joined(gather.targets, concat_dim), concat_dim), (with_decoded, decoded, concat_dim),
                   (with_loss, gather.joined(gather.losses), 0))
        found = tuple((result, dim) for wanted, result, dim in results if wanted)
        if order is None:
            return tuple(result for result, _ in found)
        back = torch.argsort(order)
        return tuple(items_at(result, back, dim) for result, dim in found)

    def predict(self, item: Any, with_input: bool = False) -> tuple:
        """Predict one item.

        Args:
            item: as those of the training data, such as a file.
            with_input: return the decoded input first.

        Returns:
            `(decoded target, its tensor, probabilities)`.

        Raises:
            TypeError: `with_input` is something else, such as how many words a language model of `transformers` should write.
        """
        if not isinstance(with_input, bool):
            raise TypeError(f"predict(item, with_input={brief(with_input)}): with_input is True or False, and there is one item at a time")
        self.pass_lock.refuse_during_fit()              # before the item is made, too
        try:
            batch, n_inp = self.dls.test_batch([item])
        except Exception as e:
            if isinstance(item, (list, tuple)) and len(item) > 1:
                add_note(e, "predict takes one item; for several write learn.get_preds(dl=learn.dls.test_dl(items))")
            raise
        inputs, preds, _, decoded = self._predictions(dl=Batches([batch], n_inp), with_input=True, with_decoded=True, reorder=False)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        if isinstance(preds, torch.Tensor) and len(preds) != 1:
            raise ValueError(lost_batch_axis(preds))
        with decoding(preds, self.loss_func):
            first, probs = item_of(decoded, 0), item_of(preds, 0)
            if not with_input:
                return (decode_targets(_validation(self), *to_device((inputs, decoded), self.dls.device))[0], first, probs)
            batch = (*inputs, *as_tuple(decoded))
            full = decode_batch(self, batch)[0] if hasattr(_validation(self), "decode_batch") else item_of(batch, 0)
        if isinstance(full, dict):                  # a row of a table, its target among the rest
            return (full, first, probs)
        n_inp = len(inputs)
        target = full[n_inp:] if len(full) > n_inp + 1 else full[n_inp]
        return (full[:n_inp] if n_inp > 1 else full[0], target, first, probs)

    @knows_keywords
    def tta(self, ds_idx: int = 1, dl: Iterable | None = None, n: int = 4, beta: float | None = 0.25, use_max: bool = False) -> tuple:
        """Predict with test-time augmentation: average several passes with the training transforms and one plain pass.

        Probabilities are averaged; predicted masks and points are mapped back to the plain image first. One line says which transforms
        vary (not within `no_logging()`).

        Args:
            ds_idx: the loader of the learner's data: 0 is training, 1 validation.
            dl: a loader to use instead.
            n: number of augmented passes.
            beta: weight of the plain pass: `beta * plain + (1 - beta) * mean of augmented`; None: return `((augmented, plain), targs)`.
            use_max: take the maximum over all passes instead of the average.

        Returns:
            `(preds, targs)`.
        """
        if n < 1:
            raise ValueError(f"tta(n={n}): at least one augmented pass is needed")
        with self.pass_lock.for_pass():
            return self._tta(ds_idx, dl, n, beta, use_max)

    def _tta(self, ds_idx, dl, n, beta, use_max):
        pipelines = [getattr(_chosen(self, ds_idx, dl), name, ()) for name in ("after_item", "before_batch", "after_batch")]
        varying = [f for pipeline in pipelines for f in pipeline if getattr(f, "varies", False)]
        if merged := tta_of_targets(_validation(self)):
            return merged(self, ds_idx, dl, n, beta, use_max)
        if not varying and hasattr(_validation(self), "no_tta"):
            raise ValueError(_validation(self).no_tta)
        if not varying:
            raise ValueError("tta() has nothing to vary: these loaders have no random transform. Add one, such as "
                             "`batch_tfms=aug_transforms()`, or use get_preds()")
        if not self.logging_off:
            self.logger(f"tta varies {', '.join(map(repr, varying))}")
        augmenting = loader_for(self, ds_idx, dl, train_transforms=True)      # one loader: each pass is an epoch of its own
        passes = [self.get_preds(dl=augmenting, with_targs=False, reorder=False)[0] for _ in range(n)]
        plain, targs = self.get_preds(ds_idx, dl)
        if use_max:
            return torch.stack([*passes, plain]).max(0)[0], targs
        augmented = torch.stack(passes).mean(0)
        if beta is None:
            return (augmented, plain), targs
        return torch.lerp(augmented, plain, beta), targs

    def show_results(self, ds_idx: int = 1, dl: Iterable | None = None, max_n: int = 9, shuffle: bool = True,
                     figsize: tuple[float, float] | None = None, nrows: int | None = None, ncols: int | None = None, **kwargs: Any) -> Any:
        """Show inputs of one batch with target and prediction, green where they agree; for a table, return them as a DataFrame.

        Args:
            ds_idx: the loader of the learner's data: 0 is training, 1 validation.
            dl: a loader to use instead.
            max_n: at most this many items.
            shuffle: choose other items in each call (the same ones in each run of a program).
            figsize: size of the figure in inches.
            nrows: rows of the grid.
            ncols: columns of the grid.
            **kwargs: for the functions that draw, such as `vmin=`.
        """
        from ..core.plots import DRAWING, get_grid, show_item
        reject_unknown(kwargs, ("ds_idx", "dl", "max_n", "shuffle", "figsize", "nrows", "ncols", *DRAWING), "show_results(...)")
        loader = self._loader_to_show(ds_idx, dl, shuffle)
        if not hasattr(loader, "decode_batch"):
            raise TypeError("show_results() needs loaders that can decode a batch (made by a DataBlock, a factory or "
                            "`DataLoaders.from_dsets`); these are plain torch loaders")
        with self.pass_lock.for_pass():
            batch = loader.one_batch()
            if not isinstance(batch, (tuple, list)) or len(batch) < 2:
                raise TypeError(f"show_results() needs batches of (inputs, targets); received {describe(batch)}")
            inputs, preds, _, decoded = self.get_preds(dl=Batches([batch], loader.n_inp), with_input=True, with_decoded=True, reorder=False)
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        fits = None if None in (nrows, ncols) else nrows * ncols
        n = min(max_n if fits is None or max_n != 9 else fits, find_bs(inputs))
        truth = loader.decode_batch(batch, max_n=n)
        with decoding(preds, self.loss_func):
            guess = loader.decode_batch(to_device((*inputs, *as_tuple(decoded)), self.dls.device), max_n=n)
        if hasattr(loader, "show_results"):                # texts, in a table
            return loader.show_results(truth, guess)
        if isinstance(truth[0], dict):                     # rows of a table
            raise TypeError("show_results() of a table needs a TabularLearner, which gives a DataFrame: make it with tabular_learner(dls), "
                            "or TabularLearner(dls, model) for a model of your own")
        n_inp = len(inputs)
        titled = all(isinstance(o, (str, int, float, list, tuple)) or getattr(o, "ndim", None) == 0 for o in truth[0][n_inp:])
        continued = any(getattr(o, "continues_input", False) for o in truth[0][n_inp:])         # forecasts
        columns = 1 if titled or continued else 2
        n = n if fits is None else max(1, min(n, fits // columns))
        truth, guess = truth[:n], guess[:n]
        axes = get_grid(n * columns, nrows, ncols if columns == 1 or ncols is not None or nrows is not None else 2, figsize)
        for i, (sample, pred) in enumerate(zip(truth, guess, strict=True)):
            if continued:
                loader.dataset.show_decoded(sample, axes[i], **kwargs)
                for y in pred[n_inp:]:
                    show_item(y, ctx=axes[i], linestyle=":")
                continue
            for j in range(columns):
                ax = axes[i * columns + j]
                for x in sample[:n_inp]:
                    ax = show_item(x, ctx=ax, **kwargs) or ax
                if titled:
                    right = all(str(a) == str(b) for a, b in zip(sample[n_inp:], pred[n_inp:], strict=True))
                    text = "\n".join(", ".join(map(_label, part)) for part in (sample[n_inp:], pred[n_inp:]))
                    ax.set_title(text, color="green" if right else "red", parse_math=False)
                else:
                    for y in (sample if j == 0 else pred)[n_inp:]:
                        show_item(y, ctx=ax, **kwargs)
                    ax.set_title("target" if j == 0 else "prediction")
        axes[0].figure.suptitle("target\nprediction" if titled else "target dashed, prediction dotted" if continued else "", fontsize=11)
        return axes

    def _loader_to_show(self, ds_idx, dl, shuffle):
        self._shown += bool(shuffle)
        return loader_for(self, ds_idx, dl, shuffle=shuffle, seed=self._shown if shuffle else None)

    def activation(self, pred: Any) -> Any:
        """Turn the output of the model into a prediction, as the loss implies (softmax, sigmoid, identity).

        Args:
            pred: output of the model.
        """
        found = activation_of(self.loss_func)
        if not isinstance(pred, torch.Tensor) and kind_of(self.loss_func) is not None and not has_own_code(found):
            raise TypeError(not_one_tensor(pred, f"the activation of {loss_name(self.loss_func)}"))
        return found(pred)

    def decode_pred(self, pred: Any) -> Any:
        """Turn a prediction into a target (argmax, threshold, identity).

        Args:
            pred: prediction, after `activation`.
        """
        return decodes_of(self.loss_func)(pred)
