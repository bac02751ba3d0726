"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "activations": "SigmoidRange",
    "containers": "Flatten",
    "layers": "AdaptiveConcatPool1d AdaptiveConcatPool2d Embedding NormType",
    "losses": "BCELossFlat BCEWithLogitsLossFlat CrossEntropyLossFlat DiceLoss FocalLoss FocalLossFlat L1LossFlat "
              "LabelSmoothingCrossEntropy LabelSmoothingCrossEntropyFlat MSELossFlat",
}
