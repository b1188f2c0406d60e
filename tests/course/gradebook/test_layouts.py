"""Hand-ins are found in every layout, and nothing in them can reach out of it."""

import json
import os
import shutil
import stat
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lmlib.course.errors import CourseError
from lmlib.course.gradebook import layouts
from lmlib.course.gradebook.layouts import find

NOTEBOOK = b'{"cells": []}'


def put(path: Path, content: bytes = NOTEBOOK) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def zip_of(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in entries.items():
            packed.writestr(zipfile.ZipInfo(name, (2026, 2, 1, 10, 30, 0)), content, zipfile.ZIP_DEFLATED)
    return path


def owners(found):
    return [(one.student, one.name) for one in found]


def test_a_folder_for_each_student_and_loose_files(tmp_path):
    put(tmp_path / "ann" / "work" / "a.ipynb")
    put(tmp_path / "bob.ipynb")
    put(tmp_path / "ann" / ".ipynb_checkpoints" / "a.ipynb")
    put(tmp_path / "ann" / "notes.txt")
    assert owners(find(tmp_path)) == [("ann", "a.ipynb"), ("bob", "bob.ipynb")]


def test_nbgraders_folders_with_the_moment_that_they_state(tmp_path):
    put(tmp_path / "ann" / "02_attention" / "02_attention.ipynb")
    put(tmp_path / "ann" / "02_attention" / "timestamp.txt", b"2026-02-01 12:30:00.5 UTC\n")
    put(tmp_path / "bob" / "02_attention" / "02_attention.ipynb")
    put(tmp_path / "bob" / "02_attention" / "timestamp.txt", b"yesterday")
    ann, bob = find(tmp_path)
    assert ann.received == datetime(2026, 2, 1, 12, 30, 0, 500_000, UTC)
    assert abs((bob.received - datetime.now(UTC)).total_seconds()) < 60  # that of the file


def test_the_zip_of_canvas(tmp_path):
    names = ["ashann_101_9001_02_attention-1.ipynb", "birchbob_LATE_102_9002_02_attention.ipynb", "x_1_2_notes.txt"]
    found = find(zip_of(tmp_path / "canvas.zip", dict.fromkeys(names, NOTEBOOK)))
    assert owners(found) == [("101", "02_attention.ipynb"), ("102", "02_attention.ipynb")]
    assert found[0].file == NOTEBOOK


def test_the_zip_of_moodle(tmp_path):
    names = ["Ann Ash_31_assignsubmission_file_/a.ipynb", "Li Lei_32_assignsubmission_file/a.ipynb"]
    assert owners(find(zip_of(tmp_path / "m.zip", dict.fromkeys(names, NOTEBOOK)))) == [
        ("Ann Ash", "a.ipynb"),
        ("Li Lei", "a.ipynb"),
    ]


def test_gradescopes_folder(tmp_path):
    put(tmp_path / "submission" / "a.ipynb")
    users = [{"id": 1, "email": "ann@school", "name": "Ann"}, {"id": 2, "email": "bob@school", "name": "Bob"}]
    stated = {"created_at": "2026-02-01T10:00:00-08:00", "users": users}
    put(tmp_path / "submission_metadata.json", json.dumps(stated).encode())
    found = find(tmp_path)
    assert owners(found) == [("ann@school", "a.ipynb"), ("bob@school", "a.ipynb")]
    assert found[0].received.astimezone(UTC) == datetime(2026, 2, 1, 18, tzinfo=UTC)


def test_paths_that_lead_out_of_a_zip_are_names_only(tmp_path):
    place = tmp_path / "inner"
    place.mkdir()
    found = find(zip_of(place / "z.zip", {"../../evil.ipynb": NOTEBOOK, "/etc/ann/x.ipynb": b"1"}))
    assert owners(found) == [("etc", "x.ipynb"), ("evil", "evil.ipynb")]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "z.zip"]


def test_a_zip_bomb_is_one_row_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "LARGEST", 1000)
    bomb, honest = find(zip_of(tmp_path / "z.zip", {"a/a.ipynb": b"0" * 10**6, "b/b.ipynb": NOTEBOOK}))
    assert "more than the" in bomb.problem
    assert not bomb.file
    assert honest.file == NOTEBOOK


def test_a_damaged_entry_is_one_row_with_the_reason(tmp_path):
    path = zip_of(tmp_path / "z.zip", {"a/a.ipynb": os.urandom(3000), "b/b.ipynb": NOTEBOOK})
    content = bytearray(path.read_bytes())
    content[200:900] = os.urandom(700)
    path.write_bytes(content)
    damaged, honest = find(path)
    assert "cannot be unpacked" in damaged.problem
    assert honest.file == NOTEBOOK


def test_links_are_not_followed(tmp_path):
    secret = put(tmp_path / "secret.ipynb", b'{"secret": 1}')
    folder = tmp_path / "class"
    put(folder / "ann" / "a.ipynb")
    (folder / "bob").mkdir()
    (folder / "bob" / "a.ipynb").symlink_to(secret)
    (folder / "cem").symlink_to(secret.parent, target_is_directory=True)
    found = {one.student: one for one in find(folder)}
    assert found["ann"].file == NOTEBOOK
    assert found["bob"].problem == layouts.LINK
    assert not any(b"secret" in one.file for one in found.values())


def test_a_link_in_a_zip_is_not_followed(tmp_path):
    info = zipfile.ZipInfo("bob/a.ipynb")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    (found,) = find(tmp_path / "z.zip")
    assert found.problem == layouts.LINK


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs Linux")
def test_a_pipe_is_not_waited_for(tmp_path):
    put(tmp_path / "ann" / "a.ipynb")
    os.mkfifo(tmp_path / "ann" / "b.ipynb")
    assert [one.problem for one in find(tmp_path)] == ["", "no regular file"]


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(layouts, "LARGEST", 2**20)
    put(tmp_path / "ann" / "a.ipynb", b"0" * (3 * 2**20))
    (found,) = find(tmp_path)
    assert found.problem == "the file has 3 MB, more than the 1 MB that are read; clear its outputs"


def test_a_place_without_notebooks_is_an_error(tmp_path):
    with pytest.raises(CourseError, match=r"there is no \.ipynb file in it"):
        find(tmp_path)
    with pytest.raises(CourseError, match="neither a folder nor a zip file"):
        find(put(tmp_path / "a.txt"))


def test_nobody_is_taken_for_somebody_else(tmp_path):
    names = ["ann/week_1_02_attention.ipynb", "bob/week_1_02_attention.ipynb"]
    found = find(zip_of(tmp_path / "z.zip", dict.fromkeys(names, NOTEBOOK)))
    assert owners(found) == [("ann", "week_1_02_attention.ipynb"), ("bob", "week_1_02_attention.ipynb")]
    names = ["Wei Wang_31_assignsubmission_file_/a.ipynb", "Wei Wang_32_assignsubmission_file_/a.ipynb"]
    found = find(zip_of(tmp_path / "m.zip", dict.fromkeys(names, NOTEBOOK)))
    assert owners(found) == [("Wei Wang (31)", "a.ipynb"), ("Wei Wang (32)", "a.ipynb")]


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs tzset")
def test_a_packed_folder_has_the_moments_of_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        path = put(tmp_path / "class" / "ann" / "a.ipynb")
        moment = datetime(2026, 2, 1, 15, tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))
        packed = shutil.make_archive(str(tmp_path / "class"), "zip", tmp_path / "class")
        assert find(Path(packed))[0].received == find(tmp_path / "class")[0].received
    finally:
        monkeypatch.undo()
        time.tzset()
