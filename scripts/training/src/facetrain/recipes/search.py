"""Searches of PocketNet's space. Their views are the search's own: ``data.augment`` is not used."""

from dataclasses import replace

from facetrain.config import DataOptions, TeacherOptions
from facetrain.search.options import AlphaOptions, SearchOptions, toy_options
from facetrain.searching import SearchRun


def published() -> SearchRun:
    """PocketNet's: second order, 50 epochs, identities of CASIA-WebFace."""
    return SearchRun(name="search_published", data=DataOptions(in_memory=False, workers=8))


def first_order() -> SearchRun:
    """The same at under a third of the cost: first order, alphas rest for 5 epochs."""
    return replace(
        published(),
        name="search_first_order",
        search=SearchOptions(alphas=AlphaOptions(order=1, warmup_epochs=5)),
    )


def label_free() -> SearchRun:
    """First order without labels: 1 − cos to a teacher checkpoint."""
    return replace(
        first_order(),
        name="search_label_free",
        data=DataOptions(labels="none"),
        teacher=TeacherOptions(kind="checkpoint"),
    )


def toy() -> SearchRun:
    """A search of seconds per epoch on a CPU."""
    return SearchRun(name="search_toy", search=toy_options())


def toy_label_free() -> SearchRun:
    """The toy without labels: 1 − cos to a teacher checkpoint."""
    return replace(
        toy(),
        name="search_toy_label_free",
        data=DataOptions(labels="none"),
        teacher=TeacherOptions(kind="checkpoint"),
    )
