"""Files of seeds, prompts, evaluation and rows to judge that are wrong, in every container and layout."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

from bad_input import Case, write

RUN = "run config.yaml --out run"
SEED = "seed data --out made"
JUDGE = "judge --model model --in rows.jsonl --out scored.jsonl --engine transformers"
GOOD = {"prompt": "What is rain?", "responses": [{"text": "Water.", "rank": 0}, {"text": "What?", "rank": 1}]}


def packed(text: str) -> bytes:
    return gzip.compress(text.encode())


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.jsonl", "{}")
    return out.getvalue()


DATA = [
    Case("seed missing", RUN, (), {"seed.jsonl": None}),
    Case("seed empty", RUN, (), {"seed.jsonl": ""}),
    Case("seed of blank lines", RUN, (), {"seed.jsonl": "\n\n \n"}),
    Case("seed broken JSON", RUN, (), {"seed.jsonl": '{"prompt": "a", "responses"\n'}),
    Case("seed line is a list", RUN, (), {"seed.jsonl": '{"prompt": "a", "response": "b"}\n[1]\n'}),
    Case("seed not UTF-8", RUN, (), {"seed.jsonl": b'{"prompt": "\xff"}\n'}),
    Case("seed UTF-16", RUN, (), {"seed.jsonl": '{"prompt": "a", "response": "b"}\n'.encode("utf-16")}),
    Case("seed half a surrogate", RUN, (), {"seed.jsonl": '{"prompt": "\\ud800", "response": "b"}\n'}),
    Case("seed nested too deeply", RUN, (), {"seed.jsonl": '{"prompt": ' + "[" * 100_000 + "\n"}),
    Case("seed with a huge number", RUN, (), {"seed.jsonl": '{"prompt": "a", "responses": [{"text": "x", "rank": ' + "9" * 5000 + '}]}\n'}),
    Case("seed with a long rank", RUN, (), {"seed.jsonl": '{"prompt": "a", "responses": [{"text": "x", "rank": ' + "9" * 400 + '}, {"text": "y", "rank": 1}]}\n'}),
    Case("seed rank NaN", RUN, (), {"seed.jsonl": '{"prompt": "a", "responses": [{"text": "x", "rank": NaN}, {"text": "y", "rank": 1}]}\n'}),
    Case("seed rank is words", RUN, (), {"seed.jsonl": [GOOD, {"prompt": "a", "responses": [{"text": "x", "rank": "first"}, {"text": "y", "rank": 1}]}]}),
    Case("seed without prompt", RUN, (), {"seed.jsonl": [{"responses": [{"text": "x", "rank": 0}, {"text": "y", "rank": 1}]}]}),
    Case("seed of unknown columns", RUN, (), {"seed.jsonl": [{"frage": "a", "antwort": "b"}]}),
    Case("seed of two layouts", RUN, (), {"seed.jsonl": [GOOD, {"instruction": "a", "output": "b"}]}),
    Case("seed prompt is a number", RUN, (), {"seed.jsonl": [{"prompt": 3, "responses": GOOD["responses"]}]}),
    Case("seed with an unknown speaker", RUN, (), {"chat.jsonl": [{"messages": [{"role": "parrot", "content": "a"}, {"role": "assistant", "content": "b"}]}]}, {"seed_data": {"ift": "chat.jsonl"}}),
    Case("seed content missing", RUN, (), {"chat.jsonl": [{"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}]}, {"seed_data": {"ift": "chat.jsonl"}}),
    Case("seed of prompts alone", RUN, (), config={"seed_data": {"ift": "prompts.jsonl"}}),
    Case("ranked is not ranked", RUN, (), config={"seed_data": {"ranked": "rows.jsonl"}}),
    Case("eft is no eft", RUN, (), config={"seed_data": {"eft_files": "rows.jsonl", "ift": "rows.jsonl"}}),
    Case("seed JSON array cut off", RUN, (), {"a.json": '[{"prompt": "a", "response": "b"},\n{"prompt": "c"'}, {"seed_data": {"ift": "a.json"}}),
    Case("seed JSON array without comma", RUN, (), {"a.json": '[{"prompt": "a", "response": "b"}\n{"prompt": "c", "response": "d"}]'}, {"seed_data": {"ift": "a.json"}}),
    Case("seed JSON array of texts", RUN, (), {"a.json": '["a", "b"]'}, {"seed_data": {"ift": "a.json"}}),
    Case("seed JSON array empty", RUN, (), {"a.json": "[]"}, {"seed_data": {"ift": "a.json"}}),
    Case("seed JSON a number", RUN, (), {"a.json": "3"}, {"seed_data": {"ift": "a.json"}}),
    Case("seed JSON table of numbers", RUN, (), {"a.json": '{"columns": ["prompt"], "data": [1, 2]}'}, {"seed_data": {"ift": "a.json"}}),
    Case("seed CSV row too short", RUN, (), {"a.csv": "prompt,response\na,b\nc\n"}, {"seed_data": {"ift": "a.csv"}}),
    Case("seed CSV quote open", RUN, (), {"a.csv": 'prompt,response\n"a,b\n'}, {"seed_data": {"ift": "a.csv"}}),
    Case("seed CSV without rows", RUN, (), {"a.csv": "prompt,response\n"}, {"seed_data": {"ift": "a.csv"}}),
    Case("seed CSV same column twice", RUN, (), {"a.csv": "prompt,response,prompt\na,b,c\n"}, {"seed_data": {"ift": "a.csv"}}),
    Case("seed CSV without header", RUN, (), {"a.csv": "what is rain,water\nwhat is snow,ice\n"}, {"seed_data": {"ift": "a.csv"}}),
    Case("seed Parquet broken", RUN, (), {"a.parquet": b"PAR1 and then nothing"}, {"seed_data": {"ift": "a.parquet"}}),
    Case("seed Parquet that is text", RUN, (), {"a.parquet": "prompt"}, {"seed_data": {"ift": "a.parquet"}}),
    Case("seed gzip cut off", RUN, (), {"a.jsonl.gz": packed('{"prompt": "a", "response": "b"}\n' * 200)[:40]}, {"seed_data": {"ift": "a.jsonl.gz"}}),
    Case("seed gzip broken", RUN, (), {"a.jsonl.gz": b"\x1f\x8b and more"}, {"seed_data": {"ift": "a.jsonl.gz"}}),
    Case("seed zip", RUN, (), {"a.zip": zipped()}, {"seed_data": {"ift": "a.zip"}}),
    Case("seed folder empty", RUN, (), config={"seed_data": {"ift": "f"}}, make=lambda f: (f / "f").mkdir()),
    Case("seed folder of texts", RUN, (), {"f/a.txt": "words"}, {"seed_data": {"ift": "f"}}),
    Case("seed is git-lfs pointer", RUN, (), {"a.jsonl": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"}, {"seed_data": {"ift": "a.jsonl"}}),
    Case("seed is a web page", RUN, (), {"a.jsonl": "<!DOCTYPE html>\n<html></html>\n"}, {"seed_data": {"ift": "a.jsonl"}}),
    Case("seed of the hub offline", RUN, (), config={"seed_data": {"ift": "hf:nobody/nothing"}}),
    Case("seed of the hub misspelt", RUN, (), config={"seed_data": {"ift": "hf:"}}),
    Case("seed too long", RUN, (), config={"sft.max_length": 3}),
    Case("seed fields of unknown role", RUN, (), config={"seed_data.fields": {"asks": "prompt"}}),
    Case("seed fields of unknown column", RUN, (), config={"seed_data.fields": {"prompt": "frage", "answers": "responses"}}),
    Case("seed fields is a list", RUN, (), config={"seed_data.fields": ["prompt"]}),
    Case("prompts missing", RUN, (), {"prompts.jsonl": None}),
    Case("prompts empty", RUN, (), {"prompts.jsonl": ""}),
    Case("prompts of wrong type", RUN, (), {"prompts.jsonl": [{"prompt": "a"}, {"prompt": 3}]}),
    Case("prompts broken", RUN, (), {"prompts.jsonl": '{"prompt": "a"}\n{"prompt": \n'}),
    Case("prompts are eft", RUN, (), {"prompts.jsonl": [{"kind": "eft", "prompt_id": "a", "prompt": [{"role": "user", "content": "a"}], "completion": [{"role": "assistant", "content": "Score: 3"}]}]}),
    Case("evaluation prompts missing", RUN, (), config={"evaluation.prompts": "held.jsonl"}),
    Case("evaluation prompts empty", RUN, (), {"held.jsonl": ""}, {"evaluation.prompts": "held.jsonl"}),
    Case("ifeval missing", RUN, (), config={"evaluation.ifeval": "if.jsonl"}),
    Case("ifeval without instructions", RUN, (), {"if.jsonl": [{"prompt": "a"}]}, {"evaluation.ifeval": "if.jsonl"}),
    Case("ifeval wrong types", RUN, (), {"if.jsonl": [{"key": 1, "prompt": "a", "instruction_id_list": "x", "kwargs": 3}]}, {"evaluation.ifeval": "if.jsonl"}),
    Case("backtranslation texts missing", RUN, (), config={"backtranslation.texts": "texts"}),
    Case("backtranslation texts empty", RUN, (), config={"backtranslation.texts": "texts"}, make=lambda f: (f / "texts").mkdir()),
    Case("backtranslation key missing", RUN, (), {"t.jsonl": [{"body": "a"}]}, {"backtranslation.texts": "t.jsonl"}),
    Case("few-shot bank of nothing", "instruct config.yaml --out new.jsonl --source few_shot", (), {"seed.jsonl": ""}),
    Case("seed command without a file", "seed nothing.jsonl --out made", ()),
    Case("seed command without out", "seed seed.jsonl", ()),
    Case("seed command with a format alone", "seed ranked --out made", ()),
    Case("seed command with the wrong format", "seed alpaca seed.jsonl --out made", ()),
    Case("seed command onto a file", "seed seed.jsonl --out rows.jsonl", ()),
    Case("seed command onto somebody's folder", "seed seed.jsonl --out theirs", (), {"theirs/chapter.txt": "words"}),
    Case("seed command below a file", "seed seed.jsonl --out rows.jsonl/made", ()),
    Case("seed command with broken fields", "seed seed.jsonl --out made --fields '{prompt'", ()),
    Case("seed command with a share above 1", "seed seed.jsonl --out made --eft-share 2", ()),
    Case("seed command with a share of NaN", "seed seed.jsonl --out made --eft-share nan", ()),
    Case("seed command with a negative seed", "seed seed.jsonl --out made --seed=-1", ()),
    Case("seed command with a rubric missing", "seed seed.jsonl --out made --rubric mine.txt", ()),
    Case("seed command written by nobody", "seed seed.jsonl --out made --eft written", ()),
    Case("rows missing", JUDGE, (), {"rows.jsonl": None}),
    Case("rows empty", JUDGE, (), {"rows.jsonl": ""}),
    Case("rows without response", JUDGE, (), {"rows.jsonl": [{"prompt": "a"}]}),
    Case("rows with a null response", JUDGE, (), {"rows.jsonl": [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": None}]}),
    Case("rows with a number as prompt", JUDGE, (), {"rows.jsonl": [{"prompt": 3, "response": "b"}]}),
    Case("rows onto themselves", "judge --model model --in rows.jsonl --out rows.jsonl", ()),
    Case("rows onto a folder", "judge --model model --in rows.jsonl --out f", (), make=lambda f: (f / "f").mkdir()),
    Case("rows below a file", "judge --model model --in rows.jsonl --out seed.jsonl/scored.jsonl", ()),
    Case("rows onto somebody's file", "judge --model model --in rows.jsonl --out theirs.txt", (), {"theirs.txt": "a chapter\n"}),
    Case("rows onto somebody's rows", "judge --model model --in rows.jsonl --out prompts.jsonl", ()),
    Case("agreement without ranks", "eval agreement --in rows.jsonl --model model", ()),
    Case("agreement without a judge", "eval agreement --in seed.jsonl", ()),
    Case("agreement without scores", "eval agreement --in seed.jsonl --scored", ()),
    Case("agreement with a huge score", "eval agreement --in s.jsonl --scored", (), {"s.jsonl": '{"prompt": "a", "responses": [{"rank": 0, "score": 1' + "0" * 400 + "}]}\n"}),
    Case("agreement with a NaN temperature", "eval agreement --in seed.jsonl --model model --temperature nan", ()),
    Case("agreement onto somebody's file", "eval agreement --in seed.jsonl --model model --engine transformers --out theirs.jsonl", (), {"theirs.jsonl": "a chapter\n"}),
    Case("winrate without sides", "eval winrate --judge model", ()),
    Case("winrate without prompts", "eval winrate --model model --against model --judge model", ()),
    Case("winrate with nothing in common", "eval winrate --responses rows.jsonl --against-responses other.jsonl --judge model", (), {"other.jsonl": [{"prompt": "x", "response": "y"}]}),
    Case("winrate responses missing", "eval winrate --responses no.jsonl --against-responses rows.jsonl --judge model", ()),
    Case("ifeval prompts wrong", "eval ifeval --model model --prompts rows.jsonl", ()),
    Case("ifeval prompts empty", "eval ifeval --model model --prompts e.jsonl", (), {"e.jsonl": ""}),
    Case("instruct from files", "instruct config.yaml --out new.jsonl", ()),
    Case("instruct by an unknown method", "instruct config.yaml --out new.jsonl --source magic", ()),
    Case("instruct onto a file", "instruct config.yaml --out rows.jsonl --source few_shot", ()),
    Case("instruct onto a folder", "instruct config.yaml --out . --source few_shot", ()),
    Case("instruct below a file", "instruct config.yaml --out rows.jsonl/new.jsonl --source few_shot", ()),
    Case("instruct zero", "instruct config.yaml --out new.jsonl --source few_shot --count 0", ()),
]
