"""Models from folders: safetensors alone, sizes that fit, what is new named."""
import json
import shutil
import warnings

import pytest
import torch
from tiny_transformers import LINES
from torch import nn

from minifast.text.all import TransformersDataLoaders, transformers_learner
from minifast.text.transformers import sources
from minifast.text.transformers.pretrained import fit_embeddings, load_config, load_model, model_positions, positions_of
from minifast.text.transformers.tokenizer import load_tokenizer


@pytest.fixture
def pickled(tiny, tmp_path):
    "A folder whose weights are a pickle."
    from transformers import AutoModel
    folder = tmp_path / "pickled"
    shutil.copytree(tiny("bert"), folder)
    torch.save(AutoModel.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def test_a_pickle_is_refused_and_converted_as_the_sentence_says(pickled, frame, tmp_path):
    dls = TransformersDataLoaders.from_df(frame, pickled, "text", "label", bs=4)
    with pytest.raises(ValueError, match=r"are a pickle \(pytorch_model.bin\), and reading one can run code") as e:
        transformers_learner(dls, pickled)
    new_folder = tmp_path / "new"
    write = str(e.value).split("convert it once: ")[1].split(" (of a model")[0]
    exec(write.replace("; ", "\n"), {"new_folder": new_folder})
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(pickled / name, new_folder)
    transformers_learner(TransformersDataLoaders.from_df(frame, new_folder, "text", "label", bs=4), new_folder)


def test_a_pickle_is_never_opened(pickled, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("a pickle was opened"))
    with pytest.raises(ValueError, match="only safetensors are loaded"):
        load_model(pickled, "classify", 2)


def test_a_folder_without_weights_says_what_is_there(tiny, tmp_path):
    (tmp_path / "config.json").write_text((tiny("bert") / "config.json").read_text())
    with pytest.raises(FileNotFoundError, match=r"holds no weights \(model.safetensors\): config.json"):
        load_model(tmp_path, "classify", 2)


def test_a_folder_that_is_not_there_is_no_name_on_the_hub(tmp_path):
    (tmp_path / "bert").mkdir()
    with pytest.raises(FileNotFoundError, match="there is no folder .*brt.*: bert"):
        load_config(tmp_path / "brt")


def test_offline_a_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setattr(sources, "hub_answers", lambda: False)
    with pytest.raises(FileNotFoundError, match=r"'distilbert-base-nowhere' is no folder here and not in the cache of the hub.*"
                                                r"snapshot_download\('distilbert-base-nowhere', local_dir='model'"):
        load_config("distilbert-base-nowhere")
    from huggingface_hub import snapshot_download
    assert callable(snapshot_download)


def test_the_hub_is_asked_once_with_a_short_timeout(monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append((address, timeout))
        raise OSError

    monkeypatch.setattr(sources.socket, "create_connection", refuse)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    assert sources.hub_answers() is False and len(asked) <= 1 and all(t <= 5 for _, t in asked)


def test_code_of_a_models_own_is_never_run(tiny, tmp_path):
    shutil.copytree(tiny("bert"), tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    config.update(model_type="never_heard_of", auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForSequenceClassification": "own.Own"})
    (tmp_path / "own" / "config.json").write_text(json.dumps(config))
    (tmp_path / "own" / "own.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(ValueError, match="comes with Python code of its own, which is never run"):
        load_model(tmp_path / "own", "classify", 2)


def test_a_kind_without_such_a_head_says_so(tmp_path):
    from transformers import ViTConfig, ViTModel
    ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=8,
                       patch_size=4)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no AutoModelForSequenceClassification of the kind 'vit'"):
        load_model(tmp_path, "classify", 2)


def test_weights_of_the_body_that_are_missing_are_warned_of(tiny, tmp_path):
    from safetensors.torch import load_file, save_file
    shutil.copytree(tiny("distilbert"), tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    left = {k: v for k, v in weights.items() if "layer.1" not in k}
    save_file(left, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.warns(UserWarning, match=r"lacks 16 of 36 weights of the body of DistilBert.*begin at random: is this the right model"):
        load_model(tmp_path / "m", "classify", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(tiny("distilbert"), "classify", 2)[1] == ["classifier.bias", "classifier.weight", "pre_classifier.bias",
                                                                     "pre_classifier.weight"]


@pytest.mark.parametrize(("kind", "n"), [("bert", 40), ("roberta", 40), ("gpt2", 40), ("llama", 40), ("xlnet", None)])
def test_positions_of_a_model(tiny, kind, n):
    config = load_config(tiny(kind))
    assert positions_of(config) == model_positions(load_model(tiny(kind), "classify", 2)[0]) == n
    if kind == "roberta":
        assert config.max_position_embeddings == 42, "of which two are none of a text"


def test_random_weights(tiny):
    torch.manual_seed(5)
    model, new = load_model(tiny("bert"), "classify", 2, pretrained=False)
    trained, _ = load_model(tiny("bert"), "classify", 2)
    assert new == [] and not torch.equal(model.get_input_embeddings().weight, trained.get_input_embeddings().weight)


def test_embeddings_that_are_enough_stay(tiny):
    model, _ = load_model(tiny("bert"), "classify", 2)
    assert fit_embeddings(model, load_tokenizer(tiny("bert"))) is None
    assert isinstance(model.get_input_embeddings(), nn.Embedding) and LINES


def test_nothing_of_transformers_is_printed_or_logged(tiny, frame, capfd, caplog):
    dls = TransformersDataLoaders.from_df(frame, tiny("bert"), "text", "label", bs=4)
    transformers_learner(dls, tiny("bert"))
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1 and err == "" and caplog.records == []
