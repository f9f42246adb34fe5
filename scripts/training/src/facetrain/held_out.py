"""Verification of people that training does not see, while it goes on."""

# N pictures, C channels, H height, W width, D embedding

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.data.face_set import FaceSet
from facetrain.data.packed import PackedFaces
from facetrain.evaluate.roc import area_under_curve, equal_error_rate
from facetrain.models.backbone import Backbone

BATCH = 256


class HeldOutVerification:
    """All pairs of a labelled set, without flip: equal error rate and area under the ROC.

    An evaluator of the loop; small enough sets only, N² pairs are compared.
    """

    def __init__(self, faces: FaceSet, *, every: int) -> None:
        """Hold the crops in memory.

        Raises:
            ValueError: No two pictures of one person, or only one person.
        """
        self.every = every
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
        device = next(model.parameters()).device
        parts: list[Tensor] = []
        for crop_BCHW in self._crop_NCHW.split(BATCH):
            x_BCHW = model.preprocessing.apply(crop_BCHW.to(device))
            parts.append(F.normalize(model(x_BCHW).float()).cpu())
        e_ND = torch.cat(parts).numpy()
        first, second = np.triu_indices(len(e_ND), k=1)
        known = (self._label_N[first] >= 0) & (self._label_N[second] >= 0)
        score = (e_ND @ e_ND.T)[first, second][known].astype(np.float64)
        same = (self._label_N[first] == self._label_N[second])[known]
        return {
            "held_out_eer": float(equal_error_rate(score[same], score[~same])),
            "held_out_auc": float(area_under_curve(score[same], score[~same])),
        }
