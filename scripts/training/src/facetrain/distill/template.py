"""Distillation terms between embeddings of student and teacher; all normalise and use float32."""

# B batch, D embedding

import torch
import torch.nn.functional as F
from torch import Tensor


def template_loss(student_BD: Tensor, teacher_BD: Tensor, *, per_dim: bool) -> Tensor:
    """Squared distance of unit embeddings.

    Args:
        student_BD: Embeddings, normalised or not.
        teacher_BD: The same.
        per_dim: True averages over batch and dimensions, (2/D)(1 − cos): with a weight of 100 this
            is PocketNet's template distillation, whose strength falls with D. False sums over the
            dimensions, 2(1 − cos): with a weight of 7 VarGFaceNet's.
    """
    squared_BD = (_unit(student_BD) - _unit(teacher_BD)).square()
    return squared_BD.mean() if per_dim else squared_BD.sum(dim=1).mean()


def cosine_loss(student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    """Mean of 1 − cos; independent of D."""
    return 1.0 - (_unit(student_BD) * _unit(teacher_BD)).sum(dim=1).mean()


def similarity_loss(student_BD: Tensor, teacher_BE: Tensor) -> Tensor:
    """Mean squared difference of the batch's cosines, pair by pair; dimensions may differ.

    Similarity-preserving distillation (Tung & Mori, ICCV 2019, arXiv 1907.09682) on cosines, off
    the diagonal.
    """
    if len(student_BD) < 2:
        raise ValueError("similarities need a batch of at least 2")
    student_BB = _unit(student_BD) @ _unit(student_BD).T
    teacher_BB = _unit(teacher_BE) @ _unit(teacher_BE).T
    # The diagonal is 1 in both: the sum runs over pairs.
    pairs = len(student_BD) * (len(student_BD) - 1)
    return (student_BB - teacher_BB).square().sum() / pairs


def _unit(e_BD: Tensor) -> Tensor:
    return F.normalize(e_BD.float(), dim=1)


def mean_cosine(student_BD: Tensor, teacher_BD: Tensor) -> Tensor:
    """How close the student is; for logs, without gradient."""
    with torch.no_grad():
        return 1.0 - cosine_loss(student_BD, teacher_BD)
