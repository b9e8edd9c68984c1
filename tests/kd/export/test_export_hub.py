"""Tests of kd.export.hub against a stub of the hub: what is uploaded, and for whom."""

import shutil
from fnmatch import fnmatch
from types import SimpleNamespace

import pytest
import torch
from httpx2 import ConnectError
from huggingface_hub import HfApi
from transformers import BertConfig

from data.errors import InputError
from kd.cli import main
from kd.export.hub import check_repository, push
from student.model import StudentModel
from tests.kd.export.hub_stub import hub_stub


class Hub:
    """In the place of HfApi: remembers what it was asked, and which files it was given."""

    def __init__(self):
        self.made = []
        self.uploaded = {}
        self.public = set()  # of repositories that were there before

    def create_repo(self, repo_id, *, private, exist_ok):
        self.made.append((repo_id, private, exist_ok))
        if not private:
            self.public.add(repo_id)
        return f"https://hub.example/{repo_id}"

    def repo_info(self, repo_id):
        return SimpleNamespace(private=repo_id not in self.public)

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        for path in folder_path.rglob("*"):
            name = path.relative_to(folder_path).as_posix()
            if path.is_file() and any(fnmatch(name, pattern) for pattern in allow_patterns):
                self.uploaded[name] = path.read_bytes()


@pytest.fixture
def hub(monkeypatch):
    stub = Hub()
    monkeypatch.setattr("kd.export.hub.HfApi", lambda: stub)
    return stub


@pytest.fixture
def folder(exported, tmp_path):
    """A copy of the export, with what a person may put beside it."""
    copy = tmp_path / "mine"
    shutil.copytree(exported[0], copy)
    (copy / "posts.csv").write_text("text\nmy dog died\n")
    (copy / "splits").mkdir()
    (copy / "splits" / "data.arrow").write_bytes(b"my dog died")
    return copy


def test_the_exports_own_files_are_uploaded_and_no_others(hub, folder, exported):
    assert push(folder, "me/mine", private=True) == "https://hub.example/me/mine"
    assert hub.uploaded.keys() == {path.name for path in exported[0].iterdir()}
    assert b"my dog died" not in b"".join(hub.uploaded.values())


@pytest.mark.parametrize("private", [True, False])
def test_the_hubs_own_client_sends_these_files_and_no_others(
    folder, exported, monkeypatch, private
):
    """Its calls and their names may change with its versions; a stub of them would not notice."""
    with hub_stub() as server:
        client = HfApi(endpoint=server.address, token="hf_stub")
        monkeypatch.setattr("kd.export.hub.HfApi", lambda: client)
        address = push(folder, "me/mine", private=private)
    assert address == f"{server.address}/me/mine"
    visibility = {name: made["visibility"] for name, made in server.made.items()}
    assert visibility == {"me/mine": "private" if private else "public"}
    assert server.files == {path.name: path.read_bytes() for path in exported[0].iterdir()}
    assert server.unknown == []


def test_what_was_uploaded_loads_by_its_name(exported, monkeypatch, tmp_path):
    with hub_stub() as server:
        client = HfApi(endpoint=server.address, token="hf_stub")
        monkeypatch.setattr("kd.export.hub.HfApi", lambda: client)
        push(exported[0], "me/mine", private=True)
        address = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        loaded = StudentModel.from_pretrained("me/mine", cache_dir=tmp_path, token="hf_stub")
        with pytest.raises(InputError, match=r"me/other.*can't be loaded"):
            StudentModel.from_pretrained("me/other", cache_dir=tmp_path)
        server.files["config.json"] = BertConfig().to_json_string().encode()
        with pytest.raises(InputError, match="me/mine: holds no student"):
            StudentModel.from_pretrained("me/mine", cache_dir=tmp_path / "new")
    expected = StudentModel.from_pretrained(exported[0]).state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for name, value in loaded.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_a_public_repository_gets_nothing_that_was_to_be_private(hub, folder):
    hub.public.add("me/mine")
    with pytest.raises(InputError, match="is there already and public"):
        push(folder, "me/mine", private=True)
    assert hub.uploaded == {}
    push(folder, "me/mine", private=False)
    assert hub.uploaded


@pytest.mark.parametrize("private", [True, False])
def test_the_repository_is_made_as_asked_for(hub, folder, private):
    push(folder, "me/mine", private=private)
    assert hub.made == [("me/mine", private, True)]


@pytest.mark.parametrize("name", ["mine", "", "me/", "me/my model", "a/b/c", "https://hub/me"])
def test_a_name_that_is_no_repository_is_refused(name):
    with pytest.raises(InputError, match="is no repository: give OWNER/NAME"):
        check_repository(name)


@pytest.mark.parametrize("error", [ConnectError("no way"), OSError("no way"), ValueError("no way")])
def test_a_hub_that_refuses_leaves_the_export_and_one_line(hub, folder, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(hub, "upload_folder", fail)
    with pytest.raises(
        InputError, match=r"--push-to-hub me/mine: no way: check the network.* is in /"
    ):
        push(folder, "me/mine", private=True)
    assert (folder / "model.onnx").is_file()


def test_the_command_uploads_to_a_private_repository_unless_told(
    run, same_graph, hub, tmp_path, capsys
):
    line = ["export", str(run.path), "--to", str(tmp_path / "mine"), "--push-to-hub", "me/mine"]
    for more in ([], ["--public"]):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*line, "--precision", "fp32", *more])
        assert capsys.readouterr().out.splitlines()[-1] == "https://hub.example/me/mine"
    assert [private for _, private, _ in hub.made] == [True, False]
    assert "model.onnx" in hub.uploaded


def test_without_the_option_no_hub_is_asked(run, same_graph, hub, tmp_path):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["export", str(run.path), "--to", str(tmp_path / "mine"), "--precision", "fp32"])
    assert hub.made == []
