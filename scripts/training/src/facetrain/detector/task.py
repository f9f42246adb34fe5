"""The detector's two objectives for `facetrain.engine`: a teacher's word, or labels.

Axes: B batch, C channels, H height, W width, N cells of all strides, P cells with a face, G faces.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from facetrain.detector.assign import assign
from facetrain.detector.batches import CanvasBatch, LabelBatch
from facetrain.detector.decode import decode_boxes, decode_landmarks
from facetrain.detector.losses import eiou_loss, eye_size, landmark_loss, score_loss
from facetrain.detector.net import BOX, KPS, DetectorNet, cells


@dataclass(frozen=True, kw_only=True, slots=True)
class LossOptions:
    """Weights of the terms. With the defaults they contribute alike late in a run."""

    objectness: float = 1.0
    cls: float = 1.0
    box: float = 2.0
    landmark: float = 20.0
    landmark_beta: float = 0.02
    """See `landmark_loss`."""
    empty_class: float = 0.1
    """Weight of the class logit where the teacher sees no object: there it decides nothing, and
    YuNet, never trained on it, says anything."""
    focus: float = 1.0
    """A cell's box and landmarks count by this power of the teacher's score: the best cells of a
    face are the ones that are used."""

    def __post_init__(self) -> None:
        for name in ("objectness", "cls", "box", "landmark", "empty_class", "focus"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; allowed is 0 or more")


class _DetectorTask:
    """What both objectives share: the network and the sum of terms."""

    def __init__(self, net: DetectorNet, options: LossOptions | None = None) -> None:
        self._options = options or LossOptions()
        self._modules = nn.ModuleDict({"detector": net})
        self._cells: dict[tuple[int, int, torch.device], Tensor] = {}

    def modules(self) -> nn.ModuleDict:
        return self._modules

    def on_epoch(self, epoch: int) -> None:
        """Nothing changes with the epoch."""

    def _input(self, picture_BCHW: Tensor) -> Tensor:
        x_BCHW = picture_BCHW.float()
        if picture_BCHW.is_contiguous(memory_format=torch.channels_last):
            x_BCHW = x_BCHW.contiguous(memory_format=torch.channels_last)
        return x_BCHW

    def _dense(self, picture_BCHW: Tensor) -> Tensor:
        """Predictions (B, N, 16) in float32."""
        return torch.cat(self._modules["detector"](self._input(picture_BCHW)), dim=1).float()

    def _cells_of(self, picture_BCHW: Tensor) -> Tensor:
        """(N, 3), as `cells`."""
        height, width = picture_BCHW.shape[-2:]
        key = (height, width, picture_BCHW.device)
        if key not in self._cells:
            self._cells[key] = cells(height, width, picture_BCHW.device)
        return self._cells[key]

    def _sum(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        weight = {name: getattr(self._options, name) for name in terms}
        total = torch.stack([weight[name] * term for name, term in terms.items()]).sum()
        return {"loss": total, **{name: term.detach() for name, term in terms.items()}}


class DistilTask(_DetectorTask):
    """Dense distillation: scores at all cells, boxes and landmarks where the teacher is sure."""

    def loss(self, batch: CanvasBatch, step: int) -> dict[str, Tensor]:
        """Terms per unit of the teacher's objectness, so that faces count and not canvases."""
        del step
        return self._terms(self._dense(batch.picture_BCHW), batch)

    def _terms(self, dense_BN: Tensor, batch: CanvasBatch) -> dict[str, Tensor]:
        cell_N3 = self._cells_of(batch.picture_BCHW)
        cls_t, obj_t = batch.score_BN2.unbind(dim=-1)
        amount = obj_t.sum().clamp(min=1)
        floor = self._options.empty_class
        told = dense_BN.flatten(0, 1)[batch.cell_P]
        cell_P3 = cell_N3[batch.cell_P % len(cell_N3)]
        weight_P = batch.weight_P**self._options.focus
        share_P = weight_P / weight_P.sum().clamp(min=1)
        landmark = decode_landmarks(told[:, KPS], cell_P3)
        size_P, beta = eye_size(batch.box_P4, batch.landmark_P52), self._options.landmark_beta
        with torch.autocast(dense_BN.device.type, enabled=False):
            return self._sum(
                {
                    "objectness": score_loss(dense_BN[..., 1], obj_t) / amount,
                    "cls": score_loss(dense_BN[..., 0], cls_t, floor + (1 - floor) * obj_t)
                    / amount,
                    "box": (
                        eiou_loss(decode_boxes(told[:, BOX], cell_P3), batch.box_P4) * share_P
                    ).sum(),
                    "landmark": (
                        landmark_loss(landmark, batch.landmark_P52, size_P, beta=beta) * share_P
                    ).sum(),
                }
            )


class LabelTask(_DetectorTask):
    """Training from labels: SimOTA assigns cells, as YuNet itself was trained."""

    def loss(self, batch: LabelBatch, step: int) -> dict[str, Tensor]:
        """Terms per assigned cell. The class target is the predicted box's overlap (YOLOX)."""
        del step
        dense_BN, cell_N3 = self._dense(batch.picture_BCHW), self._cells_of(batch.picture_BCHW)
        box_BN4 = decode_boxes(dense_BN[..., BOX], cell_N3)
        score_BN = torch.sigmoid(dense_BN[..., :2]).detach().prod(dim=-1).sqrt()
        owner, overlap = [], []
        for b, count in enumerate(batch.count_B.tolist()):
            found = assign(score_BN[b], box_BN4[b].detach(), cell_N3, batch.box_BG4[b, :count])
            owner.append(found[0])
            overlap.append(found[1])
        owner_BN, iou_BN = torch.stack(owner), torch.stack(overlap)
        at_B, at_N = (owner_BN >= 0).nonzero(as_tuple=True)
        face = owner_BN[at_B, at_N]
        amount = max(1, len(at_B))
        told, cell_P3 = dense_BN[at_B, at_N], cell_N3[at_N]
        target_P4 = batch.box_BG4[at_B, face]
        landmark = landmark_loss(
            decode_landmarks(told[:, KPS], cell_P3),
            batch.landmark_BG52[at_B, face],
            target_P4[:, 2:].mean(dim=1),
        )
        return self._sum(
            {
                "objectness": score_loss(dense_BN[..., 1], (owner_BN >= 0).float()) / amount,
                "cls": score_loss(told[:, 0], iou_BN[at_B, at_N]) / amount,
                "box": eiou_loss(box_BN4[at_B, at_N], target_P4).sum() / amount,
                "landmark": landmark.sum() / amount,
            }
        )
