"""What did the first network to read handwriting by convolutions look like?

    image 32 x 32 -> conv1 6@5x5 -> pool -> conv2 16@5x5 -> pool -> linear 120 -> 84 -> classes

LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition
(http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf). The form in use today: each map of conv2 sees all six of conv1,
pooling has no weights, and the output is a linear layer. With one input channel and ten classes it has 61,706
parameters; with RGB, which is what SeeWhy feeds it, 300 more. The linear layers fix the image's size: 32 unless
`input_size` says otherwise.

* `lenet5` has the paper's tanh and mean pooling, `lenet5_relu` today's ReLU and max pooling.
* `lenet5_1998` is the paper's own, with 60,000 weights to learn:
  - tanh is stretched so that it passes through 1 at 1: 1.7159 tanh(2/3 x);
  - each map of conv2 sees some of conv1's, by table I: `connections="partial"`;
  - pooling adds four values, multiplies by a weight, adds another, and bends the sum: `pool="weighted"`;
  - the output is how far, squared, the 84 numbers are from a code of the class, which is not learnt: `output="codes"`.
    The paper drew its codes as letters of 7 x 12 pixels. Ours are drawn by lot from -1 and 1, which it says will do
    as well, for our classes have no letters. The distance is taken negative, so that the largest answer wins.
  - weights begin evenly between -2.4 and 2.4 divided by the number of inputs of the unit.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from seewhy.networks import _parts

year = 1998
paper = "http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf"
classes = 10
channels = 1
input_size = 32

sizes: dict[str, dict[str, Any]] = {
    "lenet5": {"activation": "tanh", "pool": "mean"},
    "lenet5_relu": {"activation": "relu", "pool": "max"},
    "lenet5_1998": {"activation": "stretched", "pool": "weighted", "connections": "partial", "output": "codes"},
}

#: The smallest image that leaves a pixel after two convolutions of 5 x 5 and two poolings.
SMALLEST = 16

#: Table I of the paper: which maps of the first pooling each of the sixteen maps of conv2 sees.
TABLE = (
    *[tuple(sorted((start + step) % 6 for step in range(3))) for start in range(6)],  # three neighbours
    *[tuple(sorted((start + step) % 6 for step in range(4))) for start in range(6)],  # four neighbours
    *[(0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)],  # two and two
    (0, 1, 2, 3, 4, 5),
)


def build(
    *,
    size: str = "lenet5",
    classes: int = 10,
    channels: int = 3,
    input_size: int = 32,
    activation: Literal["tanh", "relu", "stretched"] | None = None,
    pool: Literal["mean", "max", "weighted"] | None = None,
    connections: Literal["full", "partial"] | None = None,
    output: Literal["linear", "codes"] | None = None,
    init: Literal["xavier", "he", "lecun", "normal"] | None = None,
) -> nn.Module:
    """A LeNet for square images of `input_size` pixels; what is None is as the size has it."""
    if input_size < SMALLEST:
        raise ValueError(f"LeNet's convolutions need images of at least {SMALLEST} pixels; input_size is {input_size}")
    usual = {"connections": "full", "output": "linear", **sizes[size]}
    chosen = _parts.chosen(usual, activation=activation, pool=pool, connections=connections, output=output)
    if init is not None and chosen["connections"] == "partial":
        raise ValueError("Partial connections begin as in the paper; `init` is for connections='full'")
    network = LeNet(**chosen, input_size=input_size, channels=channels, classes=classes)
    if init is not None:
        _parts.begin(network, init)
    elif size == "lenet5_1998":
        _begin(network)
    return network


class LeNet(nn.Module):
    """Two convolutions with pooling, three linear layers."""

    def __init__(
        self,
        *,
        input_size: int,
        channels: int,
        classes: int,
        activation: str,
        pool: str,
        connections: str,
        output: str,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        side = ((input_size - 4) // 2 - 4) // 2  # 5 for 32
        bend = {"tanh": nn.Tanh, "relu": nn.ReLU, "stretched": Stretched}[activation]
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.act1 = bend()
        self.pool1 = _pool(pool, 6)
        self.conv2 = PartialConv2d() if connections == "partial" else nn.Conv2d(6, 16, 5)
        self.act2 = bend()
        self.pool2 = _pool(pool, 16)
        self.flatten = nn.Flatten()
        self.linear1 = nn.Linear(16 * side * side, 120)
        self.act3 = bend()
        self.linear2 = nn.Linear(120, 84)
        self.act4 = bend()
        self.head = Codes(84, classes) if output == "codes" else nn.Linear(84, classes)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        height, width = image.shape[2:]
        if (height, width) != (self.input_size, self.input_size):
            raise ValueError(
                f"This LeNet was built for images of {self.input_size} x {self.input_size} pixels and got "
                f"{height} x {width}; build it with input_size={height} or fit the images to {self.input_size}"
            )
        x = self.pool1(self.act1(self.conv1(image)))  # batch, 6, 14, 14
        x = self.pool2(self.act2(self.conv2(x)))  # batch, 16, 5, 5
        x = self.act3(self.linear1(self.flatten(x)))  # batch, 120
        return self.head(self.act4(self.linear2(x)))


class Stretched(nn.Module):
    """1.7159 tanh(2/3 x): appendix A of the paper."""

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        return 1.7159 * torch.tanh(2 / 3 * x)


class PartialConv2d(nn.Module):
    """A convolution of 5 x 5 from six maps to sixteen, of whose 96 kernels only the 60 of the table are there."""

    def __init__(self) -> None:
        super().__init__()
        pairs = [(after, before) for after, seen in enumerate(TABLE) for before in seen]
        self.after = [after for after, _ in pairs]
        self.before = [before for _, before in pairs]
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        nn.init.uniform_(self.weight, -0.1, 0.1)
        self.bias = nn.Parameter(torch.zeros(len(TABLE)))

    def forward(self, x: Float[Tensor, "batch 6 height width"]) -> Float[Tensor, "batch 16 height_after width_after"]:
        kernels = self.weight.new_zeros(16, 6, 5, 5)
        kernels[self.after, self.before] = self.weight
        return functional.conv2d(x, kernels, self.bias)


class WeightedPool2d(nn.Module):
    """The sum of four pixels, times a weight, plus a bias, bent: one weight and one bias a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((maps,), 0.25))
        self.bias = nn.Parameter(torch.zeros(maps))
        self.act = Stretched()

    def forward(self, x: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch maps height_2 width_2"]:
        added = 4 * functional.avg_pool2d(x, 2)
        return self.act(added * self.weight[:, None, None] + self.bias[:, None, None])


class Codes(nn.Linear):
    """Minus the squared distance from the code of each class, a row of -1 and 1 that is drawn by lot and stays."""

    def __init__(self, numbers: int, classes: int) -> None:
        super().__init__(numbers, classes, bias=False)
        self.weight.requires_grad_(False).copy_(torch.randint(0, 2, (classes, numbers)) * 2.0 - 1)

    def forward(self, x: Float[Tensor, "batch numbers"]) -> Float[Tensor, "batch classes"]:
        return -(x[:, None] - self.weight).square().sum(2)


def _pool(name: str, maps: int) -> nn.Module:
    """Halving of so many maps."""
    if name == "weighted":
        return WeightedPool2d(maps)
    return {"mean": nn.AvgPool2d, "max": nn.MaxPool2d}[name](2)


def _begin(network: nn.Module) -> None:
    """All weights as the paper begins them, by the number of inputs of each unit; biases at 0."""
    inputs: Tensor | float
    for module in network.modules():
        match module:
            case Codes():
                continue
            case nn.Conv2d() | nn.Linear():
                inputs = module.weight[0].numel()
            case PartialConv2d():
                inputs = 25 * torch.tensor([len(TABLE[after]) for after in module.after])[:, None, None]
            case WeightedPool2d():
                inputs = 4
            case _:
                continue
        with torch.no_grad():
            module.weight.uniform_(-2.4, 2.4).div_(inputs)
            nn.init.zeros_(module.get_parameter("bias"))
