"""`check_loaders`: what is wrong with the data, in one call: files, labels, tables, splits, and batches just before the net."""
import time
import warnings
from contextlib import ExitStack

from ..core.seeds import fixed_seed
from ..data.loaders import DataLoaders
from ..learner.twin import independent_loader, kept_generators
from .data import batches as data_batches
from .data import files as data_files
from .data import labels as data_labels
from .data import tables as data_tables
from .data import texts as data_texts
from .data.probe import DataProbe
from .report import Report, check_ignore, run

#: (code, function of a `DataProbe`, codes it needs, whether fast=True leaves it out)
CHECKS = (
    ("MF801", data_files.readable, (), False),
    ("MF802", data_files.copies_across, (), False),
    ("MF803", data_files.near_across, (), False),
    ("MF804", data_files.copies_within, (), False),
    ("MF805", data_files.groups_together, (), False),
    ("MF806", data_files.sizes, (), False),
    ("MF807", data_files.blank, (), False),
    ("MF808", data_files.modes, (), False),
    ("MF811", data_labels.copies_agree, (), False),
    ("MF812", data_labels.classes_present, (), False),
    ("MF813", data_labels.balance, (), False),
    ("MF814", data_labels.same_meaning, (), True),
    ("MF815", data_labels.related, (), True),
    ("MF821", data_tables.leaks, (), False),
    ("MF822", data_tables.constant_columns, (), False),
    ("MF823", data_tables.ids, (), False),
    ("MF824", data_tables.missing, (), False),
    ("MF825", data_tables.drift, (), True),
    ("MF826", data_tables.rows_across, (), False),
    ("MF827", data_tables.unseen, (), False),
    ("MF831", data_batches.finite, ("MF801",), False),
    ("MF832", data_batches.normalised, ("MF831",), False),
    ("MF833", data_batches.validation_repeats, ("MF801",), False),
    ("MF834", data_batches.shuffled, (), False),
    ("MF835", data_batches.throughput, ("MF801",), False),
    ("MF836", data_texts.texts, ("MF801",), False),
)


def check_loaders(dls, fast=False, ignore=(), groups=None, n_workers=None):
    """A `Report` of what is wrong with the data behind `dls`, training and validation.

    fast: leave out what trains a quick model. ignore: codes to leave out. groups: which items belong together (patients, films) and
    must be on one side of the split: a function of an item, or one value per item, training items first. n_workers: threads that read
    files (None: one per core). Nothing is changed: loaders are copied, random streams put back, files only read.
    """
    ignore, began = check_ignore(ignore), time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(kept_generators(dls))
        stack.enter_context(fixed_seed(0))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        own = DataLoaders(*map(independent_loader, dls), path=dls.path, device=dls.device)
        data = DataProbe(own, fast, groups, n_workers)
        ready = time.perf_counter()
        results, times = run(CHECKS, data, ignore, fast)
    return Report(results, f"dls.check() of {len(data.sides):,} items", {"preparing": ready - began, **times})
