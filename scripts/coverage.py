"""Prints what `llvm-cov export` has counted, by file of src, without the tests that stand in them.

Each function is there once for each program and type that it was compiled for; a region counts as
run when it was in one of them.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE, GAP = 0, 3


def tests_begin(path):
    """The number of the line at which the tests of a source begin."""
    lines = path.read_text().splitlines()
    marks = (at for at, line in enumerate(lines, 1) if line.startswith("#[cfg(test)]"))
    return next((at for at in marks if re.match(r"mod \w+ \{", lines[at])), len(lines) + 1)


def counted(export):
    """By source and place, how often each region was run."""
    regions = {}
    for function in export["data"][0]["functions"]:
        files = function["filenames"]
        for *place, count, file, _, kind in function["regions"]:
            path = pathlib.Path(files[file])
            if kind == CODE and path.is_relative_to(ROOT / "src"):
                of_file = regions.setdefault(path, {})
                of_file[tuple(place)] = max(count, of_file.get(tuple(place), 0))
    return regions


def counted_lines(regions):
    """By line, how often it was run: the most of what begins in it or goes on from the line before.
    So a line that was run, but for a `?` in it that never failed, was run; its region was not."""
    lines = {}
    # Of regions that lie in one another the innermost goes on.
    for (first, _, last, _), count in sorted(regions.items(), key=lambda it: it[0][:2]):
        for line in range(first + 1, last + 1):
            lines[line] = count
    begun = {}
    for (first, *_), count in regions.items():
        begun[first] = max(count, begun.get(first, 0))
    return {
        line: max(begun.get(line, 0), lines.get(line, 0)) for line in lines.keys() | begun.keys()
    }


def by_function(path, numbers):
    """`one 3-5 9, other 17` for 3, 4, 5 and 9 in one function, and 17 in another."""
    begin = re.compile(r"\s*(?:pub(?:\(\w+\))? )?(?:(?:const|unsafe|extern \"C\") )*fn (\w+)")
    source = path.read_text().splitlines()
    name, names = "", {}
    for number, line in enumerate(source, 1):
        if found := begin.match(line):
            name = found[1]
        if number in numbers:
            names.setdefault(name, []).append(number)
    return ", ".join(f"{name} {ranges(lines)}" for name, lines in names.items())


def ranges(numbers):
    """`3-5 9` for 3, 4, 5 and 9."""
    parts = []
    for number in sorted(numbers):
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in parts)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        regions = counted(json.load(file))
    total = [0] * 4
    print(f"{'file':24} {'lines':>11} {'%':>6} {'regions':>11} {'%':>6}  not run, by function and line")
    for path in sorted(regions):
        end = tests_begin(path)
        own = {place: count for place, count in regions[path].items() if place[0] < end}
        if not own:
            continue
        lines = counted_lines(own)
        missed = {line for line, count in lines.items() if count == 0}
        figures = [len(lines) - len(missed), len(lines)]
        figures += [sum(1 for count in own.values() if count), len(own)]
        total = [before + more for before, more in zip(total, figures)]
        print(row(path.relative_to(ROOT / "src"), figures), by_function(path, missed))
    print(row("all", total))


def row(name, figures):
    run_lines, lines, run_regions, regions = figures
    return (
        f"{name!s:24} {run_lines:5}/{lines:<5} {100 * run_lines / lines:6.1f} "
        f"{run_regions:5}/{regions:<5} {100 * run_regions / regions:6.1f} "
    )


main()
