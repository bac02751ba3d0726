"What is said about the mistakes of those who are new to texts."
import pandas as pd
import PIL.Image
import pytest
from suggestions import told
from workshop import quiet

from minifast.text.all import *
from minifast.vision.all import ImageDataLoaders

TEXTS = ["a good film", "a bad film and a bad plot", "good acting", "bad acting"] * 4
DF = pd.DataFrame({"text": TEXTS, "label": ["good", "bad"] * 8, "held": [0, 0, 0, 1] * 4})


def loaders(df=DF, **kwargs):
    given = {"text_col": "text", "label_col": "label", "valid_col": "held", "min_freq": 1, "bs": 4, "device": "cpu", "n_workers": 0}
    return TextDataLoaders.from_df(df, **given | kwargs)


def test_columns_that_were_exchanged():
    df = DF.assign(text=[f"{t} and ten more words that nobody would ever call a class {i}" for i, t in enumerate(TEXTS)])
    with told("data/factories.py", "Say which columns are meant, for instance text_col=…, label_col=…"):
        loaders(df, text_col="label", label_col="text")
    assert loaders(df, text_col='text', label_col='label').c == 2


def test_lists_instead_of_a_table(tmp_path):
    with told("text/loaders.py", "pd.DataFrame({'text': texts, 'label': labels})"):
        loaders(TEXTS)
    assert loaders(pd.DataFrame({'text': TEXTS, 'label': list(DF.label)}), valid_col=None).c == 2
    files = [tmp_path / f"{i}.png" for i in range(4)]
    for file in files:
        PIL.Image.new("RGB", (4, 4)).save(file)
    with told("vision/loaders.py", "pd.DataFrame({'name': files, 'label': labels})"):
        ImageDataLoaders.from_df(files)
    assert ImageDataLoaders.from_df(pd.DataFrame({'name': files, 'label': ["a", "b"] * 2}), bs=2, valid_pct=0.5).c == 2


def test_tokens_and_classes():
    lm = loaders(is_lm=True, seq_len=4)
    with told("text/loaders.py", "write text_vocab=dls_lm.vocab"):
        loaders(vocab=lm.vocab)
    assert loaders(text_vocab=lm.vocab).vocab[0] == lm.vocab
    with told("data/factories.py", "a language model predicts tokens and has no labels: leave out …"):
        loaders(is_lm=True, seq_len=4, vocab=["good"])
    assert loaders(is_lm=True, seq_len=4, text_vocab=lm.vocab).vocab == lm.vocab


@pytest.mark.parametrize("vocab", [["good", "film"], ["xxunk", "good", "xxpad"]])
def test_a_vocabulary_without_room_for_padding_and_unknown_words(vocab):
    with told("text/block.py", "Write vocab=[*TEXT_SPEC_TOK, *(t for t in vocab if t not in TEXT_SPEC_TOK)]"):
        TextBlock(Tokenizer(), vocab=vocab)
    vocab = [*TEXT_SPEC_TOK, *(t for t in vocab if t not in TEXT_SPEC_TOK)]
    assert loaders(text_vocab=vocab).vocab[0] == vocab
    vocab = ["good"]
    with told("text/vocabulary.py", "write vocab=[*vocab, …]"):
        Numericalize(vocab=vocab)(["bad"])
    assert Numericalize(vocab=[*vocab, 'xxunk'])(["bad", "good"]).tolist() == [1, 0]


def test_several_texts_at_once():
    dls = loaders()
    learn = quiet(text_classifier_learner(dls, config={"emb_sz": 4, "n_hid": 6, "n_layers": 2}, pretrained=False))
    texts = ["a good film", "so bad"]
    with told("text/text_sources.py", "for several texts write learn.get_preds(dl=dls.test_dl(texts)), for one predict(text)"):
        learn.predict(texts)
    assert len(learn.get_preds(dl=dls.test_dl(texts))[0]) == 2 and learn.predict(texts[0])[0] in ("good", "bad")


def test_what_splits_texts():
    tokenizer = Tokenizer(BaseTokenizer("-"), rules=[])
    with told("text/tokenizer.py", "write tok=tokenizer.tok, rules=tokenizer.rules"):
        loaders(tok_tfm=tokenizer)
    assert Tokenizer(tok=tokenizer.tok, rules=tokenizer.rules)("a-b") == ["a", "b"]
    f = str.split
    with told("text/tokenizer.py", "write tok=lambda texts: (f(t) for t in texts)"):
        loaders(tok_tfm=f)
    assert Tokenizer(tok=lambda texts: (f(t) for t in texts), rules=[])("a b") == ["a", "b"]


def test_the_direction_of_reading():
    dls, sizes = loaders(is_lm=True, seq_len=4), {"emb_sz": 4, "n_hid": 6, "n_layers": 2}
    with told("text/learner.py", "write backwards=…, or make the data with backwards=…"):
        language_model_learner(dls, config=sizes, pretrained=False, backwards=True)
    quiet(language_model_learner(dls, config=sizes, pretrained=False, backwards=False))
    quiet(language_model_learner(loaders(is_lm=True, seq_len=4, backwards=True), config=sizes, pretrained=False, backwards=True))


def test_a_block_of_what_splits_texts():
    with told("text/block.py", "write TextBlock(Tokenizer(…()))"):
        TextBlock(WordTokenizer())
    assert TextBlock(Tokenizer(WordTokenizer())).type_tfms[0]("a b") == ["xxbos", "a", "b"]


def test_a_name_of_two_columns():
    df = pd.concat([DF[["text"]], DF], axis=1)
    with told("text/text_sources.py", "keep one of them, df = df.loc[:, ~df.columns.duplicated()]"):
        loaders(df)
    df = df.loc[:, ~df.columns.duplicated()]
    assert loaders(df).c == 2
