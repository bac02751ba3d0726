"""Files of the archives of time series: what they hold, and what is said where they contradict their header."""
import math
import os
from pathlib import Path

import numpy as np
import pytest

from minifast.timeseries.all import TSDataLoaders, pd, read_arff, read_ts, read_tsv, series_shape

DATA = Path(os.environ.get("MINIFAST_TEST_DATA", "none")) / "timeseries"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="MINIFAST_TEST_DATA has no time series")

TS = """# what it is
@problemName Two
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
1,2,3:4,5,?:up
# a remark
1.5,-2:1e2,NaN:down
"""
ARFF = """% what it is
@RELATION 'Two of three'
@attribute a1 numeric
@attribute a2 numeric
@attribute a3 numeric
@attribute class {1, 'two words'}
@DATA
1,2,?,1
4,5,6,'two words'
"""
RELATIONAL = r"""@relation R
@attribute channels relational
  @attribute t0 numeric
  @attribute t1 numeric
@end channels
@attribute class {a,b}
@data
"1,2\n3,4\n5,6",a
'0,0\n?,1\n2,2',b
"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="a.ts"):
        (tmp_path / name).write_text(text)
        return tmp_path / name
    return write


def test_ts_with_channels_lengths_and_missing_values(written):
    read = read_ts(written(TS))
    assert read.y.tolist() == ["up", "down"] and read.classes == ["up", "down"] and read.header["problemname"] == "Two"
    first, second = read.X
    assert first.dtype == np.float32 and np.array_equal(first, [[1, 2, 3], [4, 5, math.nan]], equal_nan=True)
    assert np.array_equal(second, [[1.5, -2], [100, math.nan]], equal_nan=True)


def test_ts_of_numbers_to_predict_and_without_targets(written):
    read = read_ts(written("@univariate true\n@targetLabel true\n@data\n1,2:0.5\n3,4:2\n"))
    assert read.X.shape == (2, 1, 2) and read.y.tolist() == [0.5, 2] and read.classes is None
    read = read_ts(written("@univariate true\n@classLabel false\n@data\n1,2\n3,4\n"))
    assert read.X.shape == (2, 1, 2) and read.y is None


def test_arff_of_one_and_of_several_channels(written):
    read = read_arff(written(ARFF, "a.arff"))
    assert read.X.shape == (2, 1, 3) and np.isnan(read.X[0, 0, 2]) and read.y.tolist() == ["1", "two words"]
    assert read.classes == ["1", "two words"] and read.header == {"relation": "Two of three"}
    read = read_arff(written(RELATIONAL, "b.arff"))
    assert read.X.shape == (2, 3, 2) and read.X[0].tolist() == [[1, 2], [3, 4], [5, 6]] and np.isnan(read.X[1, 1, 0])
    assert read.y.tolist() == ["a", "b"]
    read = read_arff(written("@relation R\n@attribute a numeric\n@attribute y numeric\n@data\n1,2.5\n", "c.arff"))
    assert read.y.tolist() == [2.5] and read.classes is None


def test_tsv_of_several_lengths(written):
    read = read_tsv(written("1\t0.5\tNaN\t2\n-1\t3\t4\tNaN\n", "a.tsv"))
    assert read.y.tolist() == ["1", "-1"] and [x.shape for x in read.X] == [(1, 3), (1, 2)] and np.isnan(read.X[0][0, 1])


@needs_data
def test_files_of_the_archive():
    as_ts, as_tsv = read_ts(DATA / "GunPoint/GunPoint_TRAIN.ts"), read_tsv(DATA / "GunPoint/GunPoint_TRAIN.tsv")
    assert as_ts.X.shape == (50, 1, 150) and np.array_equal(as_ts.X, as_tsv.X) and np.array_equal(as_ts.y, as_tsv.y)
    vowels = read_ts(DATA / "JapaneseVowels/JapaneseVowels_TRAIN.ts")
    assert len(vowels.X) == 270 and {len(x) for x in vowels.X} == {12} and len(vowels.classes) == 9
    assert read_ts(DATA / "Covid3Month/Covid3Month_TEST.ts").y.dtype == np.float64


WRONG = [
    (TS.replace("1,2,3:", "1,2,x:"), r"a\.ts, line 9: 'x' \(channel 0, step 2\) is not a number; a missing value is written as \?"),
    (TS.replace("4,5,?", "4,5"), r"line 9: the channels of a series must be equally long; received 3, 2 steps"),
    (TS.replace(":4,5,?", ""), r"line 9: a series of 2 channels was expected; received 1"),
    (TS.replace(":down", ":dawn"), r"line 11: the label 'dawn' is not among the classes of the header, 'up', 'down'.*did you mean 'down'"),
    (TS.replace("1.5,-2:1e2,NaN:down", "1.5"), r"line 11: a series and its label, separated by a colon"),
    (TS.replace("Length false", "Length true"),
     r"a\.ts: the header says @equalLength true, and series have from 2 to 3 steps: write @equalLength false"),
    (TS.replace("Length false", "Length true\n@seriesLength 3"),
     r"line 12: a series of 3 steps was expected, as the header says; received 2"),
    (TS.replace("@univariate false", "@univariate no"), r"@univariate must be true or false; received 'no'"),
    (TS.replace("dimensions 2", "dimensions two"), r"@dimensions must be a whole number from 1; received 'two'"),
    (TS.replace("true up down", "true"), r"@classLabel true lists no classes: write them after it"),
    (TS.replace("@data\n", ""), r"line 8: the header must end with a line @data"),
    (TS.replace("classLabel true up down", "targetLabel true"), r"lists no classes, and the target 'up' is not a number"),
    (TS.partition("@data")[0], r"there is no line @data"),
    (TS.partition("1,2,3")[0], r"there are no series after @data"),
]


@pytest.mark.parametrize(("text", "said"), WRONG)
def test_what_contradicts_the_header_is_named(written, text, said):
    with pytest.raises(ValueError, match=said):
        read_ts(written(text))


def test_what_the_messages_advise_helps(written):
    equal = TS.replace("Length false", "Length true")
    assert len(read_ts(written(equal.replace("@equalLength true", "@equalLength false"))).X) == 2
    assert read_ts(written(TS.replace("1,2,3:", "1,2,?:"))).X[0].shape == (2, 3)
    assert len(read_ts(written(TS.replace("classLabel true up down", "classLabel true up down 1 2"))).classes) == 4
    stamped = written(TS.replace("timeStamps false", "timeStamps true"))
    with pytest.raises(ValueError, match=r"TSDataLoaders\.from_df\(df, id_col='id', time_col='time'\)"):
        read_ts(stamped)
    df = pd.DataFrame({"id": [1, 1, 2, 2], "time": [0, 1, 0, 1], "value": [0.5, 1.0, 2.0, 3.0]})
    dls = TSDataLoaders.from_df(df, id_col="id", time_col="time", bs=1)
    assert len(dls.train_ds) + len(dls.valid_ds) == 2


@pytest.mark.parametrize(("read", "name", "text", "said"), [
    (read_arff, "a.arff", ARFF.replace("1,2,?,1", "1,2,1"), r"line 8: a series of 3 steps was expected, as the header says; received 2"),
    (read_arff, "a.arff", ARFF.replace(",6,", ",six,"), r"line 9: 'six' \(channel 0, step 2\) is not a number"),
    (read_arff, "a.arff", ARFF.replace("@attribute a2", "@atribute a2"), r"line 4: the header has lines @relation, @attribute"),
    (read_arff, "a.arff", RELATIONAL.replace('"1,2', "1,2"), r"the channels must be one text in quotes"),
    (read_arff, "a.arff", ARFF.replace("'two words'\n", "three\n"), r"line 9: the label 'three' is not among the classes"),
    (read_tsv, "a.tsv", "1,2,3\n", r"line 1: a label and the steps of a series, separated by tabs, were expected"),
    (read_tsv, "a.tsv", "1\tNaN\n", r"line 1: the series has no values"),
])
def test_of_other_files_too(written, read, name, text, said):
    with pytest.raises(ValueError, match=said):
        read(written(text, name))


def test_a_file_that_is_not_there_or_of_another_kind(written):
    file = written(TS, "GunPoint_TRAIN.ts")
    with pytest.raises(FileNotFoundError, match=r"did you mean 'GunPoint_TRAIN\.ts'"):
        read_ts(file.with_name("GunPoint_TRAN.ts"))
    with pytest.raises(ValueError, match=r"end with .*\.ts.*write TSDataLoaders\.from_df\(pd\.read_csv\(file\)"):
        TSDataLoaders.from_ts_file(file.with_suffix(".csv"))
    assert len(TSDataLoaders.from_df(pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 3.0]}), bs=1).train_ds) >= 1


def _file(n, target="classLabel true b a"):
    rows = [f"{i},{i + 1},{i + 2}:{'ab'[i % 2] if target[0] == 'c' else float(i)}" for i in range(n)]
    return f"@univariate true\n@{target}\n@data\n" + "\n".join(rows) + "\n"


def test_loaders_take_the_test_set_beside_the_training_set(written):
    train, test = written(_file(6), "A_TRAIN.ts"), written(_file(4), "A_TEST.ts")
    dls = TSDataLoaders.from_ts_file(train, bs=2)
    assert list(dls.vocab) == ["b", "a"] and (len(dls.train_ds), len(dls.valid_ds)) == (6, 4) and series_shape(dls).n_steps == 3
    assert dls.path == train.parent and TSDataLoaders.from_ts_file(train, bs=2, path="elsewhere").path.name == "elsewhere"
    assert len(TSDataLoaders.from_ts_file(test, train, bs=2).train_ds) == 4
    assert len(TSDataLoaders.from_ts_file(train, valid_pct=0.5, bs=2).train_ds) == 3
    assert len(TSDataLoaders.from_ts_file(written(_file(10), "B.ts"), bs=2).valid_ds) == 2
    numbers = TSDataLoaders.from_ts_file(written(_file(6, target="targetLabel true"), "C_TRAIN.ts"), bs=2)
    assert numbers.one_batch()[1].dtype.is_floating_point
    with pytest.raises(ValueError, match="hold targets of different kinds"):
        TSDataLoaders.from_ts_file(train, written(_file(4, target="targetLabel true"), "D.ts"))


def test_loaders_of_arff(written):
    train, test = written(ARFF.replace("?", "3") + "7,8,9,1\n", "A_TRAIN.arff"), written(ARFF.replace("?", "0"), "B.arff")
    dls = TSDataLoaders.from_arff(train, test, bs=1)
    assert list(dls.vocab) == ["1", "two words"] and len(dls.valid_ds) == 2
