"""Where it runs: devices, number formats, layouts, memory and time."""
