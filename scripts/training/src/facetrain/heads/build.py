"""The head that a run asks for."""

from torch import nn

from facetrain.config import HeadOptions
from facetrain.heads.margin import Margin, MarginHead
from facetrain.heads.partial_fc import PartialFC


def margin_of(options: HeadOptions) -> Margin:
    """The margin of the options' kind; the numbers of other kinds are not used."""
    match options.kind:
        case "arcface":
            return Margin.arcface(options.m2, options.scale)
        case "cosface":
            return Margin.cosface(options.m3, options.scale)
        case "combined":
            return Margin(scale=options.scale, m1=options.m1, m2_rad=options.m2, m3=options.m3)
        case "none":
            raise ValueError('head.kind is "none"; it has no margin')


def build_head(
    options: HeadOptions, embedding_dim: int, num_classes: int, *, rank: int = 0, world: int = 1
) -> nn.Module | None:
    """A module (e_BD, label_B) → loss, or None for "none"."""
    if options.kind == "none":
        return None
    margin = margin_of(options)
    if options.sharded:
        return PartialFC(
            embedding_dim,
            num_classes,
            margin,
            sample_rate=options.sample_rate,
            rank=rank,
            world=world,
        )
    if options.sample_rate < 1.0:
        return PartialFC(embedding_dim, num_classes, margin, sample_rate=options.sample_rate)
    return MarginHead(embedding_dim, num_classes, margin)
