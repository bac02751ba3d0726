"""The picture of the loop at the top of loop.py is the truth: it names the events of a real fit, in order."""
import re

import torch
from torch.utils.data import DataLoader, TensorDataset

from minifast.callbacks.base import EVENTS, Callback
from minifast.data.loaders import DataLoaders
from minifast.learner import loop
from minifast.learner.learner import Learner


def picture():
    "The picture as a nested list: strings are lines, `(line, [body])` are loops."
    text = loop.__doc__.split("in which they are called:\n")[1].split("\nA `Cancel")[0]
    lines = [(len(s) - len(s.lstrip()), s.strip()) for s in text.splitlines() if s.strip()]

    def block(i, indent):
        body = []
        while i < len(lines) and lines[i][0] >= indent:
            if lines[i][1].startswith("for "):
                inner, nxt = block(i + 1, lines[i + 1][0])
                body.append((lines[i][1], inner))
                i = nxt
            else:
                body.append(lines[i][1])
                i += 1
        return body, i

    return block(0, lines[0][0])[0]


def play(body, n_epoch, n_train, n_valid):
    "The events that the picture promises."
    for line in body:
        if isinstance(line, tuple):
            times = n_epoch if "epoch" in line[0] else n_train if "train" in line[0] else n_valid
            for _ in range(times):
                yield from play(line[1], n_epoch, n_train, n_valid)
        elif re.fullmatch(r"\w+", line):
            yield line


def recorder_of(events):
    return Callback(**{e: (lambda e=e: events.append(e)) for e in EVENTS})


def test_picture_equals_a_recorded_fit():
    heard = []
    x, y = torch.randn(6, 3), torch.randn(6, 1)
    dls = DataLoaders(DataLoader(TensorDataset(x, y), 2), DataLoader(TensorDataset(x[:4], y[:4]), 2))
    learn = Learner(dls, torch.nn.Linear(3, 1), loss_func=torch.nn.MSELoss(), cbs=recorder_of(heard))
    heard.clear()
    with learn.no_bar(), learn.no_logging():
        learn.fit(2)
    assert heard == list(play(picture(), 2, 3, 2))


def test_every_event_is_in_the_picture_or_a_cancellation():
    drawn = set(play(picture(), 1, 1, 1))
    assert {e for e in EVENTS if e not in drawn} == {e for e in EVENTS if "cancel" in e} | {"after_create"}
