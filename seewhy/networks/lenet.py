"""What did the first network to read handwriting by convolutions look like?

    image 32 x 32 -> conv1 6@5x5 -> pool -> conv2 16@5x5 -> pool -> linear 120 -> 84 -> classes

LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition
(http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf). This is the form in use today: each map of conv2 sees all six of
conv1 (the paper left some out), pooling has no weights, and the output is a linear layer under a softmax where the
paper measured distances to drawn letters. With one input channel and ten classes it has 61,706 parameters; with RGB,
which is what SeeWhy feeds it, 300 more.

The linear layers fix the image's size: 32 unless `input_size` says otherwise. `lenet5` has the paper's tanh and mean
pooling, `lenet5_relu` today's ReLU and max pooling.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

year = 1998
paper = "http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf"
classes = 10
channels = 1
input_size = 32

sizes = {
    "lenet5": {"activation": "tanh", "pool": "mean"},
    "lenet5_relu": {"activation": "relu", "pool": "max"},
}

#: The smallest image that leaves a pixel after two convolutions of 5 x 5 and two poolings.
SMALLEST = 16


def build(
    *,
    size: str = "lenet5",
    classes: int = 10,
    channels: int = 3,
    input_size: int = 32,
    activation: Literal["tanh", "relu"] | None = None,
    pool: Literal["mean", "max"] | None = None,
) -> nn.Module:
    """A LeNet for square images of `input_size` pixels; what is None is as the size has it."""
    if input_size < SMALLEST:
        raise ValueError(f"LeNet's convolutions need images of at least {SMALLEST} pixels; input_size is {input_size}")
    chosen = {**sizes[size], **{k: v for k, v in (("activation", activation), ("pool", pool)) if v is not None}}
    return LeNet(
        input_size=input_size,
        channels=channels,
        classes=classes,
        activation={"tanh": nn.Tanh, "relu": nn.ReLU}[chosen["activation"]],
        pool={"mean": nn.AvgPool2d, "max": nn.MaxPool2d}[chosen["pool"]],
    )


class LeNet(nn.Module):
    """Two convolutions with pooling, three linear layers."""

    def __init__(
        self, *, input_size: int, channels: int, classes: int, activation: type[nn.Module], pool: type[nn.Module]
    ) -> None:
        super().__init__()
        self.input_size = input_size
        side = ((input_size - 4) // 2 - 4) // 2  # 5 for 32
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.act1 = activation()
        self.pool1 = pool(2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.act2 = activation()
        self.pool2 = pool(2)
        self.flatten = nn.Flatten()
        self.linear1 = nn.Linear(16 * side * side, 120)
        self.act3 = activation()
        self.linear2 = nn.Linear(120, 84)
        self.act4 = activation()
        self.head = nn.Linear(84, classes)

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
