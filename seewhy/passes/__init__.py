"""What explainers need of a network, gathered in the fewest runs of it.

An explainer names its needs and is handed evidence; it never runs a network. A kind of evidence is one file here: its
need, a frozen dataclass whose `gather` runs the network through a `Run`, and what it gives. What several kinds can have
from one pass they take from one pass: all gradients at inputs and layers, the score of the unchanged inputs, the trace
of the layers.

Cost is counted an example, in runs of the whole network: a forward pass is 1; a backward pass that reaches the input is
1, one that ends at a layer counts the share of the network's multiplications behind that layer. With the weights
frozen a backward pass costs about what a forward pass does.
"""

from seewhy.passes.budget import Budget, Passes
from seewhy.passes.evidence import Evidence
from seewhy.passes.gathering import Forecast, Gathered, forecast, gather, gathering
from seewhy.passes.heating import Explained, Explainer, Sketch, explain, explaining, needs_of
from seewhy.passes.run import Need, Run, Unsuitable

__all__ = [
    "Budget",
    "Evidence",
    "Explained",
    "Explainer",
    "Forecast",
    "Gathered",
    "Need",
    "Passes",
    "Run",
    "Sketch",
    "Unsuitable",
    "explain",
    "explaining",
    "forecast",
    "gather",
    "gathering",
    "needs_of",
]
