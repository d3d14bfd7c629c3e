"""What a running `vllm serve` holds: the base model that it was started with, and adapters by their names."""

from __future__ import annotations

from pathlib import Path

from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.server_client import ServerClient
from judgeloop.errors import InputError, JudgeloopError
from judgeloop.models.contents import content_hash
from judgeloop.models.resolve import find

START = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve FOLDER --enable-lora --max-lora-rank 512 --max-logprobs 128"


class ServerModels:
    """`limit`: the tokens of prompt and answer that it takes, None if it does not say. Raises InputError where it is
    not vLLM's server, or its base model's folder is not here too."""

    def __init__(self, client: ServerClient) -> None:
        _require_vllm(client)
        self._client = client
        cards = client.ask("/v1/models")["data"]
        base = next(card for card in cards if card.get("parent") is None)
        self._adapters = {str(card["id"]): Path(str(card.get("root"))) for card in cards if card.get("parent")}
        self.limit: int | None = base.get("max_model_len")
        try:
            self.folder: Path = find(str(base.get("root")))
        except InputError as error:
            raise InputError(
                f"{client.url}: serves {base.get('root')}, which is not here ({error}); start it with a folder that "
                "both see under one path"
            ) from None

    def require_base(self, folder: Path) -> None:
        """Raise InputError unless the server was started with the model in `folder`."""
        if content_hash(folder) != content_hash(self.folder):
            raise InputError(
                f"{self._client.url}: serves {self.folder}, whose weights or tokenizer are others than those of "
                f"{folder}; start `{START.replace('FOLDER', str(folder))}`"
            )

    def has(self, name: str) -> bool:
        """Whether an adapter of this name can be asked for. The server reads its folder anew each time it was pushed
        out of memory by others, so one whose folder is gone, with the run that made it, is forgotten."""
        if name in self._adapters and not self._adapters[name].is_dir():
            self.unload(name)
        return name in self._adapters

    def load(self, name: str, adapter: Path) -> None:
        """Have the server load the adapter in a folder under a name. Raises InputError if it cannot."""
        try:
            code, said = self._client.tell("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(adapter)})
        except Retry as failed:
            raise JudgeloopError(
                f"{self._client.url}: {failed.cause} as it was to load {adapter}; look at its log, and start again"
            ) from None
        if code == 200 or (code == 400 and "already" in said):  # another run loaded the same weights meanwhile
            self._adapters[name] = adapter
            return
        if code == 404 and name not in said:  # no such route
            raise InputError(f"{self._client.url}: loads no adapters while it runs; start it as `{START}`")
        if "LoRA is not enabled" in said:
            raise InputError(f"{self._client.url}: was started without adapters; start it as `{START}`")
        if "rank" in said:
            raise InputError(f"{self._client.url}: {said}; start it with a larger --max-lora-rank (at most 512)")
        raise InputError(
            f"{self._client.url}: cannot load the adapter in {adapter} ({code}: {said}); it must see the folder under "
            "this path, and its log says more"
        )

    def unload(self, name: str) -> None:
        """Have the server forget an adapter."""
        self._client.tell("/v1/unload_lora_adapter", {"lora_name": name})
        self._adapters.pop(name, None)


def _require_vllm(client: ServerClient) -> None:
    if _has(client, "/version"):
        return
    if _has(client, "/props"):
        raise InputError(
            f"{client.url}: is a llama.cpp server, which loads no adapters while it runs; start `{START}` in its place"
        )
    if _has(client, "/get_model_info") or _has(client, "/model_info"):
        raise InputError(
            f"{client.url}: is an SGLang server, whose own requests for adapters and log-probabilities "
            f"engine.kind: server does not speak; start `{START}` in its place"
        )
    raise InputError(f"{client.url}: is not vLLM's server (it has no /version); start `{START}`")


def _has(client: ServerClient, path: str) -> bool:
    try:
        return isinstance(client.ask(path), dict)
    except InputError as error:
        if "(404:" in str(error) or "(405:" in str(error):
            return False
        raise
