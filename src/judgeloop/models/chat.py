"""Messages to token ids and back: the one place where a tokenizer and its chat template meet.

Engines and trainers are given token ids from here and nothing else, so a prompt has the same ids when it is answered,
judged and trained on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from judgeloop.config.tree import Thinking
from judgeloop.errors import InputError
from judgeloop.models.chat_check import problems
from judgeloop.models.control_tokens import control_tokens
from judgeloop.models.facts import configured_vocabulary, max_positions
from judgeloop.models.template import PROBE, Template
from judgeloop.models.tokenizer import SHIPPED, end_tokens, load_tokenizer
from judgeloop.records import Message
from judgeloop.text.thoughts import Spoken, begins_with_thought, split_thought


class Chat:
    """A tokenizer with its chat template.

    `close_ids` are the tokens that end a finished answer, and the last of them, the tokenizer's EOS and those of the
    model's generation config are `end_ids`, at which a generation stops. `thinks`: the model may think before it
    answers, and its thought has to be split off (`spoken`). `positions`: how many tokens, prompt and response together,
    the model has positions for; None if nothing limits them. `rows`: how many token ids the weights know; None if the
    config does not say.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        generation_eos: Sequence[int] = (),
        system_prompt: str | None = None,
        origin: str = "the model",
        template_origin: str | None = None,
        thinking: Thinking = "auto",
        date: str | None = None,
        positions: int | None = None,
        rows: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.system_prompt = system_prompt
        self.origin = origin
        self.positions = positions
        self.rows = rows
        if not tokenizer.chat_template:
            raise InputError(
                f"{origin}: its tokenizer has no chat template, as base models have none; set chat_template: plain "
                "(works with any vocabulary), or to 'chatml' or a Jinja file"
            )
        if tokenizer.eos_token_id is None:
            raise InputError(f"{origin}: its tokenizer has no EOS token; set eos_token in tokenizer_config.json")
        options: dict[str, Any] = {
            "thinking": thinking,
            "date": date,
            "origin": template_origin or origin,
            "system_prompt": system_prompt,
        }
        self.template = Template(tokenizer, **options)
        if self._lacks_bos():
            self.template = Template(tokenizer, **options, starts_with_bos=True)
            tokenizer.chat_template = self.template.source  # a model that is trained so is to be asked so
        self.thinks = self.template.turn.thinks
        added = getattr(tokenizer, "added_tokens_decoder", {})
        self._special: set[int] = set(tokenizer.all_special_ids) | set(added)
        self.control_tokens = control_tokens(tokenizer, self.template.source)
        self._controls = re.compile(f"({'|'.join(map(re.escape, self.control_tokens))})")
        self._control_ids = set(tokenizer.convert_tokens_to_ids(list(self.control_tokens)))
        # What a tokenizer's normalizer makes of the text may be a name that the text does not spell so, as "＜eot＞".
        normalizer = tokenizer.backend_tokenizer.normalizer if getattr(tokenizer, "is_fast", False) else None
        self._normalizes = normalizer is not None and any(
            token.normalized and number in self._control_ids for number, token in added.items()
        )
        ends = [int(i) for i in (tokenizer.eos_token_id, *generation_eos) if i is not None]
        self.close_ids: tuple[int, ...] = self._closing_ids(ends)
        self.close_id: int = self.close_ids[-1]
        self.end_ids: tuple[int, ...] = tuple(dict.fromkeys([self.close_id, *ends]))
        pad = tokenizer.pad_token_id
        # A padding token that was only added to the tokenizer has no row in the weights; what pads is never looked at.
        fit = (i for i in (pad, tokenizer.eos_token_id) if i is not None and (rows is None or i < rows))
        self.pad_id: int = int(next(fit, self.close_id))
        # A tokenizer in the style of SentencePiece writes a space before a text; within a turn there may be none.
        newline = self._encode("\n")
        joined = self._encode("\na")
        self._spaced = joined[: len(newline)] == newline and joined[len(newline) :] != self._encode("a")
        self._lead = self.template.turn.lead
        self._continues = self._spaced
        if self._spaced or self._lead:
            self._settle_start()

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        chat_template: str | None = None,
        system_prompt: str | None = None,
        trust_remote_code: bool = False,
        thinking: Thinking = "auto",
        date: str | None = None,
    ) -> Chat:
        """Load the tokenizer of a model folder. `chat_template`: the name of a shipped template, or a Jinja file.

        Raises InputError if there is no tokenizer or it cannot be used.
        """
        tokenizer = load_tokenizer(folder, chat_template, trust_remote_code=trust_remote_code)
        configured = (folder / "config.json").is_file()
        return cls(
            tokenizer,
            generation_eos=end_tokens(folder),
            system_prompt=system_prompt,
            origin=str(folder),
            template_origin=None if chat_template in SHIPPED else chat_template,
            thinking=thinking,
            date=date,
            positions=max_positions(folder) if configured else None,
            rows=configured_vocabulary(folder) if configured else None,
        )

    # Prompts ---------------------------------------------------------------------------------------------------------

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of the conversation, the assistant's turn opened; BOS exactly as the template writes it.

        Control tokens are those that the template writes: the name of one in a message's words is spelled out.
        """
        messages = self._with_system(messages)
        split = [self._split(message["content"]) for message in messages]
        if all(len(pieces) == 1 for pieces in split):
            return self.text_ids(self.template.prompt(messages))
        whole = "".join(message["content"] for message in messages)
        mark = next(c for c in map(chr, range(0xE000, 0xF900)) if c not in whole)  # private use: no template has it
        found: list[str] = []

        def stand_in(name: str) -> str:
            found.append(name)
            return f"{mark}{len(found) - 1}{mark}"

        marked: list[Message] = [
            {
                "role": message["role"],
                "content": "".join(stand_in(piece) if n % 2 else piece for n, piece in enumerate(pieces)),
            }
            for message, pieces in zip(messages, split, strict=True)
        ]
        pieces = re.split(f"{mark}(\\d+){mark}", self.template.prompt(marked))
        ids = self.text_ids(pieces[0])
        for number, piece in enumerate(pieces[1:], start=1):
            ids += self._spelled(found[int(piece)]) if number % 2 else self._continued(piece)
        return ids

    def _with_system(self, messages: Sequence[Message]) -> list[Message]:
        if self.system_prompt is not None and (not messages or messages[0]["role"] != "system"):
            return [{"role": "system", "content": self.system_prompt}, *messages]
        return list(messages)

    # Responses -------------------------------------------------------------------------------------------------------

    def response_ids(self, text: str, *, finished: bool = True) -> list[int]:
        """Token ids of an answer within the assistant's turn, an empty thought before it if the model thinks; the turn
        is closed if the answer is finished (never if it was cut off)."""
        ids = self._answer_ids(text)
        return [*ids, *self.close_ids] if finished else ids

    def _answer_ids(self, text: str) -> list[int]:
        if not self._lead:
            return self.words_ids(text)
        pieces = self._split(text)
        start = self._lead + pieces[0]
        ids = self._continued(start) if self._continues else self.text_ids(start)
        for number, piece in enumerate(pieces[1:], start=1):
            ids += self._spelled(piece) if number % 2 else self._continued(piece)
        return ids

    def _settle_start(self) -> None:
        """Find the way of writing an answer's first token that gives the template's own tokens."""
        turn = self.template.turn
        prompt = self.text_ids(turn.prompt + turn.opening)
        whole = self.text_ids(f"{turn.prompt}{turn.opening}{turn.lead}{PROBE}")
        ways = [(turn.lead, False), (turn.lead, True)]
        ways += [("", False), ("", True)] if not turn.lead.strip() else []
        for lead, continues in ways:
            self._lead, self._continues = lead, continues
            if [*prompt, *self._answer_ids(PROBE)] == whole:
                return
        self._lead, self._continues = ways[0]

    def _closing_ids(self, ends: Sequence[int]) -> tuple[int, ...]:
        """What the template writes after an answer, up to its EOS if control tokens lead there without a break, else
        up to the first control token; EOS if it writes none. What it writes at the end of a conversation alone (Phi's
        <|endoftext|> after <|end|>) is not of the turn, unless there is nothing else."""
        closing, following = self.template.turn.closing, self._encode(self.template.turn.following)
        ids = self._encode(closing)
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(ids, following, strict=False))
        shared = [token for token, _ in alike]
        if self._special & set(shared):
            ids = shared
        start = next((place for place, token in enumerate(ids) if token in self._special), None)
        if start is None or self.tokenizer.decode(ids[:start]).strip():
            return (ends[0],)
        run = start
        while run < len(ids) and ids[run] in self._special:
            run += 1
        stop = next((place for place in range(start, run) if ids[place] in ends), start)
        space = closing[: len(closing) - len(closing.lstrip())]
        before = self._encode(PROBE + space)[len(self._encode(PROBE)) :] if space else []
        return (*before, *ids[start : stop + 1])

    def _lacks_bos(self) -> bool:
        """Whether the tokenizer puts BOS before any text, and the template writes none: so models were trained whose
        template was written out and then tokenised like any text."""
        bos = self.tokenizer.bos_token_id
        if bos is None or self.tokenizer.encode("a")[:1] != [bos]:
            return False
        return self._encode(self.template.turn.prompt)[:1] != [bos]

    # Text and tokens -------------------------------------------------------------------------------------------------

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a template's text, with no special token added: the control tokens that it names are those
        tokens. For what somebody wrote there is `words_ids`."""
        return self._encode(text)

    def words_ids(self, text: str) -> list[int]:
        """Token ids of text that somebody wrote: a control token's name in it is spelled out, never the token."""
        pieces = self._split(text)
        ids = self._continued(pieces[0]) if self._continues else self.text_ids(pieces[0])
        for number, piece in enumerate(pieces[1:], start=1):
            ids += self._spelled(piece) if number % 2 else self._continued(piece)
        return ids

    def _split(self, text: str) -> list[str]:
        """The text in pieces: plain ones, and between each two of them the name of a control token."""
        pieces = self._controls.split(text)
        if not self._normalizes:
            return pieces
        found: list[str] = []
        for number, piece in enumerate(pieces):
            found += [piece] if number % 2 else self._split_normalized(piece)
        return found

    def _split_normalized(self, text: str) -> list[str]:
        """As `_split`, by the control tokens that come out."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        pieces, done = [], 0
        for number, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            if number in self._control_ids and end > start >= done:
                pieces += [text[done:start], text[start:end]]
                done = end
        return [*pieces, text[done:]]

    def _encode(self, text: str, **options: bool) -> list[int]:
        options = {"split_special_tokens": False, **options}  # some tokenizers are set to spell every name
        return [int(i) for i in self.tokenizer.encode(text, add_special_tokens=False, **options)]

    def _continued(self, text: str, **options: bool) -> list[int]:
        """Token ids of text within a text, so without the space that some tokenizers write before one."""
        if not self._spaced or not text:
            return self._encode(text, **options)
        return self._encode(f"\n{text}", **options)[len(self._encode("\n")) :]

    def _spelled(self, name: str) -> list[int]:
        """A control token's name as ordinary tokens."""
        ids = self._continued(name, split_special_tokens=True)
        # The vocabulary may have the name as a piece like any other; a token that is not "special" is never split.
        if self._control_ids & set(ids):
            ids = [i for letter in name for i in self._continued(letter, split_special_tokens=True)]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of generated ids, special tokens left out, spaces kept as they are."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    # Thoughts --------------------------------------------------------------------------------------------------------

    def split(self, text: str) -> tuple[str | None, str]:
        """A generated text's thought, None if there is none, and its answer, empty if the thought never ended."""
        if not self.thinks and not begins_with_thought(text, self.template.source):
            return None, text
        found = split_thought(text)
        if found.thought is None and self.template.opens_thought:  # the prompt opened a thought that nothing closed
            found = Spoken(text.strip(), None)
        return found.thought, found.answer or ""

    def spoken(self, ids: Sequence[int], text: str) -> tuple[str | None, str]:
        """Like `split`, from generated ids, whose `text` lacks the control tokens that mark some models' thoughts."""
        words = list(ids)
        while words and words[-1] in self.end_ids:
            words.pop()
        marked = self.tokenizer.decode(words, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        thought, answer = self.split(str(marked))
        special = [re.escape(str(token)) for token in self.tokenizer.all_special_tokens]
        return (None, text) if answer == marked else (thought, re.sub("|".join(special), "", answer))

    def check(self) -> list[str]:
        """Problems of tokenizer and template, each with its remedy; empty if all is well (`models.chat_check`)."""
        return problems(self)

    def require_sound(self) -> None:
        """Raise InputError with the problems that `check` finds, if there are any."""
        if found := self.check():
            raise InputError(f"{self.origin}: {'; also: '.join(found)}")
