"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "layers": "AdaptiveConcatPool1d AdaptiveConcatPool2d Embedding Flatten NormType SigmoidRange",
    "losses": "BCELossFlat BCEWithLogitsLossFlat CrossEntropyLossFlat DiceLoss FocalLoss FocalLossFlat L1LossFlat "
              "LabelSmoothingCrossEntropy LabelSmoothingCrossEntropyFlat MSELossFlat",
}
