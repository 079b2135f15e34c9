"""The README's picture: what a real run showed at each beat, one after the other, in one SVG that moves."""

import os
import re
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType

WIDTH: Final = 132  # columns
SECONDS: Final = 3.0  # of each frame


class Film:
    """Frames of what was drawn."""

    def __init__(self) -> None:
        self.frames: list[str] = []

    def shoot(self, drawn: RenderableType) -> None:
        """Add a frame."""
        with Path(os.devnull).open("w") as nowhere:
            console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True, highlight=False)
            console.print(drawn)
            svg = console.export_svg(title="asq demo", unique_id=f"frame{len(self.frames)}")
        # Without the web fonts, which a page that shows the picture would fetch.
        self.frames.append(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL))

    def write(self, file: Path) -> None:
        """Write the SVG; who wants no motion sees the last frame."""
        boxes = [re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', frame) for frame in self.frames]
        width, height = (max(float(box[side]) for box in boxes if box) for side in (1, 2))
        whole = len(self.frames) * SECONDS
        share = 100 / len(self.frames)
        rules = [
            f"@keyframes turn {{ 0% {{ opacity: 1 }} {share:.3f}% {{ opacity: 0 }} }}",
            f".frame {{ opacity: 0; animation: turn {whole}s infinite step-end }}",
            *(f".n{n} {{ animation-delay: {n * SECONDS - whole}s }}" for n in range(len(self.frames))),
            "@media (prefers-reduced-motion) { .frame { animation: none } .frame:last-of-type { opacity: 1 } }",
        ]
        groups = [f'<g class="frame n{n}">{frame}</g>' for n, frame in enumerate(self.frames)]
        head = f'<svg viewBox="0 0 {width:.0f} {height:.0f}" xmlns="http://www.w3.org/2000/svg">'
        file.write_text("\n".join([head, f"<style>{' '.join(rules)}</style>", *groups, "</svg>\n"]), encoding="utf-8")
