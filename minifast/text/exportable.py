"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "language_loader": "LMDataLoader",
    "loaders": "TextDataLoaders",
    "learner": "LMLearner TextLearner",
    "models.awd_lstm": "AWD_LSTM EmbeddingDropout RNNDropout WeightDropout awd_lstm_clas_split awd_lstm_lm_split",
    "models.heads": "LinearDecoder PoolingLinearClassifier SentenceEncoder SequentialRNN get_language_model get_text_classifier",
    "models.word_scores": "WordScores",
    "padding": "Pad_Chunk Pad_Input",
    "rules": "fix_html lowercase replace_all_caps replace_maj replace_rep replace_space replace_wrep rm_useless_spaces spec_add_spaces",
    "sorted_loader": "SortedDL",
    "tensors": "LMTensorText TensorText reverse_text",
    "tokenizer": "Tokenizer",
    "tokenizers": "BaseTokenizer SpacyTokenizer SubwordTokenizer TokenizeWithRules",
    "transformers.block": "AlignWords WordLabels token_targets",
    "transformers.encoding": "encode_text",
    "transformers.loader": "MaskTokens NextTokens PadTokens TextReader TransformersDL n_tokens",
    "transformers.loaders": "TransformersDataLoaders",
    "transformers.model": "transformers_model",
    "transformers.splitter": "transformers_splitter",
    "vocabulary": "Numericalize",
    "words": "WordTokenizer",
}
