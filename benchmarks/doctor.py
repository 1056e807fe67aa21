"""Run the doctor beside its peers on really broken environments: ``python benchmarks/doctor.py [--deep]``.

Prints who names the cause, and in what time: environments by tools, then totals and the ratios of the times.
Each tool is a whole process, the tools take turns, and the seconds are medians of ``--times`` runs (of one
for ``--deep``): by the clock, and of the processor, which other work on the machine hardly changes.

What a cell says is decided from the text that a tool prints, by one rule for all. A line counts if the tool
does not print the same line about the healthy environment, and if it does not list four versions or more.
The cause is *named* where one such line holds all words of the case, *said* where one holds some of them.
The words are in ``broken.py`` and are printed; in doubt they favour the peers: the symbol or the library at
which an import stops counts as the cause.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from broken import BASES, CASES, Broken, Case, base, broken
from uv import find_uv_bin

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SECONDS = re.compile(r"\b\d+(\.\d+)? ?m?s\b")
VERSIONED = re.compile(r"[a-z][\w-]*[ =:]+v?\d+\.\d+")
LISTS = 4
PEER = "env-doctor"
PRINT = "from {0} import collect_env\nfor key, value in collect_env().items(): print(f'{{key}}: {{value}}')"
IN_PLACE = (
    "import sys; sys.path.append({0!r}); sys.argv = ['env-doctor', 'check']; "
    "from env_doctor.cli import main; sys.exit(main())"
)


@dataclass(frozen=True)
class Tool:
    name: str
    command: tuple[str, ...]
    once: bool = False

    def on(self, place: Broken, peer: Path | None) -> list[str]:
        known = {
            "{env}": str(place.prefix),
            "{python}": str(place.python),
            "{peer}": IN_PLACE.format(str(peer)),
        }
        return [known.get(word, word) for word in self.command]


MMSETUP = (sys.executable, "-m", "mmsetup", "doctor", "--env", "{env}")
STATIC, DEEP = Tool("mmsetup doctor", MMSETUP), Tool("mmsetup --deep", (*MMSETUP, "--deep"), once=True)
PEERS = (
    Tool("torch collect_env", ("{python}", "-m", "torch.utils.collect_env")),
    Tool("mmcv collect_env", ("{python}", "-c", PRINT.format("mmcv.utils"))),
    Tool("mmseg collect_env", ("{python}", "-c", PRINT.format("mmseg.utils"))),
    Tool("pip check", ("{python}", "-m", "pip", "check")),
    Tool("uv pip check", (find_uv_bin(), "pip", "check", "--python", "{python}")),
    Tool(PEER, ("{python}", "-c", "{peer}")),
)


@dataclass
class Ran:
    """What a tool said of an environment in its last run, and what its runs took."""

    code: int = 0
    lines: tuple[str, ...] = ()
    raised: bool = False
    taken: list[tuple[float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> tuple[float, float]:
        """Give the medians: by the clock, of the processor."""
        walls, cpus = zip(*self.taken, strict=True)
        return statistics.median(walls), statistics.median(cpus)


def children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_once(command: list[str], place: Broken, folder: Path, into: Ran, limit: float = 300.0) -> None:
    variables = {**os.environ, **place.variables, "COLUMNS": "1000"}
    began, used = time.perf_counter(), children()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
        into.code, said = done.returncode, f"{done.stdout}\n{done.stderr}"
    except subprocess.TimeoutExpired:
        into.code, said = -9, ""
    into.taken.append((time.perf_counter() - began, children() - used))
    into.raised = into.code < 0 or (into.code > 0 and "Traceback (most recent call last)" in said)
    plain = ANSI.sub("", said).replace(str(folder), "HERE")
    into.lines = tuple(SECONDS.sub("TIME", line.strip()) for line in plain.splitlines() if line.strip())


def whole(word: str) -> re.Pattern[str]:
    """Give what finds a word but no part of one: _ext is not in cpp_extension, nor 2.0.1 in 82.0.1."""
    return re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, word.split('|')))})(?![a-z0-9])")


def verdict(case: Case, ran: Ran, healthy: Ran) -> str:
    """Judge by the rule that the docstring of this file tells."""
    if not case.words:
        return "crashed" if ran.raised else "alarm" if ran.code else "quiet"
    news = [line.lower() for line in ran.lines if line not in healthy.lines]
    news = [line for line in news if len(VERSIONED.findall(line)) < LISTS]
    held = [[bool(whole(word).search(line)) for word in case.words] for line in news]
    if any(all(words) for words in held):
        return "named!" if ran.raised else "named"
    if ran.raised:
        return "crashed"
    return "said" if any(any(words) for words in held) else "nothing"


def peer_in(folder: Path, name: str, environment: Path) -> Path | None:
    """Install env-doctor beside an environment, not into it: it would exchange packages there."""
    target = folder / f"peer-{name}"
    into = ("--python", str(environment / "bin" / "python"), "--target", str(target))
    done = subprocess.run(
        [find_uv_bin(), "pip", "install", "-q", *into, PEER], capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(f"{PEER} cannot be had: {(done.stderr.strip() or 'nothing said').splitlines()[-1]}")
        return None
    (info,) = target.glob("env_doctor-*.dist-info")
    print(f"{info.name.removesuffix('.dist-info')} in a folder beside {name}, at the end of sys.path")
    return target


def had(tools: tuple[Tool, ...], peer: Path | None) -> list[Tool]:
    return [tool for tool in tools if tool.name != PEER or peer]


def measured(
    folder: Path, tools: tuple[Tool, ...], times: int
) -> Iterator[tuple[Case, dict[str, Ran], dict[str, Ran]]]:
    """Give each case, what the tools said of it, and what they said of the healthy environment."""
    originals, peers, healthy = {}, {}, {}
    for name in BASES:
        originals[name] = base(name, folder / name)
        peers[name] = peer_in(folder, name, originals[name])
        whole = Broken(originals[name], {})
        for tool in had(tools, peers[name]):  # so that the copies share compiled modules, and caches are warm
            run_once(tool.on(whole, peers[name]), whole, folder, Ran())
    for number, case in enumerate(CASES):
        here = folder / f"case-{number}"  # torch's collect_env fails on a space
        here.mkdir()
        place, peer = broken(case, originals[case.of], here), peers[case.of]
        runs = {tool.name: Ran() for tool in had(tools, peer)}
        for turn in range(times):
            for tool in had(tools, peer):
                if not (turn and tool.once):
                    run_once(tool.on(place, peer), place, here, runs[tool.name])
        if not case.words:
            healthy[case.of] = runs
        yield case, runs, healthy[case.of]


def criteria() -> None:
    print("\nA cause is named where one line holds:")
    for case in CASES:
        if case.words:
            words = " + ".join(word.replace("|", " or ") for word in case.words)
            print(f"  {case.name:<26} {words:<52} ({case.act})")


def table(folder: Path, tools: tuple[Tool, ...], times: int, keep: Path | None) -> None:
    rows: dict[str, dict[str, str]] = {}
    taken: dict[str, dict[str, tuple[float, float]]] = {}
    for case, runs, healthy in measured(folder, tools, times):
        if not rows:
            criteria()
            print(f"\n{'seconds by the clock / CPU':<27}" + "".join(f"{tool.name:>21}" for tool in tools))
        rows[case.name] = {name: verdict(case, ran, healthy[name]) for name, ran in runs.items()}
        taken[case.name] = {name: ran.seconds for name, ran in runs.items()}
        cells = ""
        for tool in tools:
            wall, cpu = taken[case.name].get(tool.name, (0.0, 0.0))
            cells += f"{rows[case.name].get(tool.name, 'not had'):>9}{wall:6.2f}/{cpu:5.2f}"
        print(f"{case.name:<27}{cells}", flush=True)
        for name, ran in runs.items():
            if keep:
                place = keep / f"{case.name.replace('/', '')}, {name}.txt"
                place.write_text("\n".join([f"exit code {ran.code}", *ran.lines, ""]))
    totals(rows, taken, tools)


def totals(
    rows: dict[str, dict[str, str]], taken: dict[str, dict[str, tuple[float, float]]], tools: tuple[Tool, ...]
) -> None:
    sick = [case.name for case in CASES if case.words]
    full = next(case.name for case in CASES if case.of == "torch-2.4" and not case.words)
    print("\nquiet, alarm: exit code 0 or not on a healthy environment; named!: in a traceback that ended it")
    print("crashed, in the totals: all that ended in a traceback, so named! counts in both columns")
    print(
        f"\n{'':<19}{'named':>9}{'said':>6}{'nothing':>9}{'crashed':>9}{'alarms':>8}"
        f"{'seconds in all':>18}{'times mmsetup':>17}{'healthy torch 2.4':>20}{'times mmsetup':>17}"
    )
    for tool in tools:
        if tool.name not in rows[full]:
            print(f"{tool.name:<19} not had")
            continue
        said = [rows[name][tool.name] for name in sick]
        raised = [name for name, row in rows.items() if row[tool.name] in {"named!", "crashed"}]
        alarms = [row for name, row in rows.items() if name not in sick and row[tool.name] != "quiet"]
        told = f"{tool.name:<19}{said.count('named') + said.count('named!'):>3} of {len(sick):<3}"
        told += f"{said.count('said'):>5}{said.count('nothing'):>9}{len(raised):>9}{len(alarms):>8}"
        for names in (list(rows), [full]):
            wall, cpu = (sum(taken[name][tool.name][which] for name in names) for which in (0, 1))
            ours = [sum(taken[name][STATIC.name][which] for name in names) for which in (0, 1)]
            told += f"{wall:10.2f}/{cpu:6.2f} {wall / ours[0]:9.2f}/{cpu / ours[1]:6.2f}   "
        print(told.rstrip())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deep", action="store_true", help="run mmsetup doctor --deep as well")
    parser.add_argument("--times", type=int, default=3, help="runs of which the median is taken")
    parser.add_argument("--keep", type=Path, help="folder for what each tool said, to judge the judgement")
    asked = parser.parse_args()
    if asked.keep:
        asked.keep.mkdir(parents=True, exist_ok=True)
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH"):
        os.environ.pop(name, None)
    tools = (STATIC, *((DEEP,) if asked.deep else ()), *PEERS)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="mmsetup-benchmark-") as made:
        table(Path(made), tools, asked.times, asked.keep)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
