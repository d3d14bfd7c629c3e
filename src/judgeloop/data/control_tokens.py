"""The tokens with which chat templates begin and end a text. Data that was rendered for another model keeps them: they
are no words of an answer."""

from __future__ import annotations

BEGINNINGS = (
    "<s>", "<bos>", "<|begin_of_text|>", "<|startoftext|>", "<|endoftext|>", "<BOS_TOKEN>", "[gMASK]", "<sop>",
    "<｜begin▁of▁sentence｜>", "<|begin▁of▁sentence|>", "<|begin_of_sentence|>",
)  # fmt: skip
ENDS = (
    "</s>", "<eos>", "<|eos|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "<turn|>", "<|end|>", "<|return|>", "<|end_of_turn|>", "<|END_OF_TURN_TOKEN|>", "<|END_RESPONSE|>",
    "<EOS_TOKEN>", "<｜end▁of▁sentence｜>", "<|end▁of▁sentence|>", "<|end_of_sentence|>", "<pad>", "<|pad|>",
)  # fmt: skip


def without_beginning(text: str) -> str:
    """The text without the tokens that begin it; the text itself if there are none."""
    rest = text.lstrip()
    while (token := next((token for token in BEGINNINGS if rest.startswith(token)), None)) is not None:
        text = rest = rest.removeprefix(token).lstrip()
    return text


def without_tokens_around(text: str) -> str:
    """The text without the tokens that begin and end it; the text itself if there are none. `<s>…</s>` inside a text
    is HTML and stays."""
    text = without_beginning(text)
    rest = text.rstrip()
    while (token := next((token for token in ENDS if rest.endswith(token)), None)) is not None:
        if token == "</s>" and rest.count("<s>") >= rest.count("</s>"):
            break
        text = rest = rest.removesuffix(token).rstrip()
    return text
