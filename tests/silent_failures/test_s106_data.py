"Rows S106 to S107: words and texts that would be read as something else."
import pandas as pd
import pytest

from minifast.text.loaders import TextDataLoaders
from minifast.text.special import TEXT_SPEC_TOK
from minifast.text.transformers.encoding import EncodeText


def test_s106_a_vocabulary_without_padding():
    """A list of words of one's own as vocabulary, without special tokens.

    Elsewhere: unknown words get the id 0 and padding the id 1, those of the first two words of the list.
    Here: an error: "unknown words and padding need tokens of their own ... Write vocab=[*TEXT_SPEC_TOK, ...]".
    """
    df, words = pd.DataFrame({"text": ["a good film", "bad"] * 6, "label": ["good", "bad"] * 6}), ["film", "good", "bad"]
    with pytest.raises(ValueError, match=r"padding need tokens of their own.*Write vocab=\[\*TEXT_SPEC_TOK, "):
        TextDataLoaders.from_df(df, text_vocab=words, bs=4, device="cpu")
    x, _ = TextDataLoaders.from_df(df, text_vocab=[*TEXT_SPEC_TOK, *words], bs=4, device="cpu", shuffle=False).one_batch()
    assert {2: "xxbos", 0: "xxunk", 10: "good", 9: "film"}.keys() <= set(x.flatten().tolist())


def test_s107_two_texts_are_no_pair():
    """A list of two texts for a pretrained model of single texts; or one text among pairs.

    Elsewhere: the two are read as a pair, one answer for both; of the one its first two letters.
    Here: an error: "a pair of texts, where one is expected", "a single text, where a pair is expected".
    """
    tokenizers, transformers = pytest.importorskip("tokenizers"), pytest.importorskip("transformers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3}, "[UNK]"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]")
    for items, other, said in ((["good", "bad"], ("good", "bad"), "a pair of texts, where one is expected"),
                               ([("good", "bad")] * 2, "good", "a single text, where a pair is expected")):
        encode = EncodeText(tokenizer)
        encode.encode_ahead(items)
        with pytest.raises(ValueError, match=said):
            encode.encodes(other)
