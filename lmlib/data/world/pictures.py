"""Pictures: a few coloured shapes on a plain ground, drawn from the truth, with captions in both languages."""

from dataclasses import dataclass
from random import Random

import numpy as np

SIDE = 32  # pixels
COLOURS = {
    "red": ("红色", (214, 39, 40)), "green": ("绿色", (44, 160, 44)), "blue": ("蓝色", (31, 119, 180)),
    "yellow": ("黄色", (240, 210, 40)), "purple": ("紫色", (148, 103, 189)), "black": ("黑色", (20, 20, 20)),
    "orange": ("橙色", (255, 127, 14)), "pink": ("粉色", (240, 130, 190)),
}  # fmt: skip
SHAPES = {
    "ball": ("球", "个"), "box": ("盒子", "个"), "tent": ("帐篷", "顶"), "house": ("房子", "座"), "tree": ("树", "棵"),
    "star": ("星星", "颗"),
    "boat": ("小船", "条"), "flag": ("旗子", "面"), "moon": ("月亮", "个"), "ring": ("环", "个"),
}  # fmt: skip
GROUNDS = {"white": ("白色", (245, 245, 245)), "grey": ("灰色", (170, 170, 170)), "brown": ("棕色", (140, 90, 60))}
SIZES = {"small": ("小", 4), "large": ("大", 7)}
RELATIONS = {
    "to the left of": "左边", "to the right of": "右边", "above": "上面", "below": "下面",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What a picture shows: centre x, y and half-width in pixels from the top left."""

    name: str
    colour: str
    size: str
    x: int
    y: int


@dataclass(frozen=True)
class Picture:
    """A picture (32, 32, 3) uint8, the shapes in it, and a caption."""

    id: str
    language: str
    split: str
    pixels: np.ndarray
    ground: str
    shapes: tuple[Shape, ...]
    relation: str  # of the first shape to the second; empty with one shape
    caption: str


def scene(rng: Random) -> tuple[str, tuple[Shape, ...], str]:
    """(ground, one or two shapes, relation of the first to the second)."""
    ground = rng.choice(sorted(GROUNDS))
    names = rng.sample(sorted(SHAPES), 2)
    colours = rng.sample(sorted(COLOURS), 2)
    sizes = [rng.choice(sorted(SIZES)) for _ in range(2)]
    if rng.random() < 0.3:
        place = (rng.randint(9, 22), rng.randint(9, 22))
        return ground, (Shape(names[0], colours[0], sizes[0], *place),), ""
    relation = rng.choice(sorted(RELATIONS))
    near, far, across = rng.randint(8, 9), rng.randint(23, 24), rng.randint(11, 20)
    low, high = (near, far) if relation in ("to the left of", "above") else (far, near)
    flat = relation in ("to the left of", "to the right of")
    places = [(low, across), (high, across)] if flat else [(across, low), (across, high)]
    return ground, tuple(map(Shape, names, colours, sizes, *zip(*places, strict=True))), relation


def draw(ground: str, shapes: tuple[Shape, ...]) -> np.ndarray:
    """The pixels (32, 32, 3) uint8 of shapes on a ground."""
    pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    pixels[:] = GROUNDS[ground][1]
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for shape in shapes:
        half = SIZES[shape.size][1]
        pixels[_mask(shape.name, (x - shape.x) / half, (y - shape.y) / half)] = COLOURS[shape.colour][1]
    return pixels


def _mask(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Where a shape is, in coordinates that run from -1 to 1 over it; y grows downwards."""
    square = (abs(x) <= 1) & (abs(y) <= 1)
    roof = (y <= 1) & (y >= -1) & (abs(x) <= (y + 1) / 2)
    round_ = x**2 + y**2 <= 1
    masks = {
        "ball": round_,
        "box": square & (abs(y) <= 0.8),
        "tent": roof,
        "house": (square & (y >= 0) & (abs(x) <= 0.8)) | ((y <= 0) & (y >= -1) & (abs(x) <= y + 1)),
        "tree": ((abs(x) <= 0.2) & square & (y > 0)) | ((x / 0.8) ** 2 + ((y + 0.3) / 0.7) ** 2 <= 1),
        "star": square & ((abs(x) <= 0.28) | (abs(y) <= 0.28) | (abs(abs(x) - abs(y)) <= 0.2)),
        "boat": ((y >= 0.35) & (y <= 0.9) & (abs(x) <= 1.2 - 0.5 * y))
        | ((x >= -0.2) & (x <= 0.7 * (y + 1) - 0.2) & (y < 0.2)) & square,
        "flag": ((abs(x + 0.8) <= 0.15) & square) | (square & (y <= 0.1) & (x >= -0.8)),
        "moon": round_ & ((x - 0.5) ** 2 + y**2 > 0.7),
        "ring": round_ & (x**2 + y**2 >= 0.4),
    }
    return masks[name]


def caption(rng: Random, language: str, ground: str, shapes: tuple[Shape, ...], relation: str) -> str:
    """One sentence that says what is where."""
    return (_english if language == "en" else _chinese)(rng, ground, shapes, relation)


def _english(rng: Random, ground: str, shapes: tuple[Shape, ...], relation: str) -> str:
    first, *rest = [f"a {shape.size} {shape.colour} {shape.name}" for shape in shapes]
    on = rng.choice(("", f" on a {ground} ground", f", on a {ground} background"))
    if not rest:
        said = rng.choice(
            (f"There is {first}{on}.", f"{first}{on}.", f"The picture shows {first}{on}.", f"We see {first}{on}.")
        )
    else:
        second = rest[0]
        said = rng.choice(
            (
                f"{first} is {relation} {second}{on}.",
                f"There is {first} {relation} {second}{on}.",
                f"The picture shows {first} {relation} {second}{on}.",
                f"{relation} {second}, there is {first}{on}.",
            )
        )
    return said[0].upper() + said[1:]


def _chinese(rng: Random, ground: str, shapes: tuple[Shape, ...], relation: str) -> str:
    named = [
        f"一{SHAPES[shape.name][1]}{SIZES[shape.size][0]}的{COLOURS[shape.colour][0]}{SHAPES[shape.name][0]}"
        for shape in shapes
    ]
    under = rng.choice(("", f"{GROUNDS[ground][0]}的背景上，", f"背景是{GROUNDS[ground][0]}的，"))
    if len(shapes) == 1:
        return under + rng.choice((f"有{named[0]}。", f"可以看到{named[0]}。", f"画着{named[0]}。"))
    where = RELATIONS[relation]
    return under + rng.choice((f"{named[0]}在{named[1]}的{where}。", f"{named[1]}的{where}有{named[0]}。"))
