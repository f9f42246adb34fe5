import pytest
import torch
import torch.nn.functional as F

from facetrain.distill.adaptive import AdaptiveCentres
from facetrain.distill.template import (
    cosine_loss,
    mean_cosine,
    similarity_loss,
    template_loss,
)
from facetrain.heads.margin import Margin
from facetrain.models.create import create_backbone


@pytest.mark.parametrize("dim", [128, 256])
def test_published_weight_is_200_over_d_at_random_initialisation(dim: int) -> None:
    torch.manual_seed(0)
    student = create_backbone("pocketnet_toy", embedding_dim=dim).train()
    x_BCHW = torch.randn(64, 3, 112, 112)
    teacher_BD = torch.randn(64, dim)
    with torch.no_grad():
        term = 100.0 * template_loss(student(x_BCHW), teacher_BD, per_dim=True)
    assert term.item() == pytest.approx(200 / dim, rel=0.05)


def test_conventions_differ_by_the_dimension() -> None:
    torch.manual_seed(0)
    student_BD, teacher_BD = torch.randn(8, 32), torch.randn(8, 32)
    per_dim = template_loss(student_BD, teacher_BD, per_dim=True)
    summed = template_loss(student_BD, teacher_BD, per_dim=False)
    cosine_B = F.cosine_similarity(student_BD, teacher_BD)
    torch.testing.assert_close(summed, 2 * (1 - cosine_B).mean())
    torch.testing.assert_close(per_dim * 32, summed)
    torch.testing.assert_close(cosine_loss(student_BD, teacher_BD), summed / 2)
    torch.testing.assert_close(mean_cosine(student_BD, teacher_BD), cosine_B.mean())


def test_similarity_is_by_pairs_and_takes_other_dimensions() -> None:
    student_BD = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])
    teacher_BE = torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 5.0]])
    root = 0.5**0.5
    expected = ((0 - 1) ** 2 + (root - 0) ** 2 + (root - 0) ** 2) / 3
    assert similarity_loss(student_BD, teacher_BE).item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="at least 2"):
        similarity_loss(student_BD[:1], teacher_BE[:1])


def centres(*, by_student_alone: bool = False) -> AdaptiveCentres:
    made = AdaptiveCentres(
        2,
        3,
        Margin.arcface(0.3, scale=8.0),
        weighting="student" if by_student_alone else "student_and_centre",
    )
    made.centre_KD.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]))
    return made


def test_centres_follow_the_teacher_by_agreement() -> None:
    head = centres()
    teacher_BD = F.normalize(torch.tensor([[0.6, 0.8]]))
    student_BD = torch.tensor([[0.0, 2.0]])
    head(student_BD, teacher_BD, torch.tensor([1]))
    # cos(student, teacher) = 0.8, cos(centre, teacher) = 0.8
    expected = 0.64 * torch.tensor([0.0, 1.0]) + 0.36 * teacher_BD[0]
    torch.testing.assert_close(head.centre_KD[1], expected)
    torch.testing.assert_close(head.centre_KD[0], torch.tensor([1.0, 0.0]))
    by_student = centres(by_student_alone=True)
    by_student(student_BD, teacher_BD, torch.tensor([1]))
    expected = 0.8 * torch.tensor([0.0, 1.0]) + 0.2 * teacher_BD[0]
    torch.testing.assert_close(by_student.centre_KD[1], expected)


def test_an_early_student_makes_centres_jump_to_the_teacher() -> None:
    head = centres()
    teacher_BD = torch.tensor([[0.6, 0.8]])
    head(-teacher_BD, teacher_BD, torch.tensor([0]))
    torch.testing.assert_close(head.centre_KD[0], teacher_BD[0], rtol=0, atol=1e-5)


def test_several_samples_of_a_class_move_it_to_their_mean() -> None:
    head = centres(by_student_alone=True)
    teacher_BD = F.normalize(torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]]))
    head(-teacher_BD, teacher_BD, torch.tensor([0, 0, -1]))
    torch.testing.assert_close(head.centre_KD[0], teacher_BD[:2].mean(0), rtol=0, atol=1e-5)
    torch.testing.assert_close(head.centre_KD[1], torch.tensor([0.0, 1.0]))


def test_centres_rest_in_evaluation_and_want_no_gradient() -> None:
    head = centres().eval()
    student_BD = torch.tensor([[0.3, 0.7]], requires_grad=True)
    before = head.centre_KD.clone()
    head(student_BD, torch.tensor([[0.6, 0.8]]), torch.tensor([0])).backward()
    assert torch.equal(head.centre_KD, before)
    assert list(head.parameters()) == []
    assert student_BD.grad is not None
