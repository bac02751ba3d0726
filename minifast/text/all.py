"""Everything for texts: `from minifast.text.all import *`."""
from ..basics import *
from ..basics import __all__ as __all__           # written so that type checkers know its names
from .attribution import TokenAttributions, token_attributions
from .block import TextBlock
from .flat import FlatTexts
from .generation import decode_spec_tokens
from .language_loader import LMDataLoader
from .learner import LMLearner, TextLearner, language_model_learner, text_classifier_learner
from .loaders import TextDataLoaders
from .models.awd_lstm import (AWD_LSTM, EmbeddingDropout, RNNDropout, WeightDropout, awd_lstm_clas_config, awd_lstm_clas_split,
                              awd_lstm_lm_config, awd_lstm_lm_split, dropout_mask)
from .models.heads import (LinearDecoder, PoolingLinearClassifier, SentenceEncoder, SequentialRNN, get_language_model,
                           get_text_classifier, masked_concat_pool)
from .padding import Pad_Chunk, Pad_Input, count_tokens, pad_chunk, pad_input, pad_input_chunk
from .pretrained import match_embeds
from .rules import (fix_html, lowercase, replace_all_caps, replace_maj, replace_rep, replace_space, replace_wrep, rm_useless_spaces,
                    spec_add_spaces)
from .sorted_loader import SortedDL
from .special import BOS, EOS, FLD, PAD, TEXT_SPEC_TOK, TK_MAJ, TK_REP, TK_UP, TK_WREP, UNK
from .subword import SentencePieceTokenizer, SubwordTokenizer
from .tensors import LMTensorText, TensorText, reverse_text
from .token_store import TokenStore
from .tokenizer import Tokenizer
from .tokenizers import BaseTokenizer, SpacyTokenizer, TokenizeWithRules, tokenize1
from .tokenizing import load_tokenized_csv, parallel_tokenize, tokenize_csv, tokenize_df, tokenize_files, tokenize_folder, tokenize_texts
from .transformers.block import TokenTargetsBlock, TransformersBlock
from .transformers.learner import transformers_learner
from .transformers.loaders import TransformersDataLoaders
from .transformers.splitter import transformers_splitter
from .transformers.words import WordLabelsBlock
from .vocabulary import Numericalize, make_vocab
from .words import WordTokenizer

__all__ = [*__all__]
__all__ += [
    "AWD_LSTM", "BOS", "BaseTokenizer", "EOS", "EmbeddingDropout", "FLD", "FlatTexts", "LMDataLoader", "LMLearner", "LMTensorText",
    "LinearDecoder", "Numericalize", "PAD", "Pad_Chunk", "Pad_Input", "PoolingLinearClassifier", "RNNDropout", "SentenceEncoder",
    "SentencePieceTokenizer", "SequentialRNN", "SortedDL", "SpacyTokenizer", "SubwordTokenizer", "TEXT_SPEC_TOK", "TK_MAJ", "TK_REP",
    "TK_UP", "TK_WREP", "TensorText", "TextBlock", "TextDataLoaders", "TextLearner", "TokenAttributions", "TokenStore",
    "TokenTargetsBlock", "TokenizeWithRules", "Tokenizer", "TransformersBlock", "TransformersDataLoaders", "UNK", "WeightDropout",
    "WordLabelsBlock", "WordTokenizer", "awd_lstm_clas_config", "awd_lstm_clas_split", "awd_lstm_lm_config", "awd_lstm_lm_split",
    "count_tokens", "decode_spec_tokens", "dropout_mask", "fix_html", "get_language_model", "get_text_classifier",
    "language_model_learner", "load_tokenized_csv", "lowercase", "make_vocab", "masked_concat_pool", "match_embeds", "pad_chunk",
    "pad_input", "pad_input_chunk", "parallel_tokenize", "replace_all_caps", "replace_maj", "replace_rep", "replace_space", "replace_wrep",
    "reverse_text", "rm_useless_spaces", "spec_add_spaces", "text_classifier_learner", "token_attributions", "tokenize1", "tokenize_csv",
    "tokenize_df", "tokenize_files", "tokenize_folder", "tokenize_texts", "transformers_learner", "transformers_splitter",
]
__all__.sort()
