"""The pages: which address shows what. What a page says is read from the run directory at each request."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlencode

from jinja2 import ChainableUndefined, Environment, PackageLoader, Undefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from judgeloop.report.creation import creation_samples, diversity_table
from judgeloop.report.metrics import further_metrics, value_in_words, versus_in_words
from judgeloop.report.wording import NOTHING, duration, interval, number, percent
from judgeloop.text.printable import printable
from judgeloop.viewer.compare import Wanted, compare_runs, side_by_side
from judgeloop.viewer.judge_view import against_checker, against_people, binned, by_tag, disagreements
from judgeloop.viewer.lineage import demonstrations, input_demonstrations, lineage
from judgeloop.viewer.overview import overview
from judgeloop.viewer.prompts import NO_PAIR, PAIR, Filter
from judgeloop.viewer.rows import said
from judgeloop.viewer.run_view import RunView
from judgeloop.viewer.security import LOOPBACK, Guard
from judgeloop.viewer.votes import CHOICES, Choice, Votes, as_lines, exported, tally

_MOST_FORM = 4096  # bytes
_MOST_TEXT = 20_000  # characters of one text on a page; what is left out is counted


class Pages:
    """The pages of some runs."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self.runs: dict[str, RunView] = {}
        for path in runs:
            name = key = path.resolve().name or "run"
            more = 2
            while key in self.runs:
                key, more = f"{name}-{more}", more + 1
            self.runs[key] = RunView(path, key)
        self.votes = {key: Votes(view) for key, view in self.runs.items()}
        self.environment = Environment(
            loader=PackageLoader("judgeloop.viewer"), autoescape=True, undefined=ChainableUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self.environment.filters |= {
            "interval": _figure(interval), "number": _figure(number), "percent": _figure(percent),
            "duration": _figure(duration), "gap": _figure(_gap), "shown": shown, "said": said,
        }  # fmt: skip

    def routes(self) -> list[Route | Mount]:
        run = "/r/{run}"
        return [
            Route("/", self.home),
            Route("/compare", self.compare),
            Route(run, self.overview),
            Route(f"{run}/prompts", self.first_prompts),
            Route(f"{run}/prompts/{{model}}", self.prompts),
            Route(f"{run}/prompt/{{model}}/{{id}}", self.prompt),
            Route(f"{run}/pair/{{model}}/{{id}}", self.lineage),
            Route(f"{run}/models", self.models),
            Route(f"{run}/judge", self.judge),
            Route(f"{run}/instructions", self.instructions),
            Route(f"{run}/vote", self.vote),
            Route(f"{run}/vote", self.give_vote, methods=["POST"]),
            Route(f"{run}/votes", self.results),
            Route(f"{run}/votes.jsonl", self.export),
            Mount("/static", StaticFiles(packages=[("judgeloop.viewer", "static")])),
        ]

    # What every page needs --------------------------------------------------------------------------------------------

    def view(self, request: Request) -> RunView:
        found = self.runs.get(request.path_params["run"])
        if found is None:
            raise HTTPException(404, "There is no such run here.")
        return found

    @staticmethod
    def one_of(name: str | None, known: Sequence[str], what: str) -> str:
        """The named one of what there is, the last if none is named. Nothing else gets into a path."""
        if not known:
            raise HTTPException(404, f"This run has no {what} yet.")
        if not name:
            return known[-1]
        if name not in known:
            raise HTTPException(404, f"This run has no {what} called so.")
        return name

    def page(self, request: Request, template: str, view: RunView | None = None, **values: Any) -> HTMLResponse:
        whole = {
            "view": view, "runs": list(self.runs.values()), "here": template.removesuffix(".html"),
            "path": request.url.path, **values,
        }  # fmt: skip
        return HTMLResponse(self.environment.get_template(template).render(whole))

    # Pages ------------------------------------------------------------------------------------------------------------

    def home(self, request: Request) -> Response:
        if len(self.runs) == 1:
            return RedirectResponse(f"/r/{next(iter(self.runs))}")
        return self.page(request, "runs.html", rows=[overview(view) for view in self.runs.values()])

    def overview(self, request: Request) -> Response:
        view = self.view(request)
        found = overview(view)
        template = "_overview.html" if request.headers.get("hx-request") else "overview.html"
        return self.page(request, template, view, found=found, further=further_metrics(found["models"]),
                         value_in_words=value_in_words, versus_in_words=versus_in_words)  # fmt: skip

    def first_prompts(self, request: Request) -> Response:
        view = self.view(request)
        model = self.one_of(None, view.iterations(), "prompts")
        return RedirectResponse(f"/r/{view.key}/prompts/{model}")

    def prompts(self, request: Request) -> Response:
        view = self.view(request)
        model = self.one_of(request.path_params["model"], view.iterations(), "prompts")
        asked = request.query_params
        wanted = Filter(
            asked.get("q", "")[:500], asked.get("source", ""), asked.get("account", ""), asked.get("tag", ""),
            _number(asked.get("low")), _number(asked.get("high")),
        )  # fmt: skip
        start = max(0, int(_number(asked.get("start")) or 0))
        found = view.prompt_list(model)
        page = found.page(wanted, start)
        facts = found.facts()
        kept = {key: value for key, value in asked.items() if value and key not in ("start", "part")}
        values: dict[str, Any] = {
            "model": model, "models": view.iterations(), "wanted": wanted, "found": page, "total": len(found.prompts),
            "facts": facts, "start": start, "kept": urlencode(kept), "accounts": (PAIR, NO_PAIR),
            "link": f"/r/{view.key}/prompts/{model}?" + urlencode({**kept, "start": page.following or 0}),
        }  # fmt: skip
        return self.page(request, "_rows.html" if asked.get("part") else "prompts.html", view, **values)

    def prompt(self, request: Request) -> Response:
        view = self.view(request)
        model = self.one_of(request.path_params["model"], view.iterations(), "prompts")
        name = request.path_params["id"]
        found = view.prompt(model, name)
        if found is None:
            raise HTTPException(404, "There is no such prompt.")
        rows = view.prompt_list(model).prompts
        place = view.prompt_list(model).place(name)
        around = {n: (rows.row(n) or {}).get("id") for n in (place - 1, place + 1)} if place is not None else {}
        return self.page(request, "prompt.html", view, model=model, found=found, place=place, around=around,
                         demonstrations=demonstrations(view, model, found["row"]),
                         input_demonstrations=input_demonstrations(view, model, found["row"]))  # fmt: skip

    def lineage(self, request: Request) -> Response:
        view = self.view(request)
        model = self.one_of(request.path_params["model"], view.iterations(), "prompts")
        found = lineage(view, model, request.path_params["id"])
        if found is None:
            raise HTTPException(404, "There is no such pair.")
        return self.page(request, "lineage.html", view, model=model, found=found)

    def models(self, request: Request) -> Response:
        view, asked = self.view(request), request.query_params
        known = view.evaluated()
        b = self.one_of(asked.get("b"), known, "evaluated model")
        a = self.one_of(asked.get("a") or (known[-2] if len(known) > 1 else known[-1]), known, "evaluated model")
        start = max(0, int(_number(asked.get("start")) or 0))
        wanted = Wanted(asked.get("q", "")[:500], asked.get("source", ""), asked.get("tag", ""))
        found = side_by_side(view, a, b, start, asked.get("order", "score"), wanted)
        kept = {key: value for key, value in asked.items() if value and key != "start"}
        return self.page(request, "models.html", view, a=a, b=b, known=known, start=start, found=found, wanted=wanted,
                         kept=urlencode(kept))  # fmt: skip

    def compare(self, request: Request) -> Response:
        known = list(self.runs)
        a = self.one_of(request.query_params.get("a") or known[0], known, "run")
        b = self.one_of(request.query_params.get("b"), known, "run")
        return self.page(request, "compare.html", found=compare_runs(self.runs[a], self.runs[b]), a=a, b=b)

    def judge(self, request: Request) -> Response:
        view = self.view(request)
        model = self.one_of(request.query_params.get("model"), view.evaluated(), "evaluated model")
        rows, seed = against_checker(view, model), int(view.files().run.get("seed") or 0)
        evaluation = view.files().json(f"{model}/eval.json") or {}
        return self.page(
            request, "judge.html", view, model=model, known=view.evaluated(), people=against_people(view, model),
            judge=evaluation.get("judge"), health=evaluation.get("judge_health") or {},
            agreement=evaluation.get("agreement") or {}, rows=rows,
            disagreements=disagreements(rows), tags=by_tag(rows, seed),
            calibration=binned(rows, lambda row: float(row["score"]), 2, seed),
            lengths=binned(rows, lambda row: float(len(row["text"])), 0, seed),
        )  # fmt: skip

    def instructions(self, request: Request) -> Response:
        view = self.view(request)
        files, found = view.files(), overview(view)
        accounts = {name: files.json(f"{name}/prompts.json") or {} for name in view.iterations()}
        return self.page(request, "instructions.html", view, accounts=accounts, samples=creation_samples(files),
                         diversity=diversity_table(found["models"]))  # fmt: skip

    # Votes ------------------------------------------------------------------------------------------------------------

    def vote(self, request: Request) -> Response:
        view = self.view(request)
        votes = self.votes[view.key]
        template = "_vote.html" if request.headers.get("hx-request") else "vote.html"
        return self.page(request, template, view, item=votes.next(), given=len(votes.given()), of=len(votes.items()),
                         alike=votes.alike, enough=len(view.evaluated()) > 1)  # fmt: skip

    async def give_vote(self, request: Request) -> Response:
        view = self.view(request)
        votes = self.votes[view.key]
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > _MOST_FORM:
                raise HTTPException(413, "That is no vote.")
        form = parse_qs(body.decode("utf-8", "replace"))
        choice, name = form.get("choice", [""])[0], form.get("item", [""])[0]
        try:
            if choice == "undo":
                votes.undo()
            elif choice in CHOICES:
                votes.vote(name, cast(Choice, choice))
            else:
                raise HTTPException(400, "A vote is left, right, tie or bad.")
        except OSError as error:
            raise HTTPException(507, f"The vote could not be written ({error.strerror}).") from error
        if request.headers.get("hx-request"):
            return self.vote(request)
        return RedirectResponse(f"/r/{view.key}/vote", 303)

    def results(self, request: Request) -> Response:
        view = self.view(request)
        return self.page(request, "votes.html", view, found=tally(self.votes[view.key]))

    def export(self, request: Request) -> Response:
        view = self.view(request)
        rows, _ = exported(self.votes[view.key])
        return Response(as_lines(rows), media_type="application/jsonl",
                        headers={"Content-Disposition": 'attachment; filename="votes.jsonl"'})  # fmt: skip

    def error(self, request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        said = error.detail if isinstance(error, HTTPException) else "The page could not be made."
        answer = self.page(request, "error.html", said=said, code=code)
        answer.status_code = code
        return answer


def make_app(runs: Sequence[Path], *, hosts: frozenset[str] | None = LOOPBACK, token: str | None = None) -> Starlette:
    """The application. `hosts` are the names that it may be asked under; None is any, and needs a `token`.

    Raises InputError if one of the paths is no run directory."""
    pages = Pages(runs)
    return Starlette(
        routes=pages.routes(),
        middleware=[Middleware(Guard, hosts=hosts, token=token)],
        exception_handlers={HTTPException: pages.error, Exception: pages.error},
    )


def new_token() -> str:
    return secrets.token_urlsafe(24)


def shown(text: object) -> str:
    """A text of a model or file without control characters; of a very long one the beginning, and how much is left
    out."""
    whole = printable(str(text if text is not None else ""))
    rest = len(whole) - _MOST_TEXT
    return whole if rest <= 0 else f"{whole[:_MOST_TEXT]} … [{rest:,} more characters are in the file]"


def _figure(words: Callable[..., str]) -> Callable[..., str]:
    """A filter for figures of files that may lack them or hold anything in their place: then it says "–"."""

    def filtered(value: Any, *args: Any, **named: Any) -> str:
        try:
            return words(None if isinstance(value, Undefined) else value, *args, **named)
        except (TypeError, ValueError, KeyError, IndexError):
            return NOTHING

    return filtered


def _gap(pair: Any) -> str:
    return number(pair["chosen_score"] - pair["rejected_score"])


def _number(text: str | None) -> float | None:
    """A number that a person wrote in a form; None if it is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None  # NaN is not less
