"""Uploading an export to a model hub: the files that its certificate lists, nothing else."""

import json
import re
from pathlib import Path

# huggingface_hub lets the errors of this package through.
from httpx2 import HTTPError
from huggingface_hub import HfApi

from data.errors import InputError
from kd.export.certificate import CERTIFICATE


def check_repository(repository: str) -> None:
    """Raise InputError when a name is not OWNER/NAME."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f"--push-to-hub: {repository!r} is no repository: give OWNER/NAME")


def push(folder: Path, repository: str, *, private: bool) -> str:
    """Upload an export's files, the repository made where it is not there; its address.

    Raises InputError when the hub can't be reached or refuses, or when a repository that was to be
    private is there already for everybody to see.
    """
    check_repository(repository)
    listed = json.loads((folder / CERTIFICATE).read_text(encoding="utf-8"))["files"]
    api = HfApi()
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        # A repository that was there keeps what it was.
        if private and not api.repo_info(repository).private:
            raise InputError(
                f"--push-to-hub {repository}: is there already and public: make it private, give "
                f"another name, or add --public; nothing was uploaded, the export is in {folder}"
            )
        api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            # The folder is the user's: what else lies in it by now is not the model's.
            allow_patterns=[CERTIFICATE, *listed],
            commit_message="Upload the exported student",
        )
    except (OSError, ValueError, HTTPError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"--push-to-hub {repository}: {reason}: check the network, the name, and the login "
            f"(`hf auth login`); the export is in {folder}"
        ) from None
    return str(address)
