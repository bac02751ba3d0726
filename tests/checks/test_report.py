import pytest
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from zoo import BROKEN, HEALTHY

from minifast.checks.check_learner import CHECKS, check_learner
from minifast.checks.check_loaders import CHECKS as DATA_CHECKS
from minifast.checks.codes import CODES
from minifast.checks.outcomes import Check, NotApplicable, Skipped, graded, in_time, issue, passed, require, tip
from minifast.checks.report import ChecksFailed, Entry, Report, check_ignore, run


def animal(name):
    return next(a for a in BROKEN + HEALTHY if a.name == name).make()


@pytest.fixture
def report():
    return Report([Check("MF401", "tip", "a bit high", {"loss": 3.0}), Check("MF105", "issue", "softmax twice", {"n": 2}, "drop it"),
                   Check("MF101", "pass"), Check("MF501", "skipped", "ignored"), Check("MF202", "not applicable", "ask for it")],
                  "learn.check() of X", {"preparing": 1.0, "MF105": 0.5})


def test_a_report_sorts_by_cause_and_can_be_asked(report):
    assert [c.code for c in report] == ["MF101", "MF105", "MF202", "MF401", "MF501"] and len(report) == 5
    assert report.cause.code == "MF105" and not report.ok and [c.code for c in report.tips] == ["MF401"]
    assert report["MF401"].evidence == {"loss": 3.0} and report.seconds == 1.5
    with pytest.raises(KeyError, match="MF601 .* is not in this report"):
        report["MF601"]
    with pytest.raises(ValueError, match="there is no check 'MF999'"):
        report["MF999"]


def test_a_report_as_text_html_and_frame(report):
    text = str(report)
    assert text.startswith("learn.check() of X: 1 issue, 1 tip, 1 passed, 1 not applicable, 1 skipped (1.5 s)")
    assert "✗ MF105 Final activation: issue. softmax twice" in text and "n=2" in text and "docs/checks.md#mf105" in text
    assert text.index("MF105") < text.index("MF401") < text.index("MF101")
    html = Report([Check("MF105", "issue", "<b>")])._repr_html_()
    assert "&lt;b&gt;" in html and "<b>MF" not in html and "docs/checks.md#mf105" in html
    frame = report.frame()
    assert frame.verdict.tolist() == ["pass", "issue", "not applicable", "tip", "skipped"] and frame.loc[1, "evidence"] == {"n": 2}
    assert list(Report([]).frame().columns)[:2] == ["code", "verdict"]


def test_raise_if_failed(report):
    with pytest.raises(ChecksFailed, match=r"1 check failed for learn.check\(\) of X:\n.*softmax twice") as e:
        report.raise_if_failed()
    assert e.value.report is report
    good = Report([Check("MF101", "pass"), Check("MF401", "tip", "high")])
    assert good.raise_if_failed() is good
    with pytest.raises(ChecksFailed, match="MF401"):
        good.raise_if_failed(tips=True)


def test_unknown_codes_and_verdicts_are_refused():
    with pytest.raises(ValueError, match="did you mean 'MF1"):
        Check("MF1011", "pass")
    with pytest.raises(ValueError, match="verdict='bad'"):
        Check("MF101", "bad")
    with pytest.raises(ValueError, match="no check 'softmax'"):
        check_ignore(["MF101", "softmax"])
    assert check_ignore("MF101") == {"MF101"}


def test_run_skips_what_needs_a_failed_check_and_survives_errors():
    def broken(probe):
        raise RuntimeError("odd\nmodel")

    def skipping(probe):
        raise Skipped("needs MF105, which failed")

    by_code = run([Entry("MF101", lambda probe: issue("nan", n=1)), Entry("MF102", lambda probe: passed(), ("MF101",)),
                   Entry("MF103", lambda probe: passed(), ("MF102",)), Entry("MF108", broken), Entry("MF110", skipping),
                   Entry("MF501", lambda probe: passed(), slow=True), Entry("MF502", lambda probe: passed()),
                   Entry("MF503", lambda probe: require(probe, "there is no probe")), Entry("MF504", lambda probe: tip("", "mine"))],
                  None, ["MF502"], fast=True)
    assert by_code["MF101"] == Check("MF101", "issue", "nan", {"n": 1}, CODES["MF101"].advice)
    assert by_code["MF102"].found == "needs MF101, which failed" and by_code["MF103"].found == "needs MF102, which failed"
    assert by_code["MF108"].verdict == "skipped" and by_code["MF108"].found == "could not be run here: RuntimeError: odd"
    assert by_code["MF110"].verdict == "skipped" and by_code["MF110"].found == "needs MF105, which failed"
    assert by_code["MF501"].found == "left out by fast=True" and by_code["MF502"].found == "ignored"
    assert by_code["MF503"] == Check("MF503", "not applicable", "there is no probe") and by_code["MF504"].advice == "mine"
    assert set(by_code.times) == {c.code for c in by_code}


def test_grades():
    verdicts = [graded("", issue, tip, "do it").verdict for issue, tip in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert verdicts == ["issue", "issue", "tip", "pass"] and graded("", advice="do it").advice == ""
    with pytest.raises(NotApplicable, match="too few"):
        require([], "too few")


def test_ignore_and_fast():
    learn = animal("classes from points")
    report = check_learner(learn, fast=True, ignore=["MF310", "MF701"])
    assert report["MF310"].found == "ignored" and report["MF501"].found == "left out by fast=True" and report.ok
    with pytest.raises(ValueError, match="no check"):
        check_learner(learn, ignore=["MF000"])


def test_the_learning_rate_can_be_given():
    learn = animal("classes from points")
    report = check_learner(learn, fast=True, lr=5.0)
    assert report["MF308"].verdict == "issue" and learn.lr == 1e-3


def test_every_code_is_checked_once_and_documented():
    codes = [entry.code for entry in (*CHECKS, *DATA_CHECKS)]
    assert set(codes) == set(CODES)
    assert len(CHECKS) == len({entry.code for entry in CHECKS}) and len(DATA_CHECKS) == len({entry.code for entry in DATA_CHECKS})
    assert all(entry.function.__doc__ for entry in (*CHECKS, *DATA_CHECKS))
    assert all(code.title and code.asks.endswith("?") and code.advice for code in CODES.values())


def test_plots_are_drawn_on_request():
    import matplotlib.pyplot as plt
    drawn = []
    report = Report([Check("MF105", "issue", "x", draw=lambda: drawn.append(1)), Check("MF101", "pass")])
    assert report.show() == 1 and report.show("MF101") == 0 and drawn == [1]
    plt.close("all")


def test_the_page_of_the_docs_is_up_to_date():
    import importlib.util
    from pathlib import Path
    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("make_checks", root / "docs" / "make_checks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page(), "run python docs/make_checks.py"


def test_items_are_taken_while_there_is_time():
    import time
    assert list(in_time(range(5), 60)) == [0, 1, 2, 3, 4] and list(in_time([], 60)) == []
    assert [i for i in in_time(range(1000), 0.01) if time.sleep(0.02) is None] == [0]
