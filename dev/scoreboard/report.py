"""The page docs/scoreboard.md from the rows that were played."""

from collections.abc import Sequence

from poolwright.units import percent_from_ratio
from scoreboard.cases import CASES, LONG, Case
from scoreboard.forecast import Quality
from scoreboard.play import CLAIRVOYANT, STATIC
from scoreboard.table import ALLOWED, OURS, Line, lines_of, saving_ratio, whole_saving_ratio

HEAD = (
    "| policy | settings | over bound | saving kept | minutes violating | requests in time | GPU-hours | $ | kWh "
    "| starts |\n"
    "|---|---|---|---|---|---|---|---|---|---|\n"
)


def page(template: str, forecasts: dict[str, Sequence[Quality]]) -> str:
    """Return the page: the template with its tables."""
    return (
        template.replace("{{verdicts}}", verdicts())
        .replace("{{cases}}", "\n".join(section(case) for case in (*CASES, *LONG) if lines_of(case)))
        .replace("{{forecasts}}", forecast_table(forecasts))
    )


def section(case: Case) -> str:
    """Return the table of one case."""
    kinds = " and ".join(
        f"{degree} x {name}" + (f" (at most {quota})" if quota else "") for name, degree, quota in case.kinds
    )
    goals = case.objectives
    text = (
        f"### {case.name}\n\n{case.trace} times {case.factor:g}, {case.until_s / 3600:.4g} h, of which the first "
        f"{case.tuned_s / 3600:.3g} h are for tuning and the figures are of the rest; replicas of {kinds}; TTFT "
        f"{goals.ttft_s:g} s, ITL {1000 * (goals.itl_s or 0):g} ms.\n\n"
    )
    return text + HEAD + "\n".join(_line(each) for each in lines_of(case)) + "\n"


def _line(line: Line) -> str:
    part = line.row.rest
    settings = "" if line.row.label == "default" else f" ({line.row.label})"
    return (
        f"| {line.policy} | {line.way}{settings} | {line.over_bound:.3f} | {_percent(saving_ratio(line), 0)} "
        f"| {_violating(line)} | {_percent(part.attainment_ratio, 2)} "
        f"| {part.gpu_hours:.1f} | {part.usd:.0f} | {part.kwh:.0f} | {line.row.started} |"
    )


def _percent(ratio: float, digits: int) -> str:
    return f"{percent_from_ratio(ratio):.{digits}f} %"


def _violating(line: Line) -> str:
    return _percent(line.row.rest.violating_ratio, 2) + ("" if line.attains else " **missed**")


def verdicts() -> str:
    """Return, for each case, whether ours holds the bars, and who beats it."""
    rows = [
        "| trace | ours: violating, all | saving kept, all | violating, the rest | cheapest peers that attain it |",
        "|---|---|---|---|---|",
    ]
    for case in (*CASES, *LONG):
        lines = lines_of(case)
        own = next((each for each in lines if each.policy == OURS), None)
        if own is not None:
            told = "; ".join(_best(lines, own, way) for way in ("default", "frozen", "hindsight"))
            whole = own.row.whole.violating_ratio
            mark = "" if whole <= ALLOWED else " **missed**"
            saving = _percent(whole_saving_ratio(case, own), 0)
            rows.append(f"| {case.name} | {_percent(whole, 2)}{mark} | {saving} | {_violating(own)} | {told} |")
    return "\n".join(rows)


def _best(lines: Sequence[Line], own: Line, way: str) -> str:
    found = [
        each for each in lines if each.way == way and each.attains and each.policy not in (OURS, STATIC, CLAIRVOYANT)
    ]
    if not found:
        return f"{way}: none"
    best = min(found, key=lambda each: each.over_bound)
    return f"{way}: {best.policy} {best.over_bound / own.over_bound:.2f}"


def forecast_table(forecasts: dict[str, Sequence[Quality]]) -> str:
    """Return forecasters by trace."""
    rows = ["| trace | forecaster | pinball loss / mean rate | above it | planned / seen |", "|---|---|---|---|---|"]
    for trace, found in forecasts.items():
        rows += [
            f"| {trace} | {each.name} | {each.pinball:.4f} | {percent_from_ratio(each.exceeded_ratio):.1f} % "
            f"| {each.planned_ratio:.3f} |"
            for each in found
        ]
    return "\n".join(rows)
