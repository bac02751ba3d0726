"""Kinds of fault found in public bug reports: what was tried beside the report, and the tests that fail where the mend is taken out.

    python tests/silent_failures/mends.py                      # every mend, a few seconds each
    python tests/silent_failures/mends.py masks "leaks: AUC"   # those that begin so

docs/kinds.md is made of it (`python docs/make_kinds.py`). What `guards.py` takes out already is named by its row there.
"""
import sys
from typing import NamedTuple

from source_edits import assign, body, call, first, never, result, swap
from taken_out import try_mends

BATCH, METRICS, CLASSES = "callbacks/test_first_batch.py::", "callbacks/test_first_batch_metrics.py::", "metrics/test_classes.py::"
FACTORIES, TABLES = "advice/test_factories.py::", "advice/test_factories_tables.py::"
DEPTH, OPENING, BLOCKS = "vision/files/test_depth.py::", "vision/test_opening.py::", "vision/test_blocks.py::"
KINDS_OF, LEAKS, CAUSES = "tabular/test_kinds.py::", "checks/data/test_tables_leaks.py::", "checks/test_report_causes.py::"
OUTPUTS, RATED, SHOWN = "learner/test_inference_outputs.py::", "collab/test_recommend.py::", "interpret/test_base_rows.py::"
BASELINE, COPIES = "checks/learner/test_baseline.py::", "checks/data/test_copies.py::"
LOSS_OF_A_DICT = never("refuse_several_outputs", "not_one_tensor")


class Kind(NamedTuple):
    "A kind of fault."
    reported: str       #: an instance, as people met it
    kind: str           #: what is behind it
    tried: str          #: its neighbours
    rows: str           #: of docs/silent-failures.md
    mends: dict         #: {what is taken out: (the test that then fails, the edits)}


