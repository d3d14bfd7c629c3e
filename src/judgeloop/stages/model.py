"""M0: find the weights, and check weights, tokenizer and chat template before anything expensive starts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from judgeloop.config import Config
from judgeloop.run.json_artifacts import read_json, write_json
from judgeloop.run.seals import sealed
from judgeloop.run.stage import Stage
from judgeloop.stages import costs
from judgeloop.stages.context import Context, Outcome


def base_model(context: Context) -> Outcome:
    """Resolve `model`, check that it can be trained on its own words, write model.json {name, path, hash, date}.

    `date` is the day on which the run began: chat templates that write a date write this one, however long the run
    takes and whenever it is resumed.
    """
    from judgeloop.models.chat import Chat
    from judgeloop.models.check_folder import require_trainable

    config = context.config
    context.progress(0, None, config.model)
    name, path = base_folder(config)
    written = context.output()
    day = read_json(written).get("date") if written.exists() else None
    model = {"name": name, "path": str(path), **sealed(path), "date": day or date.today().isoformat()}
    require_trainable(path, trust_remote_code=config.trust_remote_code)  # first, for a template would not help
    chat = Chat.load(
        path,
        chat_template=config.chat_template,
        system_prompt=config.system_prompt,
        trust_remote_code=config.trust_remote_code,
        thinking=config.thinking,
        date=model["date"],
    )
    chat.require_sound()
    write_json(written, model)
    account = {"end_tokens": list(chat.end_ids), "thinks": chat.thinks}
    notes = [f"the chat template {note}" for note in chat.template.notes()]
    return Outcome({**account, **({"yields": notes} if notes else {})})


def base_folder(config: Config) -> tuple[str, Path]:
    """M0's name and folder, fetched or made if need be."""
    from judgeloop.models.convert import with_chatml_tokens
    from judgeloop.models.resolve import resolve

    found = resolve(config.model, revision=config.revision, trust_remote_code=config.trust_remote_code)
    if config.chat_template == "chatml+tokens":
        return found.name, with_chatml_tokens(found.path, found.hash)
    return found.name, found.path


MODEL = Stage(
    "model",
    "find the weights, check the tokenizer",
    run=base_model,
    cost=costs.light,
    writes=("model.json", "engine"),
    keys=("model", "revision", "trust_remote_code", "chat_template", "system_prompt", "thinking"),
    gives="policy",
    weights="",
    content="hash",
    present=lambda artifact: Path(read_json(artifact)["path"]).is_dir(),
)
