"""What a run costs: device-hours into dollars, energy and carbon. Every formula takes numbers or numpy arrays."""
