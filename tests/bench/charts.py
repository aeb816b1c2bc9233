"""The report as pictures."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")  # there is no screen
from matplotlib import pyplot  # it looks for a screen when it is imported

from tests.bench.report import Case, Row, number

COLOURS = {True: "#3a7d44", False: "#c8553d"}
MOST = 10.0  # times its target; what goes beyond is cut


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write the charts; their files."""
    named = [(f"{row.name} {case.name}", case) for row in rows for case in row.cases]
    return [_targets(named, folder), _beside(named, folder)] if named else []


def _targets(named: Sequence[tuple[str, Case]], folder: Path) -> Path:
    """Every figure in parts of its target."""
    figure, axes = pyplot.subplots(figsize=(9, 1 + 0.35 * len(named)), layout="constrained")
    reaches = [min(case.reach, MOST) for _, case in named]
    bars = axes.barh(
        [name for name, _ in named], reaches, color=[COLOURS[case.met] for _, case in named]
    )
    axes.bar_label(bars, [number(case.figure) for _, case in named], padding=3)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("figure in parts of its target; from 1 on it is met")
    return _saved(figure, folder / "targets.png")


def _beside(named: Sequence[tuple[str, Case]], folder: Path) -> Path:
    """Every figure with a yardstick beside it; the dots are rounds."""
    pairs = [(name, case) for name, case in named if case.yardstick] or list(named)
    figure, grid = pyplot.subplots(
        1, len(pairs), figsize=(2.2 * len(pairs), 3.5), layout="constrained", squeeze=False
    )
    for axes, (name, case) in zip(grid[0], pairs, strict=True):
        series = [("measured", case.subject), ("yardstick", case.yardstick)]
        shown = [(label, values) for label, values in series if values]
        axes.bar([label for label, _ in shown], [median(values) for _, values in shown])
        for place, (_, values) in enumerate(shown):
            axes.plot([place] * len(values), values, "k.", markersize=4)
        axes.set_title(f"{name.replace(' ', chr(10), 1)}\n{case.unit}", fontsize=8)
        axes.tick_params(labelsize=7)
    return _saved(figure, folder / "yardsticks.png")


def _saved(figure: Any, file: Path) -> Path:
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
    return file
