"""`DataBlock.summary`: one item followed through every step."""
from typing import TYPE_CHECKING, Any

from ..core.messages import add_note, describe, plural
from ..core.nested import map_nested
from ..core.seeds import fixed_seed, item_rng
from .datasets import sizes_of
from .engine.collate import kinds_of, wrap_kinds
from .engine.fetch import batch_rng
from .pipeline import Pipeline

if TYPE_CHECKING:
    from .block import DataBlock
    from .loaders import DataLoaders


class _Steps:
    "Prints the steps, and the transforms that applied to nothing at the end."

    def __init__(self):
        self.idle = []

    def line(self, text, indent=1):
        print("  " * indent + text)

    def through(self, pipeline, value, rng):
        "Send `value` through `pipeline`, printing what each transform makes of it."
        for f in pipeline:
            skipped = f.split_idx is not None and pipeline.split_idx is not None and f.split_idx != pipeline.split_idx
            if skipped:
                self.line(f"{f!r}: left out, it is for validation items", 2)
                continue
            applied = f.applies_to(value)
            remark = f.remark(value) if applied and hasattr(f, "remark") else None
            try:
                value = Pipeline(f, pipeline.split_idx)(value, rng)
            except Exception as e:
                self.line(f"{f!r}: FAILED on {describe(value)}", 2)
                self.line(f"{type(e).__name__}: {e}", 3)
                raise
            if not applied:
                self.idle.append(f)
            self.line(f"{f!r} -> {describe(value)}" if applied else f"{f!r}: applied to nothing", 2)
            if remark:
                self.line(remark, 3)
        return value


def print_summary(block: "DataBlock", source: Any, bs: int) -> "DataLoaders":
    "Print the steps from `source` to a batch of `bs` items of `block`, and return the loaders."
    steps = _Steps()
    print("Items")
    items = block.items_of(source)
    steps.line(f"{plural(len(items), 'item')} from {getattr(block.get_items, '__name__', None) or block.get_items or 'the source itself'}")
    splits = block.splits_of(items)
    steps.line(f"split by {block.splitter!r}: {' + '.join(str(len(s)) for s in splits)} items")
    print("Setting up the transforms on the training items")
    try:
        datasets = block.datasets_of(items, splits)
    except Exception as e:
        steps.line(f"FAILED: {type(e).__name__}: {e}")
        raise
    steps.line(f"{sizes_of(datasets)}; {f'classes {datasets.vocab!r}' if datasets.vocab is not None else 'no classes'}")
    loss = datasets.loss_func
    steps.line("loss: none that belongs to the target; give the Learner one" if loss is None else f"loss: {loss!r}")
    train = datasets.train
    bs = min(bs, len(train))
    with fixed_seed():
        sample = _one_sample(steps, train, block)
        print(f"Item transforms{'' if block.item_tfms else ': none'}")
        try:
            sample = steps.through(Pipeline(block.item_tfms, 0), sample, item_rng(0, 0))
        except Exception as e:
            add_note(e, f"in the item transforms, {train.item_name(0)}")
            raise
        print(f"A batch of {plural(bs, 'sample')}")
        dls = block.dataloaders(source, bs=bs, shuffle=False, num_workers=0)
        loader = dls.train
        try:
            batch = loader.collate_items(range(bs))
        except Exception as e:
            steps.line(f"FAILED: {type(e).__name__}: {e}")
            raise
        steps.line(f"collated: {describe(batch.data)}")
        print(f"Batch transforms{'' if block.batch_tfms else ': none'}, on {loader.device}")
        moved = map_nested(lambda t: t.to(loader.device) if hasattr(t, "to") else t, batch.data)
        done = steps.through(loader.after_batch, wrap_kinds(moved, batch.kinds), batch_rng(0, 0))
    print(f"The model gets {describe(done)}" + (f" as {_types(done)}" if kinds_of(done) is not None else ""))
    if steps.idle:
        idle = ", ".join(map(repr, steps.idle))
        print(f"These transforms applied to nothing: {idle}. Put them where such values are, or leave them out.")
    return dls


def _types(batch):
    return "plain tensors of " + ", ".join(type(o).__name__ for o in batch) if isinstance(batch, tuple) else type(batch).__name__


def _one_sample(steps, train, block):
    "The first training sample, made element by element."
    item, made = train.rows[0], []
    print(f"One sample, of {train.item_name(0)}")
    for k, pipe in enumerate(train.pipelines):
        steps.line(f"{'input' if k < block.n_inp else 'target'} {k}{': the item itself' if not len(pipe) else ''}")
        try:
            made.append(steps.through(pipe, item, item_rng(0, k)))
        except Exception as e:
            add_note(e, f"while making {'input' if k < block.n_inp else 'target'} {k} of {train.item_name(0)}")
            raise
    steps.line(f"sample: {describe(tuple(made))}")
    return tuple(made)
