"""An explanation as one self-contained HTML page that follows the device's light or dark mode and is readable on a phone."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html import escape

from edgetl.diagnostics.explanation import Explanation
from edgetl.diagnostics.stored_photos import Neighbour
from edgetl.diagnostics.text import advise_reason, describe_reason, sentence

_STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #ffffff; --ink: #1b2129; --soft: #5b6673; --line: #dfe3e8; --bar: #2f6fde;
  --clear: #1d7f4b; --trouble: #a85a00; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12161b; --card: #1b2129; --ink: #e8ecf1; --soft: #9aa6b4; --line: #303842; --bar: #6ea0ff;
    --clear: #5fce93; --trouble: #ffb45c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 44rem; margin: 0 auto; padding: 1rem; display: grid; gap: 1rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1rem; }
h1 { font-size: 1.5rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: .85rem; font-weight: 600; color: var(--soft); margin: 0 0 .75rem; }
p { margin: .25rem 0; overflow-wrap: anywhere; }
.answer { display: flex; flex-wrap: wrap; gap: 1rem; align-items: center; }
.answer > img { width: 11rem; max-width: 100%; max-height: 16rem; object-fit: contain; border-radius: .5rem; }
.answer > div { flex: 1 1 14rem; min-width: 0; }
.reason { border-left: .3rem solid var(--trouble); }
.reason.clear { border-left-color: var(--clear); }
.soft { color: var(--soft); }
.top { display: grid; grid-template-columns: fit-content(45%) 1fr max-content; gap: .4rem .75rem; align-items: center; }
.top > span { overflow-wrap: anywhere; }
.bar { height: .6rem; border-radius: .3rem; background: var(--line); overflow: hidden; }
.bar > i { display: block; height: 100%; background: var(--bar); }
.near { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: .75rem; margin: 0; padding: 0; list-style: none; }
.near img, .near .none { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: .5rem; background: var(--line); display: block; }
.near b, .near small { display: block; overflow-wrap: anywhere; }
.near small { color: var(--soft); line-height: 1.35; }
"""


def render(explanation: Explanation, photo: bytes, thumbnails: Mapping[int, bytes]) -> str:
    """Renders the page.

    Args:
        explanation: of the photo's prediction.
        photo: the photo, as a JPEG.
        thumbnails: JPEGs by sample id; a stored photo without one gets an empty box.
    """
    label, score = explanation.top[0]
    answer = explanation.label if explanation.label is not None else "unknown"
    best = f"{100 * score:.0f} %" if explanation.label is not None else f"most similar class: {label}, {100 * score:.0f} %"
    reasons = "".join(
        f'<section class="reason {reason.code}"><p>{escape(sentence(describe_reason(reason))).replace(" %", "&nbsp;%")}</p>'
        + (f'<p class="soft">{escape(advice)}</p>' if (advice := advise_reason(reason)) else "")
        + "</section>"
        for reason in explanation.reasons
    )
    top = "".join(
        f'<span>{escape(name)}</span><div class="bar"><i style="width:{100 * share:.1f}%"></i></div><span>{100 * share:.1f} %</span>'
        for name, share in explanation.top
    )
    near = "".join(_neighbour(stored, thumbnails.get(stored.sample, b"")) for stored in explanation.neighbours)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(answer)}: explanation</title><style>{_STYLE}</style></head><body><main>
<section class="answer">{_image(photo, "the photo")}<div><h1>{escape(answer)}</h1><p class="soft">{escape(best)}</p></div></section>
{reasons}
<section><h2>Most probable classes</h2><div class="top">{top}</div></section>
<section><h2>Most similar stored photos (similarity: cosine of the embeddings, 1 is the same)</h2><ol class="near">{near}</ol></section>
</main></body></html>
"""


def _neighbour(photo: Neighbour, thumbnail: bytes) -> str:
    shown = _image(thumbnail, photo.label) if thumbnail else '<span class="none"></span>'
    name = escape(photo.source.replace("\\", "/").rsplit("/", 1)[-1])
    return f"<li>{shown}<b>{escape(photo.label)}</b><small>{photo.cosine:.3f}</small><small>#{photo.sample} {name}</small></li>"


def _image(jpeg: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
