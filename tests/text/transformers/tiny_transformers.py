"""Tiny models of transformers with random weights, and tokenizers trained on a few lines: made once for all tests, nothing is fetched."""
from pathlib import Path

import torch

LINES = ["the film was good and the actors were bad", "nothing in it is new, but the music is great!", "a dull story about a boring man",
         "we liked the end of the film more than its beginning", "José ate 12 apples in Paris", "unbelievable performances"] * 4
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def wordpiece():
    "A tokenizer as BERT has it."
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    words = {word for line in LINES for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(line))}
    letters = {letter for word in words for letter in word}             # a trained vocabulary would be another one each time
    pieces = sorted(letters | {f"##{o}" for o in letters} | {"un", "##able", "##ing"} | {w for w in words if len(w) <= 6})
    tok = Tokenizer(models.WordPiece({o: i for i, o in enumerate([*SPECIAL, *pieces])}, unk_token="[UNK]"))
    tok.normalizer, tok.pre_tokenizer, tok.decoder = normalizer, splitter, decoders.WordPiece()
    tok.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(tokenizer_object=tok, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
                                   mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def byte_bpe(special, template=None, pair=None, **tokens):
    "A tokenizer as GPT-2, RoBERTa and Llama have it."
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer, tok.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    tok.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False,
                                                       initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    if template:
        tok.post_processor = processors.TemplateProcessing(single=template, pair=pair,
                                                           special_tokens=[(s, tok.token_to_id(s)) for s in special if s in template])
    return PreTrainedTokenizerFast(tokenizer_object=tok, model_input_names=["input_ids", "attention_mask"], **tokens)


def roberta_tokenizer():
    "With the ids of RoBERTa: <s> 0, <pad> 1, </s> 2."
    return byte_bpe(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s> $A </s>", "<s> $A </s> </s> $B </s>", bos_token="<s>",
                    eos_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", cls_token="<s>", sep_token="</s>")


def gpt2_tokenizer():
    "Without a padding token, and nothing is added to a text."
    return byte_bpe(["<|endoftext|>"], bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")


def llama_tokenizer():
    "Without a padding token; a text begins with <s>."
    return byte_bpe(["<unk>", "<s>", "</s>"], "<s> $A", "<s> $A <s> $B", bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def make(kind):
    "A tiny model and its tokenizer."
    import transformers as t
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tok = {"roberta": roberta_tokenizer, "gpt2": gpt2_tokenizer, "llama": llama_tokenizer}.get(kind, wordpiece)()
    n = len(tok)
    configs = {
        "bert": lambda: t.BertConfig(vocab_size=n, max_position_embeddings=40, **small),
        "distilbert": lambda: t.DistilBertConfig(vocab_size=n, dim=32, n_layers=2, n_heads=2, hidden_dim=48,
                                                  max_position_embeddings=40),
        "electra": lambda: t.ElectraConfig(vocab_size=n, embedding_size=16, max_position_embeddings=40, **small),
        "deberta-v2": lambda: t.DebertaV2Config(vocab_size=n, max_position_embeddings=40, relative_attention=True,
                                                pos_att_type=["p2c", "c2p"],
                                                position_biased_input=False, type_vocab_size=0, norm_rel_ebd="layer_norm",
                                                share_att_key=True, position_buckets=8, **small),
        "roberta": lambda: t.RobertaConfig(vocab_size=n, max_position_embeddings=42, type_vocab_size=1, **small),
        "gpt2": lambda: t.GPT2Config(vocab_size=n, n_embd=32, n_layer=2, n_head=2, n_positions=40, bos_token_id=0, eos_token_id=0),
        "llama": lambda: t.LlamaConfig(vocab_size=n, num_key_value_heads=2, max_position_embeddings=40, tie_word_embeddings=True, **small),
        "xlnet": lambda: t.XLNetConfig(vocab_size=n, d_model=32, n_layer=2, n_head=2, d_inner=48, pad_token_id=0),
    }
    torch.manual_seed(0)
    return t.AutoModel.from_config(configs[kind]()), tok


ALL = ["bert", "distilbert", "electra", "deberta-v2", "roberta", "gpt2", "llama"]
MASKED, CAUSAL = ALL[:5], ALL[5:]


def save(kind, folder: Path):
    "A tiny model and its tokenizer in a folder."
    from minifast.text.transformers.library import quiet
    model, tok = make(kind)
    with quiet():
        model.save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


FRAME = {"text": [f"{LINES[i % 6]} {'good' if i % 2 else 'bad'} {i}" for i in range(24)], "label": ["neg", "pos"] * 12}
