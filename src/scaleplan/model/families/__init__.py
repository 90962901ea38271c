"""Families of Hugging Face configs, as data: model_type -> Family. `family.py` says how one is described."""

from __future__ import annotations

from scaleplan.model.families import (
    dense,
    encoders,
    experts,
    generators,
    hybrids,
    masked,
    mixtures,
    older,
    relatives,
    state_spaces,
    translators,
)
from scaleplan.model.families.family import Config, Family

FAMILIES: dict[str, Family] = {
    **older.FAMILIES,
    **dense.FAMILIES,
    **relatives.FAMILIES,
    **hybrids.FAMILIES,
    **mixtures.FAMILIES,
    **experts.FAMILIES,
    **state_spaces.FAMILIES,
    **generators.FAMILIES,
    **encoders.FAMILIES,
    **masked.FAMILIES,
    **translators.FAMILIES,
}

__all__ = ["FAMILIES", "Config", "Family"]
