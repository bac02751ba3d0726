"What the messages of `minifast.text` say to write."
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from suggestions import told
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from workshop import quiet

from minifast.learner.predictor import Predictor
from minifast.text import pretrained
from minifast.text.all import *
from minifast.text.generation import generate

TEXTS = ["a good film", "a bad film and a bad plot", "good acting", "bad acting"] * 4
DF = pd.DataFrame({"text": TEXTS, "label": ["good", "bad"] * 8, "held": [0, 0, 0, 1] * 4})
SIZES = {"emb_sz": 4, "n_hid": 6, "n_layers": 2}


def loaders(df=DF, **kwargs):
    return TextDataLoaders.from_df(df, **{"valid_col": "held", "min_freq": 1, "bs": 4, "device": "cpu"} | kwargs)


def lm(dls=None, pretrained=False, **kwargs):
    return quiet(language_model_learner(dls or loaders(is_lm=True, seq_len=4), config=SIZES, pretrained=pretrained, **kwargs))


def classifier(dls=None, pretrained=False, **kwargs):
    return quiet(text_classifier_learner(dls or loaders(), config=SIZES, pretrained=pretrained, **kwargs))


@pytest.fixture(scope="module")
def dls_lm():
    return loaders(is_lm=True, seq_len=4)


@pytest.fixture(scope="module")
def dls():
    return loaders()


# -- texts that are none
def test_what_is_no_text():
    df = DF.astype({"text": object})
    df.loc[3, "text"] = None
    with told("text/text_sources.py", "leave such rows out, …, or take them as empty, … = ….fillna('')"):
        loaders(df)
    assert len(loaders(df.dropna(subset=['text'])).valid_ds) == 3
    df['text'] = df['text'].fillna('')
    assert len(loaders(df).valid_ds) == 4
    for value in (b"bytes", ["two", "words"]):
        texts = pd.Series([*TEXTS[:3], value], dtype=object)
        with told("text/text_sources.py", "… = ….map(lambda t: … if isinstance(t, …) else t)"):
            Tokenizer().tokenize(texts)
        texts = texts.map(lambda t: t.decode('utf-8') if isinstance(t, bytes) else t)
        texts = texts.map(lambda t: ' '.join(t) if isinstance(t, list) else t)
        assert Tokenizer().tokenize(texts, progress=False)[3] in (["xxbos", "bytes"], ["xxbos", "two", "words"])


def test_another_encoding(tmp_path):
    for folder, n in (("train", 4), ("valid", 2)):
        for i in range(n):
            file = tmp_path / folder / "ab"[i % 2] / f"{i}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("ein schöner Film", encoding="cp1252")
    with told("text/text_sources.py", "If all files have another encoding, say which, encoding=… for instance"):
        TextDataLoaders.from_folder(tmp_path, bs=2, min_freq=1)
    assert "schöner" in TextDataLoaders.from_folder(tmp_path, bs=2, min_freq=1, encoding="cp1252").vocab[0]
    with told("text/text_sources.py", "else convert this one to UTF-8"):
        TextDataLoaders.from_folder(tmp_path, bs=2)
    for file in get_text_files(tmp_path):
        file.write_text(file.read_text(encoding="cp1252"), encoding="UTF-8")
    assert TextDataLoaders.from_folder(tmp_path, bs=2).c == 2


def test_the_column_of_texts():
    df = DF.rename(columns={"text": "review"})
    with told("text/text_sources.py", "Give its name to text_cols=, or rename the column of the texts …"):
        Tokenizer().tokenize(df)
    assert len(Tokenizer(text_cols="review").tokenize(df, progress=False)) == 16
    assert len(Tokenizer().tokenize(df.rename(columns={"review": "text"}), progress=False)) == 16
    with told("text/text_sources.py", "Give its name to text_cols=, or rename the column of the texts …"):
        tokenize_df(df, "text")
    assert len(tokenize_df(df, text_cols="review", n_workers=0)[0]) == 16


def test_a_block_that_reads_the_column_itself():
    def upper(row):
        return row.text.upper()

    with told("text/block.py", "would change nothing: leave it out. If it makes the text, write TextBlock(Tokenizer()) instead"):
        DataBlock((TextBlock.from_df("text"), CategoryBlock), get_x=upper, get_y=ColReader("label"))
    assert DataBlock((TextBlock.from_df("text"), CategoryBlock), get_y=ColReader("label")).dataloaders(DF, bs=4).c == 2
    block = DataBlock((TextBlock(Tokenizer(), min_freq=1), CategoryBlock), get_x=upper, get_y=ColReader("label"))
    assert "xxup" in block.dataloaders(DF, bs=4).vocab[0]


