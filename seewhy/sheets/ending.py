"""The last four sheets: logits, softmax, cross-entropy in its three readings, and one step of training.

    p = softmax(z),      loss = ln 1 - ln p_label  =  ln sum exp z - z_label  =  sum y (ln y - ln p)

The three are equal, since the label's own distribution y is 1 for the label and 0 elsewhere: the distance from being
certain, the negative log likelihood, and the Kullback-Leibler divergence of p from y. The step is plain gradient
descent on this one image:

    d loss / d z = p - y,      d loss / d weight = (p - y) input,      weight - rate * gradient
"""

from __future__ import annotations

import numpy as np

from seewhy import workbook
from seewhy.sheets import grids, words
from seewhy.sheets.grids import BIAS, FILTER_SWITCH, HEAD, LEFT, LETTERS, SWITCH
from seewhy.sheets.pages import SIGNED, head, shown, style
from seewhy.sheets.plan import CHOSEN_LABEL, LOGITS, LOSS, READINGS, SHARES, TRAINING, Bound, on_cover
from seewhy.sheets.steps import Linear

#: How far the training step goes at first.
RATE = 0.1
#: The columns of the sheet of the training step.
SLOPE, OLD_BIAS, BIAS_SLOPE, NEW_BIAS, NEW_LOGIT, NEW_SHARE, INPUT, MATRICES = (
    *range(LEFT, LEFT + 6),
    LEFT + 7,
    LEFT + 9,
)
#: The loss after the step.
AFTER = (7, LEFT + 2)


def write_logits(bound: Bound) -> None:
    plan, sheet = bound.plan, bound.sheets[LOGITS]
    said, count = shown(bound), len(plan.classes)
    head(bound, LOGITS, words.TOLD["logits"], f"{count} classes.")
    _classes(bound, LOGITS, ("logit", "behind the first"))
    everything = bound.column(LOGITS, LEFT, count)
    for place, logit in enumerate(said["logits"].tolist()):
        grid = plan.grids[plan.last.name]
        row = HEAD + place
        sheet.formula(row, LEFT, grid.cell(place, 0, 0), logit, style(bound, "number", 4))
        behind = f"{LETTERS[LEFT]}{row + 1}-MAX({everything})"
        sheet.formula(row, LEFT + 1, behind, logit - float(said["logits"].max()), style(bound, "number", 4))
    workbook.colour_scale(sheet, (HEAD, LEFT, HEAD + count - 1, LEFT), SIGNED)
    bound.book.name("logits", sheet, (HEAD, LEFT, HEAD + count - 1, LEFT))


def write_shares(bound: Bound) -> None:
    plan, sheet = bound.plan, bound.sheets[SHARES]
    said, count = shown(bound), len(plan.classes)
    facts = "The largest logit is taken from all of them first: that changes no share, and no power grows too large."
    head(bound, SHARES, words.TOLD["shares"], facts)
    _classes(bound, SHARES, ("logit - largest", "e to that power", "probability", "as a bar"))
    logits, powers = bound.column(LOGITS, LEFT, count), bound.column(SHARES, LEFT + 1, count)
    less, power, share = (LETTERS[LEFT + column] for column in range(3))
    logit = f"{LOGITS}!{LETTERS[LEFT]}"
    for place in range(count):
        row = HEAD + place
        away = float(said["logits"][place] - said["logits"].max())
        value = float(np.exp(said["logs"][place]))
        sheet.formula(row, LEFT, f"{logit}{row + 1}-MAX({logits})", away, style(bound, "number", 4))
        sheet.formula(row, LEFT + 1, f"EXP({less}{row + 1})", float(np.exp(away)), style(bound, "number", 6))
        sheet.formula(row, LEFT + 2, f"{power}{row + 1}/SUM({powers})", value, style(bound, "number", 6))
        sheet.formula(row, LEFT + 3, f"{share}{row + 1}", value, style(bound, "dot"))
    workbook.data_bars(sheet, (HEAD, LEFT + 3, HEAD + count - 1, LEFT + 3), SIGNED[0])
    sheet.set_column(LEFT + 3, LEFT + 3, 40)
    bound.book.name("probabilities", sheet, (HEAD, LEFT + 2, HEAD + count - 1, LEFT + 2))


