"""What a thread that is making a batch wants of the things it opens: where decoded pictures are kept, in which layout they are to be, and
where in the batch they will lie.

A picture is opened deep inside a dataset, by functions that know nothing of loaders. They ask here, in their own thread.
"""
import threading
from contextlib import contextmanager

import torch


class Loading(threading.local):
    "The wishes of the batch being made in this thread; outside of a loader, those of nobody."

    cache = None                #: a `cache.PictureCache`, or None
    channels_last = False       #: whether tensors of pictures may have their channels last in memory
    places, row, asked = None, 0, 0         # the `Places` of the batch, the sample being made, how often it asked for a place

    def begin(self, places, row):
        "The next pictures are those of sample `row` of a batch with these `Places`."
        self.places, self.row, self.asked = places, row, 0

    def place(self, shape):
        "Where the next picture, of `shape` (H,W,C), belongs in the batch: a uint8 array to write it into, or None."
        if self.places is None or not self.channels_last:
            return None
        self.asked += 1
        return self.places.of(self.row, self.asked - 1, shape)


#: Read by whatever opens pictures.
current = Loading()


@contextmanager
def loading(cache=None, channels_last=False):
    "Within the block this thread makes a batch with these wishes."
    before = dict(vars(current))            # a sample may itself be made with a loader
    vars(current).update(cache=cache, channels_last=channels_last, places=None)
    try:
        yield
    finally:
        vars(current).clear()
        vars(current).update(before)


class Places:
    """The memory of a batch of `n` samples, given out before there is a batch: what is written where it belongs need not be stacked.

    buffers: the `BufferPool` it comes from. Pictures that come out as another size than the first one get no place.
    """

    def __init__(self, n, buffers):
        self.n, self.buffers = n, buffers
        self._made, self._lock = [], threading.Lock()

    def of(self, row, k, shape):
        "The array (H,W,C) for picture `k` of sample `row`, or None."
        if k >= len(self._made):
            with self._lock:
                if k == len(self._made):
                    h, w, c = shape
                    batch = self.buffers.empty((self.n, c, h, w), torch.uint8, channels_last=True)
                    self._made.append((batch, batch.permute(0, 2, 3, 1).numpy()))
                elif k > len(self._made):
                    return None
        rows = self._made[k][1]
        return rows[row] if rows.shape[1:] == shape else None

    def empty(self, *args):
        "Memory for what was not written in its place, see `BufferPool.empty`."
        return self.buffers.empty(*args)

    def filled(self, tensors):
        "The batch that `tensors`, one per sample, are the rows of already; None where they are not."
        first = tensors[0]
        for batch, _ in self._made:
            step = batch.stride(0)
            if (first.data_ptr() == batch.data_ptr() and len(tensors) == self.n and first.dtype == torch.uint8
                    and all(t.shape == batch.shape[1:] and t.stride() == batch.stride()[1:] and t.data_ptr() == first.data_ptr() + i * step
                            for i, t in enumerate(tensors))):
                return batch
        return None
