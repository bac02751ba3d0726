"Rows S104 to S105: tokens that a model does not see, or never learns to write."
import pandas as pd
import pytest
import torch

from minifast.text.learner import text_classifier_learner
from minifast.text.loaders import TextDataLoaders
from minifast.text.transformers.batches import NextTokens, PadTokens


def test_s104_texts_longer_than_what_is_pooled():
    """Long texts, and a recurrent classifier of `max_len=1440` tokens.

    Elsewhere: of each text the outputs of the last 1,440 tokens alone are pooled, and nothing says how many texts are longer.
    Here: a line says it when the learner is made: "4 of 12 texts are longer than max_len=5 tokens (the longest has 8) ... To pool all,
    write max_len=None".
    """
    df = pd.DataFrame({"text": ["short", "so so", "this one is a long text ."] * 4, "label": ["a", "b", "a"] * 4})
    dls = TextDataLoaders.from_df(df, bs=4, min_freq=1, device="cpu")
    with pytest.warns(UserWarning, match=r"4 of 12 texts are longer than max_len=5 tokens \(the longest has 8\).*write max_len=None"):
        text_classifier_learner(dls, config={"emb_sz": 4, "n_hid": 6, "n_layers": 1}, pretrained=False, max_len=5)


def test_s105_the_end_of_a_text_is_a_target():
    """A causal language model whose padding token is that of the end of a text, as tokenizers without one are set up.

    Elsewhere: every such token is left out of the targets, that at the end of a text as well, so the model never learns to stop.
    Here: padding is told by its position: the end is a target, what fills up is none.
    """
    end, texts = 0, ([5, 6, 0], [7, 0])
    samples = PadTokens(pad_id=end)([({"input_ids": ids}, -100) for ids in texts])
    targets = torch.stack([y for _, y in NextTokens()(samples)])
    assert targets.tolist() == [[6, end, -100], [end, -100, -100]]
