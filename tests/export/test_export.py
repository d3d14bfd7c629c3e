"""What other programs are given is the model that was made, and is refused where it is not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from datasets import load_dataset
from gguf.quants import dequantize
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl.data_utils import apply_chat_template, is_conversational

from export.conftest import LICENCE, rows_of
from export.go_template import render
from judgeloop.errors import InputError
from judgeloop.export import rows
from judgeloop.export.chosen import choose
from judgeloop.export.formats import export
from judgeloop.export.licence import base_of
from judgeloop.export.ollama import turn_marks
from judgeloop.export.weights import bfloat16
from judgeloop.models.gguf_export import TYPES
from judgeloop.models.template import CHATML, PLAIN
from judgeloop.run import seals
from tiny import CHAT_TEMPLATE, write_tokenizer


def exported(run: Path, out: Path, form: str, model: str = "M2", **options: Any) -> list[str]:
    return export(run, model, form, out, **{"dtype": None, "kind": None, **options})


# A Hugging Face folder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_weights_are_rounded_as_torch_rounds_them(made: Path, tmp_path: Path, dtype: str) -> None:
    exported(made, tmp_path / "out", "hf", dtype=dtype)
    before, after = (load_file(folder / "model.safetensors") for folder in (made / "M2" / "model", tmp_path / "out"))
    wanted = getattr(torch, dtype)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert torch.equal(tensor.to(wanted), after[name]), name
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == dtype


def test_a_folder_loads_and_has_licence_and_card(made: Path, tmp_path: Path) -> None:
    (said,) = exported(made, tmp_path / "out", "hf")
    assert said.startswith(f"M2 of {made}: LICENSE, README.md, ")
    assert said.endswith(", ".join(sorted(path.name for path in (tmp_path / "out").iterdir())))
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "out"))
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "out"))
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert (tmp_path / "out" / "LICENSE").read_text() == LICENCE
    assert (tmp_path / "out" / "README.md").is_file()


def test_bfloat16_rounds_halves_to_even_and_keeps_what_is_no_number() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, -3.1415927, np.inf, np.nan, 3.4e38, 0.0], dtype="<f4")
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.int16).numpy().view("<u2")
    found = bfloat16(values)
    assert (found[:5] == expected[:5]).all()
    assert (found[6:] == expected[6:]).all()
    assert np.isnan((found[5:6].astype("<u4") << 16).view("<f4")).all()


# GGUF ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_a_gguf_file_has_the_weights_in_its_type(made: Path, tmp_path: Path, kind: str) -> None:
    exported(made, tmp_path / "out", "gguf", kind=kind)
    (path,) = (tmp_path / "out").glob("*.gguf")
    assert path.name == f"run-M2-{kind}.gguf"
    reader = gguf.GGUFReader(path)
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    matrix, norm = tensors["blk.0.ffn_gate.weight"], tensors["blk.0.attn_norm.weight"]
    assert matrix.tensor_type == gguf.GGMLQuantizationType[kind.upper()]
    assert norm.tensor_type == gguf.GGMLQuantizationType.F32
    said = load_file(made / "M2" / "model" / "model.safetensors")["model.layers.0.mlp.gate_proj.weight"].numpy()
    close = {"f32": 0.0, "f16": 1e-3, "bf16": 8e-3, "q8_0": 1.6e-2}[kind] * float(np.abs(said).max())
    assert np.abs(dequantize(matrix.data, matrix.tensor_type) - said).max() <= close
    template = reader.fields["tokenizer.chat_template"]
    assert bytes(template.parts[template.data[0]]).decode() == CHAT_TEMPLATE


# Ollama ---------------------------------------------------------------------------------------------------------------


def test_a_modelfile_writes_the_prompts_of_the_chat_template(made: Path, tmp_path: Path) -> None:
    said = exported(made, tmp_path / "out", "ollama", kind="q8_0")
    text = (tmp_path / "out" / "Modelfile").read_text(encoding="utf-8")
    assert text.startswith("FROM ./run-M2-q8_0.gguf\n")
    assert said[-1].startswith("ollama create run-m2 -f ")
    assert 'PARAMETER stop "<|im_end|>"' in text
    assert "PARAMETER temperature 1\n" in text
    assert f'LICENSE """\n{LICENCE.strip()}\n"""' in text
    template = re.search(r'TEMPLATE """(.*?)"""', text, re.DOTALL)
    assert template is not None
    tokenizer = AutoTokenizer.from_pretrained(str(made / "M2" / "model"))
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi\n\nthere"},
            {"role": "assistant", "content": "Hello."}, {"role": "user", "content": 'And "now"?'}]  # fmt: skip
    for messages in (talk, talk[1:], talk[1:2]):
        expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert render(template[1], messages) == expected


DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}" + CHATML
)
MISTRAL = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]{% elif m['role'] == "
    "'assistant' %} {{ m['content'] }}</s>{% else %}<<SYS>>{{ m['content'] }}<</SYS>>{% endif %}{% endfor %}"
)
LAST_ALONE = "{{ 'Q: ' + messages[-1]['content'] }}{% if add_generation_prompt %}{{ ' A:' }}{% endif %}"


@pytest.mark.parametrize(
    ("template", "known"),
    [(CHATML, True), (PLAIN, True), (DEFAULT_SYSTEM, True), (MISTRAL, True), (LAST_ALONE, False)],
    ids=["chatml", "plain", "default system", "mistral", "last turn alone"],
)
def test_a_template_is_written_in_ollamas_language_or_not_at_all(tmp_path: Path, template: str, known: bool) -> None:
    write_tokenizer(tmp_path, template)
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))

    def rendered(messages: Any, opened: bool) -> str:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=opened))

    marks = turn_marks(rendered)
    assert (marks is not None) is known
    if marks is not None:
        talk: list[Any] = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"},
                           {"role": "user", "content": "Three"}]  # fmt: skip
        for messages in (talk, talk[:1], [{"role": "system", "content": "Zero"}, *talk]):
            assert render(marks.template(), messages) == rendered(messages, True)


# Which model ----------------------------------------------------------------------------------------------------------


def test_best_is_what_the_run_decided(finished: Path, tmp_path: Path) -> None:
    decision = json.loads((finished / "decision.json").read_text())
    for best in ("M1", "M2"):
        (finished / "decision.json").write_text(json.dumps({**decision, "best": best}))
        assert choose(finished).name == best
        exported(finished, tmp_path / best, "hf", model="best")
        (weights,) = (tmp_path / best).glob("*.safetensors")
        assert weights.read_bytes() == (finished / best / "model" / "model.safetensors").read_bytes()


def test_what_is_not_the_model_that_was_made_is_refused(finished: Path, tmp_path: Path) -> None:
    def refused(match: str, model: str = "M2", form: str = "hf", **options: Any) -> None:
        with pytest.raises(InputError, match=match) as error:
            exported(finished, tmp_path / "out", form, model, **options)
        assert "\n" not in str(error.value)

    refused("makes no 'M7'; choose best, M0, M1, M2", "M7")
    refused("'onnx' is not one of hf", form="onnx")
    refused("'int4' is not one of f16", form="gguf", kind="int4")
    refused("--type is for GGUF files", kind="f16")
    refused("--dtype is for --format hf", form="gguf", dtype="float32")
    with (finished / "M2" / "model" / "model.safetensors").open("r+b") as handle:
        handle.seek(-1, 2)
        handle.write(b"\x01")
    refused("weights, config or tokenizer changed since M2/train finished")
    (finished / "M2" / "model").rename(finished / "M2" / "elsewhere")
    refused("the model of M2/train is gone")
    (finished / "M2" / ".train.done.json").unlink()
    refused("M2 is not made yet")
    (finished / "decision.json").unlink()
    refused("has not decided which model is best", "best")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    refused("is not an empty folder", "M1")


# Cards ----------------------------------------------------------------------------------------------------------------


def test_every_model_has_a_card_that_the_hub_reads(made: Path) -> None:
    for name in ("M1", "M2"):
        card = ModelCard.load(made / name / "model" / "README.md")
        assert card.data.license == "mit"
        assert card.data.library_name == "transformers"
        assert card.data.pipeline_tag == "text-generation"
        assert "self-rewarding" in card.data.tags
        train = json.loads((made / name / "train.json").read_text())
        assert train["hash"] in card.text
        assert "arXiv 2401.10020" in card.text
        assert "seed.jsonl" in card.text
        assert "agreement of its judge" in card.text
        assert (made / name / "model" / "LICENSE").read_text() == LICENCE


def test_a_card_breaks_no_seal_and_spares_one_that_the_user_wrote(finished: Path) -> None:
    from judgeloop.export.cards import write_cards

    run = choose(finished, "M2").run
    seals.verify(run, run.maker("M2"))
    own = finished / "M2" / "model" / "README.md"
    own.write_text("# Mine\n")
    (finished / "M1" / "model" / "README.md").unlink()
    write_cards(run)
    assert own.read_text() == "# Mine\n"
    assert "# run, M1" in (finished / "M1" / "model" / "README.md").read_text()
    seals.verify(run, run.maker("M2"))


def test_the_base_says_its_licence_in_card_or_text(tmp_path: Path) -> None:
    assert base_of("smollm2-135m-instruct", tmp_path).licence == "apache-2.0"
    assert base_of("smollm2-135m-instruct", tmp_path).hub == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert base_of(str(tmp_path), tmp_path).licence is None
    (tmp_path / "LICENSE.txt").write_text("  Apache License\n  Version 2.0, January 2004\n")
    assert base_of(str(tmp_path), tmp_path).licence == "apache-2.0"
    (tmp_path / "README.md").write_text("---\nlicense: gemma\nlanguage: [de, en]\n---\n# A model\n")
    found = base_of("hf:some/model@v1", tmp_path)
    assert (found.licence, found.hub, found.languages) == ("gemma", "some/model", ("de", "en"))


# Rows -----------------------------------------------------------------------------------------------------------------


def test_trl_takes_the_rows_as_they_are(made: Path, tmp_path: Path) -> None:
    said = exported(made, tmp_path / "out", "trl")
    counts = {line.split(".jsonl")[0]: int(line.split(": ")[1].split()[0]) for line in said}
    assert counts["ift"] == len(rows_of(made / "M1" / "ift.jsonl"))
    tokenizer = AutoTokenizer.from_pretrained(str(made / "M2" / "model"))
    for name, columns in (("ift", {"prompt", "completion"}), ("pairs.M2", {"prompt", "chosen", "rejected"})):
        found = load_dataset("json", data_files=str(tmp_path / "out" / f"{name}.jsonl"), split="train")
        assert set(found.column_names) == columns
        assert len(found) == counts[name]
        assert is_conversational(found[0])
        assert apply_chat_template(found[0], tokenizer)["prompt"].endswith("assistant\n")


def test_llamafactory_finds_each_file_by_its_columns_and_tags(made: Path, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "llamafactory")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert set(info) == {"judgeloop_ift", "judgeloop_eft", "judgeloop_pairs_m2"}
    for entry in info.values():
        tags, columns = entry["tags"], entry["columns"]
        for row in rows_of(tmp_path / "out" / entry["file_name"]):
            messages: Any = row[columns["messages"]]
            roles = [message[tags["role_tag"]] for message in messages]
            wanted = [tags["user_tag"], tags["assistant_tag"]] * len(roles)
            assert roles == wanted[: len(roles)]
            assert len(roles) % 2 == (1 if entry.get("ranking") else 0)
            if entry.get("ranking"):
                answer: Any = row[columns["chosen"]]
                assert answer[tags["role_tag"]] == tags["assistant_tag"]


def test_a_row_that_llamafactory_would_drop_is_counted(finished: Path, tmp_path: Path) -> None:
    path = finished / "M1" / "ift.jsonl"
    first = rows_of(path)[0]
    user = {"role": "user", "content": "Twice"}
    with path.open("a", encoding="utf-8") as handle:
        handle.write(json.dumps({**first, "id": "ift-twice", "prompt": [user, user]}) + "\n")
    said = exported(finished, tmp_path / "out", "llamafactory")
    assert next(line for line in said if line.startswith("ift")).endswith(f"; 1 left out: {rows.ALTERNATION}")
    assert len(rows_of(tmp_path / "out" / "ift.jsonl")) == len(rows_of(path)) - 1


def test_axolotl_trains_the_answer_alone(made: Path, tmp_path: Path) -> None:
    exported(made, tmp_path / "out", "axolotl")
    text = (tmp_path / "out" / "sft.yaml").read_text()
    assert "message_field_training: train" in text
    assert "rl: dpo" in (tmp_path / "out" / "dpo.yaml").read_text()
    for row in rows_of(tmp_path / "out" / "ift.jsonl"):
        messages: Any = row["messages"]
        assert [message["train"] for message in messages] == [False] * (len(messages) - 1) + [True]
