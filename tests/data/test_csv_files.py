"""CSV files."""
import pytest

from minifast.data.csv_files import read_csv


def test_a_url_of_any_kind_is_for_pandas(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x\n1\n")
    assert read_csv(file.as_uri())["x"].tolist() == read_csv(str(file))["x"].tolist() == read_csv(file)["x"].tolist() == [1]
    with pytest.raises(FileNotFoundError, match=r"there is no file .*b.csv'; did you mean 'a.csv'\?"):
        read_csv(tmp_path / "b.csv")
