"""A model's folder on the Hugging Face hub, by huggingface_hub."""

from __future__ import annotations

from pathlib import Path

from sere_registry.errors import error


def upload(folder: Path, repository: str, *, private: bool = False) -> str:
    """Make the repository if it is not there, and put the folder's files into it; returns its address.

    Raises:
        SereError: C302 (no name of a repository), X709 (the hub or the network refuses).
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    hub = HfApi()
    try:
        made = hub.create_repo(repository, private=private, exist_ok=True)
        hub.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Exported by sere")
    except HFValidationError as cause:
        raise error("C302", f"{repository!r} is not the name of a repository", "such as my-name/my-model") from cause
    except Exception as cause:  # errors of several libraries: the network's, the hub's, the file system's
        what = (str(cause) or type(cause).__name__).splitlines()[0]
        hint = "log in with `hf auth login`; is the network there?"
        raise error("X709", f"{repository} could not be written: {what}", hint) from cause
    return str(made)
