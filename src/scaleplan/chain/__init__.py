"""The whole chain: from a budget to a model, its data, its machine and its bill."""
