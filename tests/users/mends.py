"""Habits of fastai's users, line by line: what makes each work here, and the test that fails where that is taken out.

    python tests/users/mends.py                  # every line, a few seconds each
    python tests/users/mends.py "~L" "dls.c ="   # those that begin so

Each line says in which function or class stands what makes it work, and what is there without it (the kinds of edits are in
`silent_failures/source_edits.py`). The package is copied to a temporary folder, edited there, and the line's test runs on the copy. Exit
status 1 if a test still passes, or fails only because the edit no longer makes sense.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "silent_failures"))
from source_edits import assign, body, call, default, drop, first, never, remove, swap  # the folder above comes first
from taken_out import try_mends

ONE_GROUP = "learner/test_learner.py::test_one_layer_group_trains_as_a_whole_and_says_so_once"
FP16 = "callbacks/test_precision.py::test_fp16_on_a_cpu_warns_once_in_one_line_and_trains_in_full_precision"
HABITS = "data/test_loaders_habits.py::"
TEST_SET = HABITS + "test_a_test_set_takes_every_element"
HOOK = HABITS + "test_hooks_that_would_never_be_called_are_refused"
READ = HABITS + "test_items_datasets_and_pipelines"
SCHEDULER = "optim/test_hypers.py::test_a_home_made_scheduler_sets_the_rate_of_the_step"
VOCAB = "data/test_categories.py::test_a_vocabulary_takes_ids_of_any_kind_and_masks"
LIST = "core/test_items.py::test_negation_and_tensors"
SETTABLE = HABITS + "test_attributes_can_be_set_and_stay"
RESULTS = "learner/test_inference_show_results.py::test_the_grid_and_the_colours"
PREDS = "callbacks/test_gather.py::test_predictions_and_targets_are_also_written_batch_by_batch"
RANGE = "tabular/test_learner.py::test_a_loss_of_torch_and_any_pair_as_range"
WORKERS = "tabular/test_loaders.py::test_workers_are_accepted_and_not_needed"
CHANNELS = "vision/test_channels.py::test_pictures_of_another_class"
PROCS = "tabular/test_procs.py::"
FOREIGN = "callbacks/test_foreign_events.py::test_refused_when_the_class_is_made_with_the_name_of_today"
ENCODES = "data/test_annotations.py::"
ACCUM = "metrics/test_base_accum.py::"


def _no_setter(name):
    return remove(f"loaders.DataLoaders.{name}", setter_only=True)


def _hook_accepted(name):
    return swap("DataLoader.__init_subclass__", "name in vars(cls)", f"it and name != {name!r}")


def _event_accepted(name):
    return first("foreign_events.instead_of", f"if name == {name!r}:\n    return None")


def _refused(target, name):
    return first(target, f"if {name} is not None:\n    raise TypeError('{name}')")


#: what people write: (the test that fails without what makes it work, the edits that take this out)
MENDS = {
    # -- training ---------------------------------------------------------------------------------------------------------------
    "to_fp16() on a CPU trains in full precision": (FP16, body("MixedPrecision.works_on", "return True")),
    "to_fp16() on a CPU warns": (FP16, call("MixedPrecision.works_on", "warn", "None")),
    "to_fp16() on a CPU warns once": (FP16, drop("MixedPrecision.works_on", "self._warned = True")),
    "to_fp16() on a CPU offers to_bf16()": (FP16, call("MixedPrecision.works_on", "warn", "warn(arg0[:80], stacklevel=4)")),
    "freeze() of one layer group": (ONE_GROUP + "[freeze]", never("Freezer.freeze_to", "this model has 1 layer group")),
    "fine_tune() of one layer group": (ONE_GROUP + "[fine_tune]", never("Freezer.freeze_to", "this model has 1 layer group")),
    "freeze_to(-2) of one layer group": (ONE_GROUP + "[freeze_to]", never("Freezer.freeze_to", "n = 0")),
    "opt.hypers": ("optim/test_hypers.py::test_hypers_are_as_in_fastai_one_dict_per_layer_group", remove("HyperOptimizer.hypers")),
    "self.opt.hypers[-1]['lr'] = lr": (SCHEDULER, body("GroupHypers.__setitem__", "pass")),
    "self.opt.set_hyper('lr', lr)": (SCHEDULER, body("HyperOptimizer.set_hyper", "pass")),
    "set_hyper of the composed Optimizer": ("optim/test_hypers.py::test_the_composed_optimizer_uses_what_is_set",
                                            swap("steppers.Optimizer.step", "group[k]", "self.defaults[k]")),
    "learn.arch": ("vision/test_learner.py::test_the_learner_keeps_its_architecture", drop("build_learner", "learn.arch = arch")),
    "recorder.plot_metrics()": ("callbacks/test_recorder.py::test_plot_metrics_has_the_losses_and_each_metric_over_all_epochs",
                                remove("Recorder.plot_metrics")),
    "LRFinder().lrs": ("callbacks/test_recorder.py::test_the_range_test_as_a_callback_keeps_its_rates_and_losses",
                       drop("LRFinder.before_batch", "self.lrs.append")),
    "LRFinder().losses": ("callbacks/test_recorder.py::test_the_range_test_as_a_callback_keeps_its_rates_and_losses",
                          swap("LRFinder.after_batch", "self.losses", "[]")),
    "recorder.lrs after lr_find": ("callbacks/test_recorder.py::test_before_the_first_fit_losses_and_rates_are_those_of_lr_find",
                                   body("Recorder.add_lr_find", "pass")),
    "get_preds(save_preds=)": (PREDS, first("GatherPreds.__init__", "save_preds = None")),
    "get_preds(save_targs=)": (PREDS, first("GatherPreds.__init__", "save_targs = None")),
    "SaveModelCallback(fname=)": ("callbacks/test_trackers.py::test_a_file_name_has_no_suffix_of_another_format",
                                  swap("SaveModelCallback.__init__", "fname.suffix in ('.safetensors', '.pth', '.pt')", "False")),
    "learn.load of a file of fastai": ("learner/test_saving.py::test_a_file_of_fastai_with_its_optimizer",
                                       body("saving.stored_file", "return file_of(learn, file)")),
    "learn.load of a plain state dict": ("learner/test_saving.py::test_files_of_plain_weights", assign("saving.WEIGHTS", "('model',)")),
    "learn.save('x') is safetensors": ("learner/test_saving.py::test_save_model_callback_and_load_by_its_name",
                                       swap("saving.file_of", "file.name + '.safetensors'", "file.name + '.pth'"),
                                       never("saving.save", "weights are saved as safetensors")),
    "learn.save('x.pth') is safetensors": ("learner/test_saving.py::test_names_with_pth_are_kept_as_safetensors_and_found_again",
                                           never("saving.save", "weights are saved as safetensors")),
    "torch.load of what learn.save wrote": ("learner/test_saving.py::test_what_is_said_of_saved_files_is_so",
                                            assign("fastai_names.DIFFERENT", "{}")),
    # -- loaders ----------------------------------------------------------------------------------------------------------------
    "dls.c = n": (SETTABLE + "[c-7]", _no_setter("c")),
    "dls.vocab = classes": (SETTABLE, _no_setter("vocab")),
    "dls.n_inp = n": (SETTABLE + "[n_inp-2]", _no_setter("n_inp")),
    "dls.device = device": (SETTABLE, _no_setter("device")),
    "dls.bs = n": (HABITS + "test_batch_size_can_be_set", _no_setter("bs")),
    "dls.train = dl": (HABITS + "test_loaders_can_be_replaced", _no_setter("train")),
    "dls.valid = dl": (HABITS + "test_loaders_can_be_replaced", _no_setter("valid")),
    "dl.items": (READ, remove("data.dataloader.DataLoader.items")),
    "dl.decode(b)": (HABITS + "test_decode_undoes_the_batch_transforms", remove("data.dataloader.DataLoader.decode")),
    "dl.decode_batch(b)": ("data/test_dataloader.py::test_decode_batch_undoes_the_transforms_and_restores_the_kinds",
                           remove("data.dataloader.DataLoader.decode_batch")),
    "dls.after_batch": (READ, remove("loaders.DataLoaders.after_batch")),
    "dls.after_item": (READ, remove("loaders.DataLoaders.after_item")),
    "dls.before_batch": (READ, remove("loaders.DataLoaders.before_batch")),
    "dls.dataset": (READ, remove("loaders.DataLoaders.dataset")),
    "DataLoaders.from_dblock": (HABITS + "test_from_dblock", remove("loaders.DataLoaders.from_dblock")),
    "dls.train_ds.tfms": ("data/test_datasets.py::test_each_element_as_a_list_of_its_own", remove("Datasets.tfms")),
    "dls.train_ds.tls": ("data/test_datasets.py::test_each_element_as_a_list_of_its_own", remove("Datasets.tls")),
    "pipe.show(o)": ("data/test_transforms.py::test_a_pipeline_shows_what_it_made_and_knows_its_classes", remove("Pipeline.show")),
    "pipe.vocab": ("data/test_transforms.py::test_a_pipeline_shows_what_it_made_and_knows_its_classes", remove("Pipeline.vocab")),
    "Datasets(items, function)": ("data/test_datasets.py::test_one_function_makes_one_element",
                                  swap("Datasets.__init__", "[tfms] if tfms is None or callable(tfms) else tfms",
                                       "[tfms] if tfms is None else tfms")),
    "splits= of truth values": ("data/test_datasets.py::test_splits_may_be_masks", never("check_positions", "np.flatnonzero(found)")),
    "FileGetter()(path, recurse=)": ("data/test_files.py::test_a_getter_takes_other_options_in_a_call",
                                     swap("FileGetter.__call__", "self.recurse if recurse is None else recurse", "self.recurse")),
    "vocab[tensor]": (VOCAB, first("CategoryMap.__getitem__", "if type(i).__name__ == 'Tensor':\n    return self._items[i]")),
    "vocab[array]": (VOCAB, first("CategoryMap.__getitem__", "if isinstance(i, np.ndarray):\n    return self._items[i]")),
    "vocab[mask]": (VOCAB, never("L._indices", "isinstance(o, (bool, np.bool_))")),
    "~L": (LIST, remove("L.__invert__")),
    "L.tensored()": (LIST, body("L.tensored", "return self")),
    "L.stack()": (LIST, remove("L.stack")),
    "L.cat()": (LIST, remove("L.cat")),
    # -- images -----------------------------------------------------------------------------------------------------------------
    "TensorImage(t).show()": ("vision/test_tensors.py::test_an_image_shows_itself", remove("tensors.Shown.show")),
    "t.pca(3)": ("vision/test_tensors.py::test_pca_of_embeddings", remove("TensorBase.pca")),
    "model.weight(names).pca(3)": ("collab/test_models.py::test_weights_and_biases_by_name",
                                   call("EmbeddingDotBias.weight", "TensorBase", "arg0")),
    "xresnet18(c_in=1)": ("vision/models/test_xresnet.py::test_c_in_is_fastais_name_of_n_in",
                          swap("XResNet.__init__", "n_in if c_in is None else c_in", "n_in")),
    "grey images with vision_learner": (CHANNELS, swap("build_learner", "channels_of(dls) if n_in is None else n_in",
                                                       "3 if n_in is None else n_in")),
    "grey images with vision_learner: one line": (CHANNELS, never("build_learner", "so the first layer of the model takes that many")),
    "TransformBlock of images of one's own": ("vision/test_images.py::test_images_of_a_block_of_ones_own_need_no_totensor",
                                              body("collate.with_tensors", "return samples")),
    "plot_confusion_matrix(dpi=)": ("interpret/test_classification.py::test_the_resolution_of_a_confusion_matrix",
                                    call("ClassificationInterpretation.plot_confusion_matrix", "subplots", dpi=None)),
    "show_results(nrows=)": (RESULTS, first("Inference.show_results", "nrows = None")),
    "show_results(ncols=)": (RESULTS, first("Inference.show_results", "ncols = None")),
    "show_results(vmin=)": (RESULTS, first("Inference.show_results", "kwargs = {}")),
    # -- tables -----------------------------------------------------------------------------------------------------------------
    "add_datepart(df) changes df": ("tabular/test_dates.py::test_the_frame_itself_is_changed_and_returned",
                                    default("add_datepart", inplace="False")),
    "to['col']": ("tabular/test_rows.py::test_columns_by_name",
                  swap("TableRows.__getitem__", "items[i]", "getattr(self, i)")),
    "to.procs.categorify": (PROCS + "test_an_instance_has_what_its_table_learnt", remove("ProcList.__getattr__")),
    "to.procs.categorify['col']": (PROCS + "test_an_instance_has_what_its_table_learnt", remove("Categorify.__getitem__")),
    "to.decode_row(row)": ("tabular/test_rows.py::test_decode_row", remove("TableRows.decode_row")),
    "a function among the procs": (PROCS + "test_a_function_among_the_procs_changes_the_columns",
                                   swap("as_procs", "not callable(proc)", "True")),
    "procs given as instances": (PROCS + "test_an_instance_has_what_its_table_learnt",
                                 swap("as_procs", "deepcopy(proc) if proc.in_use else proc", "deepcopy(proc)")),
    "y_range=[0, 5]": (RANGE + "[list]", first("range_ends", "if isinstance(y_range, list):\n    raise TypeError('y_range')")),
    "y_range=tensor": (RANGE + "[tensor]", first("range_ends", "if isinstance(y_range, torch.Tensor):\n    raise TypeError('y_range')")),
    "TabularDataLoaders.from_df(num_workers=)": (WORKERS, _refused("TabularDataLoaders.from_df", "num_workers")),
    "TabularDataLoaders.from_df(pin_memory=)": (WORKERS, _refused("TabularDataLoaders.from_df", "pin_memory")),
    "to.dataloaders(num_workers=)": (WORKERS, _refused("TabularPandas.dataloaders", "num_workers")),
    "y_block=TransformBlock()": ("tabular/test_frames.py::test_a_plain_block_takes_numbers_as_they_are",
                                 never("_of_block", "not block.type_tfms")),
    # -- what was silently different --------------------------------------------------------------------------------------------
    "test_dl(Series)": (TEST_SET, first("rows.as_items", "if hasattr(items, 'iloc') and not hasattr(items, 'columns'):\n"
                                                         "    return [items]")),
    "test_dl(array)": (TEST_SET, never("rows.as_items", "not in 'biufc'")),
    "test_dl(tensor)": (HABITS + "test_numbers_and_generators_of_samples",
                        swap("rows.as_items", "[len(known.shape)] if hasattr(known, 'shape') else [2, 3]",
                             "[len(known.shape)] if hasattr(known, 'shape') else [1, 2, 3]")),
    "test_dl(generator)": (TEST_SET, first("loaders._test_dataset", "items = [items] if hasattr(items, '__next__') else items")),
    "test_dl(generator of samples)": (HABITS + "test_numbers_and_generators_of_samples",
                                      swap("loaders._test_dataset", "list(items) if hasattr(items, '__next__') else items", "items")),
    "test_dl(table with targets)": ("tabular/test_loaders.py::test_test_dl_keeps_the_targets_of_rows_that_have_them",
                                    first("TabularPandas.test_set", "with_labels = bool(with_labels)")),
    "validate(dl=test_dl(table with targets))": ("tabular/test_learner.py::test_validate_on_new_rows",
                                                 first("TabularPandas.test_set", "with_labels = bool(with_labels)")),
    "an event of fastai v1": (FOREIGN + "[on_loss_begin]", _event_accepted("on_loss_begin")),
    "an event of Lightning": (FOREIGN + "[training_step]", _event_accepted("training_step")),
    "an event of Keras": (FOREIGN + "[on_train_batch_begin]", _event_accepted("on_train_batch_begin")),
    "an event of fastai v2 before its release": (FOREIGN + "[begin_fit]", _event_accepted("begin_fit")),
    "an annotated transform keeps its type": (ENCODES + "test_a_plain_tensor_made_of_an_image_is_an_image_again",
                                              body("Transform._kept", "return new")),
    "an annotated transform keeps its type in a loader": (ENCODES + "test_later_transforms_of_a_loader_see_the_type",
                                                          body("Transform._kept", "return new")),
    "an annotated transform in a callback": (ENCODES + "test_a_call_on_plain_tensors_that_does_nothing_says_so",
                                             body("Transform._note_plain", "pass")),
    "two encodes of different types": (ENCODES + "test_two_encodes_of_different_classes_both_apply",
                                       swap("annotations._Body.__setitem__", "joined(first, value, owner)", "value")),
    "two decodes of different types": (ENCODES + "test_two_decodes_and_classes_without_a_parent_in_common",
                                       assign("annotations.REVERSIBLE", "('encodes',)")),
    "@MyTransform def encodes": (ENCODES + "test_the_decorator_adds_to_a_class",
                                 swap("transforms.Transform._extend", "joined(now, f, f'{cls.__qualname__}.{name}')", "f")),
    "a DataLoader with create_item": (HOOK + "[create_item]", _hook_accepted("create_item")),
    "a DataLoader with create_batch": (HOOK + "[create_batch]", _hook_accepted("create_batch")),
    "a DataLoader with get_idxs": (HOOK + "[get_idxs]", _hook_accepted("get_idxs")),
    "a DataLoader with before_iter": (HOOK + "[before_iter]", _hook_accepted("before_iter")),
    "a DataLoader with shuffle_fn": (HOOK + "[shuffle_fn]", _hook_accepted("shuffle_fn")),
    "order of a plain function": (ENCODES + "test_order_and_split_of_a_plain_function",
                                  swap("transforms.Transform.__init__", "('order', 'split_idx')", "('split_idx',)")),
    "split_idx of a plain function": (ENCODES + "test_order_and_split_of_a_plain_function",
                                      swap("transforms.Transform.__init__", "('order', 'split_idx')", "('order',)")),
    "split_idx without a split": (HABITS + "test_nobody_saying_which_split_it_is_is_told", body("DataLoader._report_split", "pass")),
    "split_idx that the dataset says": (HABITS + "test_the_dataset_says_which_split_it_is",
                                        swap("data.dataloader.DataLoader.__init__",
                                             "getattr(base_dataset(dataset)[0], 'split_idx', None) if split_idx is None else split_idx",
                                             "split_idx")),
    "AccumMetric(dim_argmax=, activation=)": (ACCUM + "test_an_activation_takes_the_place_of_the_argmax_as_in_fastai",
                                              swap("AccumMetric.__init__", "dim_argmax is not None and self.activation == 'no'",
                                                   "dim_argmax is not None")),
    "AccumMetric(dim_argmax=1, activation='softmax')": (ACCUM + "test_other_activations_and_maps_of_classes",
                                                        swap("AccumMetric._activate", "self.axis", "-1")),
    "AccumMetric(thresh=)": (ACCUM + "test_an_output_that_reaches_the_threshold_counts",
                             swap("AccumMetric.add", "pred >= self.thresh", "pred > self.thresh")),
    "dls.c of several targets": ("data/test_datasets.py::test_c_of_several_targets_is_a_list",
                                 swap("_Split.c", "found[0] if len(found) == 1 else found or None", "found[-1] if found else None")),
    "vision_learner for several targets": ("vision/test_learner.py::test_one_head_for_several_targets_is_refused",
                                           never("build_learner", "builds a head for one target")),
    "persistent_workers=True": ("data/test_dataloader.py::test_persistent_workers_do_not_stand_in_the_way_of_a_loader_without_workers",
                                never("data.dataloader.DataLoader.new", "args['persistent_workers']")),
    "persistent_workers=True with vision_learner": ("vision/test_learner.py::test_pretrained_with_workers_that_persist",
                                                    never("data.dataloader.DataLoader.new", "args['persistent_workers']")),
    "no private name is suggested": ("core/test_messages.py::test_no_private_name_is_suggested",
                                     swap("nearest", "not text.startswith('_')", "True")),
    "no private attribute of a learner is suggested": ("learner/test_elsewhere.py::test_no_suggestion_is_private",
                                                       swap("nearest", "not text.startswith('_')", "True")),
    "messages without long reprs": ("core/test_messages.py::test_no_value_fills_a_message", body("messages.shortened", "return text")),
    "messages without long values": ("core/test_messages.py::test_no_value_fills_a_message", body("messages.brief", "return repr(x)")),
}

if __name__ == "__main__":
    sys.exit(try_mends(MENDS, sys.argv[1:]))
