"""Figures on pictures that training does not see, while it goes on."""

# N pictures, C channels, H height, W width, D embedding

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.data.face_set import FaceSet
from facetrain.data.packed import PackedFaces
from facetrain.distill.teacher import Teacher
from facetrain.evaluate.roc import area_under_curve, equal_error_rate
from facetrain.models.backbone import Backbone

BATCH = 64


class HeldOutVerification:
    """All pairs of a labelled set, without flip: equal error rate and area under the ROC.

    An evaluator of the loop; small enough sets only, N² pairs are compared.
    """

    def __init__(self, faces: FaceSet, *, every: int, every_steps: int = 0) -> None:
        """Hold the crops in memory.

        Raises:
            ValueError: No two pictures of one person, or only one person.
        """
        self.every, self.every_steps = every, every_steps
        packed = faces if isinstance(faces, PackedFaces) else PackedFaces.of(faces)
        self._crop_NCHW = packed.crop_NCHW
        self._label_N = np.asarray(packed.labels)
        known = self._label_N[self._label_N >= 0]
        if len(np.unique(known)) < 2 or np.bincount(known).max() < 2:
            raise ValueError("held_out: there must be two people, one with two pictures")

    @torch.inference_mode()
    def run(self, model: nn.Module) -> dict[str, float]:
        """Figures of the model: "held_out_eer", "held_out_auc"."""
        assert isinstance(model, Backbone)
        e_ND = embedded(model, self._crop_NCHW).numpy()
        first, second = np.triu_indices(len(e_ND), k=1)
        known = (self._label_N[first] >= 0) & (self._label_N[second] >= 0)
        score = (e_ND @ e_ND.T)[first, second][known].astype(np.float64)
        same = (self._label_N[first] == self._label_N[second])[known]
        return {
            "held_out_eer": float(equal_error_rate(score[same], score[~same])),
            "held_out_auc": float(area_under_curve(score[same], score[~same])),
        }


class HeldOutCosine:
    """Mean cosine between the model and the run's teacher on crops as they are."""

    def __init__(
        self, faces: FaceSet, teacher: Teacher, *, pictures: int, every: int, every_steps: int = 0
    ) -> None:
        """Hold the crops in memory; the teacher looks at them once, when they are first needed.

        Args:
            pictures: How many, evenly over the set; all if it has fewer.
        """
        self.every, self.every_steps = every, every_steps
        chosen = np.linspace(0, len(faces) - 1, min(pictures, len(faces))).round().astype(np.int64)
        crops = np.stack([faces.crop(int(index)) for index in chosen])
        self._crop_NCHW = torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()
        self._index_N = torch.from_numpy(chosen)
        self._teacher = teacher
        self._target_ND: Tensor | None = None

    @torch.inference_mode()
    def run(self, model: nn.Module) -> dict[str, float]:
        """Figures of the model: "held_out_cosine"."""
        assert isinstance(model, Backbone)
        e_ND = embedded(model, self._crop_NCHW)
        if self._target_ND is None:
            device = next(model.parameters()).device
            parts = zip(self._crop_NCHW.split(BATCH), self._index_N.split(BATCH), strict=True)
            embeddings = [self._teacher.embed(crop.to(device), index) for crop, index in parts]
            self._target_ND = torch.cat(embeddings).cpu()
        return {"held_out_cosine": float((e_ND * self._target_ND).sum(dim=1).mean())}


def embedded(model: Backbone, crop_NCHW: Tensor) -> Tensor:
    """Unit embeddings (N, D), float32, on the CPU."""
    device = next(model.parameters()).device
    parts = [
        F.normalize(model(model.preprocessing.apply(crop_BCHW.to(device))).float()).cpu()
        for crop_BCHW in crop_NCHW.split(BATCH)
    ]
    return torch.cat(parts)
