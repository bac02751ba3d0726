"""What can be found: every code with its title and what to do about it. The order is that of causes: what comes first can bring about
what comes later, so the first issue of a report is the one to repair first."""
from typing import NamedTuple

from ..core.messages import did_you_mean


class Code(NamedTuple):
    title: str          #: what was looked at, in a few words
    asks: str           #: the question that the check answers
    advice: str         #: what to do where the answer is bad


CODES = {
    # the model meets a batch
    "MF101": Code("Values", "Are all inputs, targets and weights finite numbers?",
                  "find the transform or the rows that make NaN or infinite values, and fill or drop them"),
    "MF102": Code("The model runs", "Does the model take a batch, and the loss its output?",
                  "make the model's input fit the batch: `dls.one_batch()` shows what it gets, `learn.summary()` the layers"),
    "MF103": Code("Target and loss", "Do predictions and targets agree in shape and type, with nothing broadcast?",
                  "change n_out, the target or the loss as the sentence says"),
    "MF104": Code("Outputs and classes", "Has the model one output per class?", "give the last layer dls.c outputs"),
    "MF105": Code("Activation and loss", "Is the activation that the loss applies itself left out of the model, and only then?",
                  "end the model with a plain linear layer, and let the loss apply softmax or sigmoid"),
    "MF106": Code("Reach of the outputs", "Can the outputs take the values of the targets?",
                  "take the activation off the end of the model, or widen its range: SigmoidRange(low, high)"),
    "MF107": Code("Scale of the inputs", "Do the inputs arrive centred and scaled?",
                  "normalise: batch_tfms=Normalize() for pictures, procs=[..., Normalize] for tables"),
    "MF108": Code("Something to train", "Is there a trainable parameter that the loss reaches?",
                  "unfreeze the model, and take detach(), no_grad and argmax out of it"),
    "MF109": Code("Parameters and optimizer", "Does the optimizer hold exactly the trainable parameters of this model?",
                  "call learn.create_opt() after changing the model, and put every parameter into one group of the splitter"),
    "MF110": Code("Modes", "Do dropout and norm layers follow the mode of the model, and is evaluation free of chance?",
                  "use nn.Dropout, or F.dropout(x, training=self.training), and do not override train()"),
    "MF111": Code("Loss and right answers", "Is the loss of perfect predictions lower than that of wrong ones?",
                  "look at the sign of the loss and the order of its arguments: loss(prediction, target)"),
    # independence
    "MF201": Code("Items are independent", "Does the loss of item i depend on input i alone?",
                  "look for a view or reshape that mixes the batch axis with another, and for statistics over the batch"),
    "MF202": Code("No look ahead", "Does the output at step t depend on steps up to t only?", "mask the future (causal attention)"),
    # the learning signal
    "MF301": Code("Starting weights", "Do the units of a layer start differently, so that they can learn different things?",
                  "initialise the weights at random: zeros or one constant keep all units of a layer alike for good"),
    "MF302": Code("Live activations", "Do the hidden units respond to the inputs?",
                  "lower the learning rate, start with smaller weights or biases, use LeakyReLU or norm layers"),
    "MF303": Code("Size of the gradients", "Are the gradients of the first and the last layers of comparable size?",
                  "use another initialisation, norm layers or residual connections, and ReLU instead of sigmoid"),
    "MF304": Code("Inputs are used", "Does the output depend on every input?",
                  "connect the input, or drop it; look for a layer after which everything is the same"),
    "MF305": Code("Gradients arrive", "Does every trainable parameter get a finite gradient that is not zero?",
                  "look for detach(), no_grad, unused layers, or activations that are flat everywhere"),
    "MF306": Code("Every item teaches", "Does every item with a loss have a gradient?",
                  "clip gradients (GradientClip), not the loss: a clipped loss is flat, and what it clips is not learned"),
    "MF307": Code("Gradients are cleared", "Does each step begin with fresh gradients?",
                  "let opt.zero_grad() clear them; to accumulate on purpose use GradientAccumulation"),
    "MF308": Code("Size of the steps", "Do the weights change by about 0.1% to 10% per step at the learner's rate?",
                  "take the learning rate that learn.lr_find() suggests"),
    "MF309": Code("Bias before norm", "Is there a bias that the norm layer after it takes away again?",
                  "write bias=False in the layer before: the norm layer has its own"),
    "MF310": Code("Weight decay", "Are norm layers and biases left out of weight decay?",
                  "leave wd_bn_bias=False, and group parameters with param_groups(model, splitter(model))"),
    # the start
    "MF401": Code("Loss at the start", "Is the first loss that of a guess without knowledge?",
                  "initialise the last layer: learn.init_head() lets it begin with the label frequencies or the target mean"),
    # capacity
    "MF501": Code("One item can be learned", "Does the loss on a single item fall to nearly nothing?",
                  "something between input and loss is broken: look at the model's forward and the loss"),
    "MF502": Code("A few items can be learned", "Can the model learn a handful of items by heart?",
                  "give the model more width or depth, or look at what keeps the items from being told apart"),
    "MF503": Code("Better than without inputs", "Does the model do better with its inputs than it could without?",
                  "look at a decoded batch: are the inputs what they should be, and does the model use them?"),
    "MF504": Code("Score to beat", "Is a trained network better than a guess that does not see the inputs, and than gradient boosting?",
                  "if the training loss is low, see how validation differs (numbering of the classes, transforms, split) and whether the "
                  "labels have to do with the inputs; else train longer, at a lower rate"),
    # evaluation
    "MF601": Code("Validation repeats", "Does a validation pass give the same number twice?",
                  "keep random transforms away from validation (split_idx=0), and dropout off in eval mode"),
    "MF602": Code("Three ways agree", "Do predict, get_preds and validate agree on the same items?",
                  "look at what changes between them: callbacks, transforms of validation, a loss that depends on the batch"),
    "MF603": Code("Direction of the metrics", "Is the better value of each metric the one it says is better?",
                  "give the metric lower_is_better=True or False: SaveModel and EarlyStopping go by it"),
    # speed
    "MF701": Code("Where the time goes", "Is most of a step spent in the model?",
                  "more workers (num_workers=), smaller files, transforms on the batch; learn.profile() has the table"),
    # data: files
    "MF801": Code("Files can be read", "Can every file be opened, to its last pixel?", "remove the files or replace them"),
    "MF802": Code("No copies across splits", "Is no validation file also a training file?",
                  "put copies on one side of the split, or remove them: the validation score is too good as it is"),
    "MF803": Code("No near copies across splits", "Does no validation picture look almost like a training picture?",
                  "split by group (the video, the patient, the shooting) so that what belongs together is on one side"),
    "MF804": Code("No copies within a split", "Is each file there once?", "remove copies, unless you mean to weight them"),
    "MF805": Code("Groups stay together", "Is each group, or file stem, on one side of the split?", "split by group"),
    "MF806": Code("Sizes of the pictures", "Are the pictures of sizes and shapes that resizing leaves recognisable?",
                  "look at them: cut long ones into parts, remove tiny ones"),
    "MF807": Code("Pictures show something", "Is no picture one single colour?", "remove pictures that are blank"),
    "MF808": Code("Modes of the pictures", "Are all pictures of one mode and bit depth?",
                  "find out where the odd ones come from: often from another source than the rest, which a model can tell"),
    # data: labels
    "MF811": Code("Copies agree", "Do identical items have identical labels?", "correct the labels, or remove both"),
    "MF812": Code("Classes in both splits", "Does every class occur in training and in validation?",
                  "split by class (TrainTestSplitter(stratify=...)), or correct the vocabulary"),
    "MF813": Code("Balance of the classes", "Are there enough items of every class?",
                  "collect more, weight them (WeightedDL, class weights), and look at a metric per class"),
    "MF814": Code("Labels mean the same in both splits", "Does what is learned on training labels hold on validation labels?",
                  "look at the label mapping of both splits: two classes seem to be exchanged"),
    "MF815": Code("Labels have to do with inputs", "Do the inputs say anything about the labels?",
                  "look at a decoded batch: are inputs and labels of the same rows, or was one of them shuffled?"),
    # data: tables
    "MF821": Code("No column gives the target away", "Is no single column as good as the target itself?",
                  "leave the column out if it is not known at the time of prediction"),
    "MF822": Code("Columns say something", "Does every column have more than one value?", "leave constant columns out"),
    "MF823": Code("No column is an id", "Is no category different in almost every row?",
                  "leave it out, or make features of it: a model can only learn it by heart"),
    "MF824": Code("Missing values", "Are most values there?", "leave out columns that are mostly missing, or add FillMissing"),
    "MF825": Code("Training and validation are alike", "Can a classifier not tell training rows from validation rows?",
                  "look at the columns named: leave them out, or make the split as the future will be"),
    "MF826": Code("No row in both splits", "Is no validation row also a training row?", "drop copies before splitting"),
    "MF827": Code("Categories are known", "Did training see the categories of validation?",
                  "more training rows, or fewer and wider categories"),
    # data: batches
    "MF831": Code("Values of a batch", "Are the numbers of a training batch finite?", "find the transform or rows that make NaN"),
    "MF832": Code("Normalised", "Are the inputs of a batch near mean 0 and standard deviation 1?",
                  "normalise, once: batch_tfms=Normalize() for pictures, procs=[..., Normalize] for tables"),
    "MF833": Code("Validation is not augmented", "Is each validation item the same each time it is loaded?",
                  "give random transforms split_idx=0 (RandTransform has it)"),
    "MF834": Code("Training is shuffled", "Are the training batches a mixture of the classes?", "use shuffle=True for training"),
    "MF835": Code("Speed of loading", "How many items per second does the loader give?",
                  "more workers, smaller files, transforms on the batch instead of items"),
    "MF836": Code("Items of text",
                  "Are the texts of both splits whole (not empty, not cut, not mostly padding), and does the vocabulary know their words?",
                  "raise max_len, leave out empty texts, and make ids and vocabulary from the training texts with one tokenizer"),
}


def known(code):
    "`code`, if there is such a code; else `ValueError` with the nearest."
    if code not in CODES:
        raise ValueError(f"there is no check {code!r}{did_you_mean(code, CODES) or '.'} The codes are in `minifast.checks.codes.CODES`")
    return code


def card(code):
    "Where the documentation of a check is."
    return f"docs/checks.md#{code.lower()}"
