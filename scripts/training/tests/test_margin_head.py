import math

import pytest
import torch
import torch.nn.functional as F

from facetrain.config import HeadOptions
from facetrain.heads.build import build_head, margin_of
from facetrain.heads.margin import Margin, MarginHead, margin_logits

ARC, COS = Margin.arcface(0.5), Margin.cosface(0.4)
COMBINED = Margin(m1=1.2, m2_rad=0.3, m3=0.1)
SPHERE = Margin(m1=4.0)


@pytest.mark.parametrize("margin", [ARC, COS, COMBINED], ids=["arc", "cos", "combined"])
def test_only_the_target_moves_and_by_the_formula(margin: Margin) -> None:
    cos_BK = torch.tensor([[0.3, -0.2, 0.9], [0.1, 0.6, -0.5]])
    logits_BK = margin_logits(cos_BK, torch.tensor([2, 0]), margin)
    expected = cos_BK.clone()
    for row, column in ((0, 2), (1, 0)):
        theta = math.acos(float(cos_BK[row, column]))
        expected[row, column] = math.cos(margin.m1 * theta + margin.m2_rad) - margin.m3
    torch.testing.assert_close(logits_BK, expected * 64.0)


def test_rows_without_a_target_are_scaled_only() -> None:
    cos_BK = torch.tensor([[0.3, -0.2], [0.1, 0.6]])
    logits_BK = margin_logits(cos_BK, torch.tensor([-1, -1]), ARC)
    torch.testing.assert_close(logits_BK, cos_BK * 64.0)


@pytest.mark.parametrize("margin", [ARC, COS, COMBINED, SPHERE])
@pytest.mark.parametrize("edge", [1.0, -1.0, 1.0 + 1e-6, -1.0 - 1e-6])
def test_edges_have_finite_values_and_gradients(margin: Margin, edge: float) -> None:
    cos_BK = torch.tensor([[edge, 0.2]], requires_grad=True)
    logits_BK = margin_logits(cos_BK, torch.tensor([0]), margin)
    (grad_BK,) = torch.autograd.grad(logits_BK.sum(), cos_BK)
    assert logits_BK.isfinite().all()
    assert grad_BK.isfinite().all()


@pytest.mark.parametrize("margin", [ARC, COS, COMBINED, SPHERE])
def test_the_target_logit_never_rises_with_the_angle(margin: Margin) -> None:
    theta_B = torch.linspace(0, math.pi, 1801, dtype=torch.float64)
    logits_BK = margin_logits(theta_B.cos().unsqueeze(1), torch.zeros(1801).long(), margin)
    step = logits_BK[1:, 0] - logits_BK[:-1, 0]
    # ArcFace's published continuation has one small jump upwards, at θ = π − m.
    rises = (step > 1e-6).sum()
    assert rises <= (1 if margin is ARC else 0)


@pytest.mark.parametrize("margin", [ARC, COS, COMBINED, SPHERE])
def test_gradient_is_the_numerical_one(margin: Margin) -> None:
    cos_BK = torch.tensor(
        [[0.5, -0.2, 0.7], [-0.95, 0.1, 0.3], [0.99, 0.0, -0.4], [0.2, 0.3, 0.4]],
        dtype=torch.float64,
        requires_grad=True,
    )
    label_B = torch.tensor([0, 0, 0, -1])
    assert torch.autograd.gradcheck(lambda c: margin_logits(c, label_B, margin), cos_BK)


def test_arcface_continues_in_a_straight_line_beyond_pi_minus_m() -> None:
    cos_BK = torch.tensor([[-0.99]], dtype=torch.float64)
    logit = margin_logits(cos_BK, torch.tensor([0]), Margin.arcface(0.5, scale=1.0))
    assert logit.item() == pytest.approx(-0.99 - 0.5 * math.sin(math.pi - 0.5))


def test_head_loss_is_cross_entropy_of_labelled_rows() -> None:
    torch.manual_seed(0)
    head = MarginHead(8, 5, COS)
    e_BD, label_B = torch.randn(4, 8), torch.tensor([1, -1, 4, 0])
    cos_BK = F.normalize(e_BD) @ F.normalize(head.weight).T
    expected = cos_BK * 64
    for row, column in ((0, 1), (2, 4), (3, 0)):
        expected[row, column] -= 0.4 * 64
    kept = [0, 2, 3]
    torch.testing.assert_close(head(e_BD, label_B), F.cross_entropy(expected[kept], label_B[kept]))
    assert head(e_BD, torch.full((4,), -1)).item() == 0.0


def test_head_is_float32_within_bf16() -> None:
    torch.manual_seed(0)
    head = MarginHead(8, 5, ARC)
    e_BD, label_B = torch.randn(4, 8), torch.tensor([1, 2, 4, 0])
    exact = head(e_BD, label_B)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(head(e_BD, label_B), exact)


def test_options_choose_the_margin() -> None:
    assert margin_of(HeadOptions(kind="arcface")) == ARC
    assert margin_of(HeadOptions(kind="cosface")) == COS
    assert margin_of(HeadOptions(kind="combined", m1=1.2, m2=0.3, m3=0.1)) == COMBINED
    assert build_head(HeadOptions(kind="none"), 8, 5) is None


@pytest.mark.parametrize(
    ("options", "says"), [({"m1": 0.5}, r"\[1, 4\]"), ({"m2_rad": 4.0}, "π"), ({"scale": 0}, "0")]
)
def test_refuses(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Margin(**options)
