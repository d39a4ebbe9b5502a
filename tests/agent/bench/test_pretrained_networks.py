"""`tidegate bench pretrained`: what its goals say of rows, and inputs that are the same from the same seed."""

import numpy as np
import pytest
import torch
from torch import nn

from tidegate.models.ladder import Compared, Comparison
from tidegate.models.task import Detector, HeadLayout, LabelMap
from tidegate_bench.pretrained.bench import goals
from tidegate_bench.pretrained.contents import contents
from tidegate_bench.pretrained.encoder import MiniLm
from tidegate_bench.pretrained.lettering import lines, pages
from tidegate_bench.pretrained.modules import OutputNet, ProposalNet, RefineNet, TinyCrepe
from tidegate_bench.pretrained.passages import pieces
from tidegate_bench.pretrained.served import same
from tidegate_bench.pretrained.tones import tones


def test_goals_count_what_was_measured_and_say_unknown_of_the_rest() -> None:
    taken = {"share_of_cpu": 0.6, "contradicted": False}
    dear = {"share_of_cpu": 0.9, "contradicted": True}
    refused = {"share_of_cpu": None, "contradicted": None}
    assert [goal.value for goal in goals([taken, dear, refused])] == [1, 1]
    assert [goal.value for goal in goals([refused])] == [None, None]
    assert [goal.met for goal in goals([taken] * 4)] == [True, True]


def test_inputs_repeat_with_their_seed_alone() -> None:
    for make in (
        lambda seed: lines(2, 48, 192, seed, turned=True),
        lambda seed: pages(2, 96, seed),
        lambda seed: tones(2, seed),
        lambda seed: contents(2, seed),
    ):
        assert np.array_equal(make(1), make(1))
        assert not np.array_equal(make(1), make(2))


@pytest.mark.parametrize(
    ("make", "shape", "answers"),
    [(RefineNet, (3, 24, 24), 2), (OutputNet, (3, 48, 48), 2), (TinyCrepe, (1024,), 360)],
)
def test_layers_fit_each_other(make: type[nn.Module], shape: tuple[int, ...], answers: int) -> None:
    with torch.no_grad():
        assert make()(torch.rand(2, *shape)).shape == (2, answers)


def test_faces_are_proposed_at_every_other_pixel() -> None:
    with torch.no_grad():
        found = ProposalNet()(torch.rand(2, 3, 48, 96))
    assert found.shape == (2, 19, 43)
    assert ((found > 0) & (found < 1)).all()


def test_an_encoder_gives_one_embedding_per_passage_and_tells_orders_of_words_apart() -> None:
    net = MiniLm().eval()
    tokens = torch.tensor([[101, 7, 8, 102], [101, 8, 7, 102]])
    with torch.no_grad():
        one, other = net(tokens)
    assert one.shape == (384,)
    assert not torch.allclose(one, other, atol=1e-4)


def test_words_are_cut_into_the_longest_known_pieces() -> None:
    known = {"[UNK]": 0, "un": 1, "##want": 2, "##ed": 3, "##wanted": 4, "cafe": 5, ".": 6, "_": 7}
    assert pieces("Unwanted café._ zz", known) == [[1, 4], [5], [6], [7], [0]]


def test_replies_are_the_same_by_the_rule_of_the_task() -> None:
    detector = Detector(HeadLayout.YOLOV8, 1, 21, (32, 32))
    boxes = Comparison(Compared.BOXES, 0.5, detector)
    one = {"boxes": [0, 0, 10, 10], "scores": [0.9], "labels": [0]}
    assert same(boxes, one, {**one, "boxes": [1, 0, 11, 10], "scores": [0.3]})
    assert not same(boxes, one, {"boxes": [], "scores": [], "labels": []})
    text = Comparison(Compared.TEXT, 0.0, label_map=LabelMap(3, False, blank=0))
    assert same(text, {"text": ["ab"]}, {"text": ["ab"]})
    assert not same(text, {"text": ["ab"]}, {"text": ["a"]})
