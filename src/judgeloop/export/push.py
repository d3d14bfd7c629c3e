"""Send a finished model to the hub, or to a place that fsspec knows by its URL."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.export.formats import export

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_URL = re.compile(r"([a-z][a-z0-9+.-]*)://.+", re.IGNORECASE)


def push(run: Path, model: str, to: str, form: str, *, dtype: str | None, kind: str | None, private: bool) -> list[str]:
    """Export into a folder of its own and send that; return what there is to say, where it is last.

    Raises InputError for a target that is neither an id of the hub nor a URL, without a token for the hub, and with the
    hub's or the store's reason if it refuses.
    """
    url = _URL.fullmatch(to)
    if url is None and not _HUB_ID.fullmatch(to):
        raise InputError(
            f"'{to}' is neither a hub id (owner/name) nor a URL such as s3://bucket/folder or file:///folder"
        )
    if url is None and _token() is None:
        raise InputError("no token for the hub: set HF_TOKEN, or log in with `hf auth login`, and push again")
    with tempfile.TemporaryDirectory(prefix="judgeloop-push-") as name:
        folder = Path(name) / "export"
        said = export(run, model, form, folder, dtype=dtype, kind=kind)
        where = _to_store(folder, to, url[1]) if url is not None else _to_hub(folder, to, private)
    return [*said, where]


def _token() -> str | None:
    from huggingface_hub import get_token

    return get_token()


def _to_hub(folder: Path, repo: str, private: bool) -> str:
    """One commit with every file; the repo is made if it is not there."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi(token=_token())
    try:
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        api.upload_folder(repo_id=repo, folder_path=str(folder), commit_message="Model from judgeloop")
    except (HfHubHTTPError, OSError) as error:
        raise InputError(
            f"the hub does not take {repo}: {_first_line(error)}; check the id and the token's rights"
        ) from error
    return f"pushed to {address}"


def _to_store(folder: Path, url: str, protocol: str) -> str:
    """Every file below the URL. What is there under other names stays."""
    import fsspec

    try:
        system, root = fsspec.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise InputError(f"{url}: {_first_line(error)}") from error
    try:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            target = f"{root.rstrip('/')}/{path.relative_to(folder).as_posix()}"
            system.makedirs(target.rpartition("/")[0], exist_ok=True)
            system.put_file(str(path), target)
    except Exception as error:  # every store has errors of its own
        raise InputError(
            f"{url}: cannot be written by {protocol} ({_first_line(error)}); check address and access"
        ) from error
    return f"pushed to {url}"


def _first_line(error: Any) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
