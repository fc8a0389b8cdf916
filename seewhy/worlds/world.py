"""A made world: a small structural causal model whose variables are drawn into images, so the truth about it is known.

    shape ──▶ label ──▶ colour, background, mark, tint, group ──▶ image ◀── shape, place, size, turn, clutter, grain

    world = World(background=0.9, mark=0.5)
    scene = world.scene(world.ids("test"))
    scene.do(background="sea").images() - scene.images()         # nothing but the background differs

An image shows one shape. The label is the shape's name, but for `noise`. Each of the five other variables knows the
label: with the probability of its knob it takes the value that goes with the label, otherwise any. Where classes are
equally frequent the knob is Cramér's V between the two; the mark goes with the first class, the group with every
second one. Tuples hold a knob for training and one for the test: `background=(0.9, 0.0)` is a shortcut that breaks.

All that is random is a pure function of the world's seed and an image's id, so it depends on no order, batch or
process, and `do` keeps it. Pearl 2009, Causality, chapter 7: set one variable, keep the noise, and follow the arrows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from seewhy import chance
from seewhy.shelf import nearest
from seewhy.worlds import drawing

Knob = float | tuple[float, float]
#: What goes along with the label without being what it is about.
COMPANIONS = ("colour", "background", "mark", "tint", "group")
#: In the order in which one follows from another.
VARIABLES = ("shape", "label", *COMPANIONS)
NAMES = {
    "shape": drawing.SHAPES,
    "label": drawing.SHAPES,
    "colour": tuple(drawing.COLOURS),
    "background": tuple(drawing.BACKGROUNDS),
    "mark": ("no", "yes"),
    "tint": tuple(drawing.TINTS),
    "group": ("a", "b"),
}
#: How many random numbers an image needs for each thing, beside its grain.
DRAWS = {**dict.fromkeys(VARIABLES, 2), "place": 4, "waves": 3 * drawing.WAVES}
SPLITS = ("train", "test")


@dataclass(frozen=True)
class World:
    """The knobs. `noise` is the share of labels that name another class; a share of `first` of the images shows the
    first shape (None: as many as of any other) and, where the group does not follow the label, one of `minority` is of
    group b. Clutter is the spread of the background's waves, grain the largest deviation of a pixel, in levels of
    0 to 255; `grain_b` is the grain of group b, None if it is as that of all.
    """

    classes: int = 2
    colour: Knob = 0.0
    background: Knob = 0.0
    mark: Knob = 0.0
    tint: Knob = 0.0
    group: Knob = 0.0
    noise: Knob = 0.0
    first: float | None = None
    minority: float = 0.5
    clutter: float = 10.0
    grain: float = 10.0
    grain_b: float | None = None
    side: int = 32
    train: int = 2000
    test: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        most = len(drawing.SHAPES)
        if not 2 <= self.classes <= most:
            raise ValueError(f"A made world has 2 to {most} classes, not {self.classes}: {', '.join(drawing.SHAPES)}")
        if not drawing.SMALLEST <= self.side <= 512:
            raise ValueError(f"The side of a made world has {drawing.SMALLEST} to 512 pixels, not {self.side}")
        for name in (*COMPANIONS, "noise"):
            for value in _pair(getattr(self, name)):
                _within(name, value, 0, 1)
        _within("minority", self.minority, 0, 1)
        if self.first is not None:
            _within("first", self.first, 0, 1)
        _within("clutter", self.clutter, 0, drawing.MOST_CLUTTER)
        _within("grain", self.grain, 0, drawing.MOST_GRAIN)
        if self.grain_b is not None:
            _within("grain_b", self.grain_b, 0, drawing.MOST_GRAIN)
        if min(self.train, self.test) < 0 or self.train + self.test == 0:
            raise ValueError(f"A made world has images; train={self.train} and test={self.test} make none")

    def __len__(self) -> int:
        return self.train + self.test

    def __str__(self) -> str:
        """The knobs that are not as usual, as `seewhy audit` takes them: "made:background=0.9:0.0,noise=0.1"."""
        told = [
            f"{entry.name}={':'.join(map(str, value)) if isinstance(value, tuple) else value}"
            for entry in fields(self)
            if (value := getattr(self, entry.name)) != entry.default
        ]
        return "made" + (":" if told else "") + ",".join(told)

    def values(self, variable: str) -> tuple[str, ...]:
        """What a variable may be."""
        if variable not in NAMES:
            raise ValueError(
                f"A made world has no variable {variable!r}. {nearest(variable, NAMES)}It has: {', '.join(VARIABLES)}."
            )
        return NAMES[variable][: self.classes]

    def ids(self, split: str) -> tuple[str, ...]:
        """The names of a split's images."""
        if split not in SPLITS:
            raise ValueError(f"A made world has the splits train and test, not {split!r}. {nearest(split, SPLITS)}")
        return tuple(self.id(split, number) for number in range(getattr(self, split)))

    def id(self, split: str, number: int) -> str:
        """The name of one image."""
        return f"{split}/{number:06d}"

    def scene(self, ids: Iterable[str]) -> Scene:
        """What these images show. An id may be any text; one that begins with "test/" has the knobs of the test."""
        return Scene(self, tuple(ids))

    def share(self, variable: str, split: str) -> Float[np.ndarray, "labels values"]:
        """P(variable | label) of one of COMPANIONS, exactly."""
        knob, count = _pair(getattr(self, variable))[SPLITS.index(split)], self.classes
        label = np.arange(count)
        if variable == "mark":
            yes = knob * (label == 0) + (1 - knob) / count
            return np.stack([1 - yes, yes], 1)
        if variable == "group":
            second = knob * (label % 2) + (1 - knob) * self.minority
            return np.stack([1 - second, second], 1)
        return knob * np.eye(count) + (1 - knob) / count

    def best_accuracy(self, *using: str, split: str = "test", learnt_on: str | None = None) -> float:
        """How often the best possible rule is right that is told these variables: Bayes' rule, computed exactly.

        With `learnt_on="train"` the rule is the best one for training, and the number is how often it is right in
        `split`: what a network comes to that has learnt a shortcut which the test breaks.
        """
        for variable in using:
            if variable not in ("shape", *COMPANIONS):
                raise ValueError(f"A rule is told {', '.join(('shape', *COMPANIONS))}, not {variable!r}")
        truth = self._joint(using, split)
        rule = (truth if learnt_on is None else self._joint(using, learnt_on)).argmax(0)
        return float(np.take_along_axis(truth, rule[None], 0).sum())

    def _joint(self, using: Sequence[str], split: str) -> Float[np.ndarray, "labels situations"]:
        """P(label, the values of these variables); they are independent of each other where the label is known."""
        noise, count = _pair(self.noise)[SPLITS.index(split)], self.classes
        of_shape = np.diff(self._borders(), prepend=0.0, append=1.0)
        noisy = np.where(np.eye(count, dtype=bool), 1 - noise, noise / (count - 1))  # shape, label
        joint = (of_shape[:, None] * noisy).T
        if "shape" not in using:
            joint = joint.sum(1, keepdims=True)
        for variable in using:
            if variable != "shape":
                joint = (joint[:, :, None] * self.share(variable, split)[:, None, :]).reshape(count, -1)
        return joint

    def _borders(self) -> Float[np.ndarray, " borders"]:
        """Where in [0, 1) one shape ends and the next begins."""
        first = 1 / self.classes if self.first is None else self.first
        return first + (1 - first) * np.arange(self.classes - 1) / (self.classes - 1)


