"""From samples to figures: medians, ratios, and the two files under results/.

The files hold what the figures depend on and nothing else about the machine: no path, no host name.
"""

import datetime
import json
import os
import platform
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.measure import Sample
from bench.scenarios import Scenario

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Row:
    """One server in one scenario.

    cpu: median microseconds per request; ratio: our cpu by this server's, None for ourselves;
    spread: the smallest and the largest cpu of the rounds; goal: the highest ratio that is wanted.
    """

    scenario: str
    server: str
    version: str
    rate: float
    cpu: float
    spread: tuple[float, float]
    errors: int
    ratio: float | None = None
    goal: float | None = None

    def verdict(self) -> str:
        """Whether the goal is met, in a word."""
        if self.goal is None or self.ratio is None:
            return ""
        return "met" if round(self.ratio, 2) <= self.goal else "missed"


def rows(scenario: Scenario, samples: dict[str, list[Sample]]) -> list[Row]:
    """The rows of a scenario, ours first; samples: rounds by server name. Those without any are left out."""
    ours = scenario.servers[0].name
    found = []
    for server in scenario.servers:
        if not (taken := samples.get(server.name)):
            continue
        costs = [sample.cpu for sample in taken]
        cpu = statistics.median(costs)
        ratio = None
        if server.name != ours and samples.get(ours):
            ratio = statistics.median(sample.cpu for sample in samples[ours]) / cpu
        found.append(
            Row(
                scenario.name,
                server.name,
                server.version() or "",
                round(statistics.median(sample.rate for sample in taken), 1),
                round(cpu, 2),
                (round(min(costs), 2), round(max(costs), 2)),
                sum(sample.errors for sample in taken),
                None if ratio is None else round(ratio, 3),
                scenario.goals.get(server.name),
            )
        )
    return found


def table(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A Markdown table that can be read as it is: first column left, the others right."""
    texts = [list(header), *([str(cell) for cell in line] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if n else "-") for n, width in enumerate(widths)) + "|"
    return "\n".join([line(texts[0]), rule, *map(line, texts[1:])])


def markdown(scenario: Scenario, found: list[Row]) -> str:
    """One scenario as a heading and a table."""
    header = ("server", "requests/s", "CPU us/request", "lowest to highest", "errors", "ours/it", "goal", "")
    lines = []
    for row in found:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        goal = "" if row.goal is None else f"{row.goal:.2f}"
        spread = f"{row.spread[0]:.1f} to {row.spread[1]:.1f}"
        name = f"{row.server} {row.version}"
        lines.append((name, f"{row.rate:,.0f}", f"{row.cpu:.1f}", spread, row.errors, ratio, goal, row.verdict()))
    return f"## {scenario.title}\n\n{table(header, lines)}\n"


def machine() -> dict[str, str]:
    """What the figures depend on."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "cpu": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    }


def stem(kind: str = "") -> str:
    """The name of a result, without its suffix: 2026-11-21-cpython3.11."""
    implementation = platform.python_implementation().lower()
    version = ".".join(platform.python_version_tuple()[:2])
    return f"{machine()['date']}-{implementation}{version}{kind and '-' + kind}"


def write(name: str, title: str, sections: list[str], data: dict[str, object]) -> None:
    """Write results/<name>.md for people and results/<name>.json for programs."""
    RESULTS.mkdir(exist_ok=True)
    facts = machine()
    intro = f"{facts['date']}, {facts['python']}, {facts['cpu']}, {facts['cores']} cores."
    (RESULTS / f"{name}.md").write_text("\n".join([f"# {title}\n", f"{intro}\n", *sections]))
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": facts, **data}, indent=2) + "\n")


def as_data(found: list[Row]) -> list[dict[str, object]]:
    """Rows for the JSON file."""
    return [asdict(row) for row in found]
