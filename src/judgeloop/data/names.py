"""The names that data sets give their columns, by what the columns say. Of the names of a role the first counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from judgeloop.data.thoughts import NAMES as THOUGHTS


def _with_nouns(words: str) -> tuple[str, ...]:
    """Words for the better or the worse side, alone and with what it is: chosen, chosen_response, answer_chosen …"""
    nouns = ("response", "answer", "output", "completion", "text", "reply", "generation", "message")
    pairs = [(word, noun) for noun in nouns for word in words.split()]
    return (
        *words.split(),
        *(f"{word}_{noun}" for word, noun in pairs),
        *(f"{noun}_{word}" for word, noun in pairs),
    )


NAMES: dict[str, tuple[str, ...]] = {
    "prompt": (
        "orig_instruction", "prompt", "instruction", "question", "query", "problem", "user_prompt", "user_input",
        "inst", "human", "user", "request", "ask", "user_message", "input_text", "prompt_text", "question_text",
        "source_text", "question_body",
    ),
    "input": ("input", "context", "orig_input"),
    "constraints": ("constraints",),
    "system": ("system", "system_prompt", "system_message", "system_instruction"),
    "history": ("history",),
    "conversation": (
        "messages", "conversations", "conversation", "chat", "dialogue", "dialog", "dialogs", "turns", "thread",
        "chat_messages", "chat_history", "contents", "data",
    ),
    "response": (
        "orig_response", "response", "completion", "output", "solution", "answer", "reply", "model_output",
        "generation", "assistant", "model_response", "assistant_response", "bot", "gpt", "answer_text", "response_text",
        "generated_text", "target_text", "output_text", "reply_text",
    ),
    "chosen": _with_nouns(
        "chosen accepted preferred positive better best win winner winning accept good pos y_w response_j"
    ),
    "rejected": _with_nouns(
        "rejected dispreferred non_preferred negative worse worst lose loser losing reject bad neg unpreferred "
        "nonpreferred less_preferred y_l response_k"
    ),
    "answers": (
        "responses", "generations", "answers", "completions", "candidates", "outputs", "candidate_responses", "replies",
        "summaries", "model_outputs", "samples",
    ),
    "ranks": ("ranks", "rank", "ranking", "rankings"),
    "scores": ("ratings", "scores", "rewards", "score", "rating", "all_rm_scores"),
    "score": (
        "overall_score", "score", "rating", "helpfulness", "overall", "quality", "overall_rating", "orig_score",
        "overall_quality", "reward", "stars", "human_rating", "human_score", "preference_score", "correctness",
        "upvotes", "votes", "likes", "gpt4_score", "judge_score",
    ),
    "rank": ("rank", "ranking"),
    "label": (
        "label", "kto_tag", "desirable", "is_desirable", "thumbs_up", "upvoted", "accepted", "is_accepted", "liked",
        "good", "is_good", "is_preferred", "preferred", "is_chosen", "chosen", "approved", "is_correct", "correct",
        "is_safe", "thumbs", "feedback", "vote", "is_helpful",
    ),
    "bad_label": (
        "rejected", "is_rejected", "thumbs_down", "downvoted", "disliked", "is_bad", "toxicity", "is_toxic", "toxic",
        "harmful", "is_harmful", "flagged", "deleted", "is_deleted",
    ),
    "winner": (
        "winner", "better_response_id", "better_response", "better", "preferred", "preference", "overall_preference",
        "preference_strength", "choice", "chosen", "labels", "label", "best", "better_id", "preferred_response",
        "verdict", "selected", "human_preference", "safer_response_id",
    ),
    "tie": ("winner_tie", "tie", "is_tie"),
    "chosen_score": ("score_chosen", "chosen_score", "chosen_rating", "rating_chosen", "chosen_avg_rating"),
    "rejected_score": ("score_rejected", "rejected_score", "rejected_rating", "rating_rejected", "rejected_avg_rating"),
    "thought": THOUGHTS,
    "text": ("text",),
    "group": ("group",),
}  # fmt: skip
ROLES = tuple(NAMES)
BARE = ("prompt", "instruction", "question", "query", "problem", "user_prompt", "user_input", "orig_instruction")


def plain_name(key: str) -> str:
    """A column's name as the table has it: lower case, words joined by underscores."""
    return re.sub(r"[\s\-.]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip())).casefold()


TAGS = ("tag", "rule", "kind", "category")


def tag_of(row: Mapping[str, Any]) -> str:
    """The kind of task that a row of prompts says it is; empty if it says none."""
    found = next((row[key] for key in TAGS if row.get(key)), "")
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
