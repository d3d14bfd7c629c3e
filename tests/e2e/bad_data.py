"""Files of seeds, prompts, evaluation and rows to judge that are wrong, in every container and layout."""

from __future__ import annotations

import gzip
import io
import zipfile

from bad_input import Case

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
    Case("seed missing", RUN, ("seed.jsonl", "No such file", "check the path"), {"seed.jsonl": None}),
    Case("seed empty", RUN, ("seed.jsonl", "has no rows"), {"seed.jsonl": ""}),
    Case("seed of blank lines", RUN, ("seed.jsonl", "has no rows"), {"seed.jsonl": "\n\n \n"}),
    Case(
        "seed broken JSON",
        RUN,
        ("seed.jsonl:1", "broken JSON", "mend or remove"),
        {"seed.jsonl": '{"prompt": "a", "responses"\n'},
    ),
    Case("seed line is a list", RUN, ("seed.jsonl:2", "not a JSON object"), {"seed.jsonl": [GOOD, [1]]}),
    Case("seed not UTF-8", RUN, ("seed.jsonl:1", "is not UTF-8"), {"seed.jsonl": b'{"prompt": "\xff"}\n'}),
    Case(
        "seed UTF-16",
        RUN,
        ("seed.jsonl:1", "is UTF-16", "save the file as UTF-8"),
        {"seed.jsonl": '{"prompt": "a", "response": "b"}\n'.encode("utf-16")},
    ),
    Case(
        "seed half a surrogate",
        RUN,
        ("seed.jsonl:1", "surrogate"),
        {"seed.jsonl": '{"prompt": "\\ud800", "response": "b"}\n'},
    ),
    Case(
        "seed nested too deeply",
        RUN,
        ("seed.jsonl:1", "nested too deeply"),
        {"seed.jsonl": '{"prompt": ' + "[" * 100_000 + "\n"},
    ),
    Case(
        "seed with a huge number",
        RUN,
        ("seed.jsonl:1", "too many digits"),
        {"seed.jsonl": '{"prompt": "a", "responses": [{"text": "x", "rank": ' + "9" * 5000 + "}]}\n"},
    ),
    Case(
        "seed rank NaN",
        RUN,
        ("seed.jsonl:1", "responses[0].rank", "not a whole number", "from 0"),
        {"seed.jsonl": '{"prompt": "a", "responses": [{"text": "x", "rank": NaN}, {"text": "y", "rank": 1}]}\n'},
    ),
    Case(
        "seed rank is words",
        RUN,
        ("seed.jsonl:2", "responses[0].rank", "text, not a whole number"),
        {
            "seed.jsonl": [
                GOOD,
                {"prompt": "a", "responses": [{"text": "x", "rank": "first"}, {"text": "y", "rank": 1}]},
            ]
        },
    ),
    Case(
        "seed without prompt",
        RUN,
        ("seed.jsonl:1", "without 'prompt'"),
        {"seed.jsonl": [{"responses": [{"text": "x", "rank": 0}, {"text": "y", "rank": 1}]}]},
    ),
    Case(
        "seed of unknown columns",
        RUN,
        ("seed.jsonl:1", "frage, antwort", "seed_data.fields"),
        {"seed.jsonl": [{"frage": "a", "antwort": "b"}]},
    ),
    Case(
        "seed of two layouts",
        RUN,
        ("seed.jsonl:2", "mixed formats", "on line 1"),
        {"seed.jsonl": [GOOD, {"instruction": "a", "output": "b"}]},
    ),
    Case(
        "seed prompt is a number",
        RUN,
        ("seed.jsonl:1", "'prompt' is a number"),
        {"seed.jsonl": [{"prompt": 3, "responses": GOOD["responses"]}]},
    ),
    Case(
        "seed with an unknown speaker",
        RUN,
        ("chat.jsonl:1", "messages[0].role", "parrot"),
        {"chat.jsonl": [{"messages": [{"role": "parrot", "content": "a"}, {"role": "assistant", "content": "b"}]}]},
        {"seed_data": {"ift": "chat.jsonl"}},
    ),
    Case(
        "seed content missing",
        RUN,
        ("chat.jsonl:1", "messages[0]", "content"),
        {"chat.jsonl": [{"messages": [{"role": "user"}, {"role": "assistant", "content": "b"}]}]},
        {"seed_data": {"ift": "chat.jsonl"}},
    ),
    Case(
        "seed of prompts alone",
        RUN,
        ("prompts.jsonl:1", "holds prompts", "chat messages"),
        config={"seed_data": {"ift": "prompts.jsonl"}},
    ),
    Case(
        "ranked is not ranked",
        RUN,
        ("rows.jsonl:1", "prompt and response", "ranked responses"),
        config={"seed_data": {"ranked": "rows.jsonl"}},
    ),
    Case(
        "eft is no eft",
        RUN,
        ("rows.jsonl:1", "EFT rows"),
        config={"seed_data": {"eft_files": "rows.jsonl", "ift": "rows.jsonl"}},
    ),
    Case(
        "seed JSON array cut off",
        RUN,
        ("a.json:2", "row 2", "cut off"),
        {"a.json": '[{"prompt": "a", "response": "b"},\n{"prompt": "c"'},
        {"seed_data": {"ift": "a.json"}},
    ),
    Case(
        "seed JSON array without comma",
        RUN,
        ("a.json:2", "a comma or ']' after row 1"),
        {"a.json": '[{"prompt": "a", "response": "b"}\n{"prompt": "c", "response": "d"}]'},
        {"seed_data": {"ift": "a.json"}},
    ),
    Case(
        "seed JSON array of texts",
        RUN,
        ("a.json:row 1", "not a JSON object"),
        {"a.json": '["a", "b"]'},
        {"seed_data": {"ift": "a.json"}},
    ),
    Case("seed JSON array empty", RUN, ("a.json", "has no rows"), {"a.json": "[]"}, {"seed_data": {"ift": "a.json"}}),
    Case(
        "seed JSON a number", RUN, ("a.json:1", "not a JSON object"), {"a.json": "3"}, {"seed_data": {"ift": "a.json"}}
    ),
    Case(
        "seed JSON table of numbers",
        RUN,
        ("a.json:1", "columns, data"),
        {"a.json": '{"columns": ["prompt"], "data": [1, 2]}'},
        {"seed_data": {"ift": "a.json"}},
    ),
    Case(
        "seed CSV row too short",
        RUN,
        ("a.csv:3", "1 cells, the header has 2"),
        {"a.csv": "prompt,response\na,b\nc\n"},
        {"seed_data": {"ift": "a.csv"}},
    ),
    Case(
        "seed CSV quote open",
        RUN,
        ("a.csv:2", "broken CSV", "quotes"),
        {"a.csv": 'prompt,response\n"a,b\n'},
        {"seed_data": {"ift": "a.csv"}},
    ),
    Case(
        "seed CSV without rows",
        RUN,
        ("a.csv", "has no rows"),
        {"a.csv": "prompt,response\n"},
        {"seed_data": {"ift": "a.csv"}},
    ),
    Case(
        "seed CSV same column twice",
        RUN,
        ("a.csv:1", "two columns are called 'prompt'"),
        {"a.csv": "prompt,response,prompt\na,b,c\n"},
        {"seed_data": {"ift": "a.csv"}},
    ),
    Case(
        "seed CSV without header",
        RUN,
        ("a.csv:2", "no known format", "what is rain"),
        {"a.csv": "what is rain,water\nwhat is snow,ice\n"},
        {"seed_data": {"ift": "a.csv"}},
    ),
    Case(
        "seed Parquet broken",
        RUN,
        ("a.parquet", "broken Parquet", "copy the file again"),
        {"a.parquet": b"PAR1 and then nothing"},
        {"seed_data": {"ift": "a.parquet"}},
    ),
    Case(
        "seed Parquet that is text",
        RUN,
        ("a.parquet", "called Parquet and is none"),
        {"a.parquet": "prompt"},
        {"seed_data": {"ift": "a.parquet"}},
    ),
    Case(
        "seed gzip cut off",
        RUN,
        ("a.jsonl.gz", "broken gzip", "copy the file again"),
        {"a.jsonl.gz": packed('{"prompt": "a", "response": "b"}\n' * 200)[:40]},
        {"seed_data": {"ift": "a.jsonl.gz"}},
    ),
    Case(
        "seed gzip broken",
        RUN,
        ("a.jsonl.gz", "broken gzip"),
        {"a.jsonl.gz": b"\x1f\x8b and more"},
        {"seed_data": {"ift": "a.jsonl.gz"}},
    ),
    Case("seed zip", RUN, ("a.zip", "zip archive", "JSONL"), {"a.zip": zipped()}, {"seed_data": {"ift": "a.zip"}}),
    Case(
        "seed folder empty",
        RUN,
        ("without data files", ".jsonl"),
        config={"seed_data": {"ift": "f"}},
        make=lambda f: (f / "f").mkdir(),
    ),
    Case(
        "seed folder of texts", RUN, ("without data files", ".jsonl"), {"f/a.txt": "words"}, {"seed_data": {"ift": "f"}}
    ),
    Case(
        "seed is git-lfs pointer",
        RUN,
        ("a.jsonl", "git-lfs pointer", "git lfs pull"),
        {"a.jsonl": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"},
        {"seed_data": {"ift": "a.jsonl"}},
    ),
    Case(
        "seed is a web page",
        RUN,
        ("a.jsonl", "web page"),
        {"a.jsonl": "<!DOCTYPE html>\n<html></html>\n"},
        {"seed_data": {"ift": "a.jsonl"}},
    ),
    Case(
        "seed of the hub offline",
        RUN,
        ("hf:nobody/nothing", "cannot be reached", "files"),
        config={"seed_data": {"ift": "hf:nobody/nothing"}},
    ),
    Case(
        "seed of the hub misspelt", RUN, ("hf:", "no data set id", "hf:org/name"), config={"seed_data": {"ift": "hf:"}}
    ),
    Case(
        "seed too long",
        RUN,
        ("seed_data", "36 longer than sft.max_length", "raise sft.max_length"),
        config={"sft.max_length": 3},
    ),
    Case(
        "seed fields of unknown role",
        RUN,
        ("seed_data.fields", "asks", "the roles are"),
        config={"seed_data.fields": {"asks": "prompt"}},
    ),
    Case(
        "seed fields of unknown column",
        RUN,
        ("seed.jsonl:1", "'frage'", "mend seed_data.fields"),
        config={"seed_data.fields": {"prompt": "frage", "answers": "responses"}},
    ),
    Case("seed fields is a list", RUN, ("seed_data.fields", "dictionary"), config={"seed_data.fields": ["prompt"]}),
    Case("prompts missing", RUN, ("prompts.jsonl", "No such file"), {"prompts.jsonl": None}),
    Case("prompts empty", RUN, ("prompts.jsonl", "has no rows"), {"prompts.jsonl": ""}),
    Case(
        "prompts of wrong type",
        RUN,
        ("prompts.jsonl:2", "'prompt' is a number"),
        {"prompts.jsonl": [{"prompt": "a"}, {"prompt": 3}]},
    ),
    Case(
        "prompts broken", RUN, ("prompts.jsonl:2", "broken JSON"), {"prompts.jsonl": '{"prompt": "a"}\n{"prompt": \n'}
    ),
    Case(
        "prompts are eft",
        RUN,
        ("prompts.jsonl:1", "holds EFT rows"),
        {
            "prompts.jsonl": [
                {
                    "kind": "eft",
                    "prompt_id": "a",
                    "prompt": [{"role": "user", "content": "a"}],
                    "completion": [{"role": "assistant", "content": "Score: 3"}],
                }
            ]
        },
    ),
    Case(
        "evaluation prompts missing", RUN, ("held.jsonl", "No such file"), config={"evaluation.prompts": "held.jsonl"}
    ),
    Case(
        "evaluation prompts empty",
        RUN,
        ("held.jsonl", "has no rows"),
        {"held.jsonl": ""},
        {"evaluation.prompts": "held.jsonl"},
    ),
    Case("ifeval missing", RUN, ("if.jsonl", "No such file"), config={"evaluation.ifeval": "if.jsonl"}),
    Case(
        "ifeval without instructions",
        RUN,
        ("if.jsonl:1", "instruction_id_list"),
        {"if.jsonl": [{"prompt": "a"}]},
        {"evaluation.ifeval": "if.jsonl"},
    ),
    Case(
        "ifeval wrong types",
        RUN,
        ("if.jsonl:1", "instruction_id_list"),
        {"if.jsonl": [{"key": 1, "prompt": "a", "instruction_id_list": "x", "kwargs": 3}]},
        {"evaluation.ifeval": "if.jsonl"},
    ),
    Case(
        "backtranslation texts missing",
        RUN,
        ("texts", "no such file or folder", "backtranslation.texts"),
        config={"backtranslation.texts": "texts"},
    ),
    Case(
        "backtranslation texts empty",
        RUN,
        ("backtranslation.texts", "no segment"),
        config={"backtranslation.texts": "texts"},
        make=lambda f: (f / "texts").mkdir(),
    ),
    Case(
        "backtranslation key missing",
        RUN,
        ("t.jsonl:1", "without 'text'", "backtranslation.text_key"),
        {"t.jsonl": [{"body": "a"}]},
        {"backtranslation.texts": "t.jsonl"},
    ),
    Case(
        "backtranslation key of nobody",
        RUN,
        ("backtranslation.texts", "no path"),
        config={"backtranslation.texts": "~nobody-at-all/texts"},
    ),
    Case(
        "few-shot bank of nothing",
        "instruct config.yaml --out new.jsonl --source few_shot",
        ("seed.jsonl", "has no rows"),
        {"seed.jsonl": ""},
    ),
    Case("seed command without a file", "seed nothing.jsonl --out made", ("nothing.jsonl", "No such file")),
    Case("seed command without out", "seed seed.jsonl", ("--out", "--dry-run")),
    Case("seed command with a format alone", "seed ranked --out made", ("no input", "./ranked")),
    Case(
        "seed command with the wrong format",
        "seed alpaca seed.jsonl --out made",
        ("seed.jsonl", "ranked responses, not alpaca"),
    ),
    Case("seed command onto a file", "seed seed.jsonl --out rows.jsonl", ("rows.jsonl", "is a file", "--out")),
    Case(
        "seed command onto somebody's folder",
        "seed seed.jsonl --out theirs",
        ("theirs", "not empty", "--overwrite"),
        {"theirs/chapter.txt": "words"},
    ),
    Case(
        "seed command below a file",
        "seed seed.jsonl --out rows.jsonl/made",
        ("rows.jsonl/made", "Not a directory", "--out"),
    ),
    Case(
        "seed command with broken fields",
        "seed seed.jsonl --out made --fields '{prompt'",
        ("--fields {prompt", "{prompt: COLUMN"),
    ),
    Case(
        "seed command with a share above 1", "seed seed.jsonl --out made --eft-share 2", ("seed_data.eft_share", "2.0")
    ),
    Case(
        "seed command with a share of NaN",
        "seed seed.jsonl --out made --eft-share nan",
        ("seed_data.eft_share", "finite"),
    ),
    Case("seed command with a negative seed", "seed seed.jsonl --out made --seed=-1", ("'seed'", "-1")),
    Case(
        "seed command with a rubric missing",
        "seed seed.jsonl --out made --rubric mine.txt",
        ("judge.rubric", "mine.txt", "additive-5"),
    ),
    Case("seed command written by nobody", "seed seed.jsonl --out made --eft written", ("--eft written", "--model")),
    Case("rows missing", JUDGE, ("rows.jsonl", "No such file"), {"rows.jsonl": None}),
    Case("rows empty", JUDGE, ("rows.jsonl", "has no rows"), {"rows.jsonl": ""}),
    Case(
        "rows without response",
        JUDGE,
        ("rows.jsonl:1", "holds prompts", "prompt and response"),
        {"rows.jsonl": [{"prompt": "a"}]},
    ),
    Case(
        "rows with a null response",
        JUDGE,
        ("rows.jsonl:2", "'response' is null"),
        {"rows.jsonl": [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": None}]},
    ),
    Case(
        "rows with a number as prompt",
        JUDGE,
        ("rows.jsonl:1", "'prompt' is a number"),
        {"rows.jsonl": [{"prompt": 3, "response": "b"}]},
    ),
    Case(
        "rows onto themselves", "judge --model model --in rows.jsonl --out rows.jsonl", ("rows.jsonl", "is the input")
    ),
    Case(
        "rows onto a folder",
        "judge --model model --in rows.jsonl --out f",
        ("f: is a folder", "--out"),
        make=lambda f: (f / "f").mkdir(),
    ),
    Case(
        "rows below a file",
        "judge --model model --in rows.jsonl --out seed.jsonl/scored.jsonl",
        ("seed.jsonl/scored", "Not a directory", "--out"),
    ),
    Case(
        "rows onto somebody's file",
        "judge --model model --in rows.jsonl --out theirs.txt",
        ("theirs.txt", "exists already", "--out"),
        {"theirs.txt": "a chapter\n"},
    ),
    Case(
        "rows onto somebody's rows",
        "judge --model model --in rows.jsonl --out prompts.jsonl",
        ("prompts.jsonl", "exists already", "--out"),
    ),
    Case(
        "agreement without ranks",
        "eval agreement --in rows.jsonl --model model",
        ("rows.jsonl:1", "prompt and response", "ranked responses"),
    ),
    Case("agreement without a judge", "eval agreement --in seed.jsonl", ("no judge", "model folder")),
    Case(
        "agreement without scores",
        "eval agreement --in seed.jsonl --scored",
        ("seed.jsonl:1", "responses[0]", "no 'score'"),
    ),
    Case(
        "agreement with a huge score",
        "eval agreement --in s.jsonl --scored",
        ("s.jsonl:1", "responses[0].score", "no number"),
        {"s.jsonl": '{"prompt": "a", "responses": [{"rank": 0, "score": 1' + "0" * 400 + "}]}\n"},
    ),
    Case(
        "agreement with a NaN temperature",
        "eval agreement --in seed.jsonl --model model --temperature nan",
        ("--temperature",),
    ),
    Case(
        "agreement onto somebody's file",
        "eval agreement --in seed.jsonl --model model --engine transformers --out theirs.jsonl",
        ("theirs.jsonl", "does not say what made them", "--out"),
        {"theirs.jsonl": "a chapter\n"},
    ),
    Case("winrate without sides", "eval winrate --judge model", ("--model", "--responses")),
    Case("winrate without prompts", "eval winrate --model model --against model --judge model", ("--prompts", "file")),
    Case(
        "winrate with nothing in common",
        "eval winrate --responses rows.jsonl --against-responses other.jsonl --judge model",
        ("no prompt in common",),
        {"other.jsonl": [{"prompt": "x", "response": "y"}]},
    ),
    Case(
        "winrate responses missing",
        "eval winrate --responses no.jsonl --against-responses rows.jsonl --judge model",
        ("no.jsonl", "No such file"),
    ),
    Case(
        "ifeval prompts wrong",
        "eval ifeval --model model --prompts rows.jsonl",
        ("rows.jsonl:1", "instruction_id_list"),
    ),
    Case(
        "ifeval prompts empty",
        "eval ifeval --model model --prompts e.jsonl",
        ("e.jsonl", "has no rows"),
        {"e.jsonl": ""},
    ),
    Case("instruct from files", "instruct config.yaml --out new.jsonl", ("prompts.source: file", "--source")),
    Case(
        "instruct by an unknown method",
        "instruct config.yaml --out new.jsonl --source magic",
        ("prompts.source", "magic", "'few_shot'"),
    ),
    Case(
        "instruct onto a file",
        "instruct config.yaml --out rows.jsonl --source few_shot",
        ("rows.jsonl", "exists already", "--overwrite"),
    ),
    Case("instruct onto a folder", "instruct config.yaml --out . --source few_shot", ("is a folder", "--out")),
    Case(
        "instruct below a file",
        "instruct config.yaml --out rows.jsonl/new.jsonl --source few_shot",
        ("rows.jsonl/new.work", "Not a directory"),
    ),
    Case(
        "instruct zero",
        "instruct config.yaml --out new.jsonl --source few_shot --count 0",
        ("'--count'", "greater than or equal to 1"),
    ),
]
