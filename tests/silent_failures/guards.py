"""Take out what guards a row of docs/silent-failures.md and see that the row's test then fails.

    python tests/silent_failures/guards.py            # all of GUARDS, a few seconds each
    python tests/silent_failures/guards.py S12 S13    # these

The package is copied to a temporary folder, one text in it is replaced, and the row's test runs there. Exit status 1 if one still passes.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

# row: (file, text that occurs exactly once in it, what takes its place); sorted
GUARDS = {
    "S1": ("minifast/vision/models/backbones.py", "return list(preset.mean), list(preset.std)", "return None"),
    "S2": ("minifast/data/loaders.py",
           "[self._needs_ours(dl, \"with_tfms\").new(after_batch=dl.after_batch.add(tfms)) for dl in self.loaders]",
           "[dl for dl in self.loaders if not setattr(dl, \"after_batch\", dl.after_batch.add(tfms))]"),
    "S3": ("minifast/data/splitters.py", "def __init__(self, valid_pct=0.2, seed=SPLIT_SEED):",
           "def __init__(self, valid_pct=0.2, seed=None):"),
    "S4": ("minifast/data/splitters.py", "return torch.Generator().manual_seed(", "return torch.manual_seed("),
    "S5": ("minifast/data/splitters.py", "            if not sides[-1]:", "            if False:"),
    "S6": ("minifast/data/splitters.py", "cut = max(1, int(self.valid_pct * len(items)))\n        return order[cut:], order[:cut]",
           "cut = int(self.valid_pct * len(items))\n        return order[cut:], order[:cut]"),
    "S7": ("minifast/tabular/targets.py", "classes = n <= MAX_CLASSES", "classes = False"),
    "S8": ("minifast/tabular/loaders.py", "cont_names, cat_names = cont_cat_split(df, dep_var=y_names)",
           "cont_names, cat_names = (list(set(o)) for o in cont_cat_split(df, dep_var=y_names))"),
    "S9": ("minifast/tabular/categorify.py",
           "table.each(lambda name: self._encoded(*factorized(table.cats[name], name), self._known(name)), table.cats)",
           "{k: (c.cat.codes.to_numpy() + 1, 0, (0, None)) if hasattr(c, \"cat\") else self._encoded(*factorized(c, k), self._known(k)) "
           "for k, c in table.cats.items()}"),
    "S10": ("minifast/tabular/frames.py", "if table.unseen else []", "if False else []"),
    "S11": ("minifast/tabular/factorize.py", "    found, in_python = None,",
            "    column = column.astype(\"float32\") if column.dtype == \"float64\" else column\n    found, in_python = None,"),
    "S12": ("minifast/tabular/dates.py", "naive.to_numpy().astype(\"datetime64[s]\").astype(np.int64)",
            "naive.to_numpy().astype(np.int64) // 10**9"),
    "S13": ("minifast/tabular/numeric.py", "name: std or 1.0 for name", "name: std or 1e-7 for name"),
    "S14": ("minifast/tabular/targets.py", "        if missing.any():\n            raise ValueError(f\"the target",
            "        if False:\n            raise ValueError(f\"the target"),
    "S15": ("minifast/tabular/table_view.py", "return None if self.target is None else self.target.c",
            "return self.classes.get('c', self.target.c)"),
    "S16": ("minifast/vision/loaders.py", "RegressionBlock() if not named and any(map(is_fraction, labels))",
            "RegressionBlock() if isinstance(labels[0], float)"),
    "S17": ("minifast/vision/files/reading.py", "turn = UPRIGHT.get(_orientation(im))", "turn = None"),
    "S18": ("minifast/vision/files/reading.py", "elif im.mode in (\"I\", \"F\") or im.mode.startswith(\"I;\"):", "elif False:"),
    "S19": ("minifast/data/summary.py", "            if remark:", "            if False:"),
    "S20": ("minifast/data/loader_args.py", "    reject_unknown(unknown, LOADER_KEYWORDS, where)", "    pass"),
    "S21": ("minifast/data/dataloader.py", "        if not len(self._batches):", "        if False:"),
    "S22": ("minifast/data/engine/samplers.py", "drop = rest == 1 and full > 0 and self.sampler_shuffles", "drop = self.sampler_shuffles"),
    "S23": ("minifast/data/categories.py", "        if self.add_na:\n            return 0",
            "        if self.add_na:\n            return self._o2i.setdefault(o, len(self._o2i))"),
    "S24": ("minifast/learner/saving.py", "if check_vocab and weights is not state:", "if False:"),
    "S25": ("minifast/data/sequences.py", "    if counts[_CUT]:\n        warn(", "    if False:\n        warn("),
    "S26": ("minifast/vision/images.py", "    n_batches = 10", "    n_batches = 1"),
    "S27": ("minifast/optim/freezing.py", "                m.eval()\n", "                pass\n"),
    "S28": ("minifast/callbacks/batch.py",
           "        for m in self._layers:\n            m.eval()",
           "        for m in self._layers:\n            m.train(any(p.requires_grad for p in m.parameters()))"),
    "S29": ("minifast/optim/freezing.py", "if total == 1 and n != 0:", "if False:"),
    "S30": ("minifast/optim/freezing.py", "by_hand = not p.requires_grad and self.last_set.get(id(p), True)", "by_hand = False"),
    "S31": ("minifast/optim/freezing.py",
           "        self.frozen_to = wanted\n",
           "        self.frozen_to = wanted\n        self.opt.state.clear()\n"),
    "S32": ("minifast/optim/groups.py", "exempt = set() if wd_bn_bias else norm_bias_params(model)", "exempt = set()"),
    "S33": ("minifast/optim/groups.py",
           "_is_norm(module) or \"bias\" in _WORDS.split(name.lower())}",
           "isinstance(module, nn.BatchNorm1d) or name == \"bias\"}"),
    "S34": ("minifast/learner/learner.py", "                group.update(hypers)\n", "                pass\n"),
    "S35": ("minifast/callbacks/trackers.py", "if rival := _who_schedules(self.learn):", "if rival := None:"),
    "S36": ("minifast/callbacks/trackers.py", "if self.patience < needed and not self._warned:", "if False:"),
    "S37": ("minifast/learner/learner.py", "for self.epoch in range(self.start_epoch, self.n_epoch):", "for self.epoch in range(self.n_epoch):"),
    "S38": ("minifast/callbacks/lr_finder.py", "                t.copy_(before)\n", "                pass\n"),
    "S39": ("minifast/callbacks/mix.py",
           "self._each = loss_func, reduction_none(loss_func)",
           "loss_func.reduction, self._each = \"none\", (loss_func, loss_func)"),
    "S40": ("minifast/callbacks/accumulate.py",
           "        if self._items < self.n_acc and learn.iter < learn.n_iter - 1:\n"
           "            raise CancelBatchException\n"
           "        self._average()\n"
           "\n"
           "    def after_train(self):\n"
           "        \"The epoch was cut short between two steps: step with what there is.\"\n"
           "        if self._items:",
           "        if self._items < self.n_acc:\n"
           "            raise CancelBatchException\n"
           "        self._average()\n"
           "\n"
           "    def after_train(self):\n"
           "        if False:"),
    "S41": ("minifast/callbacks/precision.py", "if self.amp_mode == \"fp16\" and learn.dls.device.type == \"cpu\":", "if False:"),
    "S42": ("minifast/callbacks/precision.py", "self._skipped = self._skipped + (self.scaler._scale < before)", "self._skipped = 0"),
    "S43": ("minifast/learner/saving.py",
           "    return checkpoint.save(state, file)",
           "    import os\n    return file if os.environ.get(\"RANK\", \"0\") != \"0\" else checkpoint.save(state, file)"),
    "S44": ("minifast/callbacks/mix.py", "    out = x.clone()\n", "    out = x\n"),
    "S45": ("minifast/core/guarded.py", "if name not in declared(type(self)) and not name.startswith(\"_\"):", "if False:"),
    "S46": ("minifast/nn/torch_losses.py", "        return _FUNCTIONS.get(inner)\n", "        return None\n"),
    "S47": ("minifast/nn/torch_losses.py", "    if same and pred.shape != y.shape:", "    if False:"),
    "S48": ("minifast/callbacks/first_batch.py", "if by_class and isinstance(n_classes, int)", "if False and isinstance(n_classes, int)"),
    "S49": ("minifast/metrics/functions.py", "if inp.ndim == 0 or inp.shape[axis] == 1:", "if inp.ndim == 0:"),
    "S50": ("minifast/metrics/sklearn.py",
           "m = skm_to_fastai(_sklearn(\"brier_score_loss\"), is_class=False, axis=axis, activation=\"binarysoftmax\", ",
           "m = skm_to_fastai(_sklearn(\"brier_score_loss\"), axis=axis, "),
    "S51": ("minifast/metrics/functions.py", "if learn.pred.shape[self.axis] != 2:", "if False:"),
    "S52": ("minifast/nn/losses.py",
           "ce = F.cross_entropy(inp, targ, reduction=\"none\", ignore_index=self.ignore_index)",
           "ce = F.cross_entropy(inp, targ, self.weight, reduction=\"none\", ignore_index=self.ignore_index)"),
    "S53": ("minifast/nn/losses.py",
           "super().__init__(axis=axis, weight=weight, ignore_index=ignore_index, label_smoothing=eps, reduction=reduction, "
           "flatten=flatten)",
           "super().__init__(axis=axis, ignore_index=ignore_index, label_smoothing=eps, reduction=reduction, flatten=flatten)"),
    "S54": ("minifast/metrics/functions.py",
           "        f.lower_is_better, f.accumulated = lower_is_better, accumulated",
           "        f.lower_is_better, f.accumulated = lower_is_better, False"),
    "S55": ("minifast/callbacks/trackers_base.py",
           "known.setdefault(prefix + metric.name, getattr(metric, \"lower_is_better\", None))",
           "known.setdefault(prefix + metric.name, False)"),
    "S56": ("minifast/callbacks/trackers.py",
           "    def _load_best(self):\n",
           "    def _load_best(self):\n        self.learn.load(self.fname, with_opt=self.with_opt)\n"),
    "S57": ("minifast/callbacks/trackers_base.py", "if self.reset_on_fit or (begins and self.reset_on_fit is None):", "if True:"),
    "S58": ("minifast/callbacks/loggers.py",
           "with self.file.open(\"a\", encoding=\"utf-8\", newline=\"\") as f:",
           "with self.file.open(\"w\", encoding=\"utf-8\", newline=\"\") as f:"),
    "S59": ("minifast/learner/callback_list.py",
           "with self.removed_cbs(own), self.added_cbs(Recorder(valid_metrics=valid_metrics) if own else None):",
           "with self.added_cbs(None):"),
    "S60": ("minifast/callbacks/recorder.py", "        return float(losses @ sizes / sizes.sum())", "        return self.smooth_loss"),
    "S61": ("minifast/callbacks/trackers_base.py", "if self.monitor not in directions:", "if False:"),
    "S62": ("minifast/callbacks/base.py",
           "            add_note(e, f\"in {owner}.{event}\")",
           "            e.args = (f\"in {owner}.{event}: {e.args[0]}\", *e.args[1:])"),
    "S63": ("minifast/metrics/base.py", "        if self.thresh is not None:", "        if self.thresh:"),
    "S64": ("minifast/learner/inference.py", "split_idx=0 if train_transforms else 1,", "split_idx=0,"),
    "S65": ("minifast/learner/inference.py", "        learn.logger(f\"tta varies {', '.join(map(repr, varying))}\")", "        pass"),
    "S66": ("minifast/learner/inference.py", "if kind := _place_of_targets(learn.dls[-1 if len(learn.dls) == 1 else 1]):", "if kind := None:"),
    "S67": ("minifast/vision/models/backbones.py", "    if cut is not None:\n        body = _cut(", "    if False:\n        body = _cut("),
    "S68": ("minifast/vision/models/backbones.py", "                new.bias.copy_(conv.bias)\n", "                pass\n"),
    "S69": ("minifast/interpret/base.py",
           "values, indices = self.losses.topk(k, largest=largest)",
           "values, indices = self.learn.get_preds(dl=self.dl, with_loss=True)[-1].topk(k, largest=largest)"),
    "S70": ("minifast/learner/saving.py", "        _check_opt(learn.opt, state[\"opt\"], file)\n", ""),
    "S71": ("minifast/interpret/classification.py",
           "p({target}) = {float(self.p_target[i]):.2f}",
           "p({target}) = {float(self.p_predicted[i]):.2f}"),
    "S72": ("minifast/learner/learner.py",
           "Path(\".\" if path is None else path), model_dir",
           "Path(dls.path if path is None else path), model_dir"),
}


def without(row):
    "The file of this row's guard, and its text with the guard taken out."
    file, old, new = GUARDS[row]
    text = (ROOT / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{row}: {old!r} occurs {text.count(old)} times in {file}, not once: bring GUARDS up to date")
    text = text.replace(old, new)
    compile(text, file, "exec")                     # else the test fails for the wrong reason
    return file, text


def test_of(row):
    "The file and the name of the test of this row."
    start = f"test_{row.lower()}_" if len(row) == 3 else f"test_s0{row[1:]}_"
    found = [(file, name) for file in sorted(HERE.glob("test_s*.py"))
             for name in re.findall(rf"^def ({start}\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)]
    if len(found) != 1:
        raise ValueError(f"{row} has {len(found)} tests that begin with {start}, not one")
    return found[0]


def try_without(row):
    "What happens to the test of this row without its guard: 'fails', 'passes', or how else pytest ended."
    changed, text = without(row)
    file, name = test_of(row)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for part in ("minifast", "tests"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / changed).write_text(text, encoding="utf-8")
        data = os.environ.get("MINIFAST_TEST_DATA") or str(ROOT.parent / "shared" / "data")
        env = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1", "MINIFAST_TEST_DATA": data}
        command = [sys.executable, "-m", "pytest", "-n", "0", "-q", "-x", "-p", "no:cacheprovider", str(file.relative_to(ROOT)), "-k", name]
        done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True)
    said = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")]
    if done.returncode == 1:
        return "fails", said[0] if said else "?"
    if done.returncode == 0:
        return "passes", ""
    return f"pytest ended with status {done.returncode}", done.stdout[-2000:] + done.stderr[-500:]


def main(rows):
    "Try these rows, all of GUARDS if none are given; the exit status."
    bad = 0
    for row in rows or GUARDS:
        what, evidence = try_without(row)
        if what == "fails":
            print(f"{row}: fails without its guard ({evidence[:100]})", flush=True)
        else:
            bad += 1
            print(f"{row}: {'STILL PASSES' if what == 'passes' else what + evidence}", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
