"""What a learner can do gives the same with two ranks as with one: lr_find, early stopping, predictions, fine_tune, loggers ..."""
import re
from pathlib import Path

import pytest
import torch
from ranks_verbs import VERBS
from torchrun import run_ranks

SCRIPT = Path(__file__).parents[1] / "processes" / "ranks_verbs.py"
#: What is not to be the same: random numbers that each rank draws for itself.
OWN = {("streams", "first")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("verbs")
    alone, together = run_ranks(1, SCRIPT, folder), run_ranks(2, SCRIPT, folder)
    results = [torch.load(folder / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")]
    return folder, alone, together, results


@pytest.mark.slow
@pytest.mark.parametrize("verb", [verb.__name__ for verb in VERBS])
def test_two_ranks_do_what_one_does(runs, verb):
    alone, *together = (results[verb] for results in runs[3])
    for results in together:
        assert results.keys() == alone.keys()
        for name, value in alone.items():
            if (verb, name) in OWN:
                continue
            if isinstance(value, torch.Tensor):
                torch.testing.assert_close(results[name], value, rtol=1e-4, atol=2e-6, msg=lambda m: f"{name}: {m}")   # noqa: B023
            else:
                assert results[name] == value, name
    first, second = together
    assert all(torch.equal(first[n], second[n]) for n in first if (verb, n) not in OWN and isinstance(first[n], torch.Tensor))


@pytest.mark.slow
def test_rank_0_alone_writes(runs):
    "The same files as of one process: two of them would have left more, or rows twice."
    def files(world):
        names = (f.relative_to(runs[0]).as_posix() for f in runs[0].rglob("*") if f.is_file() and f.suffix != ".pt")
        times = re.compile(r"\d{8}-\d{6}_[0-9a-f]{6}|\.\d{10}\.\S+")
        return sorted(times.sub("", name[2:]) for name in names if name.startswith(f"{world}-"))
    assert files(1) == files(2) and len(files(1)) > 8
    for name in ("history.csv", "history.jsonl"):
        lengths = {len((runs[0] / f"{world}-loggers" / name).read_text().splitlines()) for world in (1, 2)}
        assert len(lengths) == 1


@pytest.mark.slow
def test_rank_0_alone_speaks(runs):
    _, alone, together, _ = runs
    say = "2 ranks train together (ddp): bs=16 is the batch of all of them, 8 items each"
    assert together.stdout.count(say) == 1 and "ranks" not in alone.stdout
    times = re.compile(r"time .*|verbs0/[12]-")          # the folders of the two runs differ in name
    assert times.sub("", together.stdout).replace(f"{say}\n", "") == times.sub("", alone.stdout)
