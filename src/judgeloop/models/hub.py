"""Models of the hub, and what its cache on this machine holds of them."""

from __future__ import annotations

from pathlib import Path

from judgeloop.errors import InputError

# Copies of the weights in other forms, which would double a download (Mistral's, gpt-oss's).
_IGNORED = ("consolidated*", "original/*", "metal/*")
_PATTERNS = ("*.safetensors", "*.json", "*.jinja", "*.txt", "tokenizer.model", "*.py", "*.tiktoken", "*.model")
_OF_CODE = ("*.py", "*.tiktoken", "*.model")  # a model's own code, and the vocabularies that only such code reads
_SNAPSHOTS = "snapshots"


def from_hub(model: str, revision: str | None, trust_remote_code: bool, *, instead: str) -> Path:
    """The folder of the hub's model owner/name in the local cache, fetched if need be. Raises InputError if it is not
    to be had; `instead` names a model that needs no hub."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError as NotFound
    from huggingface_hub.errors import RevisionNotFoundError as NoRevision

    patterns = [pattern for pattern in _PATTERNS if trust_remote_code or pattern not in _OF_CODE]
    try:
        return Path(
            snapshot_download(model, revision=revision, allow_patterns=patterns, ignore_patterns=list(_IGNORED))
        )
    except GatedRepoError as error:
        raise InputError(f"model: '{model}' is gated; accept its terms on the hub and set HF_TOKEN") from error
    except NoRevision as error:
        raise InputError(f"model_revision: '{model}' has no revision '{revision}'; check it on the hub") from error
    except NotFound as error:
        raise InputError(
            f"model: no folder and no hub model '{model}'; check the name (private ones need HF_TOKEN)"
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        why, mend = f"the hub cannot be reached for '{model}'", "check the network"
        if constants.HF_HUB_OFFLINE:
            why, mend = f"the hub is not asked for '{model}', as HF_HUB_OFFLINE says", "take that setting back"
        kept = sorted(path.name for path in _repository(Path(constants.HF_HUB_CACHE), model).glob(f"{_SNAPSHOTS}/*"))
        if kept:
            named = f"revision '{revision}'" if revision else "its newest revision"
            raise InputError(
                f"model: {why}, and the local cache does not know {named}; {mend}, or set model to what is there, "
                f"hf:{model}@{kept[0]}"
            ) from error
        raise InputError(
            f"model: {why}, and it is not in the local cache; {mend}, or set model to a local folder or {instead}"
        ) from error


def rest_of(folder: Path) -> str | None:
    """What to do about what a folder of the hub's cache lacks; None for another folder."""
    kind, _, name = folder.parent.parent.name.partition("--")
    if folder.parent.name != _SNAPSHOTS or kind != "models":
        return None
    name = name.replace("--", "/", 1)
    return (
        f"the hub's local cache holds no more of {name}: fetch the rest (`hf download {name}`, where there is a "
        "network), or give another model if the hub has no more of it"
    )


def _repository(cache: Path, model: str) -> Path:
    return cache / f"models--{model.replace('/', '--')}"
