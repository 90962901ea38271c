"""What files that users write must hold, as pydantic models that also emit JSON Schema."""

from __future__ import annotations
