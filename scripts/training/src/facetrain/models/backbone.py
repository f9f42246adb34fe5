"""What every backbone is, whatever it is made of."""

# B batch, C channels, H height, W width, D embedding

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from facetrain.preprocessing import POCKETNET, Preprocessing


class Backbone(nn.Module):
    """A network from preprocessed crops to embeddings.

    Attributes:
        embedding_dim: D.
        preprocessing: What makes its input out of a uint8 RGB crop.
        spec: `{"name", "embedding_dim", "options"}`, JSON-able, with which `create_backbone` makes
            the same network again; checkpoints keep it. Empty for a network made by hand.
    """

    embedding_dim: int
    preprocessing: Preprocessing
    spec: Mapping[str, Any]

    def __init__(self, embedding_dim: int, preprocessing: Preprocessing = POCKETNET) -> None:
        super().__init__()
        if embedding_dim < 1:
            raise ValueError(f"embedding_dim is {embedding_dim}; it must be at least 1")
        self.embedding_dim = embedding_dim
        self.preprocessing = preprocessing
        self.spec = {}

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Embed preprocessed crops.

        Args:
            x_BCHW: Float (B, 3, 112, 112), as `preprocessing.apply` makes it.

        Returns:
            Embeddings (B, D), not normalised.
        """
        return self.embed_stage(self.stages(x_BCHW)[-1])

    def stages(self, x_BCHW: Tensor) -> list[Tensor]:
        """The last feature map of each resolution, finest first: 56, 28, 14 and 7 pixels wide."""
        raise NotImplementedError

    def traced(self, x_BCHW: Tensor) -> tuple[list[Tensor], Tensor]:
        """The maps that hints can be given on, and the embeddings (B, D).

        The maps are those of `stages`; a PocketNet adds the one that its tail weighs away.
        """
        stages = self.stages(x_BCHW)
        return stages, self.embed_stage(stages[-1])

    def embed_stage(self, x_BCHW: Tensor) -> Tensor:
        """From the coarsest feature map to embeddings (B, D)."""
        raise NotImplementedError
