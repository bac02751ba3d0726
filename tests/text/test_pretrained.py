"""Weights trained before: the download, words matched by name, files that are refused."""
import io
import json
import os
import pickle
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from minifast.compat.fastai_weights import port_weights
from minifast.text import pretrained
from minifast.text.learner import language_model_learner, text_classifier_learner
from minifast.text.models.awd_lstm import AWD_LSTM
from minifast.text.models.heads import get_language_model
from minifast.text.pretrained import adapted, clean_names, known_share, match_embeds, read_vocab, read_weights

SIZES = {"emb_sz": 8, "n_hid": 12, "n_layers": 2}


def test_match_embeds():
    "Known words keep their rows, new ones get the mean; what was given does not change."
    old = {"0.encoder.weight": torch.randn(3, 4), "1.decoder.bias": torch.randn(3), "0.rnns.0.x": torch.randn(2)}
    old |= {"0.encoder_dp.emb.weight": old["0.encoder.weight"], "1.decoder.weight": old["0.encoder.weight"]}
    before = {k: v.clone() for k, v in old.items()}
    new = match_embeds(old, ["a", "b", "c"], ["c", "x", "a", "y"])
    for name in ("0.encoder.weight", "0.encoder_dp.emb.weight", "1.decoder.weight", "1.decoder.bias"):
        w = old[name]
        torch.testing.assert_close(new[name], torch.stack([w[2], w.mean(0), w[0], w.mean(0)]))
    assert new["0.rnns.0.x"] is old["0.rnns.0.x"] and all(torch.equal(before[k], old[k]) for k in old)
    with pytest.raises(ValueError, match=r"3 rows in 0.encoder.weight, and their vocabulary 2 words: they do not belong together"):
        match_embeds(old, ["a", "b"], ["a"])


def test_share_of_known_words():
    assert known_share(["xxunk", "a", "b"], ["xxunk", "xxpad", "a", "z", "xxfake"]) == (1, 2)
    weights = {"encoder.weight": torch.randn(2, 3)}
    assert adapted(weights, ["a", "b"], ["a", "b"], "f")["encoder.weight"] is weights["encoder.weight"]
    with pytest.raises(ValueError, match=r"know 0 of the 1 word of these data.*text_vocab=...*pretrained=False"):
        adapted(weights, ["a", "b"], ["z"], "f")


@pytest.mark.parametrize("name, content", [("v.pkl", pickle.dumps([*"ab", "xx"])), ("v.pkl", pickle.dumps([*"ab", "xx"], 0)),
                                           ("v.json", json.dumps([*"ab", "xx"]).encode()), ("v.txt", b"a\nb\nxx")])
def test_read_vocab(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert read_vocab(tmp_path / name) == ["a", "b", "xx"]


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickled_vocabulary_may_repeat_words(protocol, tmp_path):
    "A vocabulary that is filled up ends in one word several times, which pickling writes once."
    words = ["xxunk", "the", *["xxfake"] * 3, "the"]
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(words, protocol))
    assert read_vocab(tmp_path / "v.pkl") == words



class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("ran",))


