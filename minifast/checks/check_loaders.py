"""`check_loaders`: what is wrong with the data, in one call: files, labels, tables, texts, series, splits and batches."""
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..core.seeds import fixed_seed
from ..data.loaders import DataLoaders
from ..learner.probe import independent_loader, kept_generators
from .data import batches, files, labels, series, series_copies, series_leaks, tables, windows
from .data.probe import DataProbe
from .data.series_samples import require_series
from .data.text_copies import duplicate_texts
from .data.texts import text_quality
from .data.token_leaks import token_leakage
from .report import Entry, Report, check_ignore, run

#: The checks of a `DataProbe`, in the order in which they run.
CHECKS: tuple[Entry, ...] = (
    Entry("MF801", files.readable_files),
    Entry("MF802", files.duplicates_across_splits),
    Entry("MF803", files.near_duplicates_across_splits, follows=("MF802",)),
    Entry("MF804", files.duplicates_within_splits, follows=("MF802", "MF803")),
    Entry("MF805", files.group_leakage, follows=("MF802", "MF803")),
    Entry("MF806", files.image_sizes),
    Entry("MF807", files.blank_images),
    Entry("MF808", files.image_modes),
    Entry("MF811", labels.conflicting_labels),
    Entry("MF812", labels.classes_in_both_splits),
    Entry("MF813", labels.class_balance),
    Entry("MF814", labels.label_mapping, slow=True),
    Entry("MF815", labels.labels_related_to_inputs, slow=True, follows=("MF813", "MF832")),
    Entry("MF821", tables.target_leakage),
    Entry("MF822", tables.constant_columns),
    Entry("MF823", tables.id_columns),
    Entry("MF824", tables.missing_values),
    Entry("MF825", tables.distribution_shift, slow=True, follows=("MF812",)),
    Entry("MF826", tables.duplicate_rows_across_splits),
    Entry("MF827", tables.unseen_categories),
    Entry("MF831", batches.finite_batch, ("MF801",)),
    Entry("MF832", batches.normalised_inputs, ("MF831",)),
    Entry("MF833", batches.augmented_validation, ("MF801",)),
    Entry("MF834", batches.shuffled_training),
    Entry("MF835", batches.loading_speed, ("MF801",)),
    Entry("MF836", text_quality),
    Entry("MF841", duplicate_texts),
    Entry("MF842", token_leakage),
    Entry("MF851", series_copies.overlapping_windows),
    Entry("MF852", series_copies.duplicate_series),
    Entry("MF853", series.constant_channels),
    Entry("MF854", series.channel_scales, ("MF831",), follows=("MF832",), of=series.require_channels),
    Entry("MF855", windows.order_of_time, follows=("MF851",)),
    Entry("MF856", windows.gaps_in_time),
    Entry("MF857", series_leaks.channel_leakage),
    Entry("MF858", series_leaks.length_leakage),
    Entry("MF859", series.series_lengths, ("MF831",), of=require_series),
)


def check_loaders(dls: DataLoaders, fast: bool = False, ignore: str | Iterable[str] = (),
                  groups: Sequence | Callable[[Any], Any] | None = None, n_workers: int | None = None) -> Report:
    """Report what is wrong with the data behind `dls`, training and validation.

    Nothing changes: loaders are copied, random streams restored, files only read.

    Args:
        dls: The loaders.
        fast: Leave out what trains a quick model.
        ignore: Codes to leave out, such as 'MF805'.
        groups: Which items belong together (patients, videos) and must be in one split: a function of an item, or one value per item,
            training items first.
        n_workers: Threads that read files (None: one per core).
    """
    ignore, began = check_ignore(ignore), time.perf_counter()
    with kept_generators(dls), fixed_seed(0), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = DataProbe(DataLoaders(*map(independent_loader, dls), path=dls.path, device=dls.device), fast, groups, n_workers)
        return run(CHECKS, data, ignore, fast, f"dls.check() of {len(data.sides):,} items", began)
