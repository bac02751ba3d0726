"Several ranks share a stream: each item once, as many batches on each rank, validation in the order of the source."
import sys
from pathlib import Path

import pytest
import torch
from torchrun import run_ranks

sys.path.insert(0, str(Path(__file__).parent / "streams"))
from numbered import SIZES

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "processes" / "ranks_streams.py"
GOING_ON = SCRIPT.with_name("ranks_going_on.py")
ALL = list(range(100))


@pytest.fixture(scope="module", params=[2, 3])
def ranks(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    run_ranks(request.param, SCRIPT, folder, timeout=400)
    return [torch.load(folder / f"{request.param}-{r}.pt", weights_only=True) for r in range(request.param)]


def joined(ranks, key, k):
    "Batches of all ranks together, those of rank 0 first; that the ranks agree on their sizes is looked at on the way."
    epochs = [found[key][k] for found in ranks]
    assert len({len(e) for e in epochs}) == 1
    batches = []
    for parts in zip(*epochs, strict=True):
        assert len({total for _, total in parts}) == 1 and sum(len(own) for own, _ in parts) == parts[0][1]
        batches.append([i for own, _ in parts for i in own])
    return batches


def flat(batches):
    return [i for b in batches for i in b]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["known", "unknown", "plain", "keeps_place", "splits_itself", "few"])
def test_ranks_share_a_stream(ranks, name, num_workers):
    for shuffle in (False, True):
        first, second, went_on = (joined(ranks, (name, num_workers, shuffle), k) for k in range(3))
        assert [len(b) for b in first] == [12] * 8 + [4]
        uneven = name in ("unknown", "splits_itself") and (num_workers, len(ranks)) != (0, 2)       # whole shards, other sizes
        assert uneven or sorted(flat(first)) == sorted(flat(second)) == ALL
        assert went_on == first
        assert shuffle == (first != second) or uneven
    first, second, went_on = (joined(ranks, (name, num_workers, "valid"), k) for k in range(3))
    assert first == second == went_on
    assert sorted(flat(first)) == ALL
    if not (name == "splits_itself" and num_workers):
        assert flat(first) == ALL and [len(b) for b in first] == [9] * 11 + [1]


def test_other_numbers_of_ranks_go_on_exactly_or_are_refused(tmp_path):
    "As 2 ranks, 1, and 2, in the middle of an epoch."
    runs = []
    for k, (n, batches) in enumerate(((2, 3), (1, 2), (2, 99))):
        run_ranks(n, GOING_ON, tmp_path, k, batches)
        runs.append([torch.load(tmp_path / f"{k}-{r}.pt", weights_only=True) for r in range(n)])
    for name in runs[0][0]:
        parts = [joined(found, name, 0) for found in runs]
        refused = name in ("known", "unknown")              # of which each rank reads shards of its own
        assert [len(p) for p in parts] == ([3, 0, 6] if refused else [3, 2, 4]), name
        assert sorted(flat(flat(parts))) == ALL, name
        told = runs[1][0][name][1]
        assert not refused or ("read with 2 ranks and num_workers=0, and cannot go on where it was with 1 rank and "
                               "num_workers=0" in told and "use as many as before" in told)
        assert refused or not any(found[name][1] for run in runs for found in run), name


def test_ranks_train_and_predict(ranks):
    x = torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(i)) for i in range(sum(SIZES))])
    for found in ranks:
        got = found["learner"]
        assert torch.equal(got["weight"], ranks[0]["learner"]["weight"])
        assert torch.equal(got["targets"], (x[:, 0] > 0).long())
        assert len(got["preds"]) == 100 and torch.equal(got["preds"], ranks[0]["learner"]["preds"])
        right = (got["preds"].argmax(1) == got["targets"]).float().mean()
        assert right > 0.8
