"""The building blocks that signs share: handshapes, locations, movements, orientations and facial expressions.

Signs of natural sign languages are made of a small stock of such parts (Stokoe, 1960), which is why pairs exist that
differ in one part only. Lengths are in shoulder widths: the origin lies between the shoulders, x points to the right
of the image, y down and z towards the camera. Everything is given for the right hand, which lies on the left of the
image (x < 0); the left hand is its mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi
from typing import Final


@dataclass(frozen=True)
class Handshape:
    """Curl of thumb, index, middle, ring and little finger (0 straight, 1 folded) and how far the fingers fan out."""

    curls: tuple[float, float, float, float, float]
    spread: float = 0.2


@dataclass(frozen=True)
class Movement:
    """What the hand does during a sign; `u` runs from 0 to 1 over it.

    Args:
        line: displacement (x, y) from start to end.
        bow: displacement (x, y) reached half way, which bends the line into an arc.
        circle: radius of one full turn.
        beat: displacement (x, y) of a repeated to and fro.
        twist: amplitude of a repeated turn of the forearm, in radians.
        wiggle: amplitude of alternating finger curls.
    """

    line: tuple[float, float] = (0.0, 0.0)
    bow: tuple[float, float] = (0.0, 0.0)
    circle: float = 0.0
    beat: tuple[float, float] = (0.0, 0.0)
    twist: float = 0.0
    wiggle: float = 0.0

    @property
    def moves_wrist(self) -> bool:
        return any((*self.line, *self.bow, self.circle, *self.beat))

    @property
    def moves_hand(self) -> bool:
        """Whether finger joints move relative to the wrist."""
        return bool(self.twist or self.wiggle)


@dataclass(frozen=True)
class Expression:
    """A facial expression at its height.

    Args:
        mouth_open: 0 closed to 1 wide open.
        mouth_wide: -1 rounded to 1 stretched.
        mouth_corners: -1 down to 1 up.
        nod: the head's forward tilt, in radians.
        shake: amplitude of a repeated turn of the head, in radians.
    """

    mouth_open: float = 0.0
    mouth_wide: float = 0.0
    mouth_corners: float = 0.0
    nod: float = 0.0
    shake: float = 0.0

    @property
    def moves_head(self) -> bool:
        return bool(self.nod or self.shake)


HANDSHAPES: Final[dict[str, Handshape]] = {
    "fist": Handshape((0.9, 1.0, 1.0, 1.0, 1.0)),
    "thumb": Handshape((0.0, 1.0, 1.0, 1.0, 1.0)),
    "point": Handshape((0.9, 0.0, 1.0, 1.0, 1.0)),
    "hook": Handshape((0.9, 0.5, 1.0, 1.0, 1.0)),
    "ell": Handshape((0.0, 0.0, 1.0, 1.0, 1.0)),
    "vee": Handshape((0.9, 0.0, 0.0, 1.0, 1.0), spread=1.0),
    "blade": Handshape((0.9, 0.0, 0.0, 1.0, 1.0), spread=0.0),
    "three": Handshape((0.9, 0.0, 0.0, 0.0, 1.0), spread=0.9),
    "four": Handshape((0.9, 0.0, 0.0, 0.0, 0.0), spread=0.9),
    "five": Handshape((0.0, 0.0, 0.0, 0.0, 0.0), spread=1.1),
    "flat": Handshape((0.4, 0.0, 0.0, 0.0, 0.0), spread=0.0),
    "claw": Handshape((0.4, 0.5, 0.5, 0.5, 0.5), spread=1.0),
    "cup": Handshape((0.4, 0.4, 0.4, 0.4, 0.4), spread=0.0),
    "pinch": Handshape((0.6, 0.6, 0.0, 0.0, 0.0), spread=0.6),
    "pinky": Handshape((0.9, 1.0, 1.0, 1.0, 0.0)),
    "wye": Handshape((0.0, 1.0, 1.0, 1.0, 0.0), spread=0.9),
}

# Where the wrist is. At the head it is the raised hand above the wrist that touches the place of that name.
LOCATIONS: Final[dict[str, tuple[float, float, float]]] = {
    "forehead": (-0.16, -0.42, 0.45),
    "temple": (-0.48, -0.44, 0.45),
    "cheek": (-0.38, -0.20, 0.30),
    "chin": (-0.10, -0.10, 0.35),
    "collar": (0.24, 0.14, 0.35),
    "chest": (-0.10, 0.36, 0.35),
    "belly": (-0.14, 0.82, 0.35),
    "across": (0.22, 0.56, 0.45),
    "palm": (-0.04, 0.62, 0.50),
    "neutral": (-0.42, 0.52, 0.50),
    "high": (-0.62, 0.02, 0.45),
    "side": (-0.86, 0.40, 0.35),
}

MOVEMENTS: Final[dict[str, Movement]] = {
    "hold": Movement(),
    "tap": Movement(beat=(0.03, 0.10)),
    "brush": Movement(beat=(0.12, 0.0)),
    "up": Movement(line=(0.0, -0.40)),
    "down": Movement(line=(0.0, 0.40)),
    "out": Movement(line=(-0.40, 0.0)),
    "in": Movement(line=(0.40, 0.0)),
    "arc": Movement(line=(-0.36, 0.0), bow=(0.0, -0.24)),
    "circle": Movement(circle=0.15),
    "twist": Movement(twist=0.7),
    "wiggle": Movement(wiggle=0.35),
}

# Turns of the hand from "fingers up, palm to the camera": in the image plane (towards the signer's left), the fingers'
# tilt towards the camera, and about the forearm, in radians.
ORIENTATIONS: Final[dict[str, tuple[float, float, float]]] = {
    "up_out": (0.1, 0.0, 0.0),
    "up_side": (0.2, 0.0, 0.45 * pi),
    "up_in": (0.2, 0.0, 0.9 * pi),
    "slant": (0.28 * pi, 0.2, 0.8 * pi),
    "across_in": (0.48 * pi, 0.0, 0.9 * pi),
    "across_down": (0.45 * pi, 0.25, 0.4 * pi),
    "forward_down": (0.1 * pi, 0.36 * pi, 0.1),
    "forward_up": (0.1 * pi, 0.36 * pi, 0.9 * pi),
}

EXPRESSIONS: Final[dict[str, Expression]] = {
    "neutral": Expression(),
    "negation": Expression(mouth_corners=-0.8, shake=0.35),
    "polar_question": Expression(mouth_open=0.4, nod=0.30),
    "content_question": Expression(mouth_wide=-0.8, mouth_open=0.3, nod=-0.20),
    "smile": Expression(mouth_wide=0.8, mouth_corners=1.0),
    "frown": Expression(mouth_wide=-0.3, mouth_corners=-1.0),
    "open": Expression(mouth_open=1.0),
    "round": Expression(mouth_open=0.4, mouth_wide=-1.0),
}
