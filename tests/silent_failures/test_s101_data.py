"Row S101: a damaged archive."
import zipfile

import pytest

from minifast.sources.archives import ArchiveError, unpack_archive


def test_s101_a_damaged_archive(tmp_path):
    """A byte of a zip that changes: the length of a comment, so that the entries after it are part of the comment.

    Elsewhere: these files are missing from the data, and nothing says so.
    Here: the archive is refused: "it states 4 members, and lists 1".
    """
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as z:
        for i in range(4):
            z.writestr(f"t/{i}", bytes(9))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.index(b"PK\1\2") + 32] = 3 * (46 + len("t/1"))
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ArchiveError, match="it states 4 members, and lists 1"):
        unpack_archive(tmp_path / "a.zip", tmp_path / "out")
