"""Are our explainers as quick as captum's and torchcam's?

    python benchmarks/explainers.py                                  # every method that one of them has as well
    python benchmarks/explainers.py grad_cam score_cam --batch 8 --repeats 21 --out explainers.jsonl

Both explain the same images on networks of equal weights, with equal numbers of steps, samples and patches, and take
turns: in each repeat ours, then theirs, in the next theirs, then ours. Timed is what a user calls, from images and a
network to a map an image: `seewhy.passes.explain` on our side; on theirs the extractor or attribution made anew each
time, its hooks put on and taken off. Ours is told the layer where theirs must be. Before anything is timed the maps are
compared, where no chance is in them: `apart` is the greatest difference, as a share of the greatest value, at the size
of the image.

The ratio is theirs by ours in seconds, more than 1 where ours is quicker: the median over the repeats, with the 95 %
interval of a median from the order of the ratios, and the least and greatest of them. It is given for the clock on the
wall and for the seconds of this process, which is the one to read on a machine on which others work too.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import captum.attr
import torch
import torchcam.methods
import torchvision
from scipy.stats import binom
from torch import Tensor, nn

from seewhy import passes, shelf
from seewhy.types import Batch, Question

TARGET, LAYER = 1, "layer4"
SAMPLES = 16  # steps and noisy copies


@dataclass(frozen=True)
class Peer:
    """Another's implementation of one of our methods; `settings` make ours do the same work."""

    name: str
    maps: Callable[[nn.Module, Tensor], Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    drawn: bool = False  # chance is in it, so that maps differ


def attributed(method: type, *, absolute: bool = False, **settings: Any) -> Callable[[nn.Module, Tensor], Tensor]:
    """A method of captum, its channels added up."""

    def maps(network: nn.Module, images: Tensor) -> Tensor:
        found = method(network).attribute(images.clone().requires_grad_(), target=TARGET, **settings).detach()
        return (found.abs() if absolute else found).sum(1)

    return maps


def smoothed(network: nn.Module, images: Tensor) -> Tensor:
    """SmoothGrad, all noisy copies in one batch."""
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(network))
    found = tunnel.attribute(
        images.clone(), nt_type="smoothgrad", nt_samples=SAMPLES, stdevs=0.15, target=TARGET, abs=False
    )
    return found.detach().abs().sum(1)


def expected(network: nn.Module, images: Tensor) -> Tensor:
    """GradientSHAP from black."""
    method = captum.attr.GradientShap(network)
    found = method.attribute(images.clone(), torch.zeros_like(images), n_samples=SAMPLES, stdevs=0.1, target=TARGET)
    return found.detach().sum(1)


