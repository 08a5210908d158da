"""The stub's pictures: colours and shapes from a prompt's hash, and the prompt's words on them."""

import colorsys
import io
import unicodedata
from hashlib import sha256
from typing import Final

from PIL import Image, ImageDraw, ImageFont

# A picture with a palette: a quarter of the bytes to compress, and a gradient costs nothing.
_GRADIENT: Final = 192
_INK: Final = 16
_PANEL: Final = _GRADIENT
_TEXT: Final = _PANEL + _INK - 1
_SHAPES: Final = _PANEL + _INK

_MAX_CHARACTERS: Final = 160
_PUNCTUATION: Final = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2013": "-",
        "\u2014": "-",
        "ß": "ss",
    }
)


def drawn(prompt: str, *, variant: int, width: int, height: int) -> bytes:
    """A PNG of this size in pixels; the same bytes for the same arguments."""
    seed = sha256(f"{variant}:{prompt}".encode()).digest()
    image = _gradient(seed[0], width, height)
    image.putpalette(_palette(seed))
    _shapes(image, seed)
    if words := _readable(prompt):
        _typeset(image, words)
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _gradient(turn: int, width: int, height: int) -> Image.Image:
    """Bands of colour, their numbers below _GRADIENT, at an angle."""
    small = Image.linear_gradient("L").resize((384, 384)).rotate(turn * 360 / 256)
    small = small.crop((64, 64, 320, 320))
    bands = small.point([value * (_GRADIENT - 1) // 255 for value in range(256)])
    return bands.resize((width, height), Image.Resampling.NEAREST)


def _palette(seed: bytes) -> list[int]:
    """Colours of the gradient, of ink from panel to text, and of the shapes."""
    hue = seed[1] / 256
    other = hue + 0.08 + seed[2] / 256 * 0.2
    colours = [
        colorsys.hls_to_rgb(
            (hue + (other - hue) * step / _GRADIENT) % 1,
            0.35 + 0.3 * step / _GRADIENT,
            0.62,
        )
        for step in range(_GRADIENT)
    ]
    panel = colorsys.hls_to_rgb(hue, 0.13, 0.45)
    text = (1.0, 0.99, 0.96)
    for step in range(_INK):
        share = step / (_INK - 1)
        colours.append(
            (
                panel[0] + (text[0] - panel[0]) * share,
                panel[1] + (text[1] - panel[1]) * share,
                panel[2] + (text[2] - panel[2]) * share,
            )
        )
    colours += [
        colorsys.hls_to_rgb((other + 0.05 * step) % 1, 0.55 + 0.07 * step, 0.7) for step in range(4)
    ]
    return [round(part * 255) for colour in colours for part in colour]


def _shapes(image: Image.Image, seed: bytes) -> None:
    draw = ImageDraw.Draw(image)
    for number in range(4):
        across, down, size = seed[4 + 3 * number : 7 + 3 * number]
        radius = int(min(image.size) * (0.1 + size / 256 * 0.2))
        x, y = image.width * across // 256, image.height * down // 256
        box = (x - radius, y - radius, x + radius, y + radius)
        if number % 2:
            draw.ellipse(box, outline=_SHAPES + number, width=max(4, radius // 8))
        else:
            draw.ellipse(box, fill=_SHAPES + number)


def _readable(prompt: str) -> str:
    """What the font has letters for, on one line: accents are left out, nothing if much is."""
    text = unicodedata.normalize("NFKD", prompt[:1_000].translate(_PUNCTUATION))
    text = "".join(each for each in text if not unicodedata.combining(each))
    words = "".join(each if " " <= each <= "~" else " " for each in text).split()
    if sum(map(len, words)) * 2 < len("".join(text.split())):
        return ""
    line = " ".join(words)
    if len(line) <= _MAX_CHARACTERS:
        return line
    return line[:_MAX_CHARACTERS].rsplit(" ", 1)[0] + "..."


def _typeset(image: Image.Image, words: str) -> None:
    """The words in lines on a panel, as large as fits well."""
    margin = min(image.size) // 16
    room = image.width - 4 * margin
    size = min(image.size) // (10 if len(words) <= 60 else 16)
    font = ImageFont.load_default(size)
    lines = _lines(words, font, room)
    leading = int(size * 1.3)
    height = leading * len(lines) + 2 * margin
    top = image.height - margin - height
    panel = (margin, top, image.width - margin, top + height)
    ImageDraw.Draw(image).rounded_rectangle(panel, margin // 2, fill=_PANEL)
    mask = Image.new("L", (room, leading * len(lines)))
    draw = ImageDraw.Draw(mask)
    for number, line in enumerate(lines):
        draw.text((0, number * leading), line, font=font, fill=255)
    ink = mask.point([_PANEL + value * (_TEXT - _PANEL) // 255 for value in range(256)])
    image.paste(ink, (2 * margin, top + margin))


def _lines(words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: int) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    # A word that is wider than the panel is cut off at its edge.
    return [line for line in lines if line][:6]