def test_folders_of_classes(tmp_path):
    for i in range(8):
        file = tmp_path / "ab"[i % 2] / f"{i}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text("a text")
    with told("text/loaders.py", "Where the folders of the classes lie directly in the folder, write from_folder(path, valid_pct=0.2)"):
        TextDataLoaders.from_folder(tmp_path)
    assert TextDataLoaders.from_folder(tmp_path, valid_pct=0.2, bs=2).vocab[1] == ["a", "b"]


# -- tokenizers
def test_subwords(tmp_path):
    pytest.importorskip("tokenizers")
    texts, tok = TEXTS, SubwordTokenizer(vocab_sz=40, model_type="bpe")
    with told("text/subword.py", "call setup(texts) first, or give it what another one learnt, SubwordTokenizer(sp_model='pieces.json')"):
        tok(texts)
    with told("text/subword.py", "this SubwordTokenizer has learnt nothing yet: call setup(texts) first"):
        tok.save("pieces.json")
    tok.setup(texts)
    tok.save("pieces.json")
    assert list(SubwordTokenizer(sp_model='pieces.json')(texts)) == list(tok(texts))
    Path("spm.model").write_bytes(b"\n\xff\x00")
    with told("text/subword.py", "a .model file of SentencePiece cannot be read: let SubwordTokenizer() learn from the texts again"):
        SubwordTokenizer(sp_model="spm.model")
    assert loaders(tok_tfm=SubwordTokenizer()).c == 2


def test_arguments_of_fastai_that_are_not_taken(tmp_path):
    for folder in ("train", "test"):
        (tmp_path / folder).mkdir()
    files = [tmp_path / "train" / f"{i}.txt" for i in range(2)]
    for f in files:
        f.write_text("a good film", encoding="utf-8")
    with told("text/tokenizers.py", "every character of the texts has a piece: leave it out"):
        SubwordTokenizer(char_coverage=0.99)
    with told("text/tokenizers.py", "write tok.save(file) afterwards, and SubwordTokenizer(sp_model=file) to use it again"):
        SubwordTokenizer(cache_dir="tmp")
    tok = SubwordTokenizer(vocab_sz=40, model_type="bpe").setup(["añejo", *TEXTS])
    assert "ñ" in "".join(first(tok(["añejo"])))
    assert list(SubwordTokenizer(sp_model=tok.save(tmp_path / "pieces.json"))(TEXTS)) == list(tok(TEXTS))

    for make in (tokenize_folder, lambda path, **kw: tokenize_files(files, path, tmp_path / "out", **kw)):
        with told("text/tokenizers.py", "what output_dir holds …",
                  "is used again where texts, rules and tokenizer are the same, and else replaced: leave it out"):
            make(tmp_path, skip_if_exists=True)
        make(tmp_path, n_workers=0)
    with told("text/tokenizers.py", "write tokenize_files(files, path, output_dir, output_names)"):
        tokenize_folder(tmp_path, output_names=["a.txt", "b.txt"])
    assert (tokenize_files(files, tmp_path, tmp_path / "out", ["a.txt", "b.txt"], n_workers=0) / "b.txt").exists()

    with told("text/tokenizers.py", "what cache= names …",
              "is used again where texts, rules and tokenizer are the same, and else replaced: leave it out"):
        TextBlock.from_folder(tmp_path, skip_if_exists=False)
    for name in ("output_dir", "output_names"):
        with told("text/tokenizers.py", "one file keeps the tokens of all texts: write cache=file"):
            TextBlock.from_folder(tmp_path, **{name: tmp_path})
        Tokenizer.from_folder(tmp_path, cache=tmp_path / "tokens", n_workers=0).tokenize(files, progress=False)
        assert len(TokenStore.open(tmp_path / "tokens")) == 2
    with told("text/tokenizers.py", "choose them by get_items=partial(get_files, extensions=['.txt'])"):
        Tokenizer.from_folder(tmp_path, extensions=[".txt"])
    with told("text/tokenizers.py", "choose them by get_items=partial(get_text_files, folders=['train', 'test'])"):
        Tokenizer.from_folder(tmp_path, folders=["train", "test"])
    assert len(partial(get_files, extensions=['.txt'])(tmp_path)) > len(partial(get_text_files, folders=['train', 'test'])(tmp_path)) == 2
    with pytest.raises(TypeError, match="unexpected keyword argument 'folder'"):
        Tokenizer.from_folder(tmp_path, folder="train")


