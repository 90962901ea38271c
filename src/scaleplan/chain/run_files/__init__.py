"""Files that start a training run, read and written: one table of keys for each form, used in both directions."""
