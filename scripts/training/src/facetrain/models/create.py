"""Backbones by name, as recipes and checkpoints say them."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from facetrain.models.backbone import Backbone
from facetrain.models.genotype import Genotype, load_genotype
from facetrain.models.iresnet import DEPTHS, IResNet
from facetrain.models.mobilefacenet import MobileFaceNet, MobileFaceNetOptions
from facetrain.models.pocketnet import PocketNet, PocketNetOptions

Options = Mapping[str, Any]

_POCKETNETS: dict[str, Options] = {
    "pocketnet_s": {"cells": 18, "channels": 16},
    "pocketnet_m": {"cells": 9, "channels": 32},
    # For tests and the toy run: the same code at a hundredth of the cost.
    "pocketnet_toy": {"cells": 5, "channels": 4, "tail_channels": 64},
}
_MOBILEFACENETS: dict[str, Options] = {
    "mobilefacenet": {},
    "mbf": {"scale": 2},
    "mbf_large": {"scale": 4, "blocks": (2, 8, 12, 4)},
}


def backbone_names() -> list[str]:
    """Every name that `create_backbone` takes."""
    return list(_builders())


def create_backbone(name: str, *, embedding_dim: int, **options: Any) -> Backbone:
    """Make a backbone with fresh weights.

    Args:
        name: One of `backbone_names()`.
        embedding_dim: D.
        options: PocketNets: `genotype` (a published name, a file, its JSON value or a `Genotype`;
            default "casia") and the fields of `PocketNetOptions`; MobileFaceNets: the fields of
            `MobileFaceNetOptions`; iResNets: `dropout`.

    Returns:
        The backbone; its `spec` makes the same network again, without the genotype's file.

    Raises:
        ValueError: When a name or an option is unknown, or a value is out of range.
    """
    build = _builders().get(name)
    if build is None:
        raise ValueError(f'unknown backbone "{name}"; known: {", ".join(backbone_names())}')
    backbone = build(embedding_dim, options)
    backbone.spec = {
        "name": name,
        "embedding_dim": embedding_dim,
        "options": {key: _json_value(value) for key, value in _resolved(backbone, options).items()},
    }
    return backbone


def _builders() -> dict[str, Callable[[int, Options], Backbone]]:
    def pocketnet(size: Options) -> Callable[[int, Options], Backbone]:
        return lambda dim, options: _create_pocketnet(dim, {**size, **options})

    def mobilefacenet(size: Options) -> Callable[[int, Options], Backbone]:
        return lambda dim, options: _create_mobilefacenet(dim, {**size, **options})

    def iresnet(depth: int) -> Callable[[int, Options], Backbone]:
        return lambda dim, options: _create_iresnet(depth, dim, options)

    return {
        **{name: pocketnet(size) for name, size in _POCKETNETS.items()},
        **{name: mobilefacenet(size) for name, size in _MOBILEFACENETS.items()},
        **{f"iresnet{depth}": iresnet(depth) for depth in DEPTHS},
    }


def _create_pocketnet(embedding_dim: int, options: Options) -> PocketNet:
    known = [field.name for field in fields(PocketNetOptions)]
    _check_options(options, ["genotype", *known])
    genotype = load_genotype(options.get("genotype", "casia"))
    rest = {key: value for key, value in options.items() if key != "genotype"}
    return PocketNet(genotype, embedding_dim, PocketNetOptions(**rest))


def _create_mobilefacenet(embedding_dim: int, options: Options) -> MobileFaceNet:
    _check_options(options, [field.name for field in fields(MobileFaceNetOptions)])
    # JSON has no tuples.
    options = {key: tuple(value) if key == "blocks" else value for key, value in options.items()}
    return MobileFaceNet(embedding_dim, MobileFaceNetOptions(**options))


def _create_iresnet(depth: int, embedding_dim: int, options: Options) -> IResNet:
    _check_options(options, ["dropout"])
    return IResNet(depth, embedding_dim, **options)


def _check_options(options: Options, known: list[str]) -> None:
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(f"unknown option {', '.join(unknown)}; known: {', '.join(known)}")


def _resolved(backbone: Backbone, options: Options) -> Options:
    # A checkpoint must not depend on a genotype file that may be gone or changed.
    if isinstance(backbone, PocketNet):
        return {**options, "genotype": backbone.genotype}
    return options


def _json_value(value: Any) -> Any:
    match value:
        case Genotype():
            return value.to_json()
        case tuple():
            return list(value)
        case Path():
            return str(value)
        case _:
            return value
