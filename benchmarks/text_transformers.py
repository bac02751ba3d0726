"""Time per step of fine-tuning a transformer: minifast beside a loop written by hand and beside `transformers.Trainer`.

    python benchmarks/text_transformers.py [--rounds 7] [--sizes tiny small]

One model with random weights and one tokenizer, made here: nothing is fetched. All get the same texts, all of one length, so that no one
gains by length buckets; batch 16, no validation, nothing logged or saved. The loop written by hand has its texts tokenised before, and a
`DataLoader` of torch that stacks them. Each is timed in turn with two numbers of steps, so that what a call costs once (the Trainer's is
large) is taken out; ratios are medians over the rounds.

Each has the optimizer that it has by default: the loop `torch.optim.AdamW`, minifast its `Adam` (that of torch in its fused form, over the
layer groups), the Trainer the fused one of torch. The other rows give the loop the fused optimizer too, over one group and over ours.
"""
import argparse
import contextlib
import io
import os
import tempfile
from pathlib import Path

from common import compare_slopes, machine

os.environ.setdefault("OMP_NUM_THREADS", "1")
SIZES = {"tiny": (32, 2, 24), "small": (128, 4, 64)}        # hidden features, layers, words per text
BS, SHORT, LONG = 16, 10, 60


def made(size, folder):
    "(texts, labels, the folder of a model): words at random."
    import numpy as np
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
    hidden, layers, n = SIZES[size]
    words = [f"w{i}" for i in range(500)]
    tok = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}, unk_token="[UNK]"))
    tok.pre_tokenizer, tok.post_processor = pre_tokenizers.Whitespace(), processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                   model_input_names=["input_ids", "token_type_ids", "attention_mask"])
    fast.save_pretrained(folder)
    BertModel(BertConfig(vocab_size=len(fast), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=4,
                         intermediate_size=4 * hidden, max_position_embeddings=128)).save_pretrained(folder)
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, n)) for _ in range(BS * LONG + 1)]
    return texts, [int("w7" in t) for t in texts], folder


def by_hand(texts, labels, folder, optimizer="default"):
    "A function that trains for so many steps. optimizer: 'default', 'fused', or 'fused, layer groups'."
    import torch
    from torch.utils.data import DataLoader
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tok = AutoTokenizer.from_pretrained(folder)
    encoded = tok(texts)
    items = [({k: torch.tensor(v[i]) for k, v in encoded.items()}, labels[i]) for i in range(len(texts))]

    def collate(batch):
        return {k: torch.stack([x[k] for x, _ in batch]) for k in batch[0][0]}, torch.tensor([y for _, y in batch])

    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    groups = layer_groups(model) if optimizer == "fused, layer groups" else model.parameters()
    opt = torch.optim.AdamW(groups, 1e-4, fused=optimizer != "default" or None)
    loss_func = torch.nn.CrossEntropyLoss()

    def train(n_steps):
        model.train()
        for x, y in DataLoader(items[:BS * n_steps], BS, shuffle=True, collate_fn=collate):
            loss = loss_func(model(**x).logits, y)
            loss.backward()
            opt.step()
            opt.zero_grad()
    return train


def layer_groups(model):
    "As minifast has them by default: embeddings, layers and head, of each those with weight decay and those without."
    import torch

    from minifast.text.all import transformers_splitter
    no_decay = {id(p) for m in model.modules() for n, p in m.named_parameters(recurse=False)
                if n == "bias" or isinstance(m, torch.nn.LayerNorm)}
    for group in transformers_splitter(model):
        for decays in (True, False):
            if params := [p for p in group if (id(p) not in no_decay) is decays]:
                yield {"params": params, "weight_decay": 0.01 if decays else 0.0}


def with_minifast(texts, labels, folder):
    "A function that trains for so many steps."
    from minifast.text.all import TransformersDataLoaders, transformers_learner
    learners = {}
    for n in (SHORT, LONG):
        m = n * BS
        dls = TransformersDataLoaders.from_lists(texts[:m + 1], labels[:m + 1], folder, bs=BS, device="cpu",
                                                 splitter=lambda o: (range(len(o) - 1), [len(o) - 1]))
        dls.loaders = dls.loaders[:1]                       # no validation
        learners[n] = transformers_learner(dls, folder, lr=1e-4)

    def train(n_steps):
        with learners[n_steps].no_bar(), learners[n_steps].no_logging():
            learners[n_steps].fit(1)
    return train


def with_trainer(texts, labels, folder):
    "A function that trains for so many steps."
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments
    tok = AutoTokenizer.from_pretrained(folder)
    encoded = tok(texts)
    items = [{**{k: v[i] for k, v in encoded.items()}, "labels": labels[i]} for i in range(len(texts))]
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    options = TrainingArguments(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=BS, num_train_epochs=1, learning_rate=1e-4,
                                lr_scheduler_type="constant", max_grad_norm=0, logging_strategy="no", save_strategy="no", report_to=[],
                                disable_tqdm=True, use_cpu=True)

    def train(n_steps):
        with contextlib.redirect_stdout(io.StringIO()):
            Trainer(model, options, train_dataset=items[:BS * n_steps], data_collator=DataCollatorWithPadding(tok)).train()
    return train


def main():
    "Print the ratios."
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", default=["tiny"], choices=list(SIZES))
    args = parser.parse_args()
    import transformers
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    rows = []
    for size in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            data = made(size, Path(folder))
            ours = with_minifast(*data)
            peers = {f"by hand, optimizer {kind}": by_hand(*data, kind) for kind in ("default", "fused", "fused, layer groups")}
            peers["Trainer"] = with_trainer(*data)
            for f in (ours, *peers.values()):
                f(SHORT)
            for name, base in peers.items():
                rows.append({"size": size, "beside": name, **compare_slopes(base, ours, SHORT, LONG, args.rounds)})
                print(rows[-1], flush=True)
    print(machine())


if __name__ == "__main__":
    main()
