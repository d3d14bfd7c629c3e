"""Write docs/dependencies.md: the packages that pyproject.toml names, and their licences by their own metadata.

python scripts/write_licences_docs.py
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs/dependencies.md"
# What a licence is called in metadata of whatever age, and its SPDX name. The first that is found counts.
NAMES = (
    (r"apache", "Apache-2.0"),
    (r"\bmit\b", "MIT"),
    (r"bsd-3|new bsd|modified bsd", "BSD-3-Clause"),
    (r"bsd-2", "BSD-2-Clause"),
    (r"\bbsd\b", "BSD"),
    (r"python software foundation|psf", "PSF-2.0"),
    (r"mozilla|mpl", "MPL-2.0"),
)
INTRODUCTION = """# Dependencies and their licences

Made by `python scripts/write_licences_docs.py` from the metadata of the installed packages. judgeloop is under
Apache-2.0. A test looks that every package that pyproject.toml names is under a permissive licence (or, for tools of
development alone, MPL-2.0). The versions tested are in [constraints.txt](../constraints.txt). A package's licence says
nothing of its own dependencies; `pip-licenses` lists those of an environment.

## Known vulnerabilities

`pip-audit -r constraints.txt --no-deps --disable-pip` compares the versions with the advisories of the package index
or, with `-s osv`, of OSV. Run it where one of them can be reached: a mirror without advisories makes it skip every
package, and then "No known vulnerabilities found" says nothing.
"""


def dependencies() -> dict[str, set[str]]:
    """Names of the packages in pyproject.toml, with the parts that need them: "judgeloop" or an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, set[str]] = {}
    for part, wanted in {"judgeloop": project["dependencies"], **project["optional-dependencies"]}.items():
        for requirement in wanted:
            found.setdefault(re.split(r"[^\w.-]", requirement, maxsplit=1)[0], set()).add(part)
    return found


def licence(package: Distribution) -> str:
    """The licence as the metadata gives it: its SPDX expression, or the names in its licence field and classifiers.
    Raises ValueError if there is none that has a name here."""
    if expression := package.metadata.get("License-Expression"):
        return expression
    classifiers = [c for c in package.metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    said = "\n".join([*classifiers, *(package.metadata.get("License") or "").splitlines()[:1]])
    for pattern, name in NAMES:
        if re.search(pattern, said, re.IGNORECASE):
            return name
    raise ValueError(f"{package.name}: no licence that is known here in {said!r}")


def table() -> list[tuple[str, str, str, str]]:
    """(package, version, licence, needed by) of every package that is installed, by name."""
    rows = []
    for name, parts in sorted(dependencies().items(), key=lambda entry: entry[0].lower()):
        try:
            package = distribution(name)
        except PackageNotFoundError:
            rows.append((name, "not installed", "", ", ".join(sorted(parts))))
            continue
        rows.append((name, package.version.partition("+")[0], licence(package), ", ".join(sorted(parts))))
    return rows


def page() -> str:
    """docs/dependencies.md as the environment at hand has it."""
    lines = [f"| {' | '.join(row)} |" for row in table()]
    head = "| package | version | licence | needed by |\n|---|---|---|---|"
    return f"{INTRODUCTION}\n## Licences\n\n{head}\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    DOCS.write_text(page(), encoding="utf-8")
    print(f"written to {DOCS}")
