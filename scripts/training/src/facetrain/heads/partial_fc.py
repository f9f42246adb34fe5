"""Partial FC: class centres sharded over processes, and only a sample of them in each step.

Each process holds a contiguous share of the K classes and computes their logits for the pictures of
all processes; the softmax's sums are exchanged instead of logits. Below a sample rate of 1 a step
sees all positive classes and random negatives (An et al., CVPR 2022, arXiv 2203.15565).
"""

# B this process's batch, G all processes' batches, D embedding, K this process's classes, S sampled

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from facetrain.engine.distributed import gathered_rows
from facetrain.heads.margin import KERNEL_STD, Margin, cosines, margin_logits


class PartialFC(nn.Module):
    """Sharded, sampled margin softmax.

    Every process must bring the same number of pictures. Its gradient to the embeddings is scaled
    so that DDP's mean over processes gives the gradient of the whole batch's mean loss.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_classes: int,
        margin: Margin,
        *,
        sample_rate: float = 1.0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        if not 0.0 < sample_rate <= 1.0:
            raise ValueError(f"sample_rate is {sample_rate}; it must lie in (0, 1]")
        if num_classes < max(2, world):
            raise ValueError(f"{num_classes} classes are too few to share among {world} processes")
        self.margin, self.sample_rate, self.world = margin, sample_rate, world
        self.rank_local = world > 1
        share, rest = divmod(num_classes, world)
        self.first_class = rank * share + min(rank, rest)
        self.weight = nn.Parameter(torch.empty(share + (rank < rest), embedding_dim))
        nn.init.normal_(self.weight, std=KERNEL_STD)

    def forward(self, e_BD: Tensor, label_B: Tensor) -> Tensor:
        """Mean loss over the labelled pictures of all processes; the same number on each.

        Args:
            e_BD: Embeddings, normalised or not.
            label_B: Identities among all classes, int64; rows with -1 do not count.
        """
        e_GD, label_G = e_BD.float(), label_B
        if self.world > 1:
            e_GD = _AllGather.apply(e_GD)
            label_G = gathered_rows(label_B)
        local_G = label_G - self.first_class
        owned_G = (label_G >= 0) & (local_G >= 0) & (local_G < len(self.weight))
        local_G = torch.where(owned_G, local_G, -1)
        weight_SD, column_G = self.weight, local_G
        if self.sample_rate < 1.0:
            class_S = self.sample(local_G)
            weight_SD = self.weight[class_S]
            column_G = torch.where(owned_G, torch.searchsorted(class_S, local_G), -1)
        logits_GS = margin_logits(cosines(e_GD, weight_SD), column_G, self.margin)
        return _ShardedCrossEntropy.apply(logits_GS, column_G, label_G >= 0, self.world)

    @torch.no_grad()
    def sample(self, local_G: Tensor) -> Tensor:
        """Classes (S,) of this share for one step, ascending: all targets and random others.

        S does not depend on how many targets there are, so nothing waits for the device.

        Args:
            local_G: Targets counted from this share's first class; -1 for others' targets.
        """
        classes = len(self.weight)
        wanted = min(classes, max(round(self.sample_rate * classes), len(local_G)))
        priority_K = torch.rand(classes + 1, device=local_G.device)
        # One place too many takes the -1 of targets that are not here.
        priority_K[local_G] = 2.0
        return priority_K[:classes].topk(wanted, sorted=False).indices.sort().values


class _AllGather(torch.autograd.Function):
    """Every process's rows, in order of rank."""

    @staticmethod
    def forward(ctx: Any, e_BD: Tensor) -> Tensor:
        ctx.rows = len(e_BD)
        return gathered_rows(e_BD)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> Tensor:
        # Each process knows the gradient through its own classes only.
        grad_GD = grad[0].contiguous()
        dist.all_reduce(grad_GD)
        begin = dist.get_rank() * ctx.rows
        return grad_GD[begin : begin + ctx.rows] * dist.get_world_size()


class _ShardedCrossEntropy(torch.autograd.Function):
    """Cross-entropy over columns that lie on several processes."""

    @staticmethod
    def forward(
        ctx: Any, logits_GS: Tensor, column_G: Tensor, counts_G: Tensor, world: int
    ) -> Tensor:
        def reduce(value: Tensor, op: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
            if world > 1:
                dist.all_reduce(value, op=op)
            return value

        highest_G1 = reduce(logits_GS.amax(dim=1, keepdim=True), dist.ReduceOp.MAX)
        exp_GS = (logits_GS - highest_G1).exp()
        sum_G1 = reduce(exp_GS.sum(dim=1, keepdim=True))
        owned_G1 = (column_G >= 0).unsqueeze(1)
        column_G1 = column_G.clamp(min=0).unsqueeze(1)
        target_G1 = reduce(torch.where(owned_G1, logits_GS.gather(1, column_G1), 0.0))
        loss_G = (sum_G1.log() + highest_G1 - target_G1).squeeze(1)
        count = counts_G.sum().clamp(min=1)
        probability_GS = exp_GS / sum_G1
        ctx.save_for_backward(probability_GS, column_G1, owned_G1, counts_G, count)
        return torch.where(counts_G, loss_G, 0.0).sum() / count

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        probability_GS, column_G1, owned_G1, counts_G, count = ctx.saved_tensors
        target_GS = torch.zeros_like(probability_GS).scatter(1, column_G1, owned_G1.float())
        weight_G1 = counts_G.unsqueeze(1) / count * grad[0]
        return (probability_GS - target_GS) * weight_G1, None, None, None
