"""Files that are written whole or not at all."""

import os
from pathlib import Path

import pytest

from agentsquad import files


def test_a_link_stays_one_and_modes_stay_as_they_are(tmp_path: Path) -> None:
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    target.parent.mkdir()
    target.write_text("old", encoding="utf-8")
    target.chmod(0o640)
    link.symlink_to(target)
    files.replace(link, b"new")
    assert link.is_symlink()
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o640)
    files.replace(link, b"newer", 0o600)
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in target.parent.iterdir()) == ["file"]


def test_a_new_file_has_the_usual_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.replace(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace(tmp_path / "folder", b"new")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_who_owns_a_file_keeps_it(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives files to others")
    file = tmp_path / "file"
    file.touch()
    os.chown(file, 1234, 1234)
    files.replace(file, b"new")
    assert (file.stat().st_uid, file.stat().st_gid) == (1234, 1234)
