"The table of what settings are worth."
import pytest

from minifast.checks.speedup.report import Row, SpeedReport
from minifast.checks.speedup.trials import Ratio


def report(**kw):
    rows = [Row("bf16", "slower", Ratio(0.8, 0.7, 0.9, 5), "model", "rounding", "", "learn.to_bf16()"),
            Row("channels-last", "faster", Ratio(1.5, 1.4, 1.6, 5), "model", "rounding", "", "learn.to_channelslast()"),
            Row("fp16", "not tried", note="it needs an accelerator <here>")]
    return SpeedReport("speedup() of Net", rows, ("learn.to_channelslast()",), 1.4, (1.3, 1.5), 1.45, 5,
                       {"step": 0.1, "model": 0.08, "wait": 0.01}, 9.0, 30.0, **kw)


def test_text():
    text = str(report())
    assert "a training step takes 100 ms, 20% of it for data (10 ms waiting for them)" in text
    assert "a step 1.45 times as fast; 5 epochs 1.40 times (1.30-1.50)" in text and "write: learn.to_channelslast()" in text
    lines = text.splitlines()
    assert lines[2].split() == ["setting", "ratio", "spread", "of", "changes", "verdict"] and "1.40-1.60" in lines[4]
    assert "applied: learn.to_channelslast()" in str(report(applied=True)) and repr(report()) == text


def test_html_and_frame():
    html = report()._repr_html_()
    assert "&lt;here&gt;" in html and html.count("<tr>") == 4
    frame = report().frame().set_index("setting")
    assert frame.loc["bf16", "ratio"] == 0.8 and frame.loc["channels-last", "write"] == "learn.to_channelslast()" and len(frame) == 3


def test_looking_up():
    r = report()
    assert r["bf16"].verdict == "slower" and len(r) == len([*r]) == 3 and r.bottleneck == "model" and r.data_share == pytest.approx(0.2)
    with pytest.raises(KeyError, match="bf16, channels-last, fp16"):
        r["int8"]
    assert SpeedReport("x").data_share == 0 and "nothing that was tried" in str(SpeedReport("x"))
