"""Water that a run evaporates: at the site, which cools the computers, and at the power plants."""

from __future__ import annotations

from typing import Any


def run_water_l(it_wh: Any, facility_wh: Any, site_l_per_kwh: Any, plant_l_per_kwh: Any) -> Any:
    """Litres: it_wh / 1000 * site_l_per_kwh + facility_wh / 1000 * plant_l_per_kwh (the method of morrison2025).

    site_l_per_kwh   water of cooling for a kWh of the computers (WUE; 0 for a closed loop)
    plant_l_per_kwh  water of generation for a kWh that the facility draws

    >>> round(run_water_l(131e6, 157.2e6, 0, 1.29) / 1000)  # OLMo 2 7B, 202 kL published
    203
    """
    return it_wh / 1000 * site_l_per_kwh + facility_wh / 1000 * plant_l_per_kwh
