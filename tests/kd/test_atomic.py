"""Tests of kd.atomic: output appears whole or not at all."""

import os

import pytest

from kd.atomic import new_file, new_folder, write_text


def names_in(folder):
    """What stands in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def stop_within(manager, write):
    """Enter, write something, and crash before the block ends."""
    with manager as temporary:
        write(temporary)
        raise RuntimeError("stopped")


def test_a_new_file_takes_its_name_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "answers.csv"
    with new_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names_in(path.parent) == [path.name]


def test_a_crash_in_the_block_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "answers.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="stopped"):
        stop_within(new_file(path), lambda temporary: temporary.write_text("half of the ne"))
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["answers.csv"]


def test_a_crash_in_the_first_block_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="stopped"):
        stop_within(new_file(tmp_path / "a.csv"), lambda temporary: temporary.write_text("half"))
    assert names_in(tmp_path) == []


def test_a_new_folder_replaces_the_whole_old_one(tmp_path):
    """A file that only the old model had would be loaded with the new one."""
    folder = tmp_path / "student"
    for name in ("old.json", "new.json"):
        with new_folder(folder) as temporary:
            (temporary / name).write_text(name)
    assert names_in(folder) == ["new.json"]
    assert names_in(tmp_path) == ["student"]


def test_a_crash_in_the_block_leaves_the_old_folder_and_no_other(tmp_path):
    folder = tmp_path / "student"
    with new_folder(folder) as temporary:
        (temporary / "weights").write_text("old")
    with pytest.raises(RuntimeError, match="stopped"):
        stop_within(new_folder(folder), lambda temporary: (temporary / "weights").write_text("ne"))
    assert (folder / "weights").read_text() == "old"
    assert names_in(tmp_path) == ["student"]


def test_a_failed_exchange_leaves_the_old_folder(tmp_path, monkeypatch):
    """A full disk between the two renames must not cost the model that was there."""
    folder = tmp_path / "student"
    with new_folder(folder) as temporary:
        (temporary / "weights").write_text("old")
    rename = os.replace

    def fail_at_the_new_one(source, target):
        if str(source).endswith(".part"):
            raise OSError("no space left")
        rename(source, target)

    monkeypatch.setattr("os.replace", fail_at_the_new_one)
    with pytest.raises(OSError, match="no space left"), new_folder(folder) as temporary:
        (temporary / "weights").write_text("new")
    assert (folder / "weights").read_text() == "old"
