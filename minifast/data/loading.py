"""What a thread that is making a batch wants of the things it opens: where decoded pictures are kept, and in which layout they are to be.

A picture is opened deep inside a dataset, by functions that know nothing of loaders. They ask here, in their own thread.
"""
import threading
from contextlib import contextmanager


class Loading(threading.local):
    "The wishes of the batch being made in this thread; outside of a loader, those of nobody."

    cache = None                #: a `cache.PictureCache`, or None
    channels_last = False       #: whether tensors of pictures may have their channels last in memory


#: Read by whatever opens pictures.
current = Loading()


@contextmanager
def loading(cache=None, channels_last=False):
    "Within the block this thread makes a batch with these wishes."
    before = current.cache, current.channels_last
    current.cache, current.channels_last = cache, channels_last
    try:
        yield
    finally:
        current.cache, current.channels_last = before
