"""Draws docs/assets/flow.svg: how a photo becomes a label."""

from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "docs" / "assets" / "flow.svg"
STEPS = (
    ("photo", "JPEG, array", "M-15-10h8l3-5h8l3 5h8v22h-30zM-1-3a6 6 0 1 0 .1 0z", "#b45309"),
    ("backbone", "frozen, int8", "M-15-14v28h6v-28zM-5-10v20h6v-20zM5-6v12h6v-12z", "#475569"),
    ("embedding", "1280 numbers", "M-16-4h3v8h-3zM-10-12h3v24h-3zM-4-7h3v14h-3zM2-14h3v28h-3zM8-2h3v4h-3zM14-9h3v18h-3z", "#0f766e"),
    ("store", "one file, durable", "M-14-10a14 5 0 0 1 28 0v20a14 5 0 0 1-28 0zM-14-10a14 5 0 0 0 28 0", "#0f766e"),
    ("head", "milliseconds", "M-14 12l9-12 7 7 12-19M7-12h7v7", "#0f766e"),
    ("label", "mug, or unknown", "M-15-9h18l12 10-12 10h-18zM-9 1a2 2 0 1 0 .1 0z", "#b45309"),
)
"""Name, what it is, icon (an SVG path about its own middle), colour."""
BRACES = ((0, 3, "once per photo: add"), (3, 4, "again and again: train"))
"""From the middle, or the outer edge, of one step to that of another, with what happens there."""
WIDTH, HEIGHT, STEP, BOX = 920, 170, 152, 124


def middle(step: int) -> int:
    """The horizontal middle of a step's box."""
    return (WIDTH - STEP * (len(STEPS) - 1)) // 2 + step * STEP


def svg() -> str:
    """The picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" text-anchor="middle">',
        "<title>photo, frozen backbone, embedding, store, head, label</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#f8fafc"/>',
    ]
    for step, (name, detail, icon, colour) in enumerate(STEPS):
        x = middle(step)
        parts += [
            f'<rect x="{x - BOX // 2}" y="22" width="{BOX}" height="100" rx="8" fill="#fff" stroke="{colour}" stroke-width="2"/>',
            f'<path d="{icon}" transform="translate({x} 50)" fill="none" stroke="{colour}" stroke-width="2" stroke-linejoin="round"/>',
            f'<text x="{x}" y="92" font-size="17" font-weight="600" fill="#0f172a">{name}</text>',
            f'<text x="{x}" y="111" font-size="12" fill="#475569">{detail}</text>',
        ]
        if step:
            parts.append(f'<path d="M{x - STEP + BOX // 2 + 4} 72h18m-6-5l6 5-6 5" fill="none" stroke="#64748b" stroke-width="2"/>')
    for first, last, text in BRACES:
        left = middle(first) + 4 - (0 if first else BOX // 2)
        right = middle(last) - 4 + (BOX // 2 if last == 4 else 0)
        parts.append(f'<path d="M{left} 130v6h{right - left}v-6" fill="none" stroke="#0f766e" stroke-width="1.5"/>')
        parts.append(f'<text x="{(left + right) // 2}" y="155" font-size="13" fill="#0f766e">{text}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    TARGET.write_text(svg(), encoding="utf-8")
