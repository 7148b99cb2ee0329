"""Files that were downloaded beside an export are found by number and name, and what cannot be read is told."""

from pathlib import Path
from typing import Any

import pytest

from trackside.errors import InputError
from trackside_modules.support.importing.beside import Beside


@pytest.mark.parametrize("name", [None, "", "a/b.txt", "..", "x" * 201, "fine.txt"])
def test_a_file_is_found_by_its_number_whatever_its_name(tmp_path: Path, name: str | None) -> None:
    (tmp_path / "7").write_bytes(b"hello")
    told: dict[str, Any] = {"id": 7, "size": 5} | ({} if name is None else {"file_name": name})
    found = Beside(tmp_path, 10, 100).of([told])
    assert found[0].path == tmp_path / "7"


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(InputError, match="'a.txt' could not be read .Permission denied."):
        Beside(tmp_path, 10, 100).of([{"id": 7, "file_name": "a.txt"}])
