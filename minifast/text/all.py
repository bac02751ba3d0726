"""Everything for texts: `from minifast.text.all import *`."""
from ..basics import *
from ..basics import __all__ as _basics
from .models.awd_lstm import (
    AWD_LSTM,
    EmbeddingDropout,
    RNNDropout,
    WeightDropout,
    awd_lstm_clas_config,
    awd_lstm_clas_split,
    awd_lstm_lm_config,
    awd_lstm_lm_split,
    dropout_mask,
)
from .models.heads import (
    LinearDecoder,
    PoolingLinearClassifier,
    SentenceEncoder,
    SequentialRNN,
    get_language_model,
    get_text_classifier,
    masked_concat_pool,
)
from .flat import FlatTexts
from .language_loader import LMDataLoader
from .padding import Pad_Chunk, Pad_Input, count_tokens, pad_chunk, pad_input, pad_input_chunk
from .sorted_loader import SortedDL
from .special import BOS, EOS, FLD, PAD, TK_MAJ, TK_REP, TK_UP, TK_WREP, UNK
from .tensors import LMTensorText, TensorText

__all__ = sorted([*_basics,
    "AWD_LSTM", "BOS", "EOS", "EmbeddingDropout", "FLD", "FlatTexts", "LMDataLoader", "LMTensorText", "LinearDecoder", "PAD", "Pad_Chunk",
    "Pad_Input", "PoolingLinearClassifier", "RNNDropout", "SentenceEncoder", "SequentialRNN", "SortedDL", "TK_MAJ", "TK_REP", "TK_UP",
    "TK_WREP", "TensorText", "UNK", "WeightDropout", "awd_lstm_clas_config", "awd_lstm_clas_split", "awd_lstm_lm_config",
    "awd_lstm_lm_split", "count_tokens", "dropout_mask", "get_language_model", "get_text_classifier", "masked_concat_pool", "pad_chunk",
    "pad_input", "pad_input_chunk",
])