def test_spacy(monkeypatch):
    monkeypatch.setattr("minifast.text.tokenizers.find_spec", lambda name: None)
    with told("text/tokenizers.py", "SpacyTokenizer splits as WordTokenizer does, which is nearly the same for English. Write "
                                    "WordTokenizer(), or pip install spacy"):
        tok = SpacyTokenizer()
    assert list(WordTokenizer()(["don't"])) == list(tok(["don't"])) == [["do", "n't"]]


def test_vocabularies(dls, dls_lm):
    vocab = dls_lm.vocab
    with told("text/vocabulary.py", "make another, Numericalize(vocab=[*vocab, 'token']), before the model is made"):
        vocab.append("token")
    assert Numericalize(vocab=[*vocab, 'token'])(["token"]).tolist() == [len(vocab)]
    with told("text/vocabulary.py", "That of the loaders of a classifier is [tokens, classes]: give its first part, `dls.vocab[0]`"):
        loaders(text_vocab=dls.vocab)
    assert loaders(text_vocab=dls.vocab[0]).vocab == dls.vocab
    with told("text/vocabulary.py", "Numericalize has no vocabulary yet: give it one with vocab=, or call setup(items) first"):
        Numericalize()(["film"])
    num, items = Numericalize(min_freq=1), [["a", "film"]]
    num.setup(items)
    assert num(["film"]).tolist() == [num.vocab.index("film")] and Numericalize(vocab=["xxunk", "film"])(["film"]).tolist() == [1]

    def block(type_tfms):
        return DataBlock((TransformBlock(type_tfms=type_tfms), CategoryBlock), get_x=ColReader("text"), get_y=ColReader("label"))

    with told("text/vocabulary.py", "Put a Tokenizer before it: type_tfms=[Tokenizer(), Numericalize()]"):
        block([Numericalize()]).datasets(DF)
    assert len(block(type_tfms=[Tokenizer(), Numericalize()]).datasets(DF)) == 16


# -- loaders
def test_rows_of_a_language_model():
    few = DF[:4].assign(text="one two")
    with told("text/language_loader.py", "Write …=… or less, or"):
        loaders(few, is_lm=True, bs=64)
    assert loaders(few, is_lm=True, bs=8, val_bs=2).train.one_batch()[0].shape[0] == 8
    with told("text/language_loader.py", "Write …=… or less, or", "more text"):
        loaders(few, is_lm=True, bs=8)
    assert loaders(few, is_lm=True, bs=8, val_bs=2) and loaders(DF, is_lm=True, bs=8)
    with told("text/language_loader.py", "; to test_dl give bs=…"):
        loaders(DF, is_lm=True, bs=8).test_dl(["one two"])
    assert loaders(DF, is_lm=True, bs=8).test_dl(["one two"], bs=2).one_batch()[0].shape == (2, 1)


def test_batches_in_order_of_length(dls):
    learn, file = classifier(dls), "preds.npy"
    with told("learner/inference.py", "Save what is returned, np.save(file, preds), or take the batches as they come, reorder=False"):
        learn.get_preds(save_preds="folder")
    preds, _ = learn.get_preds()
    np.save(file, preds)
    learn.get_preds(save_preds="folder", reorder=False)
    assert np.load(file).shape == (4, 2) and len(Path("folder").ls()) == 1


def test_no_transform_varies(dls):
    learn = classifier(dls)
    with told("text/showing.py", "no transform that varies a text without changing what it says: use get_preds()"):
        learn.tta()
    assert learn.get_preds()[0].shape == (4, 2)


# -- learners
def test_what_learners_are_for(dls, dls_lm):
    with told("text/learner.py", "make them with is_lm=True, or write text_classifier_learner"):
        lm(dls)
    assert lm(loaders(is_lm=True)) and text_classifier_learner(dls, config=SIZES, pretrained=False)
    with told("text/learner.py", "pass n_out=, the number of classes or of numbers to predict; for a language model write "
                                 "language_model_learner"):
        classifier(dls_lm)
    assert language_model_learner(dls_lm, config=SIZES, pretrained=False)
    block = DataBlock((TextBlock.from_df("text"), CategoryBlock, CategoryBlock), n_inp=1, get_y=[ColReader("label"), ColReader("held")])
    two = block.dataloaders(DF, bs=4)
    with told("text/learner.py", "pass n_out=, the number of classes or of numbers to predict"):
        classifier(two)
    classifier(two, n_out=4, loss_func=lambda pred, y, z: F.cross_entropy(pred[:, :2], y) + F.cross_entropy(pred[:, 2:], z)).fit(1)
    with told("text/models/heads.py", "For a model of your own write Learner(dls, model)"):
        text_classifier_learner(dls, nn.LSTM, pretrained=False)
    model = nn.Sequential(nn.EmbeddingBag(len(dls.vocab[0]), 4, padding_idx=1), nn.Linear(4, 2))
    quiet(Learner(dls, model)).fit(1)