def write_loss(bound: Bound) -> None:
    plan, sheet = bound.plan, bound.sheets[LOSS]
    said, count = shown(bound), len(plan.classes)
    head(bound, LOSS, words.TOLD["loss"], "The label is chosen on the cover. ln is the natural logarithm.")
    _classes(bound, LOSS, ("label", "ln probability", "label x (ln label - ln probability)"))
    label, log, number = (LETTERS[column] for column in (LEFT, LEFT + 1, 1))
    powers = bound.column(SHARES, LEFT + 1, count)
    for place, value in enumerate(said["logs"].tolist()):
        row = HEAD + place
        is_label = float(place == plan.label)
        away = f"{SHARES}!{LETTERS[LEFT]}{row + 1}"
        apart = f"IF({label}{row + 1}=0,0,{label}{row + 1}*(LN({label}{row + 1})-{log}{row + 1}))"
        sheet.formula(
            row, LEFT, f"IF({number}{row + 1}={on_cover(CHOSEN_LABEL)},1,0)", is_label, style(bound, "number", 0)
        )
        sheet.formula(row, LEFT + 1, f"{away}-LN(SUM({powers}))", value, style(bound, "number", 4))
        sheet.formula(row, LEFT + 2, apart, -value * is_label, style(bound, "number", 4))
    logs, apart = bound.column(LOSS, LEFT + 1, count), bound.column(LOSS, LEFT + 2, count)
    logits, chosen = bound.column(LOGITS, LEFT, count), on_cover(CHOSEN_LABEL)
    row, column = READINGS
    first, last = workbook.address((row, column)), workbook.address((row + 2, column))
    loss = said["loss"]
    told = (
        ("distance from certainty: ln 1 - ln probability of the label", f"LN(1)-INDEX({logs},{chosen})", loss),
        (
            "negative log likelihood: ln of the sum of e^logit - logit of the label",
            f"MAX({logits})+LN(SUM({powers}))-INDEX({logits},{chosen})",
            loss,
        ),
        ("Kullback-Leibler divergence: sum of label x (ln label - ln probability)", f"SUM({apart})", loss),
        ("the largest difference of the three: 0, but for rounding", f"MAX({first}:{last})-MIN({first}:{last})", 0.0),
    )
    sheet.text(HEAD - 1, column - 2, "three readings of one number", style(bound, "heading"))
    for place, (text, formula, value) in enumerate(told):
        sheet.text(row + place, column - 2, text, style(bound, "text"))
        sheet.formula(row + place, column, formula, value, style(bound, "value", 4 if place < 3 else 12))
    sheet.set_column(LEFT + 2, LEFT + 2, 32)
    sheet.set_column(column - 2, column - 2, 62)
    sheet.set_column(column - 1, column - 1, 2)
    sheet.set_column(column, column, 16)


def write_training(bound: Bound) -> None:
    """The gradient of the last layer, its weights after the step, and what the network then says."""
    plan, sheet = bound.plan, bound.sheets[TRAINING]
    last = plan.last
    assert isinstance(last, Linear)
    count, inputs = last.weight.shape
    name = plan.names[last.name]
    facts = f"Only {last.name!r} learns here: {last.weight.numel():,} weights and {count} biases."
    head(bound, TRAINING, words.TOLD["training"], facts)
    made = _trained(bound, last)
    sheet.text(5, 0, "learning rate", style(bound, "fact"))
    sheet.number(*SWITCH, RATE, style(bound, "input"))
    bound.book.name("learning_rate", sheet, (*SWITCH, *SWITCH))
    _classes(
        bound, TRAINING, ("probability - label", "bias", "its gradient", "new bias", "new logit", "new probability")
    )
    rate, grid = workbook.address(SWITCH, fixed=True), plan.grids[last.name]
    switch, given = f"{workbook.quoted(name)}!", plan.grids[last.inputs[0]]
    new_logits = bound.column(TRAINING, NEW_LOGIT, count)
    taken = bound.column(TRAINING, INPUT, inputs)
    slope, old, bias_slope, new, logit = (LETTERS[SLOPE + place] for place in range(5))
    share, label = f"{SHARES}!{LETTERS[LEFT + 2]}", f"{LOSS}!{LETTERS[LEFT]}"
    for unit in range(count):
        row = HEAD + unit
        at, line = grid.band(unit) + 1, row + 1
        on = f"{switch}{workbook.address(SWITCH, fixed=True)}*{switch}${LETTERS[FILTER_SWITCH]}${at}"
        updated = bound.column(TRAINING, MATRICES + count + 1 + unit, inputs)
        written = (
            (f"{share}{line}-{label}{line}", made["slope"]),
            (f"{switch}${LETTERS[BIAS]}${at}", made["old"]),
            (f"{on}*{slope}{line}", made["slope"]),
            (f"{old}{line}-{rate}*{bias_slope}{line}", made["new"]),
            (f"{on}*({new}{line}+SUMPRODUCT({taken},{updated}))", made["logits"]),
            (f"EXP({logit}{line}-MAX({new_logits}))/SUMPRODUCT(EXP({new_logits}-MAX({new_logits})))", made["shares"]),
        )
        for column, (formula, values) in enumerate(written, start=SLOPE):
            sheet.formula(row, column, formula, float(values[unit]), style(bound, "number", 6))
    total = f"MAX({new_logits})+LN(SUMPRODUCT(EXP({new_logits}-MAX({new_logits}))))"
    after = f"{total}-INDEX({new_logits},{on_cover(CHOSEN_LABEL)})"
    sheet.text(AFTER[0], AFTER[1] - 2, "loss after the step", style(bound, "fact"))
    sheet.formula(*AFTER, after, float(made["loss"]), style(bound, "value", 4))
    bound.book.name("loss_after", sheet, (*AFTER, *AFTER))
    sheet.text(HEAD - 1, INPUT, "input", style(bound, "centred"))
    values = plan.values[last.inputs[0]][:, 0, 0].tolist()
    for number, value in enumerate(values):
        sheet.formula(HEAD + number, INPUT, given.cell(number, 0, 0), value, style(bound, "number", 4))
    _matrices(bound, last, made)
    sheet.set_column(LEFT, NEW_SHARE, 14)
    bound.book.name("new_probabilities", sheet, (HEAD, NEW_SHARE, HEAD + count - 1, NEW_SHARE))


