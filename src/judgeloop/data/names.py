"""The names that data sets give their columns, by what the columns say. Of the names of a role the first counts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

from judgeloop.data.foreign_names import FOREIGN
from judgeloop.data.thoughts import NAMES as THOUGHTS


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _with_nouns(words: str) -> tuple[str, ...]:
    """Words for the better or the worse side, alone and with what it is: chosen, chosen_response, answer_chosen …"""
    nouns = (
        "response", "answer", "output", "completion", "text", "reply", "generation", "message", "resp", "conversation",
        "conversations", "solution", "summary",
    )  # fmt: skip
    pairs = [(word, noun) for noun in nouns for word in words.split()]
    return (
        *words.split(),
        *(f"{word}_{noun}" for word, noun in pairs),
        *(f"{noun}_{word}" for word, noun in pairs),
    )


def _of_a_side(side: str) -> tuple[str, ...]:
    """What a score of one side of a pair is called: score_chosen, chosen_reward, chosen_avg_rating …"""
    scores = ("score", "rating", "avg_rating", "reward", "rm_score", "reward_score", "reward_model_score")
    return tuple(name for score in scores for name in (f"{score}_{side}", f"{side}_{score}"))


_ENGLISH: dict[str, tuple[str, ...]] = {
    "prompt": (
        "orig_instruction", "prompt", "instruction", "question", "query", "problem", "user_prompt", "user_input",
        "inst", "ask", "user_message", "input_text", "prompt_text", "question_text", "source_text", "question_body",
        "definition", "inputs", "inputs_pretokenized", "human", "user", "request", "q", "x",
    ),
    "input": ("input", "context", "orig_input"),
    "constraints": ("constraints",),
    "system": ("system", "system_prompt", "system_message", "system_instruction", "sys_prompt", "system_msg", "sys"),
    "history": ("history",),
    "conversation": (
        "messages", "conversations", "conversation", "chat", "dialogue", "dialog", "dialogs", "turns", "thread",
        "chat_messages", "chat_history", "contents", "data",
    ),
    "response": (
        "orig_response", "response", "completion", "output", "solution", "answer", "reply", "model_output",
        "generation", "assistant", "model_response", "assistant_response", "bot", "gpt", "answer_text", "response_text",
        "generated_text", "target_text", "output_text", "reply_text", "targets", "targets_pretokenized",
        "generated_solution", "generated_answer", "generated_response", "llm_response", "model_answer", "bot_response",
        "target", "a",
    ),
    "chosen": (
        *_with_nouns(
            "chosen accepted preferred positive better best win winner winning accept good pos y_w response_j prefered "
            "safe desired"
        ),
        "chosen_messages", "real",
    ),
    "rejected": (
        *_with_nouns(
            "rejected dispreferred non_preferred negative worse worst lose loser losing reject bad neg unpreferred "
            "nonpreferred less_preferred y_l response_k non_prefered unprefered disprefered unsafe undesired"
        ),
        "rejected_messages", "generated",
    ),
    "answers": (
        "responses", "generations", "answers", "completions", "candidates", "outputs", "candidate_responses", "replies",
        "summaries", "model_outputs", "samples",
    ),
    "ranks": ("ranks", "rank", "ranking", "rankings"),
    "scores": (
        "ratings", "scores", "rewards", "score", "rating", "all_rm_scores", "correctness", "correctness_math_verify",
    ),
    "score": (
        "overall_score", "score", "rating", "helpfulness", "overall", "quality", "overall_rating", "orig_score",
        "overall_quality", "reward", "stars", "human_rating", "human_score", "preference_score", "correctness",
        "upvotes", "votes", "likes", "gpt4_score", "judge_score", "csat",
    ),
    "bad_score": (),  # known by its parts: see `says_of`
    "rank": ("rank", "ranking", "rank_position"),
    "label": (
        "label", "kto_tag", "desirable", "is_desirable", "thumbs_up", "upvoted", "accepted", "is_accepted", "liked",
        "good", "is_good", "is_preferred", "preferred", "is_chosen", "chosen", "approved", "is_correct", "correct",
        "is_safe", "thumbs", "feedback", "user_feedback", "human_feedback", "vote", "is_helpful", "passed", "is_passed",
        "thumb", "verified", "is_verified", "valid", "is_valid", "success", "ok", "is_ok", "exact_match", "acc",
        "accuracy",
    ),
    "bad_label": (
        "rejected", "is_rejected", "thumbs_down", "downvoted", "disliked", "is_bad", "toxicity", "is_toxic", "toxic",
        "harmful", "is_harmful", "flagged", "deleted", "is_deleted", "openai_moderation", "moderation", "truncated",
        "is_truncated", "finish_reason", "finish", "stop_reason", "nsfw", "is_nsfw",
    ),
    "winner": (
        "winner", "better_response_id", "better_response", "better", "preferred", "preference", "overall_preference",
        "preference_strength", "choice", "chosen", "labels", "label", "best", "better_id", "preferred_response",
        "verdict", "selected", "human_preference", "safer_response_id", "orig_preference", "chosen_index", "best_index",
        "preferred_index",
    ),
    "tie": ("winner_tie", "tie", "is_tie"),
    "chosen_score": _of_a_side("chosen"),
    "rejected_score": _of_a_side("rejected"),
    "thought": THOUGHTS,
    "text": ("text",),
    "group": ("group",),
    "left_out": ("was_cancelled", "duplicate", "is_duplicate", "is_dup", "duplicated"),  # and by the words of the name:
    "kept": (),  # see `row_marks`
    "split": ("split", "data_split", "dataset_split", "partition"),
    "weight": ("weight", "row_weight", "sample_weight", "example_weight", "loss_weight", "train", "trainable"),
}  # fmt: skip
NAMES = {role: (*names, *FOREIGN.get(role, ())) for role, names in _ENGLISH.items()}
ROLES = tuple(NAMES)
BARE = (
    "prompt", "instruction", "question", "query", "problem", "user_prompt", "user_input", "orig_instruction",
    *FOREIGN["prompt"],
)  # fmt: skip


def plain_name(key: str) -> str:
    """A column's name as the table has it: lower case, words joined by underscores."""
    return re.sub(r"[\s\-.]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key.strip())).casefold()


_SCORE = re.compile(r"(.+)_(?:score|rating|reward|helpfulness|stars|quality)")
_PRAISE = words(
    """overall quality helpful helpfulness harmless harmlessness correct correctness accuracy gpt gpt4 gpt4o chatgpt
    claude gemini llm ai model judge grader human user annotator expert crowd reward rm preference response answer
    output completion reply avg average mean final total weighted score rating 4 4o"""
)
_FAULTS = words(
    """toxic toxicity harm harmful harmfulness unsafe hallucination hallucinations error errors bias spam perplexity
    ppl risk loss"""
)
_ASPECTS = tuple(f"{of}{aspect}" for of in ("", "answer_", "response_") for aspect in (
    "faithfulness", "groundedness", "relevance", "relevancy", "completeness", "coherence", "factuality", "truthfulness",
    "accuracy", "instruction_following", "informativeness",
))  # fmt: skip
_ELSEWHERE = re.compile(
    r"(?:prompt|question|instruction|input|query)(?:_(?:quality|difficulty))?|difficulty|lang(?:uage)?"
)


_UNSCALED = re.compile(r"(?:\w+_)?(?:rewards?|pm_score|(?:up)?votes?|likes)(?:_\w+)?|rm_\w+|\w+_rm_\w+")


def unscaled(name: str) -> bool:
    """Whether numbers of this name are rewards or votes, whose size says nothing by itself."""
    return _UNSCALED.fullmatch(name) is not None


def one_of_several(name: str) -> str | None:
    """The name of what a column says in part, as one annotator's or as all in a list: `rating_2`, `rating.responses`
    (Argilla). None if it is no such column."""
    found = re.fullmatch(r"(.+)_(?:\d+|responses|suggestion|values)", name)
    return found[1] if found is not None else None


def says_of(name: str) -> Literal["good", "bad", "unclear"] | None:
    """What more of a column such as `gpt4_score` says of the answer: that it is good or bad, or it cannot be known
    (`style_score`). None if it is no score, or one of something else (`difficulty_score`)."""
    if name in ("grade", "grades", "marks", "points", *_ASPECTS) or one_of_several(name) in NAMES["score"]:
        return "unclear"
    if name.endswith("_suggestion_score"):
        return None  # how sure a model is of what it suggests (Argilla)
    found = _SCORE.fullmatch(name)
    if found is None or _ELSEWHERE.fullmatch(found[1]):
        return None
    parts = set(found[1].split("_"))
    if name.endswith("_quality") and not parts <= _PRAISE:
        return None  # of an image, say
    if parts <= _PRAISE or (name.endswith("_reward") and not parts & _FAULTS):
        return "good"  # a reward is what is higher for a better answer
    return "bad" if parts & _FAULTS and parts <= _FAULTS | _PRAISE else "unclear"


_CARRIERS = words(
    """is was has contains response answer output completion reply solution generation model assistant ai llm gpt gpt4
    chatgpt claude gemini llama deepseek judge human annotator expert final label flag test tests unit all quality
    execution exec run code"""
)
_PEOPLE = words("human annotator expert judge reviewer rater")
_MERITS = words(
    """correct good valid pass passed accept accepted approved safe helpful harmless acceptable desirable success
    successful solved resolved factual accurate truthful grounded faithful relevant coherent complete selected best
    winner"""
)
_VERDICTS = words("verdict grade judgement judgment outcome assessment guard")
_WRONGS = words(
    """hallucination hallucinations hallucinated incorrect wrong invalid unsafe spam bad failed harm harmful toxic
    toxicity broken flagged offensive inappropriate misleading truncated low poor incomplete garbage junk nonsense noisy
    blacklisted blocked fabricated erroneous inaccurate irrelevant unhelpful unacceptable"""
)
_HELD = words("error errors mistake mistakes issue issues problem problems")  # faults, of what has them
_COUNTED = words("num n count rate ratio fraction share")


def label_named(name: str) -> Literal["label", "bad_label", "verdict"] | None:
    """What label a column is by the parts of its name: of a merit (`response_is_correct`), of a fault
    (`is_hallucination`, `response_harm_label`), or a verdict in words (`deepseek_grade`). None if it is none: a
    `correct_answer` is an answer, a `prompt_harm_label` is of something else."""
    parts = [part for part in name.split("_") if not part.isdigit()]
    rest = set(parts) - _CARRIERS
    if len(parts) == 2 and parts[0] in _PEOPLE and parts[1] == "label":
        return "label"
    if parts[-2:] in (["low", "quality"], ["poor", "quality"]) and set(parts[:-2]) <= _CARRIERS:
        return "bad_label"
    if parts and parts[0] in ("has", "contains"):
        rest -= _HELD if rest <= _HELD | _WRONGS else set()
        if not rest and set(parts) & _HELD:
            return "bad_label"
    known = _MERITS | _VERDICTS | _WRONGS
    if not rest or not (parts[0] in ("is", "was", "has", "contains") or parts[-1] in known | {"label", "flag"}):
        return None
    if rest <= _VERDICTS:
        return "verdict"
    if "not" in rest:
        return "bad_label" if rest - {"not"} <= _MERITS else None
    return "label" if rest <= _MERITS else "bad_label" if rest <= _WRONGS else None


def label_role(name: str) -> Literal["label", "bad_label"] | None:
    """What label a name is, by the table or by its parts; a verdict in words is a label."""
    for role in ("label", "bad_label"):
        if name in NAMES[role]:
            return role
    named = label_named(name)
    return "label" if named == "verdict" else named


def hinted_label(name: str) -> Literal["label", "bad_label"] | None:
    """What label a column may be whose name speaks of one thing more (`json_valid`, `severe_toxicity`): nothing is
    known by it, but a cell that says bad is to be asked about."""
    parts = name.split("_")
    if set(parts) & _COUNTED:
        return None
    if label_named(name) == "verdict" or parts[-1] in _MERITS | {"ok"}:
        return "label"
    return "bad_label" if parts[-1] in _WRONGS or (parts[0] in ("is", "has") and set(parts) & _WRONGS) else None


_ANSWERS = words(
    """response responses resp answer answers solution solutions completion completions output outputs reply replies
    generation generations summary judgement judgment target targets ideal"""
)
_ABOUT = words(
    """reference references ref expected gold golden ground truth gt final key letter choice option index idx id ids
    type types format formats length len tokens token count num source model models name lang language style schema
    config configs params settings kwargs time date at max min score scores rating ratings reward category path url
    file tests test is has hash"""
)


_ASKING = words("prompt question instruction input query user system context premise annotator winner reason rationale")


def may_answer(name: str) -> bool:
    """Whether a column of an unknown name may hold an answer to the prompt beside it, and no reference or setting."""
    parts = set(name.split("_"))
    foreign = any(word in parts or (not word.isascii() and word in name) for word in FOREIGN["response"])
    return foreign or (bool(parts & _ANSWERS) and not parts & _ABOUT)


def may_be_compared(parts: frozenset[str]) -> bool:
    """Whether a column with these words in its name, beside its side, may hold one of two answers to compare."""
    return not parts & (_ABOUT | _ASKING)


TAGS = ("tag", "rule", "kind", "category")


def tag_of(row: Mapping[str, Any]) -> str:
    """The kind of task that a row of prompts says it is; empty if it says none."""
    found = next((row[key] for key in TAGS if row.get(key)), "")
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
