"""Films side by side as HTML, each with a map over it and words below; shared by the lab and the rounds explorer.

Made without matplotlib, which takes longer than all the rest of a redraw: films are encoded by OpenCV, words are HTML,
so that they can be read aloud and scale with the page.
"""

import base64
import html
from collections.abc import Sequence

import cv2
import numpy as np

from cxrkit import images, words

#: Width at which a film is shown, pixels of the page.
SHOWN_PX = 160
INK = "var(--jp-ui-font-color1, #222)"
FAINT = "var(--jp-ui-font-color2, #555)"
#: Around what is marked, which is also said in words.
EDGE = "#d1570a"
#: Noise is what a recipe may be about: a poorer JPEG would add its own.
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95)
_INFERNO = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
#: The colours of `_drawing.HEAT`: those from 0.3 to 1 of 256.
_TABLE = _INFERNO[np.minimum(np.linspace(0.3, 1.0, 256) * 256, 255).astype(int)].astype(np.float32)


def covered(film: np.ndarray, cam: np.ndarray, *, scale: float, opacity: float) -> np.ndarray:
    """Return a film with a class activation map over it, as pixels.

    Args:
        film: uint8 (H, W).
        cam: (h, w), row 0 at the top; values under 0 are clear.
        scale: value of `cam` drawn strongest, above 0.
        opacity: of the strongest place, in [0, 1].
    Returns:
        uint8 (H, W, 3), red, green, blue.
    """
    strength = np.clip(images.resize(np.clip(cam / scale, 0, 1).astype(np.float32), film.shape), 0, 1)
    cover = (opacity * strength)[..., None]
    colour = _TABLE[np.rint(255 * strength).astype(np.uint8)]
    return np.rint(film[..., None] * (1 - cover) + colour * cover).astype(np.uint8)


def answer(prob: float, called: bool, language: str) -> str:
    """Return a probability and whether it calls, in words of a language."""
    return words.say(language, "panel.called" if called else "panel.not_called", prob=f"{prob:.2f}")


def kind(simulated: bool, language: str) -> str:
    """Return what a film is called in a language: simulated, if it is."""
    return words.say(language, "panel.kind.simulated" if simulated else "panel.kind.film")


def rich(language: str, key: str, **fields: object) -> str:
    """Return a text of a language as HTML.

    Args:
        language: one of `words.LANGUAGES`.
        key: of the text, which is plain.
        fields: HTML, escaped where need be.
    """
    return html.escape(words.table(language)[key]).format(**fields)


def foot(language: str, key: str, *, simulated: bool) -> str:
    """Return what stands below all films, as HTML: what is simulated, what the colour means, no medical device.

    Args:
        language: one of `words.LANGUAGES`.
        key: of the text about the colour.
        simulated: the films are.
    """
    said = [*(["panel.simulated"] if simulated else []), key, "notice.device"]
    return f'<p style="margin:8px 0 0;font-size:12px;color:{FAINT}">{" ".join(rich(language, one) for one in said)}</p>'


def figure(
    picture: np.ndarray,
    lines: Sequence[str],
    alt: str,
    *,
    marked: bool = False,
    width: int = SHOWN_PX,
    dim: bool = False,
) -> str:
    """Return a film with words below it.

    Args:
        picture: uint8 (H, W, 3), red, green, blue.
        lines: of HTML, escaped where need be.
        alt: what the picture shows, plain text.
        marked: put an edge around it; `lines` and `alt` say why.
        width: at which it is shown, pixels of the page.
        dim: show the picture pale.
    Returns:
        HTML.
    Raises:
        ValueError: a picture that cannot be written as JPEG.
    """
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} could not be written as JPEG.")
    source = base64.b64encode(data.tobytes()).decode()
    edge = EDGE if marked else "transparent"
    pale = "opacity:.4;" if dim else ""
    return (
        f'<figure style="margin:0;width:{width}px"><img alt="{html.escape(alt)}" '
        f'src="data:image/jpeg;base64,{source}" style="width:{width}px;height:{width}px;object-fit:contain;{pale}'
        f'background:#000;display:block;outline:3px solid {edge};outline-offset:-3px">'
        f'<figcaption style="font-size:12px;overflow-wrap:anywhere">{"<br>".join(lines)}</figcaption></figure>'
    )
