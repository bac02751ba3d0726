"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "loader": "SeriesDL",
    "loaders": "TSDataLoaders",
    "missing": "FillSteps",
    "pad": "PadSeries",
    "reading": "ReadSeries",
    "tensors": "TensorSeries",
}
