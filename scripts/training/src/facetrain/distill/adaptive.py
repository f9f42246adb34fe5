"""AdaDistill: class centres that are not learned but follow the teacher's embeddings.

w_y ← a·w_y + (1 − a)·teacher, with a from how well the student already agrees with the teacher and
the centre with the sample: early centres jump to every sample, late ones are stable means. The
student then learns by ArcFace against them (Boutros et al., ECCV 2024, arXiv 2407.01332).
"""

# B batch, D embedding, K classes

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.engine.distributed import gathered_rows
from facetrain.heads.margin import Margin, cosines, labelled_cross_entropy, margin_logits

WEIGHT_MIN = 1e-6


class AdaptiveCentres(nn.Module):
    """Centres (K, D) as a buffer, moved by each call in training mode.

    Processes exchange their embeddings first, so that all keep the same centres.
    """

    centre_KD: Tensor

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: Margin,
        *,
        weighting: Literal["student", "student_and_centre"] = "student_and_centre",
        world: int = 1,
    ) -> None:
        """Make random centres.

        Args:
            weighting: a = cos(student, teacher), or that times cos(centre, teacher) (the paper's α
                and α′).
        """
        super().__init__()
        self.margin, self._weighting, self._world = margin, weighting, world
        centre_KD = torch.randn(num_classes, embedding_dim)
        self.register_buffer("centre_KD", F.normalize(centre_KD))

    def forward(self, student_BD: Tensor, teacher_BD: Tensor, label_B: Tensor) -> Tensor:
        """Move the centres, then the margin loss of the student against them.

        Args:
            student_BD: Embeddings, normalised or not.
            teacher_BD: Unit embeddings.
            label_B: Identities, int64; rows with -1 neither move a centre nor count.
        """
        if self.training:
            self._follow(student_BD.detach().float(), teacher_BD.float(), label_B)
        cos_BK = cosines(student_BD, self.centre_KD)
        return labelled_cross_entropy(margin_logits(cos_BK, label_B, self.margin), label_B)

    @torch.no_grad()
    def _follow(self, student_BD: Tensor, teacher_BD: Tensor, label_B: Tensor) -> None:
        if self._world > 1:
            student_BD, teacher_BD, label_B = (
                gathered_rows(rows) for rows in (student_BD, teacher_BD, label_B)
            )
        counted_B1 = (label_B >= 0).float().unsqueeze(1)
        class_B = label_B.clamp(min=0)
        centre_BD = self.centre_KD[class_B]
        weight_B = F.cosine_similarity(student_BD, teacher_BD)
        if self._weighting == "student_and_centre":
            agreement_B = F.cosine_similarity(centre_BD, teacher_BD).clamp(WEIGHT_MIN, 1.0)
            weight_B = weight_B * agreement_B
        weight_B1 = weight_B.clamp(WEIGHT_MIN, 1.0).unsqueeze(1)
        moved_BD = (1.0 - weight_B1) * (teacher_BD - centre_BD) * counted_B1
        # Several samples of a class move its centre to the mean of where each would.
        total_KD = torch.zeros_like(self.centre_KD).index_add_(0, class_B, moved_BD)
        count_K1 = torch.zeros_like(self.centre_KD[:, :1]).index_add_(0, class_B, counted_B1)
        self.centre_KD += total_KD / count_K1.clamp(min=1.0)
