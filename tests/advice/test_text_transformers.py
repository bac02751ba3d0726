"What the messages of `minifast.text.transformers` say to write."
import functools
import shutil
import warnings

import pandas as pd
import pytest
from suggestions import told
from tiny_transformers import FRAME, save
from workshop import numbers, quiet

from minifast.learner.predictor import Predictor
from minifast.text.all import *
from minifast.text.transformers import sources

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    "A function from the name of a kind, such as 'bert', to a folder with a tiny model of it and its tokenizer."
    root = tmp_path_factory.mktemp("tiny")
    return functools.cache(lambda kind: save(kind, root / kind))


@pytest.fixture
def df():
    return pd.DataFrame(FRAME)[:12]


def loaders(df, model, **kwargs):
    return TransformersDataLoaders.from_df(df, model, "text", "label", bs=4, device="cpu", **kwargs)


def learner(*args, **kwargs):
    return quiet(transformers_learner(*args, **kwargs))


def own_model(folder, num_labels=2):
    from transformers import AutoModelForSequenceClassification
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=num_labels)


# -- data
def test_a_causal_model(tiny, df):
    with told("text/transformers/block.py", "so its model is no masked language model: write task='clm' for a causal one"):
        loaders(df, tiny("gpt2"), task='mlm')
    learner(loaders(df, tiny("gpt2"), task='clm'), tiny("gpt2")).validate()


def test_what_is_no_text(tiny, df):
    column = "text"
    df[column] = df[column].astype(object)
    df.loc[2, column] = None
    with told("text/transformers/encoding.py", "Leave these items out, or fill them in: of a frame df[column] = df[column].fillna('')"):
        loaders(df, tiny("bert"))
    assert len(loaders(df.dropna(subset=[column]), tiny("bert")).train_ds) == 9
    df[column] = df[column].fillna('')
    assert len(loaders(df, tiny("bert")).train_ds) == 10
    df[column] = range(12)
    with told("text/text_sources.py", "write ……"):
        loaders(df, tiny("bert"))
    df[column] = df[column].astype(str)
    assert len(loaders(df, tiny("bert")).train_ds) == 10


def test_a_language_model_that_sees_ahead(tiny, df):
    model, dls = tiny("bert"), loaders(df, tiny("bert"), task='clm')
    with told("text/transformers/learner.py", "write transformers_learner(dls, model, is_decoder=True), or make the data with task='mlm'"):
        transformers_learner(dls, model)
    quiet(transformers_learner(dls, model, is_decoder=True))
    quiet(transformers_learner(loaders(df, model, task='mlm'), model))


def test_halves_of_surrogate_pairs(tiny, df):
    column = "text"
    df[column] = df[column].astype(object)
    df.loc[2, column] = "odd \ud800"
    with told("text/transformers/encoding.py", "Replace them: of a frame df[column] = df[column].map(lambda t: t.encode"):
        loaders(df, tiny("bert"))
    df[column] = df[column].map(lambda t: t.encode('utf-8', 'replace').decode('utf-8'))
    assert len(loaders(df, tiny("bert")).train_ds) == 10


def test_words(tiny, df):
    column, df = "text", df.assign(text="two words", label=[["A", "B"]] * 12)
    with told("text/transformers/encoding.py", "Split texts into words: of a frame df[column] = df[column].str.split()"):
        loaders(df, tiny("bert"), task="words")
    df[column] = df[column].str.split()
    assert loaders(df, tiny("bert"), task="words").one_batch()


# -- learners
def test_loaders_of_others(tiny, df):
    model, text_col, label_col = tiny("bert"), "text", "label"
    with told("text/transformers/learner.py", "make them with TransformersDataLoaders.from_df(df, model, text_col, label_col), or a "
                                              "DataBlock with a TransformersBlock(model)"):
        learner(numbers(), model)
    assert learner(TransformersDataLoaders.from_df(df, model, text_col, label_col), model)
    block = DataBlock((TransformersBlock(model), CategoryBlock), get_x=ColReader(text_col), get_y=ColReader(label_col))
    assert learner(block.dataloaders(df, bs=4), model)


def test_outputs(tiny, df):
    block = DataBlock((TransformersBlock(tiny("bert")), CategoryBlock, CategoryBlock), n_inp=1, get_x=ColReader("text"),
                      get_y=[ColReader("label"), ColReader("label")])
    two = block.dataloaders(df, bs=4)
    with told("text/transformers/learner.py", "pass n_out=, the number of classes or of numbers to predict"):
        learner(two, tiny("bert"))
    both = learner(two, tiny("bert"), n_out=4,
                   loss_func=lambda pred, y, z: F.cross_entropy(pred[:, :2], y) + F.cross_entropy(pred[:, 2:], z))
    assert both.validate()


