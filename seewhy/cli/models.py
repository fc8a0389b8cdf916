"""Networks, and models and images written as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from seewhy.cli import console
from seewhy.cli.flags import (
    Classes,
    Images,
    Json,
    Mapped,
    ModelName,
    Network,
    Threads,
)
from seewhy.cli.named import find_own, image_files, loaded_model, use_threads


def export(
    model: ModelName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write: .onnx, .pt2 or .torchscript.")],
    format: Annotated[
        str | None, typer.Option(help="onnx, exported-program or torchscript. [by the file's ending]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write MODEL for other programs to run, once what was written answers as the network does."""
    import seewhy
    from seewhy.model import exporting

    find_own(model)
    exported = exporting.export(seewhy.load(model, device="cpu"), file, format=format)
    if as_json:
        console.print_json(exported.as_json())
    else:
        console.tell(
            f"{exported.file}: {exported.format}, {exported.bytes / 1e6:.1f} MB; over batches of "
            f"{', '.join(map(str, exported.batches))} images no logit is off by more than {exported.difference:.1g}"
        )


def sheet(
    model: ModelName,
    images: Images,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The workbook to write: .xlsx.")],
    label: Annotated[
        list[str] | None,
        typer.Option(help="The class of all images, or once for each. [the name of its folder, or the answer given]"),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(help="Only what one unit sees, for a large network: LAYER:CHANNEL,ROW,COLUMN, counted from 0."),
    ] = None,
    size_limit: Annotated[
        int | None, typer.Option(help="Write no more formulas than this, or nothing. [400000]", min=1)
    ] = None,
    network: Network = None,
    classes: Classes = None,
    mapping: Mapped = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Write MODEL as a workbook that computes: each step from pixels to loss in formulas, for one image or several."""
    import seewhy

    use_threads(threads)
    files = image_files(images)
    loaded = loaded_model(model, network, classes, mapping, "cpu")
    limit = {} if size_limit is None else {"size_limit": size_limit}
    written = seewhy.sheet(loaded, list(files), file, labels=label or (), unit=unit, **limit)
    if as_json:
        console.print_json(written.as_json())
        return
    if written.unit:
        what = f"{written.unit} is {written.value:.4f}"
    else:
        what = f"{written.answer} {written.probability:.0%}, a loss of {written.loss:.4f} for the label {written.label}"
    console.tell(
        f"{written.file}: {len(written.sheets)} sheets, {written.formulas:,} formulas, {written.bytes / 1e6:.1f} MB; "
        f"{what}; no logit is off by more than {written.difference:.1g}"
    )


def picture(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image file.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The workbook to write: .xlsx.")],
    side: Annotated[int, typer.Option(help="Pixels along the longer side; a larger picture is made smaller.")] = 64,
) -> None:
    """Write an image as a workbook of coloured cells, with its red, green and blue as numbers."""
    from seewhy import workbook
    from seewhy.sheets import picture as pictures

    workbook.check_name(file)
    console.tell(str(pictures.write(image, file, side=side)))


def networks(
    name: Annotated[str | None, typer.Argument(help="Show this network layer by layer.")] = None, as_json: Json = False
) -> None:
    """Which networks are there, and how large are they?"""
    from seewhy import networks as shelf

    find_own(name)
    rows = _counted() if name is None else shelf.layers(name)
    if as_json:
        console.print_json(rows)
    else:
        console.print_table(rows)


def _counted() -> list[dict[str, Any]]:
    """The table of all networks, whose multiply-adds take a while to count: remembered until the code changes."""
    from seewhy import networks as shelf
    from seewhy.storage.cache import Cache, code_version

    cache, key = Cache(), f"networks-{code_version()}"
    found = cache.get(key)
    if found is None:
        console.say("Counting the multiply-adds of every network, once ...")
        found = {"rows": shelf.table()}
        cache.put(key, found)
    return found["rows"]
