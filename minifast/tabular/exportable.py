"""The classes and functions of this room that an exported learner may name, by module: see `minifast.learner.parts`."""

PARTS = {
    "dataloader": "TabDataLoader TableDataLoaders",
    "frames": "TabularPandas table_from_state",
    "learner": "TabularLearner",
    "loaders": "TabularDataLoaders",
    "model": "TabularModel",
}
