"""Looking into a network and changing what happens inside it, each as a context that puts everything back.

    with hooks.frozen(network), hooks.read(network, ["layer4"]) as seen:
        network(**batch.inputs)
    seen["layer4"]                                        # batch, channels, height, width

A layer is a module, by its dotted name. Where a layer lies over the image is found by tracing one run: convolutions put
out channels first, Swin channels last, ViTs tokens with class and register tokens before them. Nobody writes a reshape.
What is no module (a functional ReLU, an addition, an attention) is reached by `rewriting`; what lies before a layer
need not run again, by `replaying`.
"""

from seewhy.hooks.contexts import change, frozen, read, run
from seewhy.hooks.default import default_layer, last_that_counts, possible, watched
from seewhy.hooks.grids import Grid
from seewhy.hooks.inputs import image, placed
from seewhy.hooks.names import modules, resolve
from seewhy.hooks.replaying import Trunk, recording, replaying
from seewhy.hooks.rewriting import Call, redirected, rewriting
from seewhy.hooks.sooner import sooner
from seewhy.hooks.structures import first_tensor, mapped, spread, tensors
from seewhy.hooks.trace import Layer, grid, layers, tracing

__all__ = [
    "Call",
    "Grid",
    "Layer",
    "Trunk",
    "change",
    "default_layer",
    "first_tensor",
    "frozen",
    "grid",
    "image",
    "last_that_counts",
    "layers",
    "mapped",
    "modules",
    "placed",
    "possible",
    "read",
    "recording",
    "redirected",
    "replaying",
    "resolve",
    "rewriting",
    "run",
    "sooner",
    "spread",
    "tensors",
    "tracing",
    "watched",
]
