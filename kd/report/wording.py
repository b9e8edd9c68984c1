"""Numbers as a reader sees them: three decimals, a real minus, an interval in brackets."""

from collections.abc import Sequence

from kd.statistics import Estimate, Spread


def number(value: float | None, digits: int = 3) -> str:
    """0.734; empty where there is none."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """+0.012 or −0.012; empty where there is none."""
    return "" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def with_interval(estimate: Estimate | None, *, sign: bool = False) -> str:
    """0.734 [0.701, 0.765]; empty where there is none."""
    if estimate is None:
        return ""
    shown = signed if sign else number
    return f"{shown(estimate.value)} [{shown(estimate.low)}, {shown(estimate.high)}]"


def spread(found: Spread | None) -> str:
    """0.734 ± 0.012, of one seed without the deviation; empty where there is none."""
    if found is None:
        return ""
    deviation = "" if found.deviation is None else f" ± {number(found.deviation)}"
    return number(found.mean) + deviation


def chance(p_value: float | None) -> str:
    """A p-value: 0.034, or <0.001."""
    if p_value is None:
        return ""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def share(value: float | None) -> str:
    """A share as 12.3 %."""
    return "" if value is None else f"{100 * value:.1f} %"


def listed(words: Sequence[str]) -> str:
    """one, two and three."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def plain(name: str) -> str:
    """A name of the code in words."""
    return name.replace("_", " ")
