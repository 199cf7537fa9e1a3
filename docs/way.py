"""Draw the way that the data goes: python docs/way.py > docs/images/way.svg"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 960, 452


@dataclass(frozen=True)
class Box:
    """A step: its command, what it does, and where it stands."""

    x: int
    y: int
    title: str
    lines: tuple[str, ...]
    kind: str = "step"
    width: int = 188
    height: int = 78

    @property
    def svg(self) -> str:
        """Frame and text."""
        middle = self.x + self.width / 2
        text = [f'<text class="title" x="{middle:g}" y="{self.y + 24}">{escape(self.title)}</text>']
        text += [
            f'<text x="{middle:g}" y="{self.y + 44 + 17 * row}">{escape(line)}</text>'
            for row, line in enumerate(self.lines)
        ]
        frame = f'<rect class="{self.kind}" x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="8"/>'
        return "\n".join([frame, *text])


DATA = Box(24, 44, "your data set", ("images and masks;", "never changed"), "given")
CHECK = Box(265, 44, "aleaseg check", ("files, grids, classes,", "orientation, leaks"))
AUDIT = Box(506, 44, "aleaseg audit", ("predict each case unseen,", "measure image and mask"))
RUN = Box(748, 44, "run folder", ("doubt, reasons, places,", "AUV; cases.csv, page"), "made")
REVIEW = Box(748, 184, "aleaseg review", ("a person looks", "and decides"))
SELECT = Box(506, 184, "aleaseg select", ("who trains: splits, lists,", "weights; can be undone"))
TRAIN = Box(265, 184, "train", ("nnU-Net, MONAI, or", "aleaseg train (DUO, SURE)"), "others")
EVALUATE = Box(265, 324, "aleaseg evaluate", ("Dice, surface, calibration", "of every model"))
COMPARE = Box(506, 324, "aleaseg compare", ("did it help? differences", "with intervals"))
CORRECT = Box(748, 324, "aleaseg corrections", ("masks drawn anew, laid", "over the data set"))
BOXES = (DATA, CHECK, AUDIT, RUN, REVIEW, SELECT, TRAIN, EVALUATE, COMPARE, CORRECT)


def across(a: Box, b: Box) -> str:
    """An arrow from the side of one to the side of the next in its row."""
    y = a.y + a.height / 2
    begin, end = (a.x + a.width, b.x - 4) if b.x > a.x else (a.x, b.x + b.width + 4)
    return f'<path d="M{begin} {y:g}H{end}"/>'


def down(a: Box, b: Box) -> str:
    """An arrow from below one to above the next in its column."""
    return f'<path d="M{a.x + a.width / 2:g} {a.y + a.height}V{b.y - 4}"/>'


ARROWS = (
    across(DATA, CHECK),
    across(CHECK, AUDIT),
    across(AUDIT, RUN),
    down(RUN, REVIEW),
    across(REVIEW, SELECT),
    across(SELECT, TRAIN),
    down(TRAIN, EVALUATE),
    across(EVALUATE, COMPARE),
    down(REVIEW, CORRECT),
    # Corrected masks are audited again.
    f'<path d="M{CORRECT.x + CORRECT.width // 2} {CORRECT.y + CORRECT.height}V432H8V{DATA.y + 60}H{DATA.x - 4}" class="back"/>',
)

STYLE = """
svg { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
text { font-size: 12.5px; text-anchor: middle; fill: #333; }
text.title { font-size: 15px; font-weight: 600; fill: #111; }
text.row { font-size: 13px; text-anchor: start; fill: #555; }
rect { fill: #fff; stroke: #5b6b7b; stroke-width: 1.5; }
rect.given { fill: #eef1f4; }
rect.made { fill: #e6f2ec; stroke: #2f7d57; }
rect.others { stroke-dasharray: 5 4; }
path { fill: none; stroke: #5b6b7b; stroke-width: 1.8; marker-end: url(#head); }
path.back { stroke-dasharray: 6 5; }
"""

ROWS = (
    (30, "Find what is doubtful"),
    (170, "Decide, and train without it or with the doubt in mind"),
    (310, "Measure whether it helped"),
)


def way() -> str:
    """The picture as SVG."""
    title = "The way the data goes: check, audit, review, select, train, evaluate, compare; corrections lead back"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
            'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#5b6b7b;stroke:none;marker-end:none"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" style="fill:#fafbfc;stroke:none"/>',
            *(f'<text class="row" x="24" y="{y}">{escape(text)}</text>' for y, text in ROWS),
            *ARROWS,
            *(box.svg for box in BOXES),
            "</svg>",
        ]
    )


if __name__ == "__main__":
    print(way())
