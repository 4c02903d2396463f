"""A picture for every user: a small calm pattern drawn from the user's id, as SVG. Pure."""

from __future__ import annotations

import hashlib
from functools import lru_cache

# Pairs of a pale ground and a deeper tone of the same family; all readable on white and black.
_PALETTES = (
    ("#dfe9e4", "#6f9583"),
    ("#e3e6f0", "#7583ad"),
    ("#efe5dc", "#ab8465"),
    ("#ece2ea", "#976f8f"),
    ("#e0eaee", "#5f8fa3"),
    ("#eae9db", "#8f8a55"),
    ("#f0e1df", "#b07670"),
    ("#e2ebdc", "#789258"),
)
_SHAPES = (
    # A quarter turn, a half moon, a dot, a leaf, a bar: each drawn in a cell of 16 units.
    "M0 16A16 16 0 0 1 16 0V16Z",
    "M0 8A8 8 0 0 1 16 8Z",
    "M8 3.5A4.5 4.5 0 1 1 8 12.5A4.5 4.5 0 1 1 8 3.5Z",
    "M0 0A16 16 0 0 1 16 16A16 16 0 0 1 0 0Z",
    "M0 5.5H16V10.5H0Z",
)


@lru_cache(maxsize=1024)
def avatar_svg(user_id: int) -> str:
    """The avatar of user `user_id`: an SVG document of 64 by 64 units, always the same.

    A 2 by 2 block of turned shapes is mirrored left to right, so that it reads as one figure.
    """
    bits = int.from_bytes(hashlib.sha256(f"talkee avatar {user_id}".encode()).digest(), "big")

    def choose(count: int) -> int:
        nonlocal bits
        bits, rest = divmod(bits, count)
        return rest

    ground, tone = _PALETTES[choose(len(_PALETTES))]
    cells = []
    for row in range(4):
        for column in range(2):
            shape, turn, soft = choose(len(_SHAPES)), choose(4) * 90, choose(3) == 0
            opacity = ' fill-opacity=".45"' if soft else ""
            x, y = column * 16, row * 16
            cells.append(
                f'<path d="{_SHAPES[shape]}" transform="translate({x} {y}) rotate({turn} 8 8)"'
                f"{opacity}/>"
            )
    half = "".join(cells)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f'<rect width="64" height="64" fill="{ground}"/>'
        f'<g fill="{tone}"><g>{half}</g>'
        f'<g transform="matrix(-1 0 0 1 64 0)">{half}</g></g></svg>'
    )
