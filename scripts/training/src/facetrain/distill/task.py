"""The tasks the loop is given: classification by margin, and distillation with or without it."""

# B batch, C channels, H height, W width, D embedding

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from facetrain.config import HintOptions, TermOptions
from facetrain.data.batches import Batch
from facetrain.data.face_set import CROP_PX
from facetrain.distill.adaptive import AdaptiveCentres
from facetrain.distill.hints import HintAdapters
from facetrain.distill.teacher import HintingTeacher, Teacher
from facetrain.distill.template import (
    cosine_loss,
    mean_cosine,
    similarity_loss,
    template_loss,
)
from facetrain.distill.views import Views
from facetrain.models.backbone import Backbone


class ClassifyTask:
    """Margin softmax over identities."""

    def __init__(self, backbone: Backbone, head: nn.Module, views: Views) -> None:
        self._backbone, self._head, self._views = backbone, head, views
        self._trained = nn.ModuleDict({"backbone": backbone, "head": head})

    def modules(self) -> nn.ModuleDict:
        return self._trained

    def on_epoch(self, epoch: int) -> None: ...

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        view_BCHW = self._views.of(batch.crop_BCHW, step)
        e_BD = self._backbone(self._views.sized(self._backbone.preprocessing.apply(view_BCHW)))
        return {"loss": self._head(e_BD, batch.label_B)}

    def on_share(self, share: float) -> None:
        self._views.on_share(share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One part of the distillation loss; adaptive centres bring their module."""

    options: TermOptions
    centres: AdaptiveCentres | None = None

    def __call__(self, student_BD: Tensor, teacher_BD: Tensor, label_B: Tensor) -> Tensor:
        """The weighted loss."""
        options = self.options
        match options.kind:
            case "template":
                value = template_loss(student_BD, teacher_BD, per_dim=options.per_dim)
            case "cosine":
                value = cosine_loss(student_BD, teacher_BD)
            case "similarity":
                value = similarity_loss(student_BD, teacher_BD)
            case "adaptive":
                assert self.centres is not None
                value = self.centres(student_BD, teacher_BD, label_B)
        return options.weight * value


class DistillTask:
    """An optional margin head plus weighted terms between student and teacher.

    Both see the same augmented view. Without a head, and without adaptive centres, labels are not
    looked at. The logged terms are weighted: they add up to the loss.
    """

    def __init__(
        self,
        backbone: Backbone,
        teacher: Teacher,
        terms: Sequence[Term],
        views: Views,
        *,
        head: nn.Module | None = None,
        hints: Sequence[HintOptions] = (),
    ) -> None:
        """Check that the terms can compare student and teacher.

        Args:
            hints: One for each map that the teacher shows, in its order.

        Raises:
            ValueError: Their dimensions differ and a term needs equal ones, there is no term, or
                the student has no such map.
        """
        if not terms:
            raise ValueError("a distillation needs at least one term")
        needing = [t.options.kind for t in terms if t.options.kind != "similarity"]
        self._same_dim = teacher.embedding_dim == backbone.embedding_dim
        if needing and not self._same_dim:
            raise ValueError(
                f"the teacher's embeddings have {teacher.embedding_dim} dimensions, the student's "
                f"{backbone.embedding_dim}; the {needing[0]} term compares them one by one: set "
                f"model.embedding_dim to {teacher.embedding_dim}, or use only similarity terms"
            )
        self._backbone, self._teacher, self._terms = backbone, teacher, terms
        self._head, self._views = head, views
        self._hints = list(hints)
        self._trained = nn.ModuleDict({"backbone": backbone})
        if head is not None:
            self._trained["head"] = head
        for number, term in enumerate(terms):
            if term.centres is not None:
                self._trained[f"centres_{number}"] = term.centres
        if hints:
            self._trained["hints"] = self._adapters()

    def modules(self) -> nn.ModuleDict:
        return self._trained

    def on_epoch(self, epoch: int) -> None:
        self._teacher.on_epoch(epoch)

    def on_share(self, share: float) -> None:
        self._views.on_share(share)
        if self._hints:
            adapters = self._trained["hints"]
            assert isinstance(adapters, HintAdapters)
            adapters.on_share(share)

    def _hinting_teacher(self) -> HintingTeacher:
        return cast(HintingTeacher, self._teacher)

    @torch.no_grad()
    def _adapters(self) -> HintAdapters:
        """Adapters for the channels on both sides."""
        blank = torch.zeros(1, 3, CROP_PX, CROP_PX, dtype=torch.uint8)
        modes = [(module, module.training) for module in self._backbone.modules()]
        maps, _ = self._backbone.eval().traced(self._backbone.preprocessing.apply(blank))
        for module, training in modes:
            module.training = training
        for hint in self._hints:
            if hint.map >= len(maps):
                raise ValueError(
                    f"hints.map is {hint.map}; the student has maps 0 to {len(maps) - 1}"
                )
        mine = [maps[hint.map].shape[1] for hint in self._hints]
        channels = list(zip(mine, self._hinting_teacher().map_channels, strict=True))
        weights = [(hint.weight, hint.last_weight) for hint in self._hints]
        return HintAdapters(channels, weights)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        view_BCHW = self._views.of(batch.crop_BCHW, step)
        x_BCHW = self._views.sized(self._backbone.preprocessing.apply(view_BCHW))
        parts = {}
        if self._hints:
            teacher_BD, shown = self._hinting_teacher().embed_with_maps(view_BCHW, batch.index_B)
            maps, student_BD = self._backbone.traced(x_BCHW)
            given = [maps[hint.map] for hint in self._hints]
            parts["hints"] = self._trained["hints"](given, shown)
        else:
            teacher_BD = self._teacher.embed(view_BCHW, batch.index_B)
            student_BD = self._backbone(x_BCHW)
        if self._head is not None:
            parts["margin"] = self._head(student_BD, batch.label_B)
        for term in self._terms:
            parts[term.options.kind] = term(student_BD, teacher_BD, batch.label_B)
        losses = {"loss": sum(parts.values()), **parts}
        if self._same_dim:
            losses["teacher_cosine"] = mean_cosine(student_BD, teacher_BD)
        return losses
