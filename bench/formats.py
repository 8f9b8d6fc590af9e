"""Numbers and records as the words of a table. What is missing is a dash."""

import math
import textwrap


def table(heads, rows):
    """A markdown table, its rows lists of strings."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def number(value, digits=3):
    """Three significant digits, never an exponent."""
    if value is None:
        return "-"
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(decimals, 0)}f}"


def seconds(value):
    return _scaled(value, (("s", 1), ("ms", 1e-3), ("us", 1e-6)))


def size_in_bytes(value):
    return _scaled(value, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)))


def percent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def wxh(size):
    """(height, width) as people write picture sizes."""
    return f"{size[1]}x{size[0]}" if size else "-"


def median(case):
    return case.get("seconds", {}).get("median")


def spread(case):
    """Median and interquartile range of a record's time."""
    return f"{seconds(median(case))} ({seconds(case['seconds']['iqr'])})" if case else "-"


def times(case, way):
    """How many times faster per pixel than a peer."""
    return number(case.get("times", {}).get(way))


def caption(stored, file_name, *details):
    """What the numbers stand on, under a table: details, the commit, the file, its warnings."""
    commit = stored["commit"] or {}
    source = f"commit {commit.get('describe', 'unknown')}{' with changes' if commit.get('dirty') else ''}"
    text = f"<sub>{'; '.join(part for part in (*details, source, file_name, *stored['warnings']) if part)}.</sub>"
    return f"\n{textwrap.fill(text, 118, break_long_words=False, break_on_hyphens=False)}\n"


def _scaled(value, units):
    if value is None:
        return "-"
    name, unit = next((pair for pair in units if abs(value) >= pair[1]), units[-1])
    return f"{number(value / unit)} {name}"
