"""Backbones: a crop in, an embedding out.

`create_backbone` is the one door; `count_cost` says what a model costs; `Genotype` is what a
search finds and a PocketNet is built from.
"""

from facetrain.models.backbone import Backbone
from facetrain.models.count import Cost, count_cost
from facetrain.models.create import backbone_names, create_backbone
from facetrain.models.genotype import Genotype

__all__ = [
    "Backbone",
    "Cost",
    "Genotype",
    "backbone_names",
    "count_cost",
    "create_backbone",
]
