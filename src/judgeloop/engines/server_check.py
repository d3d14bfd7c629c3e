"""A running server tried before it is needed: an adapter that changes nothing is loaded, asked with and forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from judgeloop.config import ServerSection
from judgeloop.engines.endpoint_errors import Retry
from judgeloop.engines.server_answers import tokens, top_logprobs
from judgeloop.engines.server_client import ServerClient
from judgeloop.engines.server_models import ServerModels
from judgeloop.engines.stacked_adapter import write_empty
from judgeloop.errors import InputError


def check(section: ServerSection, base: Path, rank: int, targets: Sequence[str], adapter: Path) -> None:
    """Raise InputError if the server cannot be reached, is none of vLLM's, serves another model than that in `base`,
    cannot load adapters of this rank on these modules (`lora.target_modules`), or takes no token ids. `adapter`: the
    folder to write one to, which the server must see; its name is the adapter's."""
    client = ServerClient(section)
    models = ServerModels(client)
    models.require_base(base)
    write_empty(adapter, base, rank, targets)
    models.load(adapter.name, adapter.resolve())
    body = {
        "model": adapter.name,
        "prompt": [1, 2, 3],
        "max_tokens": 1,
        "return_token_ids": True,
        "logprobs": 1,
        "logprob_token_ids": [4],
        "return_tokens_as_token_ids": True,
    }
    try:
        answer = client.ask("/v1/completions", body, what="the first question")
        tokens(answer)
        if 4 not in top_logprobs(answer):
            raise Retry("an answer without the token asked for", malformed=True)
    except Retry as failed:
        raise InputError(
            f"{client.url}: gives {failed.cause}; token ids and logprob_token_ids need vLLM 0.32 or later"
        ) from None
    finally:
        models.unload(adapter.name)
