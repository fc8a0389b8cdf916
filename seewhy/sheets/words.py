"""What does a person who never saw a network read on each sheet? One plain sentence, a comparison, and the facts."""

from __future__ import annotations

from seewhy.sheets.steps import Activate, Convolve, Linear, Merge, Move, Pool, Shape, Step
from seewhy.wording import counted

#: For each word that a step goes by: what it is called, one sentence, and what it is like.
TOLD = {
    "image": (
        "The image",
        "To a network an image is nothing but numbers: how much of each colour every pixel has, from 0 to 255.",
        "Like three panes of coloured glass, one behind the other: only together they make the picture.",
    ),
    "normalise": (
        "Normalisation",
        "Each colour is moved and stretched to the range that the network was trained on.",
        "Like setting the scales to zero before weighing.",
    ),
    "conv": (
        "Convolution",
        "Each filter slides over all maps; at every place it multiplies what it sees by its weights and adds up.",
        "Like a magnifying glass that is drawn over the picture and lights up where it finds the one pattern it knows.",
    ),
    "relu": (
        "ReLU",
        "What is below 0 becomes 0, and the rest stays as it is.",
        "Like a doorkeeper: whoever has nothing to say for it stays outside.",
    ),
    "leaky relu": (
        "Leaky ReLU",
        "What is below 0 is made small, and the rest stays as it is.",
        "Like a door that is left ajar.",
    ),
    "relu6": (
        "ReLU6",
        "What is below 0 becomes 0, what is above 6 becomes 6, and the rest stays as it is.",
        "Like a scale with a stop at both ends.",
    ),
    "clamp": (
        "Clamp",
        "What is below the lowest or above the highest number allowed becomes that number.",
        "Like a scale with a stop at both ends.",
    ),
    "sigmoid": (
        "Sigmoid",
        "Every number is bent into the range from 0 to 1.",
        "Like a dimmer: however far it is turned, the light goes from off to full and no further.",
    ),
    "tanh": (
        "Tanh",
        "Every number is bent into the range from -1 to 1.",
        "Like a pointer between two stops: the nearer it comes to one, the harder it is to move.",
    ),
    "silu": (
        "SiLU",
        "What is far below 0 becomes almost 0, what is far above stays, and in between it goes over smoothly.",
        "Like a door with a spring.",
    ),
    "elu": (
        "ELU",
        "What is above 0 stays, and what is below is bent so that it never falls under a floor.",
        "Like sinking into sand: the deeper, the slower.",
    ),
    "largest": (
        "Max pooling",
        "Of each small window only the largest number is kept.",
        "Like clearing out the attic: of each box only the best piece is kept, and where it lay is soon forgotten.",
    ),
    "mean": (
        "Average pooling",
        "Of each window only the mean is kept.",
        "Like looking at the picture from further away.",
    ),
    "add": (
        "Addition",
        "Two paths meet, and what they bring is added, number by number.",
        "Like notes in the margin: the text stays as it is, and the corrections are added to it.",
    ),
    "join": (
        "Concatenation",
        "The maps of several paths are laid one below the other.",
        "Like stacking two packs of cards: no card changes.",
    ),
    "flatten": (
        "Flatten",
        "All maps are written out, row by row, into one long column.",
        "Like reading a page: line after line becomes one long string of words.",
    ),
    "move": (
        "Rearrangement",
        "Numbers only change their places; where none comes from, there is a 0.",
        "Like moving the furniture: nothing is added, and nothing changes but where it stands.",
    ),
    "scale": (
        "Scaling",
        "Each map is multiplied by one number, and another one is added.",
        "Like a volume control for each instrument.",
    ),
    "linear": (
        "Fully connected layer",
        "Each unit adds up all numbers it is given, each times a weight of its own.",
        "Like a court: each piece of evidence has its own weight, for or against.",
    ),
    "softmax": (
        "Softmax",
        "The numbers become shares that are all above 0 and add up to 1.",
        "Like dividing a cake: whoever gets more leaves less to the others.",
    ),
    "merge": (
        "Merging of classes",
        "Several outputs that stand for one class become one number.",
        "Like the votes of several districts, counted for one constituency.",
    ),
    "logits": (
        "Logits",
        "The last layer gives one number a class: how much speaks for it. The largest is the answer.",
        "Like the points on a scoreboard: only the differences count.",
    ),
    "shares": (
        "Softmax",
        "The logits become probabilities: each is raised to a power of e and divided by the sum of all.",
        "Like dividing a cake by points: a little more speaks for a class, and it gets much more of the cake.",
    ),
    "loss": (
        "Cross-entropy",
        "How far is the answer from being certain of the label? Three ways to ask, one number.",
        "Like surprise: the less you expected what then came, the greater it is.",
    ),
    "training": (
        "One step of training",
        "Each weight of the last layer moves a little against its gradient, and the loss becomes smaller.",
        "Like going downhill in fog: feel which way the ground falls, and take one step.",
    ),
}


def told(step: Step) -> tuple[str, str, str]:
    """What a step is called, its sentence, and what it is like."""
    if isinstance(step, Pool):
        return TOLD["largest" if step.largest else "mean"]
    return TOLD[step.word]


def facts(step: Step) -> str:
    """Its settings, and what goes in and comes out."""
    what = ""
    match step:
        case Convolve():
            each = f"{step.weight.shape[2]} x {step.weight.shape[3]}"
            maps = step.weight.shape[1]
            chain = f", maps {step.first} to {step.first + maps - 1}" if maps * step.groups < step.given[0][0] else ""
            products = step.weight[0].numel()
            what = (
                f"{counted(len(step.weight), 'filter')} of {each} over {counted(maps, 'map')}{chain}, stride "
                f"{_both(step.stride)}, padding {_around(step.padding)}"
                + (f", dilation {_both(step.dilation)}" if step.dilation != (1, 1) else "")
                + (f", {step.groups} groups" if step.groups > 1 else "")
                + f": {counted(products, 'product')} and a bias for each number"
                + (f"; {step.folded} is folded in" if step.folded else "")
            )
        case Linear():
            what = (
                f"{counted(len(step.weight), 'unit')}, each with {counted(step.weight.shape[1], 'weight')} and a bias"
                + (f"; {step.folded} is folded in" if step.folded else "")
            )
        case Pool():
            high, wide = max(map(len, step.rows)), max(map(len, step.columns))
            what = f"windows of up to {high} x {wide}"
        case Activate() if step.settings:
            what = f"with {', '.join(f'{number:g}' for number in step.settings)}"
        case Merge():
            what = f"{counted(step.given[0][0], 'output')} become {counted(len(step.groups), 'classes')}"
        case Move():
            what = "each cell points at the cell it takes its number from"
    ways = " and ".join(map(size, step.given[:3])) + (f" and {len(step.given) - 3} more" if len(step.given) > 3 else "")
    return f"{what}{'. ' if what else ''}In: {ways}. Out: {size(step.shape)}."


def size(shape: Shape) -> str:
    """ "10 maps of 64 x 64", "120 numbers"."""
    channels, height, width = shape
    if (height, width) == (1, 1):
        return counted(channels, "number")
    return f"{counted(channels, 'map')} of {height} x {width}"


def _both(pair: tuple[int, int]) -> str:
    return str(pair[0]) if pair[0] == pair[1] else f"{pair[0]} x {pair[1]}"


def _around(padding: tuple[int, int, int, int]) -> str:
    above, below, left, right = padding
    if above == below == left == right:
        return str(above)
    if (above, left) == (below, right):
        return f"{above} x {left}"
    return f"{above} above, {below} below, {left} left, {right} right"
