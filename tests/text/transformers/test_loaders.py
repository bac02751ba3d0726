"""Loaders of texts for pretrained models: from files, frames and lists."""
import numpy as np
import pandas as pd
import pytest
import torch
from tiny_transformers import LINES

from minifast.text.all import (
    CategoryBlock,
    PearsonCorrCoef,
    RegressionBlock,
    TransformersDataLoaders,
    set_seed,
    transformers_learner,
)


def patents(n, seed):
    "Pairs of phrases and how alike they are, in steps of a quarter, as in the competition about phrases of US patents."
    rng = np.random.default_rng(seed)
    words = ["film", "music", "story", "man", "actors", "end"]
    rows = []
    for i in range(n):
        anchor, level = rng.choice(words, 2, replace=False), int(rng.integers(3))
        other = [w for w in words if w not in anchor]
        target = [*anchor[:level], *rng.choice(other, 2 - level, replace=False)]
        rows.append((f"{seed}{i:04d}", " ".join(anchor), ["dull", "good", "great"][level] + " " + " ".join(target), level / 2 - 0.01))
    return pd.DataFrame(rows, columns=["id", "anchor", "target", "score"])


def test_pairs_of_a_competition_from_the_files_to_the_submission(tiny, tmp_path):
    patents(128, 1).to_csv(tmp_path / "train.csv", index=False)
    patents(30, 2).drop(columns="score").to_csv(tmp_path / "test.csv", index=False)

    set_seed(1)
    dls = TransformersDataLoaders.from_csv(tmp_path / "train.csv", tiny("bert"), ["anchor", "target"], "score", y_block=RegressionBlock,
                                           bs=16, max_len=24)
    learn = transformers_learner(dls, tiny("bert"), metrics=PearsonCorrCoef())
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit_one_cycle(6, 6e-3)
    assert learn.recorder.values[-1][2] > 0.6
    test = pd.read_csv(tmp_path / "test.csv", dtype={"id": str})
    preds, _ = learn.get_preds(dl=learn.dls.test_dl(test))
    test["score"] = preds.squeeze(1).clamp(0, 1).numpy()
    test[["id", "score"]].to_csv(tmp_path / "submission.csv", index=False)

    sent = pd.read_csv(tmp_path / "submission.csv", dtype={"id": str})
    assert list(sent.columns) == ["id", "score"] and list(sent["id"]) == list(patents(30, 2)["id"]) and sent["score"].notna().all()
    assert np.corrcoef(sent["score"], patents(30, 2)["score"])[0, 1] > 0.6, "in the order of the rows, although batches are by length"
    alone = learn.predict((test["anchor"][3], test["target"][3]))[0][0]
    assert abs(min(max(alone, 0), 1) - test["score"][3]) < 1e-5


@pytest.mark.parametrize(("labels", "y_block"), [(["a", "b"], None), ([["a"], ["a", "b"]], None), ([0.5, 1.25], RegressionBlock)])
@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_are_what_the_tokenizer_pads_together(tiny, labels, y_block, pairs, num_workers):
    texts = list(zip(LINES[:24], reversed(LINES[:24]), strict=True)) if pairs else LINES[:24]
    dls = TransformersDataLoaders.from_lists(texts, labels * 12, tiny("bert"), bs=5, y_block=y_block, num_workers=num_workers,
                                             splitter=lambda o: (range(12), range(12, 24)))
    tokenizer, order = dls.train.dataset.tfms[0][-1].tokenizer, dls.valid.pass_order
    for k, (x, y) in enumerate(dls.valid):
        items = [12 + int(i) for i in order[5 * k:5 * k + 5]]
        told = tokenizer(*zip(*[texts[i] for i in items], strict=True)) if pairs else tokenizer([texts[i] for i in items])
        expected = tokenizer.pad(told, return_tensors="pt")
        assert set(x) == set(expected) and all(x[key].equal(v) for key, v in expected.items())
        assert y.equal(torch.stack([torch.as_tensor(dls.valid.dataset.targets(i - 12)[0]) for i in items]))


@pytest.mark.parametrize(("labels", "options", "loss", "c"), [
    (["a", "b"], {}, "CrossEntropyLossFlat", 2), ([0.5, 1.25], {}, "MSELossFlat", 1), ([1, 0], {}, "CrossEntropyLossFlat", 2),
    ([["a"], ["a", "b"]], {}, "BCEWithLogitsLossFlat", 2), ([1, 3], {"y_block": RegressionBlock}, "MSELossFlat", 1),
    (["a", "a"], {"vocab": ["a", "b", "c"]}, "CrossEntropyLossFlat", 3)])
def test_lists(tiny, labels, options, loss, c):
    dls = TransformersDataLoaders.from_lists(LINES[:12], labels * 6, tiny("bert"), bs=4, **options)
    assert type(dls.loss_func).__name__ == loss and dls.c == c and len(dls.valid_ds) == 2


def test_columns_of_zeros_and_ones_are_classes(tiny, frame):
    frame["toxic"], frame["insult"] = [0, 1] * 12, [1, 0, 0] * 8
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", ["toxic", "insult"], bs=4)
    assert list(dls.vocab) == ["toxic", "insult"] and dls.one_batch()[1].shape == (4, 2)


def test_a_column_says_which_rows_are_for_validation(tiny, frame):
    frame["is_valid"] = [True] * 5 + [False] * 19
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", valid_col="is_valid", bs=4)
    assert list(dls.valid_ds.items.index) == list(range(5))


def test_what_does_not_go_together_is_refused(tiny, frame):
    with pytest.raises(TypeError, match=r"does not take batchsize=int 4; did you mean 'batch_size'"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", batchsize=4)
    with pytest.raises(TypeError, match="vocab and y_block"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", vocab=["a"], y_block=CategoryBlock)
    with pytest.raises(ValueError, match="2 texts, but 3 labels"):
        TransformersDataLoaders.from_lists(["a", "b"], [1, 2, 3], tiny("bert"))
    with pytest.raises(KeyError, match="no column 'txt'; did you mean 'text'"):
        TransformersDataLoaders.from_df(frame, tiny("bert"), "txt", "label")
    with pytest.raises(ValueError, match="task='mlm'.*no mask token.*task='clm'"):
        TransformersDataLoaders.from_df(frame, tiny("gpt2"), "text", task="mlm")
    TransformersDataLoaders.from_df(frame, tiny("gpt2"), "text", task="clm", bs=4).one_batch()


def test_batches_are_of_texts_of_like_lengths_and_predictions_in_order(tiny, frame):
    frame["text"] = [" ".join(["film"] * (1 + i * 7 % 24)) for i in range(24)]
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4, splitter=lambda o: (range(12, 24), range(12)))
    widths = [x["input_ids"].shape[1] for x, _ in dls.valid]
    assert widths == sorted(widths, reverse=True) and len(set(widths)) == 3
    learn = transformers_learner(dls, tiny("bert"))
    preds, targs = learn.get_preds()
    assert [dls.vocab[t] for t in targs] == list(frame["label"][:12])
    for i in (0, 7):
        assert torch.allclose(learn.predict(frame["text"][i])[2], preds[i], atol=1e-5)


def test_masks_of_a_text_are_left_to_be_filled_in(tiny, frame):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", task="mlm", bs=4)
    (x, _), _ = dls.test_batch(["the [MASK] was good"])
    tok = dls.train_ds.pipelines[0][1].tokenizer
    assert (x["input_ids"] == tok.mask_token_id).sum() == 1
    learn = transformers_learner(dls, tiny("bert"))
    assert isinstance(learn.predict("the [MASK] was good")[0], str)