KINDS = {
    # -- silent and wrong -------------------------------------------------------------------------------------------------------
    "indicators": Kind(
        "Columns of 0, 1 and -1 become classes of these names", "values that say which classes apply are taken for names of classes",
        "lists in `from_lists`, blocks and tables; yes and no; NaN, 2, truth values; encoded labels that hold something else", "S73 S97", {
            "lists in a block": (FACTORIES + "test_lists_of_zeros_and_ones_in_a_block",
                                 never("MultiCategorize._labels_of_all", "refuse_indicators")),
            "columns of words": (FACTORIES + "test_columns_of_words", never("_refuse_unclear", "the label columns all hold")),
            "lists in a table": (TABLES + "test_a_column_of_lists_of_zeros_and_ones",
                                 call("LabelLists.learn", "refuse_indicators", "None")),
            "encoded values": (FACTORIES + "test_classes_without_names", body("EncodedMultiCategorize.check_items", "pass")),
        }),
    "targets": Kind(
        "Several 0/1 target columns of a table are trained as a regression", "a guess at what is predicted that nothing tells",
        "floats; whole numbers with few values; fractions in one column of labels; one class", "S74 S96 S98", {
            "whole numbers": (TABLES + "test_several_targets_of_zeros_and_ones",
                              never("targets._several", "hold whole numbers with few different values")),
            "columns as classes": (TABLES + "test_several_targets_of_zeros_and_ones",
                                   swap("targets._of_block", "CategoryMap(names, sort=False) if tfm.vocab is None else tfm.vocab",
                                        "tfm.vocab")),
            "one class in a table": (TABLES + "test_one_class_in_a_table", never("Classes.learn", "there is nothing to tell apart")),
        }),
    "brightness": Kind(
        "Float images up to 1.00 are bright, those up to 1.01 black; 12 bits in 16-bit files keep 16 levels",
        "the scale of pixels is guessed from each image", "8 to 16 bits, floats, arrays, tensors; caches; export, `Predictor`", "S83", {
            "one scale for all": (DEPTH + "test_a_brighter_image_is_brighter",
                                  swap("depth.eight_bit", "(0, 1) if a.dtype.kind == 'f' else (0, 65535) if a.dtype == np.uint16 "
                                       "else integers", "(0, a.max())")),
            "values beyond": (DEPTH + "test_values_beyond_are_named_and_what_is_said_works", never("depth.eight_bit", "but black is")),
            "caches": (OPENING + "test_a_cache_keeps_each_scale",
                       swap("from_cache", "'' if value_range is None else f' {value_range}'", "''")),
            "export": (OPENING + "test_twelve_bits_keep_their_levels_everywhere",
                       body("OpenImage.at_validation", "return Transform(self.img_cls.create)")),
            "summary": (OPENING + "test_the_scale_is_of_training_images_and_said", body("OpenImage.remark", "return None")),
            "lost levels in a report": ("checks/data/test_files_levels.py::test_twelve_bits_of_sixteen",
                                        assign("checks.data.files.FEW_LEVELS", "16, 0")),
        }),
    "masks": Kind(
        "`ignore_index=255`, which an error suggests for masks of 0 and 255, trains on background alone", "advice that hides the fault",
        "JPEG masks with values between; datasets of one's own; masks smaller than images; void that is void", "S84", {
            "values of pixels": (BLOCKS + "test_black_and_white_masks", never("AddMaskCodes.encodes", "x.point(self._numbers)")),
            "values between": (BLOCKS + "test_masks_kept_as_jpeg", first("AddMaskCodes._tables", "self.nearest = False")),
            "sizes": (BLOCKS + "test_masks_smaller_than_their_images", body("FirstBatch._check_size_of_masks", "pass")),
            "without codes": (BLOCKS + "test_black_and_white_masks", never("_check_classes", "is the foreground of masks")),
        }),
    "losses": Kind(
        "`NLLLoss` on raw outputs falls to -14, with probabilities of a million", "outputs on another scale than the loss takes",
        "KL divergence, CTC, Poisson; softmax or sigmoid twice; functions and partials of torch; losses of one's own", "S86 S87", {
            "KL divergence and CTC": (BATCH + "test_outputs_that_the_loss_does_not_take_are_refused", assign("_OF_LOGARITHMS", "()")),
            "sigmoid twice": (BATCH + "test_outputs_that_the_loss_does_not_take_are_refused", never("check_output", "ends with a sigmoid")),
            "rates": (BATCH + "test_outputs_that_the_loss_does_not_take_are_refused", never("check_output", "takes rates, 0 or more")),
            "counts": (BATCH + "test_check_target_refuses", never("_check_values", "takes counts")),
        }),
    "normalisation": Kind(
        "`Normalize(mean=123.7, ...)` on pixels from 0 to 1", "numbers of one scale used on another",
        "decibels, satellite values; statistics that were measured; what `dls.check()` and `learn.check()` tick", "S85 S95", {
            "other scales": ("vision/test_normalize_scale.py::test_inputs_on_another_scale", first("_check_scale", "value_range = (0, 1)")),
            "inputs off centre": ("checks/data/test_batches.py::test_raw_pixels_are_not_ticked_as_normalised",
                                  swap("input_scale", "abs(mean) > 1.2 * std and not _only_few_values(worst)", "False")),
        }),
    "rated": Kind(
        "After saving and loading, `recommend` gives what the user has rated", "what a method needs is looked up in the data at hand",
        "`state_dict`, files, export, test sets, `evaluate_ranking`; files of earlier versions", "S80", {
            "state": (RATED + "test_what_was_rated_travels_with_the_table",
                      result("TabularCollab.state_dict", "{k: v for k, v in it.items() if k != 'rated'}")),
            "earlier files": (RATED + "test_a_state_that_does_not_say_what_was_rated_is_refused",
                              never("score_items", "which items a user has rated is not known")),
        }),
    "names in metrics": Kind(
        "`F1Score(labels=['no', 'yes'])` is 0.0", "names where ids are compared",
        "every metric of scikit-learn with `labels` or `pos_label`, several labels per item, Dice and Jaccard; names that are numbers",
        "S88 S89", {
            "Dice and Jaccard": (CLASSES + "test_dice_and_jaccard_of_some_classes",
                                 never("DiceMulti.accumulate", "self.labels is not None")),
            "numbers as names": (CLASSES + "test_class_id_refuses", never("class_id", "is the name of the class with id")),
            "background": (CLASSES + "test_the_background_of_foreground_acc_is_an_id", never("foreground_acc", "give the id of the class")),
        }),
    "split columns": Kind(
        "`is_valid`, by which the rows are split, becomes an input", "what decides the split is known to the network",
        "groups and times; positions of columns; ratings; Parquet; other columns whose validation values are new", "S79", {
            "groups and times": ("tabular/test_loaders.py::test_what_decides_the_split_is_no_input",
                                 first("deciding_columns", "if not isinstance(splits, ColSplitter):\n    return []")),
            "unseen values": ("tabular/test_loaders.py::test_rare_values_that_training_does_not_have_are_in_the_report",
                              body("warn_of_unseen", "pass")),
        }),
    "labels of rows": Kind(
        "`valid_idx=df.index[mask]` of a shuffled frame takes other rows", "labels and positions are both whole numbers",
        "masks, Series, frames, `splits=`, groups, `stratify=`; ratings; lists; rows in `frame()`, top losses and reports", "S75 S82", {
            "Series": ("data/test_splitters.py::test_series_are_matched_by_their_index", body("in_order_of", "return values")),
            "ratings": (TABLES + "test_rows_by_their_labels[1]", body("splitters.as_positions", "return chosen")),
            "top losses": (SHOWN + "test_rows_of_a_table_are_named_as_in_its_frame", body("Interpretation._labels", "return None")),
            "files": (SHOWN + "test_frames_of_files", body("Interpretation._files", "return None")),
            "reports": (COPIES + "test_rows_are_named_by_their_own_label", body("naming.row_labels", "return None")),
        }),
    "types": Kind(
        "233 prices as decimals become 233 classes", "the type of a column is taken for what it holds",
        "objects, Arrow and polars of every kind; dates, durations, times, lists; numbers as text; single rows; targets", "S78", {
            "dates and durations": (KINDS_OF + "test_what_to_make_of_durations",
                                    assign("kinds._KINDS", "{o: o for o in ('integer', 'floating', 'boolean', 'categorical')}")),
            "lists of Arrow": (KINDS_OF + "test_kinds_of_columns", never("column_kind", "found == 'unknown-array'")),
            "numbers as text": (KINDS_OF + "test_numbers_as_text", body("numbers_in_text", "return None")),
        }),
    "order": Kind(
        "A set as vocabulary: the classes change places from run to run", "order is taken from what has none",
        "sets of files, of columns, of lists; `dls.vocab = set`; text read letter by letter; dicts", "S76", {
            "sets of items": (FACTORIES + "test_files_in_a_set", never("rows.Rows.__init__", "a set has none")),
            "sets beside lists": (FACTORIES + "test_files_in_a_set", never("vision.loaders._in_order", "are matched by their order")),
            "dls.vocab": (TABLES + "test_classes_that_are_set", never("loaders.DataLoaders", "(str, set, frozenset)")),
        }),
    "ids": Kind(
        "A ranking with ids as text scores better than with the right ones", "values that are never equal count as unknown",
        "users and items; text for numbers and the reverse; one user", "S81", {
            "one user": (RATED + "test_ids_of_another_type_are_refused", call("recommend.recommend", "check_ids", "None")),
        }),
    # -- late, raw, or with advice that cannot be followed ------------------------------------------------------------------------
    "advice": Kind(
        "'Give all classes with vocab=', where the function takes none", "advice that nobody has followed",
        "every suggestion of the package in the call that makes it; keywords before data; the column that splits; encodings; NA", "", {
            "splitter=": (FACTORIES + "test_no_validation", first("factories.chosen_splitter", "given = None")),
            "vocab=": (FACTORIES + "test_a_class_that_training_does_not_have", first("ImageDataLoaders.from_path_func", "vocab = None")),
            "keywords first": (FACTORIES + "test_keywords_come_first", body("factories.check_factory_keywords", "pass")),
            "which value is for validation": (FACTORIES + "test_a_column_of_words_that_splits", assign("_FOR_VALIDATION", "()")),
            "valid_col=": (TABLES + "test_a_column_that_splits", never("choose_splits", "ColSplitter(valid_col)")),
            "encoding=": (FACTORIES + "test_a_file_in_another_encoding", first("csv_files.read_csv", "encoding = None")),
            "keep_default_na=": (FACTORIES + "test_a_class_called_na", call("ImageDataLoaders.from_csv", "read_csv", keep_default_na=None)),
        }),
    "metrics": Kind(
        "`F1Score()` on three classes fails after an epoch of training", "what is not needed yet is not tried",
        "one logit, void, labels, several outputs; state; other targets in training; absent classes", "", {
            "the first batch": (METRICS + "test_a_metric_that_cannot_work_fails_before_anything_is_trained_and_the_cure_works",
                                body("metric_trial.try_metrics", "pass")),
            "on a copy": (METRICS + "test_the_trial_leaves_no_state_and_what_it_cannot_tell_it_lets_pass",
                          swap("metric_trial._error_of", "copy.deepcopy(own, {id(o): o for o in shared})", "metric")),
            "absent from the batch": (METRICS + "test_the_trial_leaves_no_state_and_what_it_cannot_tell_it_lets_pass",
                                      swap("metric_trial._error_of_value", "isinstance(e, TypeError) or not has_own_code(func)", "True")),
            "training alone": (METRICS + "test_what_works_in_validation_is_not_refused_for_the_batch_of_training",
                               body("metric_trial._fails_in_validation", "return True")),
            "functions that keep": (METRICS + "test_a_function_that_keeps_something_is_not_called_once_more",
                                    body("metric_trial._is_stateless", "return True")),
            "absent from validation": (METRICS + "test_a_class_absent_from_validation_gives_nan_and_its_name",
                                       never("SklearnMetric.compute", "is nan: among")),
            "no metric ends a fit": (METRICS + "test_no_metric_ends_a_fit_but_a_validation_of_its_own_says_what_is_wrong",
                                     body("Recorder._give_up", "raise error")),
            "void": (CLASSES + "test_pixels_that_the_loss_ignores_do_not_count_in_dice", never("Dice.accumulate", "self._counts[-1]")),
        }),
    "outputs": Kind(
        "A dict or a tuple as output, or one without a batch axis", "one tensor of all items is taken for granted",
        "dict, list, dataclass; fit, metrics, `validate`, `predict`, `show_results`, `get_preds`, `Predictor`; two targets", "S91 S92", {
            "in a fit": (BATCH + "test_an_output_that_is_not_a_tensor_is_refused_and_the_callback_that_the_message_writes_picks_one",
                         LOSS_OF_A_DICT),
            "in predictions": (OUTPUTS + "test_a_loss_of_one_tensor_refuses_a_dict_in_every_pass_and_the_callback_of_the_message_helps",
                               never("Inference.activation", "not_one_tensor"), LOSS_OF_A_DICT),
            "in metrics": (METRICS + "test_an_output_that_is_not_a_tensor_is_named_and_the_function_that_the_message_writes_works",
                           body("metrics.base.check_tensor", "pass")),
            "decoding": (OUTPUTS + "test_predictions_of_a_loss_that_does_not_say_how_to_read_them",
                         body("loss_traits.decoding", "yield")),
        }),
    "small slips": Kind(
        "A last batch of one with batch norm, integer weights, `~` in a path, ratings such as '3,0'",
        "an error of another library, far from the cause",
        "weights of any type and length; loaders of torch; file names read as numbers; folders, endings and columns that are not there",
        "S77 S90", {
            "batch norm": (BATCH + "test_batch_norm_on_one_item_is_refused_at_the_first_batch_and_the_batch_size_of_the_message_works",
                           body("FirstBatch._check_norms", "pass")),
            "number of weights": (BATCH + "test_class_weights_are_compared_with_the_outputs", body("first_batch._check_weights", "pass")),
            "type of weights": ("nn/test_losses.py::test_class_weights_of_any_type", body("losses._as_weights", "return weight")),
            "validation without targets": ("learner/test_inference_plain_loaders.py::test_validation_without_targets",
                                           never("Recorder.after_batch", "self._without_targets()")),
            "files for loaders of torch": ("learner/test_inference_plain_loaders.py::test_a_file_for_loaders_that_open_none",
                                           never("loaders._test_dataset", "knows how to open one")),
            "home folder": (FACTORIES + "test_the_home_folder", swap("files.get_files", "Path(path).expanduser()", "Path(path)")),
            "zeros in front": (FACTORIES + "test_numbers_that_were_names", body("check_named_files", "pass")),
            "decimal comma": (TABLES + "test_ratings_with_a_decimal_comma", body("check_ratings", "pass")),
        }),
    "frames": Kind(
        "`add_datepart` on Arrow timestamps, two UTC offsets, polars, lists, latin-1", "only one kind of frame was tried",
        "Arrow dates and time zones with missing values; Series of several zones; `kfold_splits`, splitters; structs", "", {
            "Arrow": ("tabular/test_dates.py::test_arrow_dates_are_those_of_pandas",
                      swap("as_dates", "pd.to_datetime(column.astype(object)) if isinstance(column.dtype, pd.ArrowDtype) else column",
                           "column")),
            "UTC offsets": ("tabular/test_dates.py::test_several_utc_offsets_name_the_column", never("as_dates", "several UTC offsets")),
            "polars": ("ensemble/test_kfold.py::test_frames_of_polars", body("rows.as_pandas", "return x")),
            "lists": ("tabular/test_columns.py::test_df_shrink_leaves_lists_as_they_are",
                      swap("columns._shrunk", "pd.api.types.is_object_dtype(dtype) and column_kind(column) != 'list or dict'",
                           "pd.api.types.is_object_dtype(dtype)")),
        }),
    "tables shown": Kind(
        "`plot_top_losses` of a table: unhashable type 'slice'", "only images were shown",
        "ratings, `show_results`, least confident; columns called as those of the report; a learner alone; one logit", "", {
            "frames": (SHOWN + "test_rows_of_a_table_are_shown_as_a_frame", never("Interpretation.show_items", "self._rows.iloc")),
            "ratings": (SHOWN + "test_ratings", never("Interpretation.show_items", "self._rows.iloc")),
            "from_learner": (SHOWN + "test_a_learner_alone", never("Interpretation.__init__", "has no predictions yet")),
            "one logit": ("interpret/test_classification.py::test_one_logit",
                          never("ClassificationInterpretation.__init__", "torch.cat([1 - yes, yes], 1)")),
        }),
    "text": Kind(
        "A class called `$5_$` ends every plot; one that begins with = is a formula in a CSV file", "text that others parse",
        "titles, ticks and boxes of every plot; file names; widgets; logs, searches and decisions as CSV, read as they were", "", {
            "titles": ("core/test_plots.py::test_names_are_no_formulas", call("plots._add_title", "set_title", parse_math=None)),
            "ticks": ("interpret/test_cleaner_names.py::test_every_plot_draws_names_as_they_are",
                      call("plot_confusion_matrix", "set_xticks", parse_math=None)),
            "HTML": ("interpret/test_cleaner_names.py::test_names_are_no_html_in_the_cleaner",
                     call("ImageClassifierCleaner", "escape", "arg0")),
            "decisions": ("core/test_csv_cells.py::test_decisions_of_the_cleaner",
                          swap("Decisions.save", "self.frame().map(to_cell)", "self.frame()")),
            "logs": ("core/test_csv_cells.py::test_rows_of_a_logger",
                     swap("CSVLogger.text_of", "[map(to_cell, row) for row in rows]", "rows")),
        }),
    # -- reports ------------------------------------------------------------------------------------------------------------------
    "leaks": Kind(
        "A column that gives a rare target away passes", "a score that the share of the classes decides",
        "hundreds of columns; several classes; numbers, and their ranks; networks and boosting that make no mistake", "S93 S94", {
            "rows of rare classes": (LEAKS + "test_rows_with_all_of_a_rare_class",
                                     body("balanced_rows", "return np.random.Generator(np.random.PCG64(seed)).permutation(len(y))[:n]")),
            "categories among many": (LEAKS + "test_the_most_telling_columns_of_many",
                                      first("most_telling", "categorical = categorical & False")),
            "too good to be true": (BASELINE + "test_too_good_to_be_true", body("baseline._too_good", "return ''")),
        }),
    "copies": Kind(
        "Titanic and Ames have false groups of identical rows", "equal is taken for the same",
        "float32 and normalised values; few coarse columns; missing values; text beside the inputs; labels that differ", "", {
            "chance": (COPIES + "test_rows_of_coarse_columns_agree_without_being_copies", assign("copies.CHANCE", "float('inf')")),
            "text beside the inputs": (COPIES + "test_passengers_who_agree_are_not_copies",
                                       swap("copied_rows", "inputs + beside", "inputs")),
            "original values": (COPIES + "test_values_are_compared_as_they_came", body("DataProbe.original", "return None")),
        }),
    "causes": Kind(
        "Prices in dollars give two issues with wrong cures above the right tip", "consequences reported as causes",
        "offsets without spread; `y_range`; scaled and trained networks; what each check brings about", "", {
            "scale of targets": (CAUSES + "test_targets_in_dollars_lead_and_what_is_advised_helps",
                                 body("initial_loss.target_scale", "require(False, 'it is not looked at')")),
            "folded": (CAUSES + "test_consequences_are_folded_under_their_cause", never("report.run", "replace(")),
            "small spread": (CAUSES + "test_small_spread_needs_no_scaling", assign("initial_loss.WIDE", "0, 0")),
        }),
    "ticks": Kind(
        "A network below boosting is ticked; shuffled photos pass, honest ones get a tip", "a tick that says nothing",
        "intervals; photos and their frozen features; what does not apply; names instead of positions; advice by kind of column", "S95", {
            "below boosting": (BASELINE + "test_a_network_below_boosting_is_never_ticked_and_the_interval_is_given",
                               body("baseline._below", "return False")),
            "photos": ("checks/learner/test_features.py::test_shuffled_labels_are_told_by_a_frozen_body",
                       body("labels_related_to_features", "require(False, 'it is not looked at')")),
            "what does not apply": (CAUSES + "test_what_does_not_apply_is_one_line_and_a_tick_says_what_was_seen",
                                    never("Report.__str__", "does not apply")),
            "kind of column": (LEAKS + "test_advice_for_what_is_missing_fits_the_column",
                               swap("tables.missing_values", "name in cats", "False")),
        }),
    "time": Kind(
        "`learn.check()` takes 100 s on a small U-Net", "no limit to the work of a report",
        "slow models; the order of checks; what was left out; budgets that are none", "", {
            "budget": (CAUSES + "test_cheap_checks_come_first_and_the_budget_is_kept", swap("report.run", "started > end", "False")),
            "slow models": (CAUSES + "test_of_a_slow_model_fewer_items_are_looked_at", body("Probe.shrink", "pass")),
            "order": (CAUSES + "test_cheap_checks_come_first_and_the_budget_is_kept", call("report.run", "sorted", "arg0")),
        }),
}

MENDS = {f"{name}: {what}": mend for name, kind in KINDS.items() for what, mend in kind.mends.items()}

if __name__ == "__main__":
    sys.exit(try_mends(MENDS, sys.argv[1:]))
