"""What would keep a model from being loaded later is said when it is first read, without reading its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from judgeloop.errors import InputError, first_line
from judgeloop.models.check_folder import check_folder, training_problems
from judgeloop.models.show import report
from judgeloop.models.whole_model import load_whole_model

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"


def config(**keys: Any) -> Callable[[Path], None]:
    def harm(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

    return harm


def without_norm(folder: Path) -> None:
    path = folder / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(path).items() if name != "model.norm.weight"}
    save_file(kept, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (without_norm, "lack 1 tensors of a LlamaForCausalLM, which its config.json describes, such as model.norm"),
        (config(intermediate_size=96), "have another shape than in a LlamaForCausalLM"),
        (config(num_key_value_heads=4), "such as model.layers.0.self_attn.k_proj.weight (32 by 64, not 64 by 64)"),
        (config(model_type="qwen3", architectures=["Qwen3ForCausalLM"]), "self_attn.k_norm.weight"),
        (
            config(num_attention_heads=3, num_key_value_heads=3),
            "(64) is not a multiple of the number of attention heads",
        ),
        (config(rope_scaling={"rope_type": "own", "factor": 2.0}), "(KeyError: 'own')"),
        (config(hidden_act="swigluu"), "swigluu"),
    ],
)
def test_what_comes_up_in_loading(folder: Path, harm: Callable[[Path], None], expected: str) -> None:
    harm(folder)
    check_folder(folder)
    (problem,) = training_problems(folder)
    assert expected in problem
    assert "\n" not in problem
    assert report(str(folder), lambda _: "none").problems == [problem]
    with pytest.raises(InputError, match=r"its weights|cannot be loaded as a language model"):
        load_whole_model(folder)


def test_a_model_that_loads_has_no_problem(folder: Path) -> None:
    config(dtype="float8_e4m3fn", return_dict=False, output_hidden_states=True)(folder)
    assert training_problems(folder) == []
    assert load_whole_model(folder, dtype="float32").config.return_dict


def test_a_padding_token_that_the_weights_do_not_know(folder: Path) -> None:
    config(pad_token_id=999)(folder)
    with pytest.raises(InputError, match="says pad_token_id 999 and the weights know 448 tokens; set it to null"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "chat_template.jinja", "tokenizer.json"])
def test_a_small_file_that_was_not_fetched(name: str, folder: Path) -> None:
    (folder / name).write_text(POINTER)
    (problem,) = report(str(folder), lambda _: "none").problems
    assert problem.endswith(f"{name}: is a git-lfs pointer, not the file; run `git lfs pull` in the model's folder")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("tokenizer_config.json", b"nope", "tokenizer_config.json: cannot be read"),
        ("special_tokens_map.json", b"{", "special_tokens_map.json: cannot be read"),
        ("chat_template.jinja", "{# ä #}".encode("latin-1"), "chat_template.jinja: the chat template cannot be read"),
    ],
)
def test_the_file_that_keeps_the_tokenizer_from_loading_is_named(
    name: str, content: bytes, expected: str, folder: Path
) -> None:
    (folder / name).write_bytes(content)
    (problem,) = report(str(folder), lambda _: "none").problems
    assert expected in problem


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ("global_step10/mp_rank_00_model_states.pt", "a DeepSpeed checkpoint (global_step10); run its zero_to_fp32.py"),
        ("pytorch_model_fsdp_0/__0_0.distcp", "run `accelerate merge-weights pytorch_model_fsdp_0 FOLDER`"),
        ("model-Q8_0.gguf", "in a GGUF file; give that one (model-Q8_0.gguf)"),
        ("onnx/model.onnx", "for ONNX (onnx/model.onnx)"),
        ("openvino_model.xml", "for OpenVINO (openvino_model.xml)"),
        ("flax_model.msgpack", "Flax's (flax_model.msgpack)"),
    ],
)
def test_weights_in_another_form_are_named(found: str, said: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / found).parent.mkdir(exist_ok=True)
    (folder / found).write_bytes(b"x")
    (folder / "training_args.bin").write_bytes(b"x")  # which is no pickle of weights
    (problem,) = report(str(folder), lambda _: "none").problems
    assert problem.startswith("the model folder has no safetensors weights; its weights are ")
    assert said in problem


def test_the_last_checkpoint_is_what_to_give(folder: Path, tmp_path: Path) -> None:
    for step in (9, 10, 100):
        shutil.copytree(folder, tmp_path / "out" / f"checkpoint-{step}")
    (problem,) = report(str(tmp_path / "out"), lambda _: "none").problems
    assert problem == f"the model folder has no config.json; give {tmp_path / 'out' / 'checkpoint-100'}"


def test_an_adapter_inside_is_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "final").mkdir()
    (tmp_path / "final" / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=f"give {tmp_path / 'final'}"):
        check_folder(tmp_path)


def test_an_error_says_more_where_its_first_line_ends_in_a_colon() -> None:
    assert first_line(ValueError("Invalid:\n  the reason\nmore")) == "Invalid: the reason"
    assert first_line(KeyError("own")) == "KeyError: 'own'"
    assert first_line(ValueError()) == "ValueError"
