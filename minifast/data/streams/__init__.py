"""Data that do not fit into memory, or have no indices: read as streams, see `StreamLoader` (`data/stream_loader.py`).

1. **The source** (`sources.shards.Shards`) is a list of shards, each read from its beginning, or from where reading stopped: row groups of
   Parquet files (`parquet`), tar files (`tar`), shards of Hugging Face (`hugging_face`), any `IterableDataset` (`iterables`).
2. **The layout** (`sources.layout`) says who reads what: which shards, or which part of them, for each rank and worker.
3. **A lane** (`sources.lane.Lane`) is what one worker of one rank reads: it mixes the items and knows, after each, where reading would go
   on.
4. **The batch** (`fetch`): the `StreamFetcher` takes the items of a batch from its lane, and makes of them what any loader makes. It sends
   along where its lane is, so that the loader can continue there.
"""