@dataclass(frozen=True, eq=False)
class Scene:
    """What some images of a world show, before they are drawn. `held` are the variables that somebody has set."""

    world: World
    ids: tuple[str, ...]
    held: Mapping[str, Int[np.ndarray, " images"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def do(self, **values: str | Sequence[str]) -> Scene:
        """The same images had these variables been so: what follows from them follows, all else stays.

        A value is a name for all images, or one an image. Raises ValueError for a variable or value that is not there.
        """
        return Scene(self.world, self.ids, {**self.held, **self._places(values)})

    def edit(self, **values: str | Sequence[str]) -> Scene:
        """The same images with these variables changed and every other one as it is, even if it would follow."""
        return Scene(self.world, self.ids, {**self.places, **self._places(values)})

    def __getitem__(self, variable: str) -> np.ndarray:
        """The values of a variable, by name, one an image."""
        return np.array(self.world.values(variable), dtype=object)[self.places[variable]]

    @cached_property
    def places(self) -> Mapping[str, Int[np.ndarray, " images"]]:
        """The values of all variables as places in `world.values`."""
        found: dict[str, np.ndarray] = {}
        for variable in VARIABLES:
            found[variable] = self.held[variable] if variable in self.held else self._follow(variable, found)
        return found

    def _follow(self, variable: str, before: Mapping[str, np.ndarray]) -> Int[np.ndarray, " images"]:
        """What a variable that nobody sets becomes, by the values before it and its own noise."""
        world, count = self.world, self.world.classes
        first, second = self._drawn(variable).T
        if variable == "shape":
            return np.searchsorted(world._borders(), first, side="right")
        knob = np.array(_pair(getattr(world, "noise" if variable == "label" else variable)))[self._tested]
        moved = first < knob
        if variable == "label":
            other = (before["shape"] + 1 + (second * (count - 1)).astype(np.int64)) % count
            return np.where(moved, other, before["shape"])
        if variable == "group":
            return np.where(moved, before["label"] % 2, second < world.minority)
        chosen = np.where(moved, before["label"], (second * count).astype(np.int64))
        return (chosen == 0).astype(np.int64) if variable == "mark" else chosen

    def _places(self, values: Mapping[str, str | Sequence[str]]) -> dict[str, Int[np.ndarray, " images"]]:
        """Names as places in `world.values`, one an image."""
        places = {}
        for variable, names in values.items():
            known = {name: place for place, name in enumerate(self.world.values(variable))}
            listed = [names] * len(self) if isinstance(names, str) else list(names)
            if len(listed) != len(self):
                raise ValueError(f"{len(listed)} values of {variable} came for {len(self)} images")
            for name in dict.fromkeys(listed):
                if name not in known:
                    near = nearest(str(name), known)
                    raise ValueError(f"The {variable} is never {name!r} here. {near}It is {', '.join(known)}.")
            places[variable] = np.array([known[name] for name in listed], np.int64)
        return places

    # ------------------------------------------------------------------------------------------------ pictures

    def pixels(self) -> UInt8[np.ndarray, "images side side 3"]:
        """The pictures as bytes."""
        side = self.world.side
        drawn = np.empty((len(self), side, side, 3), np.uint8)
        for start in range(0, len(self), drawing.CHUNK):
            rows = slice(start, start + drawing.CHUNK)
            drawn[rows] = drawing.painted(self._sketch(rows))
        return drawn

    def images(self) -> Float[Tensor, "images 3 side side"]:
        """The pictures in [0, 1], as a network gets them."""
        return torch.from_numpy(self.pixels()).permute(0, 3, 1, 2).float().div_(255)

    def masks(self) -> Bool[np.ndarray, "images side side"]:
        """Every pixel that the shape touches: `do(colour=...)` changes no other."""
        return drawing.coverage(self.world.side, self.places["shape"], self.place) > 0

    def marks(self) -> Bool[np.ndarray, "images side side"]:
        """Every pixel of the mark, where there is one."""
        marked = np.zeros((len(self), self.world.side, self.world.side), bool)
        rows, columns = drawing.mark_at(self.world.side)
        marked[self.places["mark"] == 1, rows, columns] = True
        return marked

    def boxes(self) -> Float[np.ndarray, "images 4"]:
        """The rectangle around the shape: left, top, right, bottom in pixels."""
        return drawing.boxes(self.places["shape"], self.place)

    @cached_property
    def place(self) -> Float[np.ndarray, "images 4"]:
        """x and y of the middle, the radius of a disc of the shape's area, in pixels; its turn in radians."""
        side = self.world.side
        middle = np.array([side / 2, side / 2, side * drawing.RADIUS, 0])
        reach = np.array([side * drawing.SHIFT] * 2 + [side * drawing.RADIUS * drawing.STRETCH, drawing.TURN])
        return middle + reach * (2 * self._drawn("place") - 1)

    def _sketch(self, rows: slice) -> drawing.Sketch:
        world, places = self.world, self.places
        grain = np.full(len(self.ids[rows]), world.grain, np.float32)
        if world.grain_b is not None:
            grain[places["group"][rows] == 1] = world.grain_b
        keys = self._keys[rows]
        speckles = chance.uniform(keys, seed=world.seed, stream="grain", draws=world.side**2).numpy()
        speckles = speckles.reshape(-1, world.side, world.side)
        speckles -= np.float32(0.5)
        speckles *= 2 * grain[:, None, None]
        waves = self._drawn("waves")[rows].reshape(len(grain), drawing.WAVES, 3)
        scale = np.array([2 * drawing.CYCLES, 2 * drawing.CYCLES, 2 * math.pi])
        return drawing.Sketch(
            side=world.side,
            shape=places["shape"][rows],
            colour=places["colour"][rows],
            background=places["background"][rows],
            mark=places["mark"][rows] == 1,
            tint=places["tint"][rows],
            place=self.place[rows],
            waves=waves * scale - np.array([drawing.CYCLES, drawing.CYCLES, 0]),
            clutter=world.clutter,
            grain=speckles,
        )

    # ------------------------------------------------------------------------------------------------- chance

    @cached_property
    def _keys(self) -> Int[Tensor, " images"]:
        return chance.keys(self.ids)

    @cached_property
    def _numbers(self) -> Float[np.ndarray, "images draws"]:
        """All that is random but the grain: the noise that `do` keeps."""
        drawn = chance.uniform(self._keys, seed=self.world.seed, stream="world", draws=sum(DRAWS.values()))
        return drawn.numpy().astype(np.float64)

    def _drawn(self, name: str) -> Float[np.ndarray, "images draws"]:
        start = 0
        for other, count in DRAWS.items():
            if other == name:
                return self._numbers[:, start : start + count]
            start += count
        raise KeyError(name)

    @cached_property
    def _tested(self) -> Int[np.ndarray, " images"]:
        """1 for images of the test, 0 for all others: which of a knob's two values holds."""
        return np.array([id.startswith("test/") for id in self.ids], np.int64)


def _pair(knob: Knob) -> tuple[float, float]:
    """For training and for the test."""
    return knob if isinstance(knob, tuple) else (knob, knob)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"The knob {name!r} of a made world is {value:g}; it lies between {low} and {high}")
