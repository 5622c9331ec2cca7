"""What a summary's numbers mean and what they do not cover, as sentences for its reader."""

from __future__ import annotations

from sere_core.compare.stats.summary import Interval, Summary, Unit

_UNITS: dict[Unit, str] = {
    "draw": "all runs of one source corpus and seed, which are trained on the same shots, as one unit",
    "run": "every run (pair and seed) as one unit, as if runs that share their shots were independent",
    "pair": "every pair (mean over seeds) as one unit",
    "fold": "every fold of every run as one unit, as if folds of a run were independent",
}


def notes(summary: Summary) -> tuple[str, ...]:
    """Sentences for below the table; only what holds for this summary."""
    level = f"{100 * (1 - summary.alpha):g} %"
    lines = [
        "UAR is the mean over folds; ± is the standard deviation over seeds (n - 1), of single runs and not of their mean; "
        "a row's mean weighs every pair the same.",
    ]
    intervals = [row.interval for row in summary.rows if row.interval]
    if intervals:
        lines.append(
            f"Intervals ({level}, expanded percentile bootstrap, {summary.replicates} replicates) resample {_resampled(intervals)}: "
            "they cover the choice of who is tested, not the choice of the training shots, which shows in the spread over seeds."
        )
    if summary.verdicts:
        family, units = len(summary.verdicts), max(verdict.units for verdict in summary.verdicts)
        lines.append(
            f"Tests against {summary.reference}: sign-flip permutation, two-sided, taking {_UNITS[summary.verdicts[0].unit]} "
            f"(at most {units}), corrected by Holm for {family} row{'s' * (family > 1)}. A difference is shown if the corrected p is below "
            f"{summary.alpha:g} and the interval excludes 0; where none is shown, none is ruled out."
        )
        hopeless = [verdict.row for verdict in summary.verdicts if verdict.p_least * family >= summary.alpha]
        if hopeless:
            lines.append(
                f"Too few runs to show any difference, however large, by themselves: {', '.join(hopeless)}. More seeds would change that."
            )
        if max(verdict.pairs for verdict in summary.verdicts) > 1:
            lines.append(
                "These tests speak about the pairs in the table; only the one over pair means (p_pairs, uncorrected) takes them "
                "as a sample of pairs."
            )
    incomplete = [row.row for row in summary.rows if not row.complete]
    if incomplete:
        lines.append(f"Runs are missing, so these means are not comparable with the others': {', '.join(incomplete)}.")
    return tuple(lines)


def _resampled(intervals: list[Interval]) -> str:
    hows = {interval.how for interval in intervals}
    if hows == {"speakers"}:
        return "test speakers"
    unpaired = "utterances, because speakers are unknown (for differences the two rows are resampled independently, which is cautious)"
    return unpaired if hows == {"utterances"} else f"test speakers where they are known and else {unpaired}"
