"""Set-ups for texts: reviews that are made up, from words of which some are good and some bad."""
import random

import pandas as pd
import zoo_data  # noqa: F401  the others come first in the page of checks, whichever test imports this
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
import zoo_rest  # noqa: F401
from zoo import broken, healthy

GOOD, BAD = ["lovely", "great", "moving", "clever", "warm"], ["dull", "awful", "slow", "silly", "cold"]
OTHER = ["the", "a", "film", "plot", "actor", "scene", "music", "story", "end", "start", "we", "saw", "it",
         "was", "is", "had", "with", "and", "but", "so", "very", "quite", "often", "never", "camera", "light",
         "house", "city", "man", "woman", "child", "night", "day", "work", "life", "time", "year", "part", "word",
         "hand", "place", "case", "week", "system", "group", "number", "point", "home", "room"]


def review(r, good, length):
    "A made-up review: mostly other words, and some that fit, not all."
    words = r.choices(OTHER, k=length)
    for _ in range(max(2, length // 6)):
        words[r.randrange(length)] = r.choice(GOOD if (r.random() < 0.85) == good else BAD)
    return " ".join(words)


def reviews(n=240, shortest=8, longest=40, seed=0):
    "A frame of reviews, `text` and `label`, each row called by a number of its own."
    r = random.Random(seed)
    good = [i % 2 == 0 for i in range(n)]
    texts = [review(r, g, r.randint(shortest, longest)) for g in good]
    return pd.DataFrame({"text": texts, "label": ["pos" if g else "neg" for g in good], "valid": [i >= 2 * n // 3 for i in range(n)]},
                        index=range(1000, 1000 + n))


def review_loaders(df, **kw):
    from minifast.text.all import TextDataLoaders
    kw = {"label_col": "label", **kw}
    return TextDataLoaders.from_df(df, text_col="text", valid_col="valid", bs=32, seq_len=16, **kw)


@broken("reviews that stand in both splits", "MF841")
def _():
    df = reviews()
    df.loc[df.index[-12:], ["text", "label"]] = df[["text", "label"]][:12].to_numpy()
    df["text"] = [t.upper() + "!" if i % 3 == 0 else t for i, t in enumerate(df.text)]
    return review_loaders(df)


@broken("the label is a word of the text", "MF842")
def _():
    df = reviews()
    return review_loaders(df.assign(text="label:" + df.label + " " + df.text))


@broken("half of the good reviews bear the name of a site", "MF842")
def _():
    df = reviews(400)
    marked = (df.label == "pos") & (df.index % 3 > 0)
    return review_loaders(df.assign(text=df.text.where(~marked, df.text + " (reviewed for goodfilms)")))


# -- learners -----------------------------------------------------------------------------------------------------------------------
def text_learner(dls, **kw):
    "A small AWD-LSTM that classifies."
    import torch

    from minifast.metrics.functions import accuracy
    from minifast.text.all import AWD_LSTM, awd_lstm_clas_config, text_classifier_learner
    torch.manual_seed(0)
    config = {**awd_lstm_clas_config, "emb_sz": 16, "n_hid": 24, "n_layers": 1}
    return text_classifier_learner(dls, AWD_LSTM, seq_len=16, config=config, pretrained=False, metrics=accuracy, **kw)


def lm_loaders(df=None, **kw):
    return review_loaders(reviews() if df is None else df, is_lm=True, label_col=None, **kw)


def lm_learner(dls=None, **kw):
    "A small AWD-LSTM that predicts the next word."
    import torch

    from minifast.text.all import AWD_LSTM, awd_lstm_lm_config, language_model_learner
    torch.manual_seed(0)
    config = {**awd_lstm_lm_config, "emb_sz": 16, "n_hid": 24, "n_layers": 1}
    return language_model_learner(lm_loaders() if dls is None else dls, AWD_LSTM, config=config, pretrained=False, **kw)


def tiny_learner(kind, df=None, **kw):
    "A tiny transformer with random weights."
    import torch
    import transformers
    from tiny_transformers import gpt2_tokenizer, wordpiece

    from minifast.text.all import TransformersDataLoaders, transformers_learner
    torch.manual_seed(0)
    df = reviews(200, 4, 10) if df is None else df
    tokenizer = wordpiece() if kind == "bert" else gpt2_tokenizer()
    small = {"vocab_size": len(tokenizer), "num_labels": 2}
    config = (transformers.BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, **small)
              if kind == "bert" else transformers.GPT2Config(n_embd=32, n_layer=2, n_head=2, pad_token_id=0, **small))
    dls = TransformersDataLoaders.from_df(df, tokenizer, "text", "label", valid_col="valid", bs=16, max_len=100)
    learn = transformers_learner(dls, transformers.AutoModelForSequenceClassification.from_config(config), **kw)
    learn.logger = lambda row: None
    return learn


def bag_of_words(dls, masked=True, n_out=2, zero=False):
    "The mean of the embeddings, of the words alone or of the padding too, and a linear layer."
    import torch
    from torch import nn
    from zoo import Model

    torch.manual_seed(0)
    emb = nn.Embedding(len(dls.vocab[0]), 24, padding_idx=1 if masked else None)
    if zero:
        nn.init.zeros_(emb.weight)
        emb.weight.requires_grad_(False)

    def forward(self, x):
        mask = (x != 1).unsqueeze(-1) if masked else torch.ones_like(x).unsqueeze(-1)
        return self.head((self.emb(x) * mask).sum(1) / mask.sum(1).clamp(min=1))
    return Model(forward, emb=emb, head=nn.Linear(24, n_out))


def learner(dls, model, **kw):
    from minifast.learner.learner import Learner
    from minifast.nn.losses import CrossEntropyLossFlat
    return Learner(dls, model, CrossEntropyLossFlat(), **kw)


@broken("targets of a language model that are not shifted", "MF113")
def _():
    import torch
    from torch import nn
    from zoo import Model, loaders
    x = torch.cat([lm_loaders().train.one_batch()[0]] * 2)[:, :12].as_subclass(torch.Tensor)
    n = int(x.max()) + 1
    return learner(loaders(x, x, n_train=48, bs=16), Model(lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(n, 16),
                                                           rnn=nn.GRU(16, 16, batch_first=True), head=nn.Linear(16, n)))


@broken("a language model that reads the next word", "MF202")
def _():
    import torch
    from torch import nn
    from zoo import Model
    dls = lm_loaders()
    torch.manual_seed(0)
    n = len(dls.vocab)
    model = Model(lambda s, x: s.head(s.rnn(s.emb(x))[0]), emb=nn.Embedding(n, 16), head=nn.Linear(32, n),
                  rnn=nn.GRU(16, 16, batch_first=True, bidirectional=True))
    return learner(dls, model)


@broken("a state that is carried over into other texts", "MF203")
def _():
    import torch
    from torch import nn
    from zoo import Model
    dls = review_loaders(reviews())
    torch.manual_seed(0)
    model = Model(_stateful, emb=nn.Embedding(len(dls.vocab[0]), 16), rnn=nn.GRU(16, 16, batch_first=True), head=nn.Linear(16, 2))
    model.state, model.reset = None, lambda: setattr(model, "state", None)
    return learner(dls, model)


@broken("embeddings that are frozen at zero", "MF304")
def _():
    dls = review_loaders(reviews())
    return learner(dls, bag_of_words(dls, zero=True))


@broken("a learning rate a hundred times too high for texts", "MF308")
def _():
    return tiny_learner("bert", lr=5e-2)


@broken("an encoder of another vocabulary", "MF102")
def _():
    from minifast.text.all import AWD_LSTM, awd_lstm_clas_config, get_text_classifier
    dls = review_loaders(reviews())
    config = {**awd_lstm_clas_config, "emb_sz": 16, "n_hid": 24, "n_layers": 1}
    return learner(dls, get_text_classifier(AWD_LSTM, len(dls.vocab[0]) // 2, 2, seq_len=16, config=config))


@broken("shuffled labels of texts", "MF815", "tip")
def _():
    df = reviews(400)
    return review_loaders(df.assign(label=random.Random(1).sample(df.label.tolist(), len(df))))


@broken("labels of texts that mean something else in validation", "MF814")
def _():
    df = reviews(400, shortest=30)
    return review_loaders(df.assign(label=df.label.where(~df.valid, df.label.map({"pos": "neg", "neg": "pos"}))))


@broken("the mean of word vectors, padding included", "MF602")
def _():
    dls = review_loaders(reviews())
    return learner(dls, bag_of_words(dls, masked=False))


@broken("all texts emptied by a tokenizer", "MF836")
def _():
    return review_loaders(reviews(), tok_tfm=lambda texts: ([] for _ in texts))


@broken("texts that are cut to 16 tokens", "MF836")
def _():
    return review_loaders(reviews(shortest=20, longest=80), max_len=16)


@broken("the column of labels read as text", "MF842")
def _():
    df = reviews()
    return review_loaders(df.assign(text="the " + df.label))


@healthy("an AWD-LSTM that classifies texts")
def _():
    return text_learner(review_loaders(reviews()))


@healthy("a language model")
def _():
    return lm_learner()


@healthy("the mean of word vectors")
def _():
    dls = review_loaders(reviews())
    return learner(dls, bag_of_words(dls))


@healthy("BERT")
def _():
    return tiny_learner("bert")


@healthy("GPT-2 that classifies")
def _():
    return tiny_learner("gpt2")


def _stateful(self, x):
    "A recurrent model that goes on where the batch before ended."
    state = self.state if self.state is not None and self.state.shape[1] == len(x) else None
    out, state = self.rnn(self.emb(x), state)
    self.state = state.detach()
    return self.head(out.mean(1))
