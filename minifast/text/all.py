"""Everything for texts: `from minifast.text.all import *`."""
from ..basics import *
from ..basics import __all__ as _basics
from .special import BOS, EOS, FLD, PAD, TK_MAJ, TK_REP, TK_UP, TK_WREP, UNK
from .tensors import LMTensorText, TensorText

__all__ = sorted([*_basics,
    "BOS", "EOS", "FLD", "LMTensorText", "PAD", "TK_MAJ", "TK_REP", "TK_UP", "TK_WREP", "TensorText", "UNK",
])