def covered(network: nn.Module, images: Tensor) -> Tensor:
    """Occlusion by patches of a quarter of the side, each half over the next."""
    patch, at_once = images.shape[2] // 4, max(1, 64 // len(images))
    method = captum.attr.Occlusion(network)
    with torch.no_grad():
        found = method.attribute(
            images,
            (3, patch, patch),
            strides=(3, patch // 2, patch // 2),
            target=TARGET,
            perturbations_per_eval=at_once,
        )
    return found[:, 0]


def activated(method: type, **settings: Any) -> Callable[[nn.Module, Tensor], Tensor]:
    """A method of torchcam."""

    def maps(network: nn.Module, images: Tensor) -> Tensor:
        with method(network, LAYER, input_shape=tuple(images.shape[1:]), **settings) as extractor:
            scores = extractor.model(images)
            (found,) = extractor([TARGET] * len(images), scores, normalized=False)
        return found.detach()

    return maps


def searching(network: nn.Module, images: Tensor) -> Tensor:
    """Grad-CAM of torchcam, which looks for the layer itself."""
    with torchcam.methods.GradCAM(network, input_shape=tuple(images.shape[1:])) as extractor:
        scores = extractor.model(images)
        (found,) = extractor([TARGET] * len(images), scores, normalized=False)
    return found.detach()


def layered(network: nn.Module, images: Tensor) -> Tensor:
    """Grad-CAM by captum."""
    method = captum.attr.LayerGradCam(network, network.get_submodule(LAYER))
    return method.attribute(images, target=TARGET, relu_attributions=True).detach()[:, 0]


AT = {"layer": LAYER}
PEERS: dict[str, list[Peer]] = {
    "gradient": [Peer("captum", attributed(captum.attr.Saliency))],
    "input_x_gradient": [Peer("captum", attributed(captum.attr.InputXGradient))],
    "integrated_gradients": [
        Peer("captum", attributed(captum.attr.IntegratedGradients, n_steps=SAMPLES), {"steps": SAMPLES})
    ],
    "smooth_grad": [Peer("captum", smoothed, {"samples": SAMPLES}, drawn=True)],
    "gradient_shap": [Peer("captum", expected, {"samples": SAMPLES}, drawn=True)],
    "guided_backprop": [Peer("captum", attributed(captum.attr.GuidedBackprop, absolute=True))],
    "deconvolution": [Peer("captum", attributed(captum.attr.Deconvolution, absolute=True))],
    # Its max pooling differs, see tests/explainers/test_parity.py; the work is the same.
    "deep_lift": [Peer("captum", attributed(captum.attr.DeepLift), drawn=True)],
    "occlusion": [Peer("captum", covered, {"fill": "black"})],
    "cam": [Peer("torchcam", activated(torchcam.methods.CAM), AT | {"relu": False})],
    "grad_cam": [
        Peer("torchcam", activated(torchcam.methods.GradCAM), AT),
        Peer("captum", layered, AT),
        Peer("unnamed", searching),  # torchcam again; neither is told the layer
    ],
    # Its maps are not Grad-CAM++'s: it divides a copy and goes on with what was not divided; the work is the same.
    "grad_cam_plus_plus": [Peer("torchcam", activated(torchcam.methods.GradCAMpp), AT, drawn=True)],
    "x_grad_cam": [Peer("torchcam", activated(torchcam.methods.XGradCAM), AT)],
    "layer_cam": [Peer("torchcam", activated(torchcam.methods.LayerCAM), AT)],
    "score_cam": [Peer("torchcam", activated(torchcam.methods.ScoreCAM, batch_size=64), AT)],
}


class Named(nn.Module):
    """A network whose input is called "image"."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def network_of(name: str) -> nn.Module:
    """Torchvision's, each ReLU one of its own and not in place: captum's rules ask for that."""
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, num_classes=10).eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if getattr(module, "inplace", False):
            module.inplace = False
        if isinstance(module, torchvision.models.resnet.BasicBlock):
            module.relu2 = nn.ReLU()
            module.forward = once_each.__get__(module)
    return network


def once_each(block: Any, x: Tensor) -> Tensor:
    """A basic block that uses no ReLU twice."""
    out = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x)))))
    return block.relu2(out + (x if block.downsample is None else block.downsample(x)))


def main() -> int:
    """0 if every ratio of CPU seconds, or of those on the wall on a GPU, reaches `--fail-below`."""
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(PEERS)} [all]")
    told.add_argument("--network", default="resnet18", help="of torchvision, a plain residual network [%(default)s]")
    told.add_argument("--batch", type=int, default=1)
    told.add_argument("--side", type=int, default=128)
    told.add_argument("--repeats", type=int, default=15)
    told.add_argument("--threads", type=int, default=1)
    told.add_argument("--device", default="cpu")
    told.add_argument("--fail-below", type=float, default=1.0)
    told.add_argument("--out", help="a file to which one line of JSON a measurement is added")
    chosen = told.parse_args()
    unknown = set(chosen.methods) - set(PEERS)
    if unknown:
        told.error(f"no peer for {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    torch.set_num_threads(chosen.threads)
    warnings.filterwarnings("ignore", module=r"(captum|torch).*")  # of hooks, and inputs made differentiable
    logging.getLogger("torchcam").setLevel(logging.ERROR)
    network = network_of(chosen.network).to(chosen.device)
    images = torch.rand(chosen.batch, 3, chosen.side, chosen.side, device=chosen.device)
    clock = "wall" if chosen.device.startswith("cuda") else "cpu"
    columns = f"{'method':<21} {'peer':<9} {'ours ms':>8} {'theirs':>8} {'wall':>6} {'cpu':>6}"
    print(f"{columns}  95 % of {clock:<5} range  apart")
    slow = 0
    for name in chosen.methods or PEERS:
        for peer in PEERS[name]:
            found = measured(name, peer, network, images, chosen)
            row = {**vars(chosen), **found, **found[clock], "clock": clock}
            row = {key: row[key] for key in row if key not in ("methods", "out")}
            slow += row["ratio"] < chosen.fail_below
            apart = "chance" if row["apart"] is None else f"{row['apart']:.0e}"
            print(
                f"{name:<21} {peer.name:<9} {1000 * row['ours']:>8.1f} {1000 * row['theirs']:>8.1f} "
                f"{row['wall']['ratio']:>6.2f} {row['cpu']['ratio']:>6.2f}  "
                f"{row['low']:.2f} to {row['high']:.2f}  {row['least']:.2f} to {row['most']:.2f} {apart}",
                flush=True,
            )
            if chosen.out:
                with open(chosen.out, "a", encoding="utf-8") as file:  # noqa: PTH123
                    file.write(json.dumps({**row, "torch": torch.__version__}) + "\n")
    return 1 if slow else 0


def measured(name: str, peer: Peer, network: nn.Module, images: Tensor, chosen: argparse.Namespace) -> dict[str, Any]:
    """Seconds a call on the wall, ratios by both clocks, and how far the maps lie apart."""
    explainer, question = shelf.load("explainers", name), Question("one", lambda output: output[:, TARGET])
    batch = Batch(ids=tuple(map(str, range(len(images)))), inputs={"image": images})
    settings = dict(peer.settings)
    if name == "occlusion":
        settings |= {"patch": chosen.side // 4, "stride": chosen.side // 8}
    own, other = Named(copy.deepcopy(network)), copy.deepcopy(network)
    steps = {
        "ours": lambda: passes.explain(own, batch, question, {name: (explainer, settings)}).heat[name],
        "theirs": lambda: peer.maps(other, images),
    }
    found, wanted = scaled(steps["ours"](), images), scaled(steps["theirs"](), images)
    taken: dict[str, dict[str, list[float]]] = {clock: {"ours": [], "theirs": []} for clock in ("wall", "cpu")}
    for repeat in range(chosen.repeats):
        for who in ("ours", "theirs") if repeat % 2 else ("theirs", "ours"):
            for clock, seconds in timed(steps[who], chosen.device).items():
                taken[clock][who].append(seconds)
    return {
        "method": name,
        "peer": peer.name,
        "ours": statistics.median(taken["wall"]["ours"]),
        "theirs": statistics.median(taken["wall"]["theirs"]),
        **{clock: ratio(taken[clock]["ours"], taken[clock]["theirs"]) for clock in taken},
        "apart": None if peer.drawn else float((found - wanted).abs().max()),
    }


def scaled(heat: Tensor, images: Tensor) -> Tensor:
    """At the size of the images, up to the factor that methods leave open."""
    heat = nn.functional.interpolate(heat[:, None], size=images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return heat / heat.abs().amax((1, 2), keepdim=True).clamp(min=1e-30)


def ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """Of turns that stand next to each other in time: the median and its 95 % interval."""
    ratios = sorted(b / a for a, b in zip(ours, theirs, strict=True))
    outside = int(binom.ppf(0.025, len(ratios), 0.5))  # so many ratios lie beyond each end of the interval
    low, high = ratios[max(0, outside - 1)], ratios[min(len(ratios) - 1, len(ratios) - outside)]
    return {"ratio": statistics.median(ratios), "low": low, "high": high, "least": ratios[0], "most": ratios[-1]}


def timed(step: Callable[[], object], device: str) -> dict[str, float]:
    """Seconds by both clocks."""
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    begun = time.perf_counter(), time.process_time()
    step()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return {"wall": time.perf_counter() - begun[0], "cpu": time.process_time() - begun[1]}


if __name__ == "__main__":
    sys.exit(main())
