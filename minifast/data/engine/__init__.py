"""How a batch is made, from top to bottom.

1. **The order** (`fetch.Order`). A sampler (`samplers`) says which items an epoch takes, as a pure function of the epoch's seed. `Order`
   cuts that into `BatchKey`s: seed, number of the batch, indices of its items. A key is all that a batch depends on besides the data: with
   any number of workers, or after a restart in the middle of an epoch, the batches are the same bit for bit.
2. **The engine** (`fetch.InlineEngine`, `threads`, `processes`). It turns keys into batches, in their order: `engine.batches(keys)` is an
   iterator, `engine.close()` ends what is kept between epochs. `choice.choose_workers` says which engine a loader gets.
   All three let the same `Fetcher` work: in this process when the batch is asked for, in threads that share out the samples of a batch, or
   in the worker processes of torch's `DataLoader`, each of which makes whole batches.
3. **The samples** (`fetch.Fetcher`). For each index the `Fetcher` calls `dataset.sample(i, rng)`, or `dataset[i]`, and sends the result
   through the item transforms. `rng` is a private generator, a function of (epoch's seed, index). What cannot be made raises an error that
   names the item, or, with `on_error='skip'`, another item takes its place.
4. **The batch** (`collate`). `before_batch` sees the list of samples; then they are stacked, and `kinds` remembers which of
   them were images, masks or boxes. That is a `Batch`: the only thing that travels from workers to the loop (`sending`).
5. **The device** (`fetch.Finisher`). In the process that trains, a `Finisher` moves the batch to the device, gives the tensors their kinds
   back, sends it through `after_batch` with a generator of its own, and hands plain tensors to the model.

`DataLoader.__iter__` is these five steps in a few lines; `DataLoader.make_batch(indices)` does 3 to 5 for given items.

Four tricks make this fast. Each says what it is worth, and none is needed for a right result: images are written where they belong in the
batch (`collate.Places`), decoded images are kept (`cache`), torch does not share out the work of a worker thread
(`fetch.one_torch_thread`), and freed memory is kept by the process (`allocator`).
"""
