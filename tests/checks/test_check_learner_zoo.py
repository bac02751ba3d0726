"""`check` names the cause of what is broken, and is silent about what is healthy."""
import inspect

import pytest
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
import zoo_rest  # noqa: F401
import zoo_series  # noqa: F401
import zoo_texts  # noqa: F401
from zoo import BROKEN, HEALTHY

from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders
from minifast.checks.codes import CODES


def made(animal, folder):
    return animal.make(folder) if inspect.signature(animal.make).parameters else animal.make()


def checked(animal, folder):
    "The reports of an animal: of its learner and its data, or of its data alone."
    subject = made(animal, folder)
    if hasattr(subject, "model"):
        return [check_learner(subject, **animal.kwargs)]
    return [check_loaders(subject, **animal.kwargs)]


@pytest.mark.slow
@pytest.mark.parametrize("animal", BROKEN, ids=lambda a: a.name)
def test_names_the_cause(animal, tmp_path):
    report, = checked(animal, tmp_path)
    assert report[animal.code].verdict == animal.verdict, str(report)
    assert report[animal.code].found and report[animal.code].advice
    if animal.verdict == "issue":
        assert report.cause.code == animal.code, str(report)
    assert not [c for c in report if "could not be run" in c.found], str(report)


@pytest.mark.slow
@pytest.mark.parametrize("animal", HEALTHY, ids=lambda a: a.name)
def test_is_silent_about_the_healthy(animal, tmp_path):
    learn = made(animal, tmp_path)
    for report in (check_learner(learn, **animal.kwargs), check_loaders(learn.dls)):
        assert report.ok, str(report)
        assert not [c for c in report if "could not be run" in c.found], str(report)


def test_the_zoo_is_large_enough():
    assert len(BROKEN) >= 40 and len(HEALTHY) >= 20
    shown = {a.code for a in BROKEN}
    assert shown == set(CODES)