def test_models_of_ones_own(tiny, df):
    dls = loaders(df, tiny("bert"))
    model = nn.Linear(2, 2)
    with told("text/transformers/learner.py", "For a module of your own write Learner(dls, model)"):
        transformers_learner(dls, model)
    assert Learner(dls, model)
    with told("text/transformers/learner.py", "load it with num_labels=…, or give its folder or name here"):
        transformers_learner(dls, own_model(tiny("bert"), num_labels=5))
    assert learner(dls, own_model(tiny("bert"), num_labels=2)) and learner(dls, tiny("bert"))


def test_lengths(tiny, df):
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(tiny("bert"))             # which knows no limit
    with told("text/transformers/learner.py", "write max_len=…, in TransformersBlock or TransformersDataLoaders.from_df"):
        learner(loaders(df, tokenizer), tiny("bert"))
    assert learner(loaders(df, tokenizer, max_len=40), tiny("bert"))


def test_tokenizers_of_other_models(tiny, df):
    dls, model = loaders(df, tiny("gpt2")), own_model(tiny("bert"))
    with told("text/transformers/pretrained.py", "Give both the same name or folder; if you made the tokenizer for this model, first write "
                                                 "model.resize_token_embeddings(len(tokenizer))"):
        learner(dls, model)
    assert learner(loaders(df, tiny("bert")), tiny("bert"))
    tokenizer = dls.train_ds.pipelines[0][1].tokenizer
    model.resize_token_embeddings(len(tokenizer))
    assert learner(dls, model).validate()


def test_lora(tiny, df):
    peft = pytest.importorskip("peft")
    dls = loaders(df, tiny("bert"))
    with told("text/transformers/lora.py", "which begin at random: …. Write peft.LoraConfig(..., modules_to_save=…)"):
        learner(dls, tiny("bert"), lora=peft.LoraConfig(target_modules=["query"]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner(dls, tiny("bert"), lora=peft.LoraConfig(target_modules=["query"], modules_to_save=["classifier"]))


def test_the_loss_of_older_versions(tiny, df):
    dls, model = loaders(df, tiny("bert")), own_model(tiny("bert"))
    model.loss_function = None                          # what versions before 4.46 lack
    with told("text/transformers/own_loss.py", "with transformers 4.46 or later it can. Or leave loss_func out: minifast's own is the same "
                                               "function"):
        learner(dls, model, loss_func="model")
    again = own_model(tiny("bert"))
    again.load_state_dict(model.state_dict())
    assert learner(dls, model).validate()[0] == pytest.approx(learner(dls, again, loss_func="model").validate()[0])


def test_a_graph(tiny, df):
    learn = learner(loaders(df, tiny("bert")), tiny("bert"))
    with told("text/transformers/model.py", "write learn.model.model.save_pretrained('folder') for them, which they read. Or "
                                            "learn.export('model.pkl'), and Predictor('model.pkl') where it is to predict"):
        learn.to_onnx("model.onnx")
    learn.model.model.save_pretrained('folder')
    assert own_model("folder").config.num_labels == 2
    learn.export('model.pkl')
    assert Predictor('model.pkl').predict("a film").label in ("neg", "pos")


# -- where models come from
def test_weights_in_a_pickle(tiny, df):
    from transformers import AutoModel
    folder, new_folder = Path("pickled"), Path("new")
    shutil.copytree(tiny("bert"), folder)
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with told("text/transformers/sources.py", "If you trust it, convert it once: from transformers import AutoModel; "
                                              "AutoModel.from_pretrained(…, use_safetensors=False).save_pretrained(new_folder)",
              "copy the other files, and load new_folder"):
        learner(loaders(df, folder), folder)
    AutoModel.from_pretrained("pickled", use_safetensors=False).save_pretrained(new_folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, new_folder)
    assert learner(loaders(df, new_folder), new_folder)


def test_a_model_that_is_not_here(tiny, df, monkeypatch):
    monkeypatch.setattr(sources, "hub_answers", lambda: False)
    with told("text/transformers/sources.py", "Where there is a network, write from huggingface_hub import snapshot_download; "
                                              "snapshot_download(…, local_dir='model', ignore_patterns=['*.bin']), copy the folder here",
              "and give its path instead of the name"):
        loaders(df, "bert-of-nobody")
    import huggingface_hub
    monkeypatch.setattr(huggingface_hub, "snapshot_download",
                        lambda name, local_dir, ignore_patterns: shutil.copytree(tiny("bert"), local_dir))
    from huggingface_hub import snapshot_download
    snapshot_download("bert-of-nobody", local_dir='model', ignore_patterns=['*.bin'])
    assert learner(loaders(df, Path("model")), Path("model"))


def test_layer_groups(tiny, df):
    dls = loaders(df, tiny("bert"))

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Embedding(500, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.body(x["input_ids"]).mean(1))

    with told("text/transformers/splitter.py", "write splitter=lambda m: [params(m.body), params(m.head)] with the parts of your model, or "
                                               "splitter=trainable_params for a single group"):
        quiet(Learner(dls, Model(), splitter=transformers_splitter)).fit(1)
    for splitter in (lambda m: [params(m.body), params(m.head)], trainable_params):
        quiet(Learner(dls, Model(), splitter=splitter)).fit(1)
