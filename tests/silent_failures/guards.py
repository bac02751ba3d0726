"""Take out what guards a row of docs/silent-failures.md and see that the row's test then fails.

    python tests/silent_failures/guards.py            # every row, a few seconds each
    python tests/silent_failures/guards.py S12 S13    # these

A guard is named, not quoted: each row says in which function, class or constant it stands and what that does without it (the kinds of edits
are in `source_edits.py`). The package is copied to a temporary folder, edited there, and the row's test runs on the copy. Exit status 1 if
one still passes, or fails only because the edit no longer makes sense.
"""
import re
import sys
from pathlib import Path

from source_edits import ROOT, assign, body, call, default, first, never, reads, result, swap
from taken_out import pytest_without, texts_with, try_all

HERE = Path(__file__).resolve().parent

#: row: (what is taken out, the edits that take it out)
GUARDS = {
    "S1": ("torchvision's weights do not say with which statistics they were trained",
           body("ArchMeta.stats_for", "return None")),
    "S2": ("transforms are added to the caller's loaders",
           body("DataLoaders.with_tfms", "for dl in self.loaders:\n    dl.after_batch = dl.after_batch.with_tfms(batch_tfms)\nreturn self")),
    "S3": ("a random split has no seed of its own", default("RandomSplitter.__init__", seed="None")),
    "S4": ("a split seeds the whole process", first("RandomSplitter.__call__", "torch.manual_seed(self.seed)")),
    "S5": ("an empty side of a split by folders is taken", never("GrandparentSplitter.__call__", "no item lies two levels below a folder")),
    "S6": ("a share may be rounded to no item", call("RandomSplitter.__call__", "max", "arg1")),
    "S7": ("whole numbers are always a regression", assign("targets.MAX_CLASSES", "-1")),
    "S8": ("the guessed columns come out of a set", result("cont_cat_split", "tuple(list(set(names)) for names in it)")),
    "S9": ("a pandas category stands for the value that training gave its code",
           first("Categorify.encodes", "for name, column in table.cats.items():\n"
                                       "    if hasattr(column, 'cat'):\n"
                                       "        table.cats[name] = pd.Series([list(self.classes[name])[1 + i] for i in column.cat.codes])")),
    "S10": ("new frames are processed without a warning", call("TabularPandas.process", "warn", "None")),
    "S11": ("float ids are rounded to 32 bits", first("factorized", "if column.dtype == 'float64':\n    column = column.astype('float32')")),
    "S12": ("dates are taken to be in nanoseconds", body("epoch_seconds", "return dates.to_numpy().astype(np.int64) // 10**9")),
    "S13": ("a constant column is divided by a tiny number",
            first("Normalize.learn_moments", "moments = {name: (mean, std or 1e-7) for name, (mean, std) in moments.items()}")),
    "S14": ("missing targets are taken", never("tabular.targets", "is missing (NaN or None) or infinite")),
    "S15": ("a column named c hides the number of outputs", body("TableRows.c", "return self.classes.get('c', self.target.c)")),
    "S16": ("the exact type of the first label says what is predicted",
            body("guessed_block", "return RegressionBlock() if isinstance(labels[0], float) else CategoryBlock()")),
    "S17": ("the orientation of a photo is ignored", assign("reading.UPRIGHT", "{}")),
    "S18": ("deep pixels are clipped", never("to_mode", "eight_bit(")),
    "S19": ("a resize does not say what it cuts off", body("item.Resize.remark", "return None")),
    "S20": ("loaders take any keyword", body("reject_unknown_loader_args", "pass")),
    "S21": ("a loader without batches is taken", never("data.loader_args", "the dataset is smaller than one batch")),
    "S22": ("a shuffled loader drops its last batch", first("data.dataloader.DataLoader.__init__",
                                                          "if drop_last is None:\n    drop_last = shuffle")),
    "S23": ("a vocabulary makes an entry for what it is asked for",
            first("CategoryMap.id_of", "if self.add_na:\n    return self.o2i.setdefault(o, len(self.o2i))")),
    "S24": ("vocabularies are not compared", default("Learner.load", check_vocab="False")),
    "S25": ("sequences are cut without a warning", call("pad_sequences", "warn", "None")),
    "S26": ("statistics come from one batch", assign("normalize.Normalize.n_batches", "1")),
    "S27": ("statistics of frozen norm layers move", body("Freezer.hold_norm_statistics", "pass")),
    "S28": ("only norm layers with frozen parameters are held",
            call("BnFreeze", "eval", "of.train(any(p.requires_grad for p in of.parameters()))")),
    "S29": ("a model of one group is frozen without a word", call("Freezer.freeze_to", "warn", "None")),
    "S30": ("freezing forgets what was frozen by hand",
            first("Freezer.freeze_to", "for p in self.model.parameters():\n    p.requires_grad_(True)")),
    "S31": ("freezing empties the optimizer", first("Freezer.freeze_to", "self.opt.state.clear()")),
    "S32": ("every parameter is decayed", body("norm_bias_params", "return set()")),
    "S33": ("only batch norm and the name bias go without decay",
            body("norm_bias_params", "return {id(p) for m in model.modules() for name, p in m.named_parameters(recurse=False)\n"
                                     "        if isinstance(m, nn.BatchNorm1d) or name == 'bias'}")),
    "S34": ("the hyper-parameters of a fit stay",
            body("Learner._temporary_hypers", "set_hyper(self.opt, 'lr', lr)\nif wd is not None:\n    set_hyper(self.opt, 'wd', wd)\nyield")),
    "S35": ("a plateau rule works beside a schedule", never("ReduceLROnPlateau", "lowering it would have no effect")),
    "S36": ("little patience is not warned of", call("EarlyStoppingCallback", "warn", "None")),
    "S37": ("every fit begins with epoch 0", first("Learner.fit", "start_epoch = 0")),
    "S38": ("the finder leaves the weights where they are", call("_leaving_no_trace", "copy_", "None")),
    "S39": ("mixing sets the reduction of the learner's own loss",
            call("MixHandler", "reduction_none", "(setattr(arg0, 'reduction', 'none'), arg0)[1]")),
    "S40": ("gradients at the end of an epoch wait for the next",
            reads("GradientAccumulation.steps_after_batch", "n_iter", "float('inf')"), body("GradientAccumulation.after_train", "pass")),
    "S41": ("fp16 on a CPU is taken without a word", call("MixedPrecision.works_on", "warn", "None")),
    "S42": ("skipped steps are not counted", body("MixedPrecision.skipped_steps", "return 0")),
    "S43": ("only the first process saves",
            first("saving.save", "import os\nif os.environ.get('RANK', '0') != '0':\n    return file_of(learn, file)")),
    "S44": ("a box is pasted into the batch itself", call("mix.paste", "clone", "of")),
    "S45": ("a learner takes any attribute", body("TrainingLoop.__setattr__", "object.__setattr__(self, name, value)")),
    "S46": ("what functions of torch take is unknown", body("loss_traits._torch_traits", "return _KNOWN.get(type(inner), (None, False))")),
    "S47": ("shapes of predictions and targets are not compared", body("loss_traits.needs_same_shape", "return False")),
    "S48": ("too few outputs are taken", never("FirstBatch", "give its last layer dls.c outputs")),
    "S49": ("a metric takes the argmax of one column", body("check_several_classes", "pass")),
    "S50": ("the Brier score is that of decisions", call("_second_class", "skm_to_fastai", is_class=None, activation=None)),
    "S51": ("Dice takes any number of classes", never("Dice.accumulate", "is for two classes, background and foreground")),
    "S52": ("the modulation of the focal loss sees the class weights", call("FocalLoss.forward", "cross_entropy", weight="self.weight")),
    "S53": ("label smoothing drops the class weights", first("LabelSmoothingCrossEntropyFlat.__init__", "weight = None")),
    "S54": ("metrics are means over batches", first("metrics.functions.declare", "accumulated = False")),
    "S55": ("every metric is better high",
            result("column_directions", "{name: bool(lower) for name, lower in it.items()}")),
    "S56": ("the best model is loaded from whatever is in its file",
            first("SaveModelCallback._load_best", "self.learn.load(self.fname, with_opt=self.with_opt)")),
    "S57": ("every fit forgets the best value", first("TrackerCallback.__init__", "reset_on_fit = True")),
    "S58": ("a log is written anew at each epoch", call("FileLogger.after_epoch", "open", "of.open('w', encoding='utf-8', newline='')")),
    "S59": ("validating empties the record", body("temporary_recorder", "yield self")),
    "S60": ("the training loss is a moving average", result("Recorder._epoch_losses", "[self.smooth_loss, *it[1:]]")),
    "S61": ("a tracker takes a column that does not exist", never("monitored", "there is no such column in the epoch table")),
    "S62": ("the callback is named inside the error's arguments",
            call("run_handlers", "add_note", "setattr(arg0, 'args', (f'{arg1}: {arg0.args[0]}', *arg0.args[1:]))")),
    "S63": ("a threshold of 0 is none", first("AccumMetric.__init__", "thresh = thresh or None")),
    "S64": ("predictions on training data are augmented", first("loader_for", "train_transforms = True")),
    "S65": ("tta does not say what it varies", call("Inference._tta", "logger", "None")),
    "S66": ("masks are averaged where augmentation moved them", body("tta_of_targets", "return None")),
    "S67": ("a body is cut where it always is", first("create_body", "cut = None")),
    "S68": ("the bias of a new first layer is random",
            call("replace_input", "deepcopy", "type(arg0)(n_in, arg0.out_channels, arg0.kernel_size, arg0.stride, arg0.padding)")),
    "S69": ("losses and items come from two passes",
            reads("Interpretation.top_losses", "losses", "self.learn.get_preds(dl=self.dl, with_loss=True)[-1]")),
    "S70": ("the optimizer of a file is not compared", body("saving._check_opt", "pass")),
    "S71": ("the title has the probability of the wrong class", reads("ClassificationInterpretation.title", "p_target", "of.p_predicted")),
    "S72": ("a learner writes into the folder of its data", first("Learner.__init__", "path = dls.path if path is None else path")),
    "S73": ("lists of one value for each class are lists of labels", body("indicator_values", "return None")),
    "S74": ("targets of zeros and ones are numbers without a word", result("targets._several", "(setattr(it, 'note', None), it)[1]")),
    "S75": ("an index is read as positions", first("choose_splits", "valid_idx = None if valid_idx is None else np.asarray(valid_idx)")),
    "S76": ("names are listed in whatever order they come", body("listed_in_order", "return list(values)")),
    "S77": ("what a function says it returns is not looked at", body("annotations.returns", "return False")),
    "S78": ("only the type of a column says what it holds",
            first("column_kind", "return {'f': 'floating', 'i': 'integer', 'u': 'integer'}.get(column.dtype.kind, 'text')")),
    "S79": ("the column of the split is an input", body("deciding_columns", "return []")),
    "S80": ("what a user rated is looked up in the rows at hand",
            body("TabularCollab.rated_by", "codes = self.cats.to_numpy()\nreturn codes[codes[:, 0] == user_id, 1]")),
    "S81": ("ids of any type are taken", body("recommend.check_ids", "pass")),
    "S82": ("rows are called by their positions", body("Interpretation.item_name", "return i")),
    "S83": ("the range of deep pixels is not looked for", body("OpenImage.setups", "pass")),
    "S84": ("masks are not looked at for what is left out", body("AddMaskCodes.setups", "pass")),
    "S85": ("statistics are not compared with the range", body("normalize._check_scale", "pass")),
    "S86": ("raw outputs pass for log-probabilities", never("check_output", "takes log-probabilities")),
    "S87": ("probabilities pass for raw outputs", never("check_output", "applies a softmax itself, but the outputs")),
    "S88": ("scikit-learn gets the names", body("SklearnMetric._settings", "return self.kwargs")),
    "S89": ("the probability is always that of the second class", never("SklearnMetric.compute", "preds = 1 - preds")),
    "S90": ("weights are taken in the order in which they come", never("_as_weights", "with names")),
    "S91": ("several predictions are one", swap("decode_targets", "as_tuple(targets)", "(targets,)")),
    "S92": ("what has no axis of items is joined all the same", never("GatherPreds.joined", "cannot be joined")),
    "S93": ("a column is judged by how much accuracy it adds",
            body("single_column_score", "from sklearn.tree import DecisionTreeClassifier\n"
                                        "tree = DecisionTreeClassifier(max_leaf_nodes=64).fit(values[::2, None], y[::2])\n"
                                        "return float(tree.score(values[1::2, None], y[1::2]) - max(y.mean(), 1 - y.mean()))")),
    "S94": ("wide tables are not looked at",
            swap("DataProbe.rows", "wide or table.named or n_columns <= MAX_COLUMNS", "n_columns <= MAX_COLUMNS")),
    "S95": ("any small mean and standard deviation will do", swap("normalised_inputs", "not raw", "True"),
            swap("normalised_inputs", "abs(mean) <= 0.7 and 0.3 <= std <= 2.5", "True")),
    "S96": ("one class is one of many", call("Categorize.setups", "warn", "None")),
    "S97": ("a missing label is a label", swap("MultiCategorize.labels_of", "self.one_each", "True"),
            never("MultiCategorize._labels_of_all", "a label is missing")),
    "S98": ("a single column is always of classes", swap("factories.label_block", "fraction is None", "True")),
    "S99": ("the digest in a file is not compared", never("read_tensors", "does not have the SHA-256")),
    "S100": ("records of a .pth file that are marked as folders are taken", never("checkpoint._check_zip", "is marked as a folder")),
    "S101": ("the number of members that a zip states is not compared", never("archives._read_zip", "members, and lists")),
    "S102": ("vectors are loaded by their positions", body("TextLearner._words_of", "return None")),
    "S103": ("a list is always the tokens of a text", never("text.tokenizer", "has spaces within")),
    "S104": ("nobody counts long texts", body("text.learner._tell_of_long_texts", "pass")),
    "S105": ("padding is told by its id", swap("NextTokens.encodes", "mask[1:].bool()", "x['input_ids'][1:] != 0")),
    "S106": ("any vocabulary is taken", never("text.block", "need tokens of their own")),
    "S107": ("pairs and single texts are taken for one another", swap("EncodeText._refuse_others", "value_problem(x, words, self.pairs)", "value_problem(x, words)")),
    "S108": ("padding counts as steps of a series",
             body("mix_series.lengths_with_partner", "n = torch.full((len(x),), x.shape[2])\nreturn n, n")),
    "S109": ("forecasts are not looked at", never("SeriesTransform.__call__", "what is to be forecast stays")),
    "S110": ("splits of windows are not checked", never("check_window_splits", "in training windows")),
    "S111": ("gaps are not looked at", never("refuse_irregular", "no window crosses one")),
    "S112": ("the scale is that of all rows", swap("Scale.of", "w.rows_of(training.indices)", "w.rows_of(range(len(w)))")),
    "S113": ("only whole series are compared", body("overlaps", "return []")),
    "S114": ("covariates are not compared with the target", body("telling_covariates", "return []")),
    "S115": ("zeros at the end of a series are steps like others",
             body("lengths_without_tail", "return np.array([a.shape[1] for a in require_series(data).arrays])")),
    "S116": ("the state of an optimizer stays as it was loaded", body("lay_out_state", "return None")),
    "S117": ("items that are several are not counted", swap("DataLoaders.test_batch", "len(items) == 1 != len(dataset)", "False")),
    "S118": ("masks of numpy are not looked at", swap("as_array", "isinstance(x, np.ma.MaskedArray)", "False")),
    "S119": ("any order of rows will do", never("_localised", "the rows are in no order")),
    "S120": ("time zones are not compared", never("known_future", "so that it is not known")),
}


def without(row, package):
    "`{file: its text with this row's guard taken out}`; `LookupError` where what guards is not found under its name."
    return texts_with(GUARDS[row][1:], package)


def test_of(row):
    "The file and the name of the test of this row."
    start = f"test_s{row[1:]:>02}_"
    found = [(file, name) for file in sorted(HERE.glob("test_s*.py"))
             for name in re.findall(rf"^def ({start}\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)]
    if len(found) != 1:
        raise ValueError(f"{row} has {len(found)} tests that begin with {start}, not one")
    return found[0]


def try_without(row, package):
    "What happens to the test of this row without its guard, see `taken_out.pytest_without`."
    file, name = test_of(row)
    return pytest_without(without(row, package), [str(file.relative_to(ROOT)), "-k", name])


def main(rows):
    "Try these rows, every one if none are given; the exit status."
    return try_all(rows or GUARDS, try_without)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
