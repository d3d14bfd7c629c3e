"""What `judgeloop export` can write: each format a function of the chosen model and the folder to write to, which
returns what there is to say. Formats of models first, then those of rows."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from judgeloop.errors import InputError
from judgeloop.export import rows
from judgeloop.export.card import FILE, write_card
from judgeloop.export.chosen import Chosen
from judgeloop.export.licence import Base, base_of
from judgeloop.export.weights import DTYPES, write_folder
from judgeloop.models.chat import Chat
from judgeloop.models.facts import max_positions
from judgeloop.models.gguf_export import TYPES, write_gguf


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to export: `dtype` of a folder's weights (None: as they are), `kind` of a GGUF file's."""

    model: Chosen
    out: Path
    dtype: str | None = None
    kind: str = "f16"

    @property
    def stem(self) -> str:
        """The name of a file: of the run, and of the model in it."""
        return f"{self.model.run.path.resolve().name}-{self.model.name}"

    def base(self) -> Base:
        return base_of(self.model.config.model, self.model.base)

    def chat(self) -> Chat:
        """The run's chat template, as every model of it has it."""
        config = self.model.config
        return Chat.load(
            self.model.folder, chat_template=config.chat_template if self.model.name == "M0" else None,
            system_prompt=config.system_prompt, thinking=config.thinking, date=self.model.run.day(),
            trust_remote_code=config.trust_remote_code,
        )  # fmt: skip


def hugging_face(wanted: Wanted) -> list[str]:
    """A folder that transformers, vLLM, TRL and others load, with card and licence."""
    write_folder(wanted.model.folder, wanted.out, wanted.dtype)
    return _card_and_licence(wanted)


def gguf(wanted: Wanted) -> list[str]:
    """One GGUF file, with card and licence beside it."""
    _write_gguf(wanted)
    return _card_and_licence(wanted)


def ollama(wanted: Wanted) -> list[str]:
    """A GGUF file and the Modelfile that has Ollama run it."""
    from judgeloop.export.ollama import modelfile

    path = _write_gguf(wanted)
    base = wanted.base()
    config = wanted.model.config
    text, note = modelfile(
        path.name, wanted.chat(), config.candidates.sampling, base.texts(), max_positions(wanted.model.folder)
    )
    (wanted.out / "Modelfile").write_text(text, encoding="utf-8")
    name = wanted.stem.lower()
    return [
        *([note] if note else []),
        *_card_and_licence(wanted),
        f"ollama create {name} -f {wanted.out / 'Modelfile'}",
    ]


def _write_gguf(wanted: Wanted) -> Path:
    wanted.out.mkdir(parents=True, exist_ok=True)
    template = wanted.chat().template.source
    return write_gguf(wanted.model.folder, wanted.out / f"{wanted.stem}-{wanted.kind}.gguf", wanted.kind, template)


def _card_and_licence(wanted: Wanted) -> list[str]:
    """Into the exported folder; a card that the user wrote in the model's own folder goes along as it is."""
    base = wanted.base()
    own = wanted.model.folder / FILE
    if wanted.model.name != "M0" and own.is_file():
        shutil.copyfile(own, wanted.out / FILE)
    if wanted.model.name != "M0":
        write_card(wanted.model.run.path, wanted.model.name, wanted.out, base)
    if base.copy_licence(wanted.out):
        return []
    return [f"{base.folder}: holds no licence; look it up before you pass the model on"]


MODELS: dict[str, Callable[[Wanted], list[str]]] = {"hf": hugging_face, "gguf": gguf, "ollama": ollama}
ROWS: dict[str, Callable[[Path, Path], list[str]]] = {
    "trl": rows.for_trl, "llamafactory": rows.for_llamafactory, "axolotl": rows.for_axolotl,
}  # fmt: skip
FORMATS = (*MODELS, *ROWS)


def export(run: Path, model: str, form: str, out: Path, *, dtype: str | None, kind: str | None) -> list[str]:
    """Write a finished model of a run, or its rows, to a new folder; return what there is to say.

    Raises InputError for a format, type or model that there is not, and for a folder that holds something.
    """
    from judgeloop.export.chosen import choose

    if form not in FORMATS:
        raise InputError(f"--format: '{form}' is not one of {', '.join(FORMATS)}")
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"--dtype: '{dtype}' is not one of {', '.join(DTYPES)}")
    if dtype is not None and form != "hf":
        raise InputError(f"--dtype is for --format hf; {form} takes --type {', '.join(TYPES)}" if form in MODELS
                         else f"--dtype is for models, and {form} is a format of rows; leave it out")  # fmt: skip
    if kind is not None and kind not in TYPES:
        raise InputError(f"--type: '{kind}' is not one of {', '.join(TYPES)}")
    if kind is not None and form not in ("gguf", "ollama"):
        raise InputError(f"--type is for GGUF files (--format gguf, ollama), not for {form}; leave it out")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError.at(out, None, "is not an empty folder", "choose another --out")
    if form in ROWS:
        return ROWS[form](run, out)
    chosen = choose(run, model)
    said = MODELS[form](Wanted(chosen, out, dtype, kind or "f16"))
    return [f"{chosen.name} of {run}: {', '.join(sorted(path.name for path in out.iterdir()))}", *said]
