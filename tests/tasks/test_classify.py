"""Classification says in the user's words what the logits say."""

import math
import re

import pytest
import torch

from seewhy.tasks.classify import Classify
from seewhy.types import Answer, Batch, Boxes, Example, Preprocessing

CLASSES = ("cat", "dog", "a - b", "b", "a")


def make_task(**settings):
    return Classify(CLASSES, Preprocessing((4, 4)), **settings)


def make_batch(targets):
    return Batch(tuple(map(str, range(len(targets)))), {}, torch.tensor(targets))


def test_answers_and_their_probabilities():
    output = torch.tensor([[2.0, 1.0, 0.0, 0.0, 0.0]])
    (answer,) = make_task().decode(output)
    assert answer.value == "cat"
    assert answer.confidence == pytest.approx(output.softmax(1)[0, 0].item())
    assert [name for name, _ in answer.top][:2] == ["cat", "dog"]
    assert make_task().right(answer, "cat") == 1.0
    assert make_task().right(Answer("dog"), "cat") == 0.0


def test_logodds_of_the_truth_are_those_of_its_probability():
    output = torch.randn(6, 5, dtype=torch.float64)
    batch = make_batch([0, 1, 2, 3, 4, -1])
    logodds = make_task().logodds_true(output, batch)
    probability = output.softmax(1)[torch.arange(5), batch.targets[:5]]
    assert torch.allclose(logodds[:5], torch.log(probability / (1 - probability)))
    assert math.isnan(logodds[5])


def test_unlabelled_rows_have_no_loss_and_do_not_count_in_training():
    output = torch.randn(3, 5)
    loss = make_task().loss(output, make_batch([1, -1, 2]))
    assert math.isnan(loss[1])
    assert make_task().objective(output, make_batch([1, -1, 2])) == pytest.approx(loss.nanmean().item())


def test_smoothing_and_weights_shape_training_not_the_table():
    output, batch = torch.randn(4, 5), make_batch([0, 1, 2, 3])
    shaped = make_task(label_smoothing=0.2, class_weights=(1.0, 2.0, 1.0, 1.0, 1.0))
    assert torch.equal(shaped.loss(output, batch), make_task().loss(output, batch))
    assert shaped.objective(output, batch) != make_task().objective(output, batch)


def test_questions_are_logits_and_their_differences():
    output, task = torch.randn(2, 5), make_task()
    assert torch.equal(task.question("dog").score(output), output[:, 1])
    assert torch.equal(task.question(["dog", "b"]).score(output), torch.stack([output[0, 1], output[1, 3]]))
    rather = task.question("cat - dog")
    assert rather.text == "cat rather than dog"
    assert torch.equal(rather.score(output), output[:, 0] - output[:, 1])


def test_a_class_whose_name_holds_a_minus_is_itself_first():
    output, task = torch.randn(2, 5), make_task()
    assert torch.equal(task.question("a - b").score(output), output[:, 2])
    assert torch.equal(task.question("a - b - cat").score(output), output[:, 2] - output[:, 0])


def test_an_unknown_class_gets_the_nearest():
    with pytest.raises(KeyError, match=re.escape("No class 'dgo'. Did you mean 'dog'? There are: cat, dog")):
        make_task().question("dgo")


def test_two_classes_of_one_name_are_refused():
    with pytest.raises(ValueError, match="given more than once: cat"):
        Classify(("cat", "dog", "cat"), Preprocessing((4, 4)))


def test_collate_fits_images_of_any_size_and_keeps_ids_and_tags():
    examples = [Example(str(side), {"image": torch.rand(3, side, side + 2)}, "dog", {"s": side}) for side in (4, 9, 30)]
    batch = make_task().collate([*examples, Example("none", {"image": torch.rand(3, 4, 4)})])
    assert batch.inputs["image"].shape == (4, 3, 4, 4)
    assert batch.targets.tolist() == [1, 1, 1, -1]
    assert batch.ids == ("4", "9", "30", "none")
    assert batch.tags[1] == {"s": 9}


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_masks_and_boxes_move_as_the_image_does(fit):
    image, mask = torch.zeros(3, 24, 40), torch.zeros(24, 40, dtype=torch.bool)
    image[:, 4:16, 10:22] = 1
    mask[4:16, 10:22] = True
    boxes = Boxes(torch.tensor([[10.0, 4.0, 22.0, 16.0]]), ("square",))
    task = Classify(("a", "b"), Preprocessing((12, 12), fit=fit))
    batch = task.collate([Example("i", {"image": image}, "a", mask=mask, boxes=boxes), Example("j", {"image": image})])
    white = batch.inputs["image"][0, 0] > 0.5
    assert torch.equal(batch.masks[0], white)
    assert not batch.masks[1].any()  # nobody said where it is
    rows, columns = torch.where(white)
    seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()
    assert (batch.boxes[0].corners[0] - seen).abs().max() <= 0.75  # a box may end within a pixel
    assert batch.boxes[1] is None


def test_without_any_mask_there_are_none():
    batch = Classify(("a", "b"), Preprocessing((4, 4))).collate([Example("i", {"image": torch.zeros(3, 4, 4)})])
    assert batch.masks is None
