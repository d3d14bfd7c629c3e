"""The tokens with which chat templates begin and end a text. Data that was rendered for another model keeps them: they
are no words of an answer."""

from __future__ import annotations

BEGINNINGS = (
    "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>", "<BOS_TOKEN>", "[gMASK]", "<sop>",
    "<｜begin▁of▁sentence｜>", "<|begin▁of▁sentence|>", "<|begin_of_sentence|>",
    "<|im_start|>assistant", "<|start_header_id|>assistant<|end_header_id|>", "<start_of_turn>model", "<|assistant|>",
    "<｜Assistant｜>", "<|start_of_role|>assistant<|end_of_role|>", "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
)  # fmt: skip
ENDS = (
    "</s>", "<eos>", "<|eos|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "<turn|>", "<|end|>", "<|return|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>",
    "<EOS_TOKEN>", "<｜end▁of▁sentence｜>", "<|end▁of▁sentence|>", "<|end_of_sentence|>", "<pad>", "<|pad|>",
    "<extra_id_1>",
)  # fmt: skip


def without_beginning(text: str) -> str:
    """The text without the tokens that begin it; the text itself if there are none."""
    rest = text.lstrip()
    while (token := next((token for token in BEGINNINGS if rest.startswith(token)), None)) is not None:
        text = rest = rest.removeprefix(token).lstrip()
    return text


def without_tokens_around(text: str) -> str:
    """The text without the tokens that begin and end it; the text itself if there are none. `<s>` and `</s>` that mark
    a part of a text are HTML and stay."""
    rest = _without_end(text, tuple(token for token in ENDS if token != "</s>"))
    opened, closed = rest.count("<s>"), rest.count("</s>")
    around = rest.lstrip().startswith("<s>") and rest.rstrip().endswith("</s>") and opened == closed == 1
    if opened and closed and not around:
        return rest
    return without_beginning(_without_end(rest, ENDS))


def _without_end(text: str, tokens: tuple[str, ...]) -> str:
    rest = text.rstrip()
    while (token := next((token for token in tokens if rest.endswith(token)), None)) is not None:
        text = rest = rest.removesuffix(token).rstrip()
    return text
