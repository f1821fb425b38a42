"""Colors of Okabe and Ito, and text sizes, of the documentation's pictures."""

from __future__ import annotations

from typing import Any, Final

INK: Final = "#24292f"
FAINT: Final = "#d0d7de"
BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
STYLE: Final[Any] = {
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
}
