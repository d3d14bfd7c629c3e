"""M0's stage: the day is written down once and templates keep to it, whenever the run goes on."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from judgeloop.config.loading import parse
from judgeloop.errors import InputError
from judgeloop.loop import method
from judgeloop.run.directory import RunDirectory
from judgeloop.stages.context import Context
from judgeloop.stages.model import base_model
from judgeloop.stages.models import Model
from tiny import make_base_model

TEMPLATE = (
    "{{ 'On ' + strftime_now('%d %B %Y') + ':\n' }}{% for m in messages %}"
    "{{ m['role'] + '\n' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant\n' }}{% endif %}"
)


class Later(datetime.date):
    @classmethod
    def today(cls) -> Later:
        return cls(2031, 2, 3)


def context_of(tmp_path: Path, **keys: object) -> Context:
    tree = {"model": str(tmp_path / "model"), "seed_data": {"ranked": ["seed.jsonl"]}, **keys}
    config = parse(tree, "test")
    steps = method(config)
    run = RunDirectory(tmp_path / "run", config, steps)
    run.folder("M0").mkdir(parents=True, exist_ok=True)
    return Context(run, steps[0], lambda done, total, note: None)


def test_the_date_is_that_of_the_first_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_base_model(tmp_path / "model", template=TEMPLATE)
    context = context_of(tmp_path)
    base_model(context)
    first = json.loads((tmp_path / "run" / "M0" / "model.json").read_text())
    assert first["date"] == datetime.date.today().isoformat()
    before = Model.made(context.run, context.step).chat().prompt_ids([{"role": "user", "content": "a"}])
    monkeypatch.setattr("judgeloop.stages.model.date", Later)
    monkeypatch.setattr("judgeloop.models.template.datetime.date", Later)
    base_model(context)
    assert json.loads((tmp_path / "run" / "M0" / "model.json").read_text()) == first
    assert Model.made(context.run, context.step).chat().prompt_ids([{"role": "user", "content": "a"}]) == before
    (tmp_path / "run" / "M0" / "model.json").unlink()
    base_model(context)
    assert "03 February 2031" in Model.made(context.run, context.step).chat().tokenizer.decode(
        Model.made(context.run, context.step).chat().prompt_ids([{"role": "user", "content": "a"}])
    )


def test_quantised_weights_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder = make_base_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": "gptq", "bits": 4}})
    )
    with pytest.raises(InputError, match=r"its weights are quantised \(gptq, 4 bits\) and cannot be trained further"):
        base_model(context_of(tmp_path, chat_template="plain"))
