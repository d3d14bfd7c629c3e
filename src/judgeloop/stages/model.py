"""M0: find the weights, and check tokenizer and chat template before anything expensive starts."""

from __future__ import annotations

from judgeloop.errors import InputError
from judgeloop.run.directory import write_json
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
    write_json(context.folder / "model.json", model)
    return Outcome((), {"end_tokens": list(chat.end_ids)})
