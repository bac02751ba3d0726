"""What a report says first, what it folds, what it leaves out."""
import time

import pytest
from torch import nn
from zoo import loaders, mlp, numbers, points, regressor, trained

from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders
from minifast.checks.outcomes import issue, passed, tip
from minifast.checks.report import ChecksFailed, Entry, run
from minifast.learner.probe import probing
from minifast.nn.activations import SigmoidRange


class Scaled(nn.Module):
    def forward(self, x):
        return 180_000 + 60_000 * x


def test_consequences_are_folded_under_their_cause():
    report = run([Entry("MF107", lambda probe: issue("thousands")), Entry("MF502", lambda probe: issue("stuck"), follows=("MF107",)),
                  Entry("MF504", lambda probe: tip("worse"), follows=("MF108", "MF502")),
                  Entry("MF601", lambda probe: issue("random"), follows=("MF108",))], None)
    assert [c.code for c in report.issues] == ["MF107", "MF601"] and report.tips == [] and report.cause.code == "MF107"
    assert [c.code for c in report.consequences("MF107")] == ["MF502", "MF504"] and report["MF504"].cause == "MF502"
    text = str(report)
    assert "2 issues, 0 tips" in text
    assert "    look again when that is mended: MF502 Overfit one batch (stuck); MF504 Baselines (worse)" in text
    html = report._repr_html_()
    assert "look again after MF107: " in html and "look again after MF502: " in html
    assert report.frame().set_index("code").cause["MF502"] == "MF107"
    with pytest.raises(ChecksFailed, match=r"(?s)2 checks failed.*look again when that is mended: MF502 .*; MF504 "):
        report.raise_if_failed(tips=True)


def test_what_does_not_apply_is_one_line_and_a_tick_says_what_was_seen():
    x, y = points()
    text = str(check_loaders(loaders(x, y), fast=True))
    line, = [o for o in text.splitlines() if o.startswith("·")]
    assert "MF801-MF808" in line and "image" not in text and len(line) < 100
    assert "✓ MF832 Normalisation: mean" in text and sum("nothing found" in o for o in text.splitlines()) == 1


def test_cheap_checks_come_first_and_the_budget_is_kept():
    def slow(probe):
        time.sleep(0.05)
        return passed()

    ran = []
    entries = [Entry("MF501", slow, turn=1), Entry("MF101", lambda probe: ran.append(1) or passed()), Entry("MF701", slow, turn=2)]
    report = run(entries, None, budget=0.02)
    assert ran and report["MF501"].verdict == "pass" and report["MF701"].verdict == "skipped"
    assert "- skipped, left out by the budget of 0.02 s (budget=0.06): MF701 Step time" in str(report)
    learn = regressor()
    report = check_learner(learn, budget=1e-6)
    assert report["MF502"].verdict == report["MF101"].verdict == "skipped"
    for wrong in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="a positive number of seconds, such as budget=20"):
            learn.check(budget=wrong)


class Slow(nn.Module):
    "Takes 2 ms per item."

    def forward(self, x):
        time.sleep(0.002 * len(x))
        return x


@pytest.mark.parametrize(("seconds", "fewer"), [(0.02, True), (5, False)])           # all items take 32 ms
def test_of_a_slow_model_fewer_items_are_looked_at(seconds, fewer):
    with probing(regressor(nn.Sequential(Slow(), mlp(out=1))), False, 0) as probe:
        usual = probe.n_items
        probe.shrink(seconds)
        assert 4 <= probe.n_items <= usual and (probe.n_items < usual) is fewer and probe.step.n == probe.n_items


@pytest.mark.parametrize("mend", ["divide", "y_range", "trained"])
def test_targets_in_dollars_lead_and_what_is_advised_helps(mend):
    x, y = numbers(offset=180_000.0, scale=60_000.0)
    only = [f"MF{n}" for n in (501, 701, 602, 603, 309, 310, 302, 303)]
    report = check_learner(regressor(x=x, y=y), ignore=only)
    assert report.cause.code == "MF112" and [c.code for c in report.issues] == ["MF112"], str(report)
    assert "MF401" in str(report.consequences("MF112"))
    low, high, advice = float(y.min()), float(y.max()), report["MF112"].advice
    assert "divide it by 100,000" in advice and "y_range=(" in advice
    learn = (regressor(x=x, y=y / 100_000) if mend == "divide" else
             regressor(nn.Sequential(mlp(out=1), SigmoidRange(low - 1e4, high + 1e4)), x=x, y=y) if mend == "y_range" else
             trained(regressor(nn.Sequential(mlp(out=1), Scaled()), x=x, y=y), 20))
    assert check_learner(learn, fast=True, ignore=only)["MF112"].verdict == "pass"


def test_small_spread_needs_no_scaling():
    x, y = numbers(offset=1000.0, scale=10.0)
    report = check_learner(regressor(x=x, y=y), fast=True)
    assert report["MF112"].verdict == "pass" and report.cause.code == "MF401"