@pytest.mark.parametrize("content", [pickle.dumps(Malicious()), pickle.dumps({"a": 1}), b"nonsense", pickle.dumps(["a", 3])])
def test_nothing_else_is_read_from_a_pickle(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read as a vocabulary.*Path\('vocab.json'\).write_text\(json.dumps\(words\)\)"):
        read_vocab(tmp_path / "v.pkl")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "v.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="not a list of words"):
        read_vocab(tmp_path / "v.json")


def test_weights_of_older_versions_hold_each_dropped_weight_twice(tmp_path):
    model = get_language_model(AWD_LSTM, 20, SIZES)
    state = model.state_dict()
    old = {**state, **{k.replace("weight_hh_l0_raw", "module.weight_hh_l0"): v for k, v in state.items() if k.endswith("_raw")}}
    assert len(old) == len(state) + 2 and clean_names(old).keys() == state.keys()
    torch.save({"model": old, "opt": {}}, tmp_path / "w.pth")
    assert read_weights(tmp_path / "w.pth")[0].keys() == state.keys()
    ported, told = port_weights(tmp_path / "w.pth")
    assert read_weights(ported)[0].keys() == state.keys() and told.startswith(f"{len(state)} tensors")
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(ValueError, match="give a file of learn.save or learn.save_encoder"):
        read_weights(tmp_path / "list.pth")


# -- the weights trained on Wikipedia ------------------------------------------------------------------------------------------------
@pytest.fixture
def served(monkeypatch, tmp_path):
    "A server with an archive of weights like fastai's; returns the model whose weights they are, its words, and what was asked for."
    model, words, asked, content = get_language_model(AWD_LSTM, 24, SIZES), [f"word{i}" for i in range(24)], [], {}
    for name in ("wt103-fwd", "wt103-bwd"):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz") as tar:
            weights = io.BytesIO()
            torch.save(model.state_dict(), weights)
            for file, data in ((f"{name}/lstm_{name}.pth", weights.getvalue()), (f"{name}/itos.pkl", pickle.dumps(words))):
                info = tarfile.TarInfo(file)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        content[f"/{name}.tgz"] = made.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content[self.path])))
            self.end_headers()
            self.wfile.write(content[self.path])

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    for name, part in (("WT103_FWD", "fwd"), ("WT103_BWD", "bwd")):
        monkeypatch.setattr(pretrained, name, f"http://127.0.0.1:{server.server_port}/wt103-{part}.tgz")
    yield model, words, asked
    server.shutdown()
    server.server_close()


def test_pretrained_weights_are_downloaded_once(served, lm_dls, clas_dls):
    model, words, asked = served
    learn = language_model_learner(lm_dls, AWD_LSTM, SIZES)
    ours = list(lm_dls.vocab)
    assert torch.equal(learn.model[0].encoder.weight[ours.index("word3")], model[0].encoder.weight[words.index("word3")])
    torch.testing.assert_close(learn.model[0].encoder.weight[0], model[0].encoder.weight.mean(0))            # xxunk is new
    assert learn.freezer.frozen_to == 2
    clas = text_classifier_learner(clas_dls, config=SIZES)
    assert torch.equal(clas.model[0].module.rnns[1].weight_hh_l0_raw, model[0].rnns[1].weight_hh_l0_raw)
    assert asked == ["/wt103-fwd.tgz"]
    language_model_learner(lm_dls, AWD_LSTM, SIZES, backwards=True)
    assert asked[1:] == ["/wt103-bwd.tgz"]
    with pytest.raises(ValueError, match="Give the learner the config that they were trained with"):
        language_model_learner(lm_dls, AWD_LSTM)


@pytest.mark.parametrize("kind", ["lm", "clas"])
def test_without_a_network_one_sentence_says_what_to_write(kind, lm_dls, clas_dls, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIFAST_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pretrained, "WT103_FWD", "http://127.0.0.1:9/wt103-fwd.tgz")
    make, dls = (language_model_learner, lm_dls) if kind == "lm" else (text_classifier_learner, clas_dls)
    with pytest.raises(OSError, match=r"not on this machine.*put the file by hand at .*Or write pretrained=False .* or "
                                      r"pretrained_fnames=\('weights', 'vocab'\) for files of your own in path/model_dir"):
        make(dls, config=SIZES)
    plain = make(dls, config=SIZES, pretrained=False, path=tmp_path)
    language_model_learner(lm_dls, config=SIZES, pretrained=False, path=tmp_path).save("weights")
    (tmp_path / "models" / "vocab.json").write_text(json.dumps(list(lm_dls.vocab)))
    learn = make(dls, config=SIZES, path=tmp_path, pretrained_fnames=("weights", "vocab"))
    assert not torch.equal(learn.encoder.encoder.weight, plain.encoder.encoder.weight)


def test_an_archive_without_weights(served, monkeypatch, lm_dls):
    language_model_learner(lm_dls, AWD_LSTM, SIZES)
    folder = pretrained.wt103_files()[0].parent
    (folder / "itos.pkl").unlink()
    with pytest.raises(OSError, match=r"lacks .pkl: delete the folder, and it is unpacked again"):
        pretrained.wt103_files()
    folder.delete()
    pretrained.wt103_files()
