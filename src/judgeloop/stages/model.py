"""M0: find the weights, and check tokenizer and chat template before anything expensive starts."""

from __future__ import annotations

from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.run.directory import read_json, write_json
from judgeloop.run.stage import Stage
from judgeloop.stages.context import Context, Outcome


def base_model(context: Context) -> Outcome:
    """Resolve `model`, check that it can be trained on its own words, write model.json {name, path, hash}."""
    from judgeloop.models.resolve import resolve

    config = context.config
    context.progress(0, None, config.model)
    found = resolve(config.model, revision=config.revision, trust_remote_code=config.trust_remote_code)
    model = {"name": found.name, "path": str(found.path), "hash": found.hash}
    from judgeloop.models.chat import Chat

    chat = Chat.load(
        found.path,
        chat_template=config.chat_template,
        system_prompt=config.system_prompt,
        trust_remote_code=config.trust_remote_code,
    )
    problems = chat.check()
    if problems:
        raise InputError(f"{found.path}: {'; also: '.join(problems)}")
    write_json(context.output(), model)
    return Outcome({"end_tokens": list(chat.end_ids)})


MODEL = Stage(
    "model",
    "find the weights, check the tokenizer",
    run=base_model,
    writes=("model.json", "engine"),
    keys=("model", "revision", "trust_remote_code", "chat_template", "system_prompt"),
    gives="policy",
    weights="",
    content="hash",
    present=lambda artifact: Path(read_json(artifact)["path"]).is_dir(),
)
