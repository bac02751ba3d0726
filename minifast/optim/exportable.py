"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "groups": "trainable_params",
    "optimizers": "Adam Lamb Larc Lion QHAdam RAdam RMSProp SGD",
}
