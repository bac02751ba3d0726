"""The special tokens of word tokenising, as fastai writes them."""

UNK: str = "xxunk"          #: a token that the vocabulary does not have
PAD: str = "xxpad"          #: padding of the shorter texts of a batch
BOS: str = "xxbos"          #: a text begins
EOS: str = "xxeos"          #: a text ends
FLD: str = "xxfld"          #: a field begins, where a text has several; its number follows
TK_REP: str = "xxrep"       #: a character repeated; how often and which follow
TK_WREP: str = "xxwrep"     #: a word repeated; how often and which follow
TK_UP: str = "xxup"         #: the next word was in capitals
TK_MAJ: str = "xxmaj"       #: the next word began with a capital

#: The first tokens of a vocabulary, in this order: the id of padding is 1.
TEXT_SPEC_TOK: tuple[str, ...] = (UNK, PAD, BOS, EOS, FLD, TK_REP, TK_WREP, TK_UP, TK_MAJ)