def _matrices(bound: Bound, last: Linear, made: dict[str, np.ndarray]) -> None:
    """The gradient of each weight, and beside it the weight after the step."""
    sheet, plan = bound.sheets[TRAINING], bound.plan
    count, inputs = last.weight.shape
    looks, rate = style(bound, "weight", 3), workbook.address(SWITCH, fixed=True)
    name, grid = workbook.quoted(plan.names[last.name]), plan.grids[last.name]
    for unit in range(count):
        slope, updated = MATRICES + unit, MATRICES + count + 1 + unit
        old = LETTERS[grids.weight_column(grid, unit)]
        bias_slope = f"${LETTERS[BIAS_SLOPE]}${HEAD + unit + 1}"
        for number, (gradient, weight) in enumerate(
            zip(made["gradient"][unit].tolist(), made["weight"][unit].tolist(), strict=True)
        ):
            row = HEAD + number
            sheet.formula(row, slope, f"{bias_slope}*${LETTERS[INPUT]}{row + 1}", gradient, looks)
            formula = f"{name}!{old}{row + 1}-{rate}*{LETTERS[slope]}{row + 1}"
            sheet.formula(row, updated, formula, weight, looks)
    shown_at = (
        (MATRICES, "gradient of each weight", "gradients"),
        (MATRICES + count + 1, "weights after the step", "new_weights"),
    )
    for column, text, known in shown_at:
        bound.book.name(known, sheet, (HEAD, column, HEAD + inputs - 1, column + count - 1))
        sheet.text(HEAD - 2, column, text, style(bound, "label"))
        for unit in range(count):
            sheet.text(HEAD - 1, column + unit, plan.classes[unit], style(bound, "centred"))
        workbook.colour_scale(sheet, (HEAD, column, HEAD + inputs - 1, column + count - 1), SIGNED)
    sheet.set_column_pixels(MATRICES, MATRICES + 2 * count, 46)


def _trained(bound: Bound, last: Linear) -> dict[str, np.ndarray]:
    """One step in NumPy: gradients, new weights, and what comes of them."""
    said, plan = shown(bound), bound.plan
    given = plan.values[last.inputs[0]][:, 0, 0]
    weight, bias = last.weight.numpy(), last.bias.numpy()
    label = plan.label
    slope = np.exp(said["logs"]) - (np.arange(len(bias)) == label)
    gradient = np.outer(slope, given)
    new_weight, new_bias = weight - RATE * gradient, bias - RATE * slope
    logits = new_weight @ given + new_bias
    logs = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    return {
        "slope": slope, "old": bias, "gradient": gradient, "weight": new_weight, "new": new_bias,
        "logits": logits, "shares": np.exp(logs), "loss": -logs[label],
    }  # fmt: skip


def _classes(bound: Bound, name: str, headings: tuple[str, ...]) -> None:
    """A row for each class: its name, its number, and what the columns then are."""
    sheet = bound.sheets[name]
    for column, heading in zip((0, 1, *range(LEFT, LEFT + len(headings))), ("class", "number", *headings), strict=True):
        sheet.text(HEAD - 1, column, heading, style(bound, "centred" if column else "heading"))
    for place, each in enumerate(bound.plan.classes):
        sheet.text(HEAD + place, 0, each, style(bound, "label"))
        sheet.number(HEAD + place, 1, place + 1, style(bound, "number", 0))
    sheet.set_column(LEFT, LEFT + len(headings) - 1, 16)
