"""Layer groups of transformers, found by their structure."""
import pytest
import torch
from tiny_transformers import ALL
from torch import nn

from minifast.basics import params, trainable_params
from minifast.text.transformers.pretrained import load_model
from minifast.text.transformers.splitter import layer_stacks, transformers_splitter


@pytest.mark.parametrize("kind", [*ALL, "xlnet"])
def test_embeddings_layers_and_head(tiny, kind):
    model, _ = load_model(tiny(kind), "classify", 3)
    groups = transformers_splitter(model)
    assert len(groups) == 4
    assert any(p is model.get_input_embeddings().weight for p in groups[0])
    names = {id(p): n for n, p in model.named_parameters()}
    assert all(any(f".{i}." in names[id(p)] for p in groups[1 + i]) for i in (0, 1))
    head = [names[id(p)] for p in groups[3]]
    assert any("classifier" in n or "score" in n or "logits_proj" in n for n in head)
    every = [id(p) for g in groups for p in g]
    assert sorted(every) == sorted(id(p) for p in model.parameters()), "each weight is in one group"


@pytest.mark.parametrize(("kind", "task"), [("bert", "mlm"), ("roberta", "mlm"), ("deberta-v2", "mlm"), ("gpt2", "clm"), ("llama", "clm")])
def test_tied_weights_are_in_one_group_with_the_embeddings(tiny, kind, task):
    model, _ = load_model(tiny(kind), task)
    groups = transformers_splitter(model)
    tied = model.get_output_embeddings().weight
    assert [any(p is tied for p in g) for g in groups] == [True] + [False] * (len(groups) - 1)


def test_encoder_and_decoder(tiny):
    from transformers import T5Config, T5ForConditionalGeneration
    model = T5ForConditionalGeneration(T5Config(vocab_size=50, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_decoder_layers=3,
                                                 num_heads=2))
    groups = transformers_splitter(model)
    assert [len(s) for s in layer_stacks(model)] == [2, 3]
    assert len(groups) == 1 + 5 + 1
    assert any(p is model.shared.weight for p in groups[0])


class SideBySide(nn.Module):
    "Lists of attention and of feed-forward layers, as XLM has them."

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.attentions = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.ffns = nn.ModuleList(nn.Sequential(nn.Linear(4, 4)) for _ in range(3))
        self.head = nn.Linear(4, 2)


def test_lists_side_by_side_are_one_stack():
    model = SideBySide()
    groups = transformers_splitter(model)
    assert [len(g) for g in groups] == [1, 4, 4, 4, 2]
    assert {id(p) for p in groups[1]} == {id(p) for m in (model.attentions[0], model.ffns[0]) for p in m.parameters()}


def test_without_layers_the_error_says_what_to_write():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

    with pytest.raises(ValueError, match=r"no stack of layers .* in Flat.*splitter=lambda m: \[params\(m.body\), params\(m.head\)\]"):
        transformers_splitter(Flat())
    assert [len(g) for g in (lambda m: [params(m.body), params(m.head)])(Flat())] == [2, 2]
    assert len(trainable_params(Flat())) == 4


def test_freezing_and_gradual_unfreezing(tiny, classify):
    learn = classify("bert")
    learn.freeze()
    frozen = [n for n, p in learn.model.named_parameters() if not p.requires_grad and "LayerNorm" not in n]
    assert any("word_embeddings" in n for n in frozen) and any("layer.1" in n for n in frozen)
    assert not any("classifier" in n for n in frozen)
    learn.freeze_to(-2)
    assert any(p.requires_grad for n, p in learn.model.named_parameters() if "layer.1.attention.self.query" in n)
    assert not any(p.requires_grad for n, p in learn.model.named_parameters() if "layer.0.attention.self.query" in n)
    before = {n: p.clone() for n, p in learn.model.named_parameters()}
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, slice(1e-5, 1e-2))
    moved = {n for n, p in learn.model.named_parameters() if not torch.equal(p, before[n])}
    assert any("layer.1.attention.self.query" in n for n in moved) and not any("layer.0.attention.self.query" in n for n in moved)
