"""Write small exported learners of this format version: `python tests/artifacts/make_artifacts.py`. Those of older versions stay."""
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import nn

from minifast.collab import CollabDataLoaders, collab_learner
from minifast.core.seeds import set_seed
from minifast.learner.artifact import FORMAT
from minifast.tabular.all import TabularDataLoaders, tabular_learner
from minifast.text.all import (
    AWD_LSTM,
    SubwordTokenizer,
    TextDataLoaders,
    TransformersDataLoaders,
    language_model_learner,
    text_classifier_learner,
    transformers_learner,
)
from minifast.vision.all import (
    BBoxBlock,
    BBoxLblBlock,
    CategoryBlock,
    DataBlock,
    ImageBlock,
    L1LossFlat,
    Learner,
    Normalize,
    RegressionBlock,
    Resize,
    aug_transforms,
    imagenet_stats,
)

HERE = Path(__file__).parent


def image():
    "The image that the learners of images predict."
    return Image.fromarray((np.arange(40 * 50 * 3) % 251).reshape(40, 50, 3).astype(np.uint8))


def table(n=60):
    "The rows that the learners of tables predict."
    i = np.arange(n)
    return pd.DataFrame({"kind": np.array(list("xyz"))[i % 3], "size": np.where(i % 7 == 0, np.nan, i % 10 / 3.0), "age": i % 5 * 1.5,
                         "label": np.array(["no", "yes"])[i % 2], "price": i / 7.0})


def ratings(n=60):
    "The ratings that the learner of ratings predicts."
    i = np.arange(n)
    return pd.DataFrame({"user": i % 5, "item": np.array(list("abcd"))[i % 4], "rating": i % 5 + 0.5})


def texts(n=24):
    "The texts that the learners of texts predict."
    words = ["A good film", "a BAD film, a very bad one!!!", "so so so", "good &amp; new", "it's dull", ""]
    return pd.DataFrame({"text": [f"{words[i % 6]} {'good' if i % 2 else 'bad'}" for i in range(n)], "label": ["neg", "pos"] * (n // 2)})


def transformer():
    "A tiny model of transformers with random weights, and its tokenizer."
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "a", "so", "##s", "very", "dull", "one", "!"]
    tok = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tok.normalizer, tok.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    config = BertConfig(vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
                        max_position_embeddings=20)
    return BertForSequenceClassification(config), PreTrainedTokenizerFast(
        tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=20)


def learners_of_texts():
    "Learners of texts: `{name: a small learner}`."
    df, columns, sizes = texts(), {"text_col": "text", "min_freq": 1, "bs": 8, "device": "cpu"}, {"emb_sz": 4, "n_hid": 5, "n_layers": 2}
    yield "words", text_classifier_learner(TextDataLoaders.from_df(df, label_col="label", **columns), AWD_LSTM, config=sizes,
                                           pretrained=False, lin_ftrs=[4]), df
    subwords = TextDataLoaders.from_df(df, label_col="label", tok_tfm=SubwordTokenizer(vocab_sz=45), backwards=True, **columns)
    yield "subwords", text_classifier_learner(subwords, AWD_LSTM, config=sizes, pretrained=False, lin_ftrs=[4]), df
    columns["bs"] = 2
    yield "language", language_model_learner(TextDataLoaders.from_df(df, is_lm=True, seq_len=8, **columns), AWD_LSTM, config=sizes,
                                             pretrained=False, metrics=[]), df[:4]
    model, tokenizer = transformer()
    dls = TransformersDataLoaders.from_df(df, tokenizer, "text", "label", bs=8, device="cpu")
    yield "transformer", transformers_learner(dls, model), df


def learners():
    "`{name: a small learner}`."
    images = [image()] * 6
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    tfms = [*aug_transforms(size=28), Normalize.from_stats(*imagenet_stats)]
    labels = iter(["cat", "dog"] * 3)
    dls = DataBlock((ImageBlock, CategoryBlock(vocab=["cat", "dog"])), get_y=lambda o: next(labels, "cat"), item_tfms=Resize(32),
                    batch_tfms=tfms).dataloaders(images, bs=2, device="cpu", num_workers=0)
    yield "image", Learner(dls, net), [image()]
    dls = DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock(["cat", "dog"])), n_inp=1, item_tfms=Resize(32), batch_tfms=tfms,
                    getters=[None, lambda o: [[2, 3, 20, 30], [5, 5, 40, 25]], lambda o: ["cat", "dog"]],
                    ).dataloaders(images, bs=2, device="cpu", num_workers=0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    yield "boxes", Learner(dls, net, loss_func=L1LossFlat()), [image()]
    df = table()
    columns = {"cat_names": ["kind"], "cont_names": ["size", "age"], "bs": 16, "device": "cpu"}
    yield "table", tabular_learner(TabularDataLoaders.from_df(df, y_names="label", **columns), [8]), df
    yield "prices", tabular_learner(TabularDataLoaders.from_df(df, y_names="price", y_block=RegressionBlock, **columns), [8],
                                    y_range=(0, 10)), df
    yield "ratings", collab_learner(CollabDataLoaders.from_df(ratings(), bs=16, device="cpu"), 4, y_range=(0, 5.5)), ratings()


if __name__ == "__main__":
    expected = {}
    for name, learn, items in (*learners(), *learners_of_texts()):
        set_seed(1)
        with learn.no_bar(), learn.no_logging():
            for p in learn.model.parameters():
                torch.nn.init.normal_(p)
            expected[name] = learn.get_preds(dl=learn.dls.test_dl(items))[0].double().tolist()
        learn.export((HERE / f"v{FORMAT}_{name}.pkl").absolute())
    (HERE / f"v{FORMAT}_expected.json").write_text(json.dumps(expected))
