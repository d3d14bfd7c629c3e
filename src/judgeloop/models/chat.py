"""Chat templates, applied in this one place: messages to token ids and back, and the check that they fit together.

Engines and trainers are given token ids from here and nothing else, so a prompt has the same ids when it is answered,
judged and trained on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgeloop.errors import InputError
from judgeloop.records import Message

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_PROBE = "judgeloop"


class Chat:
    """A tokenizer with its chat template.

    `end_ids` are the tokens that end an assistant turn: the tokenizer's EOS, those of the model's generation config,
    and the token the template closes the turn with.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        generation_eos: Sequence[int] = (),
        system_prompt: str | None = None,
        origin: str = "the model",
    ) -> None:
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.origin = origin
        if not tokenizer.chat_template:
            raise InputError(
                f"{origin}: its tokenizer has no chat template; set chat_template to a Jinja file, or to 'chatml'"
            )
        if tokenizer.eos_token_id is None:
            raise InputError(f"{origin}: its tokenizer has no EOS token; set eos_token in tokenizer_config.json")
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        controls = {str(token) for token in added if token.special} | {str(t) for t in tokenizer.all_special_tokens}
        self.control_tokens: tuple[str, ...] = tuple(sorted(controls, key=lambda token: (-len(token), token)))
        self._controls = re.compile(f"({'|'.join(map(re.escape, self.control_tokens))})")
        closing = self._closing_id()
        self.end_ids: tuple[int, ...] = tuple(
            dict.fromkeys([int(i) for i in (closing, tokenizer.eos_token_id, *generation_eos) if i is not None])
        )
        self.close_id: int = self.end_ids[0]
        pad = tokenizer.pad_token_id
        self.pad_id: int = int(pad if pad is not None else tokenizer.eos_token_id)

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        chat_template: str | None = None,
        system_prompt: str | None = None,
        trust_remote_code: bool = False,
    ) -> Chat:
        """Load the tokenizer of a model folder. Raises InputError where there is none or it cannot be used."""
        from transformers import AutoTokenizer, GenerationConfig

        if not any(
            (folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
        ):
            raise InputError(f"{folder}: the model folder has no tokenizer; copy the tokenizer's files into it")
        try:
            tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
        except Exception as error:  # the libraries raise many kinds; each means the same to the user
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise InputError(f"{folder}: its tokenizer cannot be loaded ({first}); mend the folder") from error
        if chat_template == "chatml":
            tokenizer.chat_template = CHATML
        elif chat_template is not None:
            try:
                tokenizer.chat_template = Path(chat_template).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
                raise InputError.at(
                    chat_template, None, f"the chat template cannot be read ({reason})", "check chat_template"
                ) from error
        generation_eos: Sequence[int] = ()
        if (folder / "generation_config.json").is_file():
            eos = GenerationConfig.from_pretrained(str(folder)).eos_token_id
            generation_eos = eos if isinstance(eos, list) else [eos] if eos is not None else []
        return cls(tokenizer, generation_eos=generation_eos, system_prompt=system_prompt, origin=str(folder))

    def _render(self, messages: Sequence[Message], *, generation: bool) -> str:
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                self._with_system(messages), tokenize=False, add_generation_prompt=generation
            )
        except TemplateError as error:
            raise InputError(f"{self.origin}: its chat template fails ({error}); set chat_template") from error
        return str(text)

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        if self.system_prompt is not None and (not messages or messages[0]["role"] != "system"):
            return [{"role": "system", "content": self.system_prompt}, *messages]
        return list(messages)

    def _closing_id(self) -> int | None:
        """The first token the template writes after an assistant's words, where that is one special token."""
        turn: list[Message] = [{"role": "user", "content": _PROBE}, {"role": "assistant", "content": _PROBE}]
        after = self._render(turn, generation=False).rpartition(_PROBE)[2]
        ids = self.tokenizer.encode(after, add_special_tokens=False)
        special = set(self.tokenizer.all_special_ids) | set(getattr(self.tokenizer, "added_tokens_decoder", {}))
        return int(ids[0]) if ids and ids[0] in special else None

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the conversation, the assistant's turn opened; BOS exactly as the template writes it.

        Control tokens are those that the template writes: one that stands in a message's words is spelled out.
        """
        whole = "".join(message["content"] for message in messages)
        if not self._controls.search(whole):
            return self.text_ids(self._render(messages, generation=True))
        mark = next(c for c in map(chr, range(0xE000, 0xF900)) if c not in whole)  # private use: no template has it
        found: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            found.append(match.group())
            return f"{mark}{len(found) - 1}{mark}"

        marked: list[Message] = [
            {"role": message["role"], "content": self._controls.sub(stand_in, message["content"])}
            for message in messages
        ]
        pieces = re.split(f"{mark}(\\d+){mark}", self._render(marked, generation=True))
        ids: list[int] = []
        for number, piece in enumerate(pieces):
            ids += self._spelled(found[int(piece)]) if number % 2 else self.text_ids(piece)
        return ids

    def text_ids(self, text: str) -> list[int]:
        """Token ids of plain text, with no special token added; special tokens written in the text count as such."""
        return [int(i) for i in self.tokenizer.encode(text, add_special_tokens=False)]

    def response_ids(self, text: str, *, finished: bool = True) -> list[int]:
        """Token ids of an assistant's words, the turn closed where the answer is finished (never where it was cut)."""
        ids = self.words_ids(text)
        return [*ids, self.close_id] if finished else ids

    def words_ids(self, text: str) -> list[int]:
        """Token ids of text that somebody wrote: a control token's name in it is spelled out, never the token."""
        ids: list[int] = []
        for number, piece in enumerate(self._controls.split(text)):
            ids += self._spelled(piece) if number % 2 else self.text_ids(piece)
        return ids

    def _spelled(self, name: str) -> list[int]:
        """A control token's name as ordinary tokens."""
        controls = set(self.tokenizer.convert_tokens_to_ids(list(self.control_tokens)))
        ids = self.tokenizer.encode(name, add_special_tokens=False, split_special_tokens=True)
        if controls & set(ids):  # a vocabulary that holds the name as a piece like any other
            ids = [i for letter in name for i in self.tokenizer.encode(letter, add_special_tokens=False)]
        return [int(i) for i in ids]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out, spaces kept as they are."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def check(self) -> list[str]:
        """Problems of tokenizer and template, each with its remedy; empty when all is well.

        Checked: exactly one BOS at the start where the model has one; EOS closes an assistant turn; the prompt's
        tokens are a prefix of prompt + response; special tokens of the template are known to the tokenizer.
        """
        problems = []
        user: list[Message] = [{"role": "user", "content": "Name a colour."}]
        prompt = self.prompt_ids(user)
        bos = self.tokenizer.bos_token_id
        if bos is not None:
            leading = 0
            while leading < len(prompt) and prompt[leading] == bos:
                leading += 1
            plain = self.tokenizer.encode("a")
            if leading > 1:
                problems.append(
                    f"a prompt starts with {leading} BOS tokens; remove bos_token from the chat template or set "
                    "add_bos_token to false in tokenizer_config.json"
                )
            if leading == 0 and plain and plain[0] == bos:
                problems.append(
                    "the tokenizer adds BOS to plain text but a templated prompt has none; "
                    "start the chat template with {{ bos_token }}"
                )
        answer: list[Message] = [*user, {"role": "assistant", "content": "Blue."}]
        whole = self.text_ids(self._render(answer, generation=False))
        if whole[: len(prompt)] != prompt:
            problems.append(
                "a prompt's tokens are not a prefix of prompt + response (the template renders the two differently); "
                "use a template whose generation prompt equals the start of the assistant's turn"
            )
        elif not set(whole[len(prompt) :]) & set(self.end_ids):
            problems.append(
                "no EOS closes an assistant turn; end the turn with {{ eos_token }} in the chat template, or name "
                "the closing token as eos_token_id in generation_config.json"
            )
        else:
            trained = [*prompt, *self.response_ids("Blue.")]
            if whole[: len(trained)] != trained:
                problems.append(
                    "tokens merge across the start of the response, so what is trained is not what is generated; "
                    "end the template's generation prompt with a special token or a line break"
                )
        if self.close_id == self.tokenizer.unk_token_id:
            problems.append("the token that closes a turn is the unknown token; add it to the tokenizer")
        return problems
