"""What a supernet is judged by: identities, or a teacher where there are no labels.

Plain softmax cross-entropy without a margin is PocketNet's choice for searching; without labels the
loss is 1 - cos to the teacher's embedding of the same view.
"""

# B batch, C channels, H height, W width, D embedding

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facetrain.search.alphas import CellPair
from facetrain.search.options import SupernetOptions
from facetrain.search.supernet import Supernet


class Teacher(Protocol):
    """See `facetrain.distill.teacher.Teacher`."""

    embedding_dim: int

    def embed(self, crop_BCHW: Tensor, index_B: Tensor) -> Tensor: ...


class Sample(NamedTuple):
    """A batch as the supernet takes it: preprocessed crops and what they should give."""

    x_BCHW: Tensor
    target: Tensor


class Objective(Protocol):
    """Targets, a loss and a figure that rises with quality."""

    quality_name: str

    def create_head(self, embedding_dim: int) -> nn.Module:
        """From embeddings to what the loss takes."""
        ...

    def embedding_dim(self, wanted: int) -> int:
        """The supernet's D, given the option."""
        ...

    def target(self, crop_BCHW: Tensor, batch: Any) -> Tensor:
        """Targets of a batch; `crop_BCHW` is the view that the supernet sees."""
        ...

    def loss(self, output: Tensor, target: Tensor) -> Tensor: ...

    def quality(self, output: Tensor, target: Tensor) -> Tensor: ...


class IdentityObjective:
    """Cross-entropy over the identities; quality is top-1 accuracy.

    Args:
        num_identities: Classes; labels must lie in [0, num_identities).
    """

    quality_name = "top1"

    def __init__(self, num_identities: int) -> None:
        if num_identities < 2:
            raise ValueError(
                f"num_identities is {num_identities}; a search by labels needs at least 2 "
                "(without labels give a teacher)"
            )
        self.num_identities = num_identities

    def create_head(self, embedding_dim: int) -> nn.Module:
        return nn.Linear(embedding_dim, self.num_identities)

    def embedding_dim(self, wanted: int) -> int:
        return wanted

    def target(self, crop_BCHW: Tensor, batch: Any) -> Tensor:
        return batch.label_B

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target)

    def quality(self, output: Tensor, target: Tensor) -> Tensor:
        return (output.argmax(dim=1) == target).float().mean()


class TeacherObjective:
    """1 - cos to a teacher, which sees the same view; quality is the mean cosine."""

    quality_name = "cosine"

    def __init__(self, teacher: Teacher) -> None:
        self.teacher = teacher

    def create_head(self, embedding_dim: int) -> nn.Module:
        return nn.Identity()

    def embedding_dim(self, wanted: int) -> int:
        return self.teacher.embedding_dim

    @torch.no_grad()
    def target(self, crop_BCHW: Tensor, batch: Any) -> Tensor:
        return self.teacher.embed(crop_BCHW, batch.index_B).clone()

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        return 1.0 - self.quality(output, target)

    def quality(self, output: Tensor, target: Tensor) -> Tensor:
        return F.cosine_similarity(output, target, dim=1).mean()


class SearchModel(nn.Module):
    """The supernet and what brings its embedding to the objective."""

    def __init__(self, options: SupernetOptions, objective: Objective) -> None:
        super().__init__()
        self.supernet = Supernet(options)
        self.head = objective.create_head(options.embedding_dim)

    def forward(self, x_BCHW: Tensor, weights: CellPair) -> Tensor:
        return self.head(self.supernet(x_BCHW, weights))
