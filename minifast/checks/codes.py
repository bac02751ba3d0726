"""Every check's code, title, question and advice.

They stand in the order of causes: an earlier problem can bring about a later one, so the first issue of a report is the one to fix first.
"""
from typing import NamedTuple

from ..core.messages import did_you_mean


class Code(NamedTuple):
    "What a code stands for."
    title: str          #: the subject of the check, in a few words
    asks: str           #: the question that the check answers
    advice: str         #: what to do if the answer is no


CODES: dict[str, Code] = {
    # the model meets a batch
    "MF101": Code("Finite values", "Are all inputs, targets and weights finite?",
                  "find the transform or the rows that produce NaN or infinity, and fill or drop them"),
    "MF102": Code("Model runs", "Does the model accept a batch and return finite outputs?",
                  "match the model's input to the batch: `dls.one_batch()` shows what it gets, `learn.summary()` the layers"),
    "MF103": Code("Target fits the loss",
                  "Do predictions and targets have the shapes and dtypes that the loss expects, without broadcasting?",
                  "change n_out, the target or the loss as described"),
    "MF104": Code("Outputs per class", "Does the model have one output per class?", "give the last layer dls.c outputs"),
    "MF105": Code("Final activation", "Does the model end in what the loss expects: raw outputs if the loss applies the activation itself?",
                  "end the model with a plain linear layer and let the loss apply softmax or sigmoid"),
    "MF106": Code("Output range", "Can the outputs reach every value of the targets?",
                  "remove the activation at the end of the model, or widen its range: SigmoidRange(low, high)"),
    "MF107": Code("Input scale", "Are the inputs centred and scaled?",
                  "normalise them: batch_tfms=Normalize() for images, procs=[..., Normalize] for tables"),
    "MF108": Code("Trainable parameters", "Does the loss reach at least one trainable parameter?",
                  "unfreeze the model, and remove detach(), no_grad and argmax from it"),
    "MF109": Code("Optimizer parameters", "Does the optimizer hold exactly the trainable parameters of this model?",
                  "call learn.create_opt() after changing the model, and let the splitter put every parameter into one group"),
    "MF110": Code("Train and eval mode",
                  "Do dropout and norm layers follow model.train() and model.eval(), and is evaluation deterministic?",
                  "use nn.Dropout or F.dropout(x, training=self.training), and do not override train()"),
    "MF111": Code("Loss direction", "Is the loss lower for perfect predictions than for wrong ones?",
                  "check the sign of the loss and the order of its arguments: loss(prediction, target)"),
    "MF112": Code("Target scale", "Are the targets of a regression of a size that the outputs can reach?",
                  "scale the target, or give the model y_range=(low, high)"),
    "MF113": Code("Targets in the inputs", "Is what a model of tokens is to predict absent from what it reads?",
                  "shift the targets by one token: inputs text[:-1], targets text[1:], as LMDataLoader does"),
    # independence
    "MF201": Code("Independent items", "Does the loss of item i depend on input i alone?",
                  "look for a view or reshape that mixes the batch axis with another, and for statistics over the batch"),
    "MF202": Code("Causality", "Does the output at step t depend only on steps up to t?", "mask the future (causal attention)"),
    "MF203": Code("State between batches", "Does a model that keeps a state read batches that go on where the one before ended?",
                  "call reset() at the beginning of forward, or read the texts as one stream: LMDataLoader, with ModelResetter"),
    # the learning signal
    "MF301": Code("Symmetric weights", "Do the units of each layer start out different, so that they can learn different things?",
                  "initialise the weights randomly: units that start with the same weights get the same updates and never differ"),
    "MF302": Code("Dead and saturated units", "Do the hidden units respond to the inputs?",
                  "lower the learning rate, start with smaller weights or biases, or use LeakyReLU or norm layers"),
    "MF303": Code("Gradient scale", "Do the gradients of the layers have a similar scale, neither vanishing nor exploding?",
                  "use another initialisation, norm layers or residual connections, and ReLU instead of sigmoid"),
    "MF304": Code("Unused inputs", "Does the output depend on every input?",
                  "connect the input or drop it, and look for a layer whose output is the same for every item"),
    "MF305": Code("Missing gradients", "Does every trainable parameter get a finite, non-zero gradient?",
                  "look for detach(), no_grad, unused layers, or activations that are flat everywhere"),
    "MF306": Code("Gradient of every item", "Does every item that has a loss also have a gradient?",
                  "clip gradients (GradientClip), not the loss: where a clipped loss is flat, nothing is learned"),
    "MF307": Code("Zeroed gradients", "Does every step start from zeroed gradients?",
                  "let opt.zero_grad() clear them; to accumulate on purpose, use GradientAccumulation"),
    "MF308": Code("Update-to-weight ratio", "Do the weights change by roughly 0.1% to 10% per step at the learner's learning rate?",
                  "use the learning rate that learn.lr_find() suggests"),
    "MF309": Code("Bias before a norm layer", "Is every bias of use, rather than subtracted by the norm layer that follows?",
                  "pass bias=False to the layer before the norm layer, which has a bias of its own"),
    "MF310": Code("Weight decay", "Are norm layers and biases exempt from weight decay?",
                  "keep wd_bn_bias=False, and build parameter groups with param_groups(model, splitter(model))"),
    # the start
    "MF401": Code("Initial loss", "Does training start at the loss of an uninformed guess?",
                  "initialise the last layer: learn.init_head() makes it start from the label frequencies or the mean target"),
    # capacity
    "MF501": Code("Overfit one item", "Can the loss on a single item be driven close to zero?",
                  "something between input and loss is broken: check the model's forward and the loss"),
    "MF502": Code("Overfit one batch", "Can the model overfit a handful of items?",
                  "give the model more width or depth, or find out why it cannot tell the items apart"),
    "MF503": Code("Better than ignoring the inputs", "Does the model do better with its inputs than is possible without them?",
                  "look at a decoded batch: are the inputs what they should be, and does the model use them?"),
    "MF504": Code("Baselines", "Does a trained network beat a baseline that ignores the inputs, and gradient boosting?",
                  "if the training loss is low, find out how validation differs (class ids, transforms, split) and whether the labels "
                  "depend on the inputs; otherwise train longer at a lower learning rate"),
    # evaluation
    "MF601": Code("Repeatable validation", "Does validating twice give the same result?",
                  "keep random transforms out of validation (split_idx=0) and turn dropout off in eval mode"),
    "MF602": Code("Consistent predictions", "Do predict, get_preds and validate agree on the same items?",
                  "find out what differs between them: callbacks, validation transforms, a loss that depends on the batch, padding "
                  "that the model reads"),
    "MF603": Code("Metric direction", "Does every metric declare correctly whether lower or higher is better?",
                  "set lower_is_better=True or False on the metric: SaveModel and EarlyStopping rely on it"),
    # speed
    "MF701": Code("Step time", "Is most of a training step spent in the model?",
                  "use more workers (num_workers=), smaller files or batch transforms; learn.profile() shows the breakdown"),
    # data: files
    "MF801": Code("Readable files", "Can every file be decoded completely?", "remove or replace the files"),
    "MF802": Code("Duplicates across splits", "Is every validation file absent from the training set?",
                  "put all copies into one split or remove them: they inflate the validation score"),
    "MF803": Code("Near-duplicates across splits", "Is every validation image clearly different from every training image?",
                  "split by group (video, patient, shoot), so that related images end up in one split"),
    "MF804": Code("Duplicates within a split", "Is every file unique within its split?",
                  "remove the copies, unless they are a deliberate weighting"),
    "MF805": Code("Group leakage", "Are all items of a group (video, patient, file stem) in the same split?", "split by group"),
    "MF806": Code("Image sizes", "Do the images have sizes and aspect ratios that survive resizing?",
                  "look at them: crop long ones into parts and remove tiny ones"),
    "MF807": Code("Blank images", "Does every image show more than a single colour?", "remove blank images"),
    "MF808": Code("Image modes", "Do all images have the same mode and bit depth?",
                  "find out where the exceptions come from: often another source, which a model can learn to recognise"),
    # data: labels
    "MF811": Code("Conflicting labels", "Do identical items have identical labels?", "correct the labels, or remove the items"),
    "MF812": Code("Classes in both splits", "Does every class occur in training and in validation?",
                  "use a stratified split (TrainTestSplitter(stratify=...)), or correct the vocabulary"),
    "MF813": Code("Class balance", "Are there enough items of every class?",
                  "collect more, weight them (WeightedDL, class weights), and look at a metric per class"),
    "MF814": Code("Label mapping", "Do the labels mean the same in training and validation?",
                  "check the label mapping of both splits: two classes appear to be swapped"),
    "MF815": Code("Labels related to inputs", "Do the inputs carry any information about the labels?",
                  "look at a decoded batch: do inputs and labels belong together, or was one of them shuffled?"),
    # data: tables
    "MF821": Code("Target leakage", "Is the target more than a copy or function of one column?",
                  "drop the column if it will not be known at prediction time"),
    "MF822": Code("Constant columns", "Does every column have more than one value?", "drop constant columns"),
    "MF823": Code("Id columns", "Does every column have values that repeat, so that a model can generalise from them?",
                  "drop it or derive features from it: a model can only memorise it"),
    "MF824": Code("Missing values", "Are most values of every column present?", "drop columns that are mostly missing, or add FillMissing"),
    "MF825": Code("Distribution shift", "Are validation rows indistinguishable from training rows?",
                  "look at the columns named: drop them, or split the way future data will differ"),
    "MF826": Code("Duplicate rows across splits", "Is every validation row absent from the training set?",
                  "drop duplicates before splitting"),
    "MF827": Code("Unseen categories", "Does training contain the categories that occur in validation?",
                  "use more training rows, or merge rare categories"),
    # data: batches
    "MF831": Code("Finite batches", "Is everything in a training batch finite?", "find the transform or the rows that produce NaN"),
    "MF832": Code("Normalisation", "Are the inputs of a batch close to mean 0 and standard deviation 1?",
                  "normalise exactly once: batch_tfms=Normalize() for images, procs=[..., Normalize] for tables"),
    "MF833": Code("Augmented validation", "Are validation items the same every time they are loaded?",
                  "give random transforms split_idx=0 (the default of RandTransform)"),
    "MF834": Code("Shuffled training", "Is the training set shuffled?", "use shuffle=True for training"),
    "MF835": Code("Loading speed", "Are items loaded fast enough for a model to keep busy?",
                  "use more workers, smaller files, or batch transforms instead of item transforms"),
    "MF836": Code("Texts",
                  "Are the texts of both splits complete (not empty, truncated or mostly padding), and does the vocabulary cover them?",
                  "raise max_len, drop empty texts, and build ids and vocabulary from the training texts with one tokenizer"),
    # data: texts
    "MF841": Code("Duplicate texts across splits", "Is every validation text absent from the training set?",
                  "drop duplicates before splitting, df.drop_duplicates('text') for instance, or keep all copies of a text in one split"),
    "MF842": Code("Label leakage by a token", "Does it take more than a single token to tell the label?",
                  "take it out of the texts if it will not be there at prediction time: the label itself, a source, the name of a file"),
    # data: series
    "MF851": Code("Windows across splits", "Is what validation windows predict absent from every training window?",
                  "split the long series by time (or by id) first, and cut each part into windows then: SlidingWindows and "
                  "TSDataLoaders.from_windows do"),
    "MF852": Code("Duplicate series across splits", "Is every validation series absent from the training set?",
                  "drop the copies before splitting, or keep all of them in one split"),
    "MF853": Code("Constant channels", "Does every channel have more than one value in training?", "drop constant channels"),
    "MF854": Code("Channel scales", "Are the channels of a batch of a similar scale?", "standardise them: batch_tfms=TSStandardize()"),
    "MF855": Code("Order of time", "Does every forecast in validation come after what training has of the same series?",
                  "let the last part of each series be for validation: TSDataLoaders.from_windows(windows, valid_pct=0.2) does"),
    "MF856": Code("Gaps in time", "Are nearly all rows in a window, with few values filled in?",
                  "look at where rows are missing: other gaps= of SlidingWindows, or a smaller window="),
    "MF857": Code("Target in a channel", "Is what is to be predicted absent from what the model sees?",
                  "drop the channel or covariate, or give only what will be known at prediction time"),
    "MF858": Code("Label leakage by length", "Does it take more than the length of a series, or its missing values, to tell the target?",
                  "if lengths and missing values will not be the same at prediction time, cut the series to one length, or fill them alike "
                  "in all classes"),
    "MF859": Code("Series lengths", "Are series complete: not cut, not mostly padding, not padded by hand?",
                  "raise max_len=, and give series of several lengths as a list"),
}


def known(code: str) -> str:
    "`code`, if there is such a code; otherwise `ValueError` with the nearest one."
    if code not in CODES:
        raise ValueError(f"there is no check {code!r}{did_you_mean(code, CODES) or '.'} The codes are in `minifast.checks.codes.CODES`")
    return code
