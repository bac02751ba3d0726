"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "titled": "TensorBase TensorCategory TensorMultiCategory",
}