def test_long_texts(dls):
    with told("text/learner.py", "the outputs of their last tokens alone are pooled. To pool all, write max_len=None"):
        classifier(dls, max_len=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(dls, max_len=None)


def test_writing(dls_lm):
    learn, text, n_words = lm(dls_lm), "a good", 3
    with told("text/generation.py", "so all may be drawn: write a smaller min_p"):
        learn.predict(text, n_words, min_p=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.predict(text, n_words, min_p=0.01)
    file = learn.export("lm.pkl")
    with told("text/learner.py", "write learn = load_learner(file) and learn.predict(text, n_words), from any thread"):
        Predictor(file)
    learn = load_learner(file)
    assert learn.predict(text, n_words).startswith("a good ")


def test_writing_without_a_tokenizer(dls_lm):
    vocab, n = dls_lm.vocab, 5
    own = DataLoaders(*[LMDataLoader(np.arange(9, 15).repeat(3), bs=2, seq_len=3) for _ in range(2)], device="cpu")
    own.vocab = vocab
    learn = lm(own)
    with told("text/learner.py", "For ids write minifast.text.generation.generate(learn.model, ids, n)"):
        learn.predict("a good film", n)
    ids, modes = torch.tensor([2, 9, 10]), []
    learn.model.register_forward_hook(lambda model, *_: modes.append(model.training))
    assert len(generate(learn.model, ids, n)) == 8 and modes == [False] * n and learn.model.training


# -- weights from elsewhere
def test_an_encoder(dls, dls_lm):
    encoder, head = AWD_LSTM(len(dls.vocab[0]), **SIZES), PoolingLinearClassifier([12, 2], [0.1])
    with told("text/learner.py", "make it of one and a head, SequentialRNN(encoder, head)"):
        TextLearner(dls, nn.Linear(2, 2)).save_encoder("enc")
    assert TextLearner(dls, SequentialRNN(encoder, head)).save_encoder("enc").is_file()
    other = classifier(loaders(DF.replace({"text": {"acting": "music"}}, regex=True)))
    lm(dls_lm).save_encoder("enc")
    with told("text/pretrained.py", "To use its vocabulary, make the data with text_vocab=dls_lm.vocab (with a TextBlock: "
                                    "vocab=dls_lm.vocab)"):
        other.load_encoder("enc")
    block = DataBlock((TextBlock.from_df("text", vocab=dls_lm.vocab), CategoryBlock), get_y=ColReader("label"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(loaders(text_vocab=dls_lm.vocab)).load_encoder("enc")
        classifier(block.dataloaders(DF, bs=4)).load_encoder("enc")


def test_weights_that_do_not_say_their_words(dls, dls_lm):
    source, learn = lm(dls_lm), classifier(dls)
    Path("models").mkdir()
    weights, vocab, file = Path("models/enc.pth"), Path("words.json"), Path("whole.pth")
    torch.save(source.encoder.state_dict(), weights)
    torch.save(source.model.state_dict(), file)
    vocab.write_text(json.dumps(list(dls_lm.vocab)))
    with told("text/learner.py", "Where its words are in a file, write learn.load_pretrained(weights, vocab) instead"):
        learn.load_encoder("enc")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.load_pretrained(weights, vocab)
        assert torch.equal(learn.encoder.encoder.weight[0], source.encoder.encoder.weight[0])
    with told("text/learner.py", "write load_pretrained(file, 'words.json'), a JSON list of them in their order"):
        learn.load_pretrained(file)
    lm(dls_lm).load_pretrained(file, 'words.json')


def test_weights_trained_on_wikipedia(monkeypatch, dls_lm, tmp_path):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pretrained, "WT103_FWD", "http://127.0.0.1:9/wt103-fwd.tgz")
    with told("text/pretrained.py", "Or write pretrained=False to start from random weights, or pretrained_fnames=('weights', 'vocab') for "
                                    "files of your own in path/model_dir"):
        lm(dls_lm, pretrained=True)
    lm(dls_lm, pretrained=False).save("weights")
    Path("models/vocab.json").write_text(json.dumps(list(dls_lm.vocab)))
    assert lm(dls_lm, pretrained_fnames=('weights', 'vocab')).freezer.frozen_to == 2


def test_weights_of_other_words(dls_lm):
    file = lm(dls_lm).save("weights")
    subwords = SubwordTokenizer(vocab_sz=40, model_type="bpe").setup(["zyx wvu"] * 9)
    df = DF.assign(text=["zyx wvu", "wvu tsr"] * 8)
    with told("text/pretrained.py", "Make the data with the tokenizer and the vocabulary of the weights, "
                                    "TextDataLoaders.from_df(..., tok_tfm=..., text_vocab=...), or begin without them, pretrained=False"):
        classifier(loaders(df, tok_tfm=subwords)).load_pretrained(file)
    assert classifier(loaders(tok_tfm=WordTokenizer(), text_vocab=dls_lm.vocab)).load_pretrained(file)
    assert classifier(loaders(df, tok_tfm=subwords), pretrained=False)


def test_a_vocabulary_in_a_pickle(dls_lm):
    file, words = lm(dls_lm).save("weights"), list(dls_lm.vocab)
    Path("vocab.pkl").write_bytes(pickle.dumps(dict.fromkeys(words)))
    with told("text/pretrained.py", "Write the words as a JSON list, Path('vocab.json').write_text(json.dumps(words))"):
        lm(dls_lm).load_pretrained(file, "vocab.pkl")
    Path('vocab.json').write_text(json.dumps(words))
    lm(dls_lm).load_pretrained(file, "vocab.json")


def test_weights_of_a_classifier_of_other_words(dls):
    classifier(dls).save("it")
    other = loaders(DF.replace({"text": {"film": "opera"}}, regex=True))
    with told("learner/saving.py", "Make the data with the vocabulary that the weights were made with (vocab=[...], of texts "
                                   "text_vocab=[...]), or, if what the numbers stand for does not matter, write load(..., "
                                   "check_vocab=False)"):
        classifier(other).load("it")
    classifier(loaders(text_vocab=[*dls.vocab[0]])).load("it")
    classifier(other).load("it", check_vocab=False)


def test_several_learners_of_other_words(dls, dls_lm):
    items = ["a good film", "bad acting"]
    learners = [classifier(loaders(DF[:n].drop(columns="held"), valid_col=None)) for n in (4, 16)]
    dl = learners[0].dls.test_dl(items)
    with told("ensemble/arguments.py", "Give the items, items=..., or the same words to all: text_vocab=dls_lm.vocab"):
        average_preds(learners, dl=dl)
    assert average_preds(learners, items=items)[0].shape == (2, 2)
    learners = [classifier(loaders(DF[:n].drop(columns="held"), valid_col=None, text_vocab=dls_lm.vocab)) for n in (4, 16)]
    assert average_preds(learners, dl=learners[0].dls.test_dl(items))[0].shape == (2, 2)


# -- models
def test_parts_of_models(dls):
    with told("text/models/awd_lstm.py", "has no weight of that name… It has: …"):
        WeightDropout(nn.LSTM(4, 4), 0.5, "weight_hh")
    rnn = WeightDropout(nn.LSTM(4, 4, batch_first=True), 0.5, layer_names="weight_hh_l0")
    x = pack_padded_sequence(torch.randn(2, 5, 4), torch.tensor([5, 3]), batch_first=True)
    with told("text/models/awd_lstm.py", "write pad_packed_sequence(x, batch_first=True)[0], and look at the outputs of real steps alone"):
        rnn(x)
    assert rnn(pad_packed_sequence(x, batch_first=True)[0])[0].shape == (2, 5, 4)
    with told("text/models/heads.py", "one dropout for each layer is needed, and there are … layers. Give … numbers"):
        classifier(dls, lin_ftrs=[8, 4], ps=[0.1])
    assert classifier(dls, lin_ftrs=[8, 4], ps=[0.1, 0.2]).validate()


def test_a_graph(dls):
    learn = classifier(dls)
    with told("text/models/awd_lstm.py", "Write learn.export('model.pkl'), and load_learner('model.pkl') where it is to predict"):
        learn.to_onnx("model.onnx")
    learn.export('model.pkl')
    assert load_learner('model.pkl').predict("a good film")[0] in ("good", "bad")
